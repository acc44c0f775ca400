"""Read the user's TOML files: settings and fleets."""

import os
import tomllib
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError


def read_toml(path: Path) -> tuple[dict[str, Any], os.stat_result]:
    """Return the content of a TOML file, and the file's `os.fstat` result for `require_trusted`.

    Raises:
        ConfigurationError: the file can't be read, or is not TOML.
    """
    try:
        with path.open("rb") as file:
            # Read from the open file: if another file replaces the path meanwhile, the check is about this file.
            status = os.fstat(file.fileno())
            return tomllib.loads(file.read().decode()), status
    except OSError as error:
        raise ConfigurationError(f"can't read {path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from None
