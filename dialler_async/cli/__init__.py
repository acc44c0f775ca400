"""The `dialler` command. Needs the extra: `pip install 'dialler-async[cli]'`."""

import sys
from collections.abc import Sequence

_EXTRA = ("cyclopts", "rich")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments, or those of the process, and return its exit code; see `dialler --help`."""
    try:
        from .app import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        if sys.stderr is not None:  # where it was closed when the process started
            sys.stderr.write("dialler: this command needs an extra: pip install 'dialler-async[cli]'\n")
        return 2
    return run(sys.argv[1:] if argv is None else list(argv))
