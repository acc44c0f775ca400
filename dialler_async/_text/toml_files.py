"""Read the user's TOML files: settings and fleets."""

import os
import stat
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
        with open(path, "rb", opener=_open) as file:
            # Read from the open file: if another file replaces the path meanwhile, the check is about this file.
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ConfigurationError(f"can't read {path}: it is not a regular file")
            return tomllib.loads(file.read().decode("utf-8-sig")), status
    except OSError as error:
        raise ConfigurationError(f"can't read {path}: {error.strerror}") from None
    except ConfigurationError:
        raise
    except ValueError as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from None


def _open(path: str, flags: int) -> int:
    # Without it, opening a pipe waits for a writer. Windows has no such flag.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
