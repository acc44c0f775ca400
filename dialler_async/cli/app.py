"""The `dialler` app. The module of a command is imported when the command is called."""

import re
from itertools import takewhile, zip_longest

from cyclopts import App, CycloptsError

from .. import DiallerError, __version__
from .exits import HELP, Exit, InterruptedWriteError, OutputError, UsageError, print_error, report_error
from .output import Console
from .overview import COMMANDS, DESCRIPTION, INSTALL_COMPLETION

app: App = App(
    name="dialler",
    help=DESCRIPTION,
    help_epilogue=HELP,
    help_format="plaintext",
    version=__version__,
    suppress_keyboard_interrupt=False,  # `main` chooses the exit code for Ctrl-C
)
for _name, _command in COMMANDS.items():
    app.command(f"{__package__}.{_command[0]}", name=_name)
app.register_install_completion_command(INSTALL_COMPLETION)


def run(argv: list[str]) -> Exit:
    """Run a command line and return its exit code.

    Raises:
        KeyboardInterrupt: the user pressed Ctrl-C while no write was in flight.
        OSError: stdout can't be written to.
    """
    # Checked before parsing, because the parser's error messages contain the arguments.
    if (message := _secret_error(list(takewhile(lambda argument: argument != "--", argv)))) is not None:
        print_error(message)
        return Exit.USAGE
    try:
        exit = app(argv, console=Console(), exit_on_error=False, print_error=False, result_action="return_value")
    except (CycloptsError, UsageError, OutputError, InterruptedWriteError, DiallerError) as error:
        return report_error(error)
    except SystemExit:
        # cyclopts exits with 1 if it doesn't recognise the shell, but 1 means findings here.
        return Exit.USAGE
    return Exit.DONE if exit is None else Exit(exit)


def _secret_error(options: list[str]) -> str | None:
    """Return an error message if an argument is a secret, because other users can read arguments."""
    for option, following in zip_longest(options, options[1:], fillvalue=""):
        name, equals, value = option.partition("=")
        if name == "--token":
            return "other users can read a token in the arguments: use DIALLER_TOKEN or --token-file"
        if name == "--proxy" and "@" in (value if equals else following):
            return "other users can read a proxy's password in the arguments: use DIALLER_PROXY"
        location = value if equals else following
        if name == "--store" and re.search(r"://[^/@]*:[^/]*@|[?&]password=", location):
            return "other users can read a password in the arguments: use DIALLER_STORE, PGPASSWORD or a passfile"
    return None
