"""Checks of files that decide which code runs: settings and rule modules. Other users must not be able to write them.

A command looks for its settings in the current directory and the directories above it, such as `/tmp`. Without this
check, another user could put settings there, and the command would run that user's code with your token.
"""

import os
import stat
from pathlib import Path
from typing import Final

from ..errors import ConfigurationError

_ROOT: Final = 0


def require_trusted(
    path: Path, status: os.stat_result | None = None, *, decides: str = "which code runs with your token"
) -> None:
    """Raise ConfigurationError if another user may have written a file, or can replace it.

    The file and its directory must belong to the user or to root. Group and others must not be able to write the file.
    Others must not be able to write the directory, unless it has the sticky bit. Windows has no such owners and modes,
    so nothing is checked there.

    Args:
        path: the file.
        status: the result of `os.fstat`, if the file is already open.
        decides: completes "the file decides …" in the error message.
    """
    if not hasattr(os, "getuid"):
        return
    try:
        _check_file(path, path.stat() if status is None else status, decides)
        for directory in {path.absolute().parent, path.resolve().parent}:
            _check_directory(path, directory, decides)
    except OSError as error:
        raise ConfigurationError(f"can't read the permissions of {path}: {error.strerror}") from None


def _check_file(path: Path, status: os.stat_result, decides: str) -> None:
    if not _has_trusted_owner(status):
        raise _refused(path, f"it belongs to another user (UID {status.st_uid})", "run chown", decides)
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _refused(path, "other users can write it", f"run chmod go-w {path}", decides)


def _check_directory(path: Path, directory: Path, decides: str) -> None:
    status = directory.stat()
    if not _has_trusted_owner(status):
        reason = f"its directory {directory} belongs to another user (UID {status.st_uid})"
        raise _refused(path, reason, "run chown", decides)
    if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
        raise _refused(path, f"other users can write its directory {directory}", f"run chmod o-w {directory}", decides)


def _has_trusted_owner(status: os.stat_result) -> bool:
    return status.st_uid in (os.getuid(), _ROOT)


def _refused(path: Path, reason: str, remedy: str, decides: str) -> ConfigurationError:
    return ConfigurationError(
        f"{path} is not used: {reason}, and it decides {decides}. If you trust it, {remedy}; "
        "otherwise remove it or work in another directory"
    )
