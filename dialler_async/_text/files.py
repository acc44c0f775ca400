"""Atomic files: a reader sees the old content or the complete new content."""

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
    """Yield a temporary file that replaces `path` if the `with` block ends without an error.

    A reader never sees half a file. If the block raises an error, the old file stays. The temporary file is in the same
    directory, with a random name and without access for other users. If `path` exists, the new file gets its mode;
    otherwise only the owner can read the new file. If `path` is a symbolic link, the target of the link is replaced.

    Devices and pipes, such as `/dev/stdout`, are written directly.

    Raises:
        OSError: the file can't be written.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as device:
            yield device
        return
    _refuse_foreign_link(path)
    target = _target(path)
    # mkstemp opens with O_CREAT, O_EXCL and O_NOFOLLOW, mode 0600 and a random name.
    descriptor, name = mkstemp(prefix=".dialler-", suffix=".part", dir=target.parent)
    file = os.fdopen(descriptor, "wb")
    try:
        if target.exists():
            _set_mode(file, target.stat().st_mode & 0o777)
        yield file
        # Closed before the replacement: a full disk may raise an error only now.
        file.close()
        Path(name).replace(target)
    except BaseException:
        with suppress(OSError):
            file.close()
        with suppress(OSError):
            Path(name).unlink()
        raise


def _target(path: Path) -> Path:
    """Return the file that a path leads to.

    Raises:
        OSError: the links of the path form a loop. Some versions of `Path.resolve` raise another error, some none.
    """
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return target


def _set_mode(file: BinaryIO, mode: int) -> None:
    if hasattr(os, "fchmod"):  # not on Windows, before Python 3.13
        os.fchmod(file.fileno(), mode)


def _refuse_foreign_link(path: Path) -> None:
    """Raise OSError for another user's symbolic link in a directory that everybody can write, such as `/tmp`.

    Linux refuses to open such a link (`fs.protected_symlinks`), but does not refuse to replace its target.
    """
    if not path.is_symlink() or not hasattr(os, "getuid"):
        return
    directory = path.parent.stat()
    if directory.st_mode & stat.S_IWOTH and path.lstat().st_uid not in (os.getuid(), directory.st_uid):
        raise OSError(errno.EACCES, "the path is another user's link in a directory that everybody can write")
