"""The `dialler` command. Needs the extra `cli`.

`--help` and `--version` import neither cyclopts nor rich, because these imports are slow.

The guide is `dialler_async/cli/README.md`.

.. include:: README.md
"""

import sys
from collections.abc import Sequence

_EXTRA = ("cyclopts", "rich")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code; see `dialler --help`.

    Every error becomes one line on stderr.

    Args:
        argv: the arguments, by default `sys.argv[1:]`.
    """
    from . import streams
    from .exits import Exit, OutputError, report_error
    from .interrupts import signals_as_interrupts

    streams.replace_closed_streams()
    try:
        with signals_as_interrupts() as arrived:
            exit = _run(sys.argv[1:] if argv is None else list(argv))
        # Flushed here, because an error of Python's flush at exit can't be caught.
        sys.stdout.flush()
    except KeyboardInterrupt:
        # Shells report a command that a signal ended by 128 and the signal's number.
        exit = 128 + arrived[0] if arrived else Exit.INTERRUPTED
    except BrokenPipeError:
        # The reader of the pipe, such as `head`, closed it.
        exit = Exit.CLOSED_PIPE
    except OSError as error:
        if not streams.is_output_error(error):
            raise
        exit = report_error(OutputError(f"can't write to stdout: {error.strerror}"))
    streams.flush_or_discard()
    return exit


def _run(argv: list[str]) -> int:
    if argv in ([], ["--help"], ["-h"]):
        from .overview import overview

        sys.stdout.write(overview())
        return 0
    if argv == ["--version"]:
        from ..version import __version__

        sys.stdout.write(f"{__version__}\n")
        return 0
    try:
        from .app import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        from .._extras import needs_extra

        sys.stderr.write(f"dialler: {needs_extra('this command', 'cli')}\n")
        return 2
    return run(argv)
