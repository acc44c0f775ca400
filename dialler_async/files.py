"""Files that are there as a whole, or as they were before."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Where to write what is going to be at `path`: beside it, and put in its place once all went well.

    So a reader never sees half of it, and when the body raises, what was there before stays. Something that is there
    and no file, such as `/dev/stdout` or a pipe, is written to itself.

    Raises:
        OSError: it can't be written there.
    """
    target = path.resolve()
    if target.exists() and not target.is_file():
        yield target
        return
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        yield beside
        beside.replace(target)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
