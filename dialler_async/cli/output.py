"""Where results go: tables for people, JSON for programs."""

import json
import os
import sys
from collections.abc import Iterable
from typing import Any, TextIO

import rich.console
from rich.table import Table
from rich.text import Text

from dialler_async._text.escaping import escape_unprintable

from .exits import OutputError
from .streams import abandon, is_output_error

_WIDTH_OF_A_PIPE = 80


class Console(rich.console.Console):
    """Rich's console for text from elsewhere: no markup, no emoji codes, no guessing at what could be highlighted."""

    def __init__(self, *, stderr: bool = False, file: TextIO | None = None) -> None:
        stream = file or (sys.stderr if stderr else sys.stdout)
        # In a pipe, rich would take the width of a terminal that it finds on another stream.
        width = None if stream.isatty() or "COLUMNS" in os.environ else _WIDTH_OF_A_PIPE
        super().__init__(stderr=stderr, file=file, width=width, markup=False, emoji=False, highlight=False)

    def on_broken_pipe(self) -> None:
        """Leave it to `app.run`; rich would exit with 1, which means findings here."""
        raise  # rich calls this while it handles the BrokenPipeError


def text(value: object, style: str = "") -> Text:
    """A cell: nothing for None, and unprintable characters of the server escaped."""
    return Text("" if value is None else escape_unprintable(str(value)), style=style, overflow="fold")


def quoted(name: str) -> str:
    """A name within a sentence."""
    return f"“{escape_unprintable(name)}”"


def print_table(headings: Iterable[str], rows: Iterable[Iterable[Text]], *, right: Iterable[str] = ()) -> None:
    """Print a table on stdout; the columns headed as in `right` are aligned there."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, justify="right" if heading in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def print_json(value: Any) -> None:
    """Print JSON on stdout. All in ASCII, so that it survives any encoding, and no terminal acts on what is in it."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def print_line(line: str) -> None:
    """Print a line of ours on stdout; text from the server in it was escaped before.

    Raises:
        OutputError: it can't be written. The message has the line in it, as it may tell of a write.
    """
    try:
        sys.stdout.write(line + "\n")
        # So that whoever reads a pipe sees the line now, also when the command goes on.
        sys.stdout.flush()
    except OSError as error:
        if not is_output_error(error):
            raise
        abandon(sys.stdout)
        raise OutputError(f"can't write to stdout: {error.strerror}. It was to say: {line}") from None


def counted(number: int, noun: str) -> str:
    """`1 error`, `2 errors`, `1,000 errors`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
