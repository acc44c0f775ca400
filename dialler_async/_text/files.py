"""Atomic files: complete, or not there at all."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkstemp
from typing import BinaryIO


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a temporary file that replaces `path` if the body ends without an error.

    A reader never sees half a file. If the body raises, the old file stays. The temporary file is in the same
    directory; its name can't be guessed, and no other user can open it. It gets the mode of the file that it replaces;
    a new file can be read by its owner only. A symbolic link stays: the file that it points to is replaced.

    Devices and pipes, such as `/dev/stdout`, are written to directly.

    Raises:
        OSError: the file can't be written there.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as device:
            yield device
        return
    _refuse_planted_link(path)
    target = path.resolve()
    # Opens with O_CREAT, O_EXCL and O_NOFOLLOW, mode 0600 and a random name.
    descriptor, name = mkstemp(prefix=".dialler-", suffix=".part", dir=target.parent)
    file = os.fdopen(descriptor, "wb")
    try:
        if target.exists():
            _set_mode(file, target.stat().st_mode & 0o777)
        yield file
        # Before the replacement: a full disk may raise only now.
        file.close()
        Path(name).replace(target)
    except BaseException:
        with suppress(OSError):
            file.close()
        with suppress(OSError):
            Path(name).unlink()
        raise


def _set_mode(file: BinaryIO, mode: int) -> None:
    if hasattr(os, "fchmod"):  # not on Windows, before Python 3.13
        os.fchmod(file.fileno(), mode)


def _refuse_planted_link(path: Path) -> None:
    """Raise OSError for the link of another user in a directory that everybody can write, such as `/tmp`.

    Linux does so for `open` (`fs.protected_symlinks`), but not for a replacement.
    """
    if not path.is_symlink() or not hasattr(os, "getuid"):
        return
    directory = path.parent.stat()
    if directory.st_mode & stat.S_IWOTH and path.lstat().st_uid not in (os.getuid(), directory.st_uid):
        raise OSError(errno.EACCES, "it is a link of another user in a directory that everybody can write")
