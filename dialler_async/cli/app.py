"""The tree of commands, and the way from arguments to an exit code."""

import sys
from itertools import takewhile, zip_longest

from cyclopts import App, CycloptsError

from dialler_async import DiallerError, __version__

from . import streams
from .audit import audit
from .campaigns import app as campaigns
from .exits import HELP, Exit, InterruptedWriteError, OutputError, UsageError, complain, say
from .export import export
from .fleet import app as fleet
from .output import Console
from .result_codes import result_codes
from .sandbox import sandbox

app = App(
    name="dialler",
    help="Work with the campaigns of a call-centre dialler, by its REST API.",
    help_epilogue=HELP,
    help_format="plaintext",
    version=__version__,
    suppress_keyboard_interrupt=False,  # `run` says how an interrupted command exits
)
app.command(campaigns)
app.command(result_codes)
app.command(audit)
app.command(export)
app.command(fleet)
app.command(sandbox)


def run(argv: list[str]) -> int:
    """Carry out one command line, and return its exit code. Whatever goes wrong comes to one line on stderr."""
    streams.repair()
    try:
        exit = _carry_out(argv)
        # Here rather than at the end of the process, where nobody could catch what comes of it.
        sys.stdout.flush()
    except KeyboardInterrupt:
        exit = Exit.INTERRUPTED
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough.
        exit = Exit.CLOSED_PIPE
    except OSError as error:
        if not streams.is_output_error(error):
            raise
        exit = complain(OutputError(f"can't write to stdout: {error.strerror}"))
    streams.settle()
    return exit


def _carry_out(argv: list[str]) -> Exit:
    # Before anything repeats the argument in a message.
    if (secret := _secret_argument(list(takewhile(lambda argument: argument != "--", argv)))) is not None:
        say(secret)
        return Exit.USAGE
    try:
        exit = app(argv, console=Console(), exit_on_error=False, print_error=False, result_action="return_value")
    except (CycloptsError, UsageError, OutputError, InterruptedWriteError, DiallerError) as error:
        return complain(error)
    return Exit.DONE if exit is None else Exit(exit)


def _secret_argument(options: list[str]) -> str | None:
    """Return what to do in place of giving a secret as an argument, where other users can read it."""
    for option, following in zip_longest(options, options[1:], fillvalue=""):
        name, equals, value = option.partition("=")
        if name == "--token":
            return "a token is never an argument, where others can read it: use DIALLER_TOKEN or --token-file"
        if name == "--proxy" and "@" in (value if equals else following):
            return "a proxy's password is never an argument, where others can read it: use DIALLER_PROXY"
    return None
