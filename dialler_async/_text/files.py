"""The one way in which this package writes files: complete, or not at all."""

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
    """Yield a file to write to, which takes its place at `path` once the body has ended without an error.

    So a reader never sees half of it, and when the body raises, what was there before stays. The data goes to a
    temporary file in the same directory, whose name nobody can guess and which nobody else can open. It gets the mode
    of the file that it replaces; a new file can be read by its owner only. A symbolic link stays, and the file that it
    points to is replaced.

    A device or pipe, such as `/dev/stdout`, is written to directly.

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
        # Before the replacement, as a full disk may only show now.
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
    """Refuse a link that another user has put into a directory where everybody can write, such as `/tmp`.

    Linux does the same for `open` (`fs.protected_symlinks`), but not for a replacement.
    """
    if not path.is_symlink() or not hasattr(os, "getuid"):
        return
    directory = path.parent.stat()
    if directory.st_mode & stat.S_IWOTH and path.lstat().st_uid not in (os.getuid(), directory.st_uid):
        raise OSError(errno.EACCES, "it is a link of another user in a directory where everybody can write")
