"""Printing on stdout: tables for people, JSON for programs."""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

import rich.console
from rich.table import Table
from rich.text import Text

from .._text.escaping import escape_unprintable
from .exits import OutputError
from .streams import discard, is_output_error

_PIPE_WIDTH = 80
# GitHub and GitLab set the first, Azure Pipelines the second, and TeamCity the third.
_CI_VARIABLES = ("CI", "TF_BUILD", "TEAMCITY_VERSION")


class Console(rich.console.Console):
    """Rich's console without markup, emoji codes and highlighting, because texts come from the server.

    Only a terminal gets colours and progress bars. If FORCE_COLOR or TTY_COMPATIBLE is set, rich would also write them
    to a file.
    """

    def __init__(self, *, stderr: bool = False, file: TextIO | None = None) -> None:
        stream = file or (sys.stderr if stderr else sys.stdout)
        is_terminal = stream.isatty()
        super().__init__(
            stderr=stderr,
            file=file,
            force_terminal=is_terminal,
            width=_width(is_terminal),
            markup=False,
            emoji=False,
            highlight=False,
        )

    def on_broken_pipe(self) -> None:
        """Let `main` handle the error; rich would exit with 1, which means findings here."""
        raise  # rich calls this method while it handles a BrokenPipeError


def _width(is_terminal: bool) -> int | None:
    """Return the width to print with; None for the width of the terminal."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return int(columns)
    # For a pipe, rich would use the width of a terminal on another stream.
    return None if is_terminal else _PIPE_WIDTH


def text(value: object, style: str = "") -> Text:
    """Return the text of a cell, escaped; "" for None."""
    return Text("" if value is None else escape(str(value)), style=style, overflow="fold")


def quoted(name: str) -> str:
    """Return a name in quotation marks, escaped."""
    return f"“{escape(name)}”"


def escape(text: str) -> str:
    """Return a text from the server with unprintable characters escaped, and without commands of a CI system.

    A CI system runs a line of the output that begins with `::` or `##`. Part of a name begins a line if it is folded.
    """
    text = escape_unprintable(text)
    if any(name in os.environ for name in _CI_VARIABLES):
        text = text.replace("::", ":\u2060:").replace("##", "#\u2060#")
    return text


def print_table(
    headings: Sequence[str], rows: Iterable[Sequence[Text]], *, right: Iterable[str] = (), optional: int = 0
) -> None:
    """Print a table on stdout.

    In a pipe, a row is always one line, so that `grep` and `awk` can process it.

    Args:
        headings: a heading for each column.
        rows: the rows, each with a cell for each column.
        right: headings of the right-aligned columns.
        optional: number of trailing columns that are shown only on a terminal that is wide enough.
    """
    rows = list(rows)
    console = Console()
    unlimited = console.options.update(max_width=sys.maxsize)
    for left_out in range(optional + 1) if console.is_terminal else [optional]:
        table = _table(headings[: len(headings) - left_out], rows, right)
        width = console.measure(table, options=unlimited).maximum
        if width <= console.width:
            break
    if not console.is_terminal:
        console.width = max(1, width)
    console.print(table)


def _table(headings: Sequence[str], rows: Iterable[Sequence[Text]], right: Iterable[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, justify="right" if heading in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row[: len(headings)])
    return table


def print_json(value: Any) -> None:
    """Print JSON on stdout, in ASCII: every encoding can write it, and it contains no control characters."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def print_line(line: str) -> None:
    """Print a line on stdout. The caller must escape text from the server.

    Raises:
        OutputError: stdout can't be written to. The message contains the line, because it may report a write.
    """
    try:
        sys.stdout.write(line + "\n")
        # Flushed, so that the reader of a pipe gets the line before the command ends.
        sys.stdout.flush()
    except OSError as error:
        if not is_output_error(error):
            raise
        discard(sys.stdout)
        raise OutputError(f"can't write to stdout: {error.strerror}. The line is: {line}") from None


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: `1 error`, `2 errors`, `1,000 errors`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
