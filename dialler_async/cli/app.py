"""The tree of commands. Each command's module is imported when the command is called."""

from itertools import takewhile, zip_longest

from cyclopts import App, CycloptsError

from dialler_async import DiallerError, __version__

from .exits import HELP, Exit, InterruptedWriteError, OutputError, UsageError, print_error, report_error
from .output import Console
from .overview import COMMANDS, DESCRIPTION, INSTALL_COMPLETION

app: App = App(
    name="dialler",
    help=DESCRIPTION,
    help_epilogue=HELP,
    help_format="plaintext",
    version=__version__,
    suppress_keyboard_interrupt=False,  # `main` decides how an interrupted command exits
)
for _name, _command in COMMANDS.items():
    app.command(f"{__package__}.{_command[0]}", name=_name)
app.register_install_completion_command(INSTALL_COMPLETION)


def run(argv: list[str]) -> Exit:
    """Run one command line and return its exit code.

    Raises:
        KeyboardInterrupt: Ctrl-C came while no write was in flight.
        OSError: stdout can't be written to.
    """
    # First of all, because an error message would repeat the argument.
    if (advice := _secret_argument(list(takewhile(lambda argument: argument != "--", argv)))) is not None:
        print_error(advice)
        return Exit.USAGE
    try:
        exit = app(argv, console=Console(), exit_on_error=False, print_error=False, result_action="return_value")
    except (CycloptsError, UsageError, OutputError, InterruptedWriteError, DiallerError) as error:
        return report_error(error)
    except SystemExit:
        # If cyclopts can't tell the shell, it says so and exits with 1, which means findings here.
        return Exit.USAGE
    return Exit.DONE if exit is None else Exit(exit)


def _secret_argument(options: list[str]) -> str | None:
    """Return advice if one of these arguments holds a secret, which other users can read."""
    for option, following in zip_longest(options, options[1:], fillvalue=""):
        name, equals, value = option.partition("=")
        if name == "--token":
            return "a token is never an argument, where others can read it: use DIALLER_TOKEN or --token-file"
        if name == "--proxy" and "@" in (value if equals else following):
            return "a proxy's password is never an argument, where others can read it: use DIALLER_PROXY"
    return None
