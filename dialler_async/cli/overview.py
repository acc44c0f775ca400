"""The list of commands: their texts in `dialler --help`, and the modules that define them."""

from .exits import HELP

DESCRIPTION = "Manage the campaigns of a call-centre dialler through its REST API."

COMMANDS = {
    "audit": ("audit:app", "Check every campaign of the account and all its result codes."),
    "campaigns": ("campaigns:app", "List, show, find, clone and delete campaigns."),
    "export": ("export:export", "Write all campaigns and their result codes to a file."),
    "fleet": ("fleet:app", "Audit many accounts on many servers."),
    "history": ("history:app", "Show runs and findings over time."),
    "ping": ("ping:ping", "Check that the server can be reached and accepts the token."),
    "report": ("stored_report:report", "Write a report of a run in the store, without a request."),
    "result-codes": ("result_codes:result_codes", "List the result codes of a campaign."),
    "sandbox": ("sandbox:sandbox", "Serve generated campaigns on 127.0.0.1 until Ctrl-C or SIGTERM."),
}
"""For each command: its module and attribute in this package, and one sentence of help."""

INSTALL_COMPLETION = "--install-completion"

_OPTIONS = {
    "--help, -h": "Print this text, or the help of a command.",
    "--version": "Print the version.",
    INSTALL_COMPLETION: "Install completion for bash, zsh, fish or PowerShell.",
}


def overview() -> str:
    """Return the text of `dialler --help`, at most 80 columns wide."""
    commands = {name: sentence for name, (_, sentence) in COMMANDS.items()}
    parts = ("Usage: dialler COMMAND\n", f"{DESCRIPTION}\n", _table("Commands", commands), _table("Options", _OPTIONS))
    return "\n".join((*parts, HELP))


def _table(title: str, rows: dict[str, str]) -> str:
    width = max(map(len, rows))
    lines = [f"{title}:"]
    for name, sentence in rows.items():
        lines.append(f"  {name:{width}}  {sentence}")
    return "\n".join(lines) + "\n"
