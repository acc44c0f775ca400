"""TOML files of the user: settings and fleets."""

import os
import tomllib
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError


def read_toml(path: Path) -> tuple[dict[str, Any], os.stat_result]:
    """Return the content of a TOML file, and the status of the open file for `require_trusted`.

    Raises:
        ConfigurationError: The file can't be read, or it is not TOML.
    """
    try:
        with path.open("rb") as file:
            # Of the open file: a file that replaces it later can't be checked in its place.
            status = os.fstat(file.fileno())
            return tomllib.loads(file.read().decode()), status
    except OSError as error:
        raise ConfigurationError(f"can't read {path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from None
