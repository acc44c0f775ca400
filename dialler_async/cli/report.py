"""Where the report of an audit goes, and in which format."""

import sys
from collections.abc import Callable
from importlib.util import find_spec
from io import TextIOWrapper
from pathlib import Path
from typing import Literal, TextIO

import attrs
from cyclopts import Group, Parameter

from dialler_async._text.files import whole_file
from dialler_async.audit import WRITERS, AuditReport

from .exits import OutputError, UsageError
from .findings import print_report
from .options import Flag
from .output import Console

Format = Literal["table", "json", "jsonl", "csv", "markdown", "junit", "sarif"]


@Parameter(name="*", group=Group("Report", sort_key=-1))
@attrs.frozen(kw_only=True)
class Destination:
    """The options about what becomes of a report.

    Parameters
    ----------
    format
        How the report is written. JSON has counts, findings and rules; jsonl and csv have a finding a line.
    json
        The same as --format json.
    output
        File to write the report to, in place of the terminal.
    html
        File to write an HTML report to, besides: overviews and findings in one page that needs nothing else.
    """

    format: Format = "table"
    json: Flag = False
    output: Path | None = None
    html: Path | None = None

    def check(self) -> None:
        """Find out before the run what would only come out after it.

        Raises:
            UsageError: options contradict each other, a file can't be written there, or the extra is missing.
        """
        if self.json and self.format not in ("table", "json"):
            raise UsageError(f"--json and --format {self.format} contradict each other")
        for path in (self.output, self.html):
            if path is not None:
                check_place(path)
        if self.html is not None and not (find_spec("jinja2") and find_spec("svg")):
            raise UsageError("the HTML report needs an extra: pip install 'dialler-async[report]'")

    def put(self, report: AuditReport) -> None:
        """Write the report.

        Raises:
            OutputError: a file can't be written.
        """
        if self.html is not None:
            # Only here, as it needs an extra.
            from dialler_async.audit.writers.html import write_html

            _write(self.html, lambda file: file.writelines(write_html(report)))
        if self.output is None:
            self._print(report, sys.stdout)
        else:
            _write(self.output, lambda file: self._print(report, file))

    def _print(self, report: AuditReport, file: TextIO) -> None:
        format = "json" if self.json else self.format
        if format == "table":
            print_report(report, Console(file=file))
        else:
            file.writelines(WRITERS[format](report))


ON_THE_TERMINAL = Destination()
"""No option given."""


def check_place(path: Path) -> None:
    """Raise UsageError where no file can be written to."""
    if path.is_dir():
        raise UsageError(f"can't write {path}: it is a directory")
    if not path.parent.is_dir():
        raise UsageError(f"can't write {path}: there is no such directory")


def _write(path: Path, write: Callable[[TextIO], None]) -> None:
    try:
        # Line ends are the format's own. A lone surrogate has no encoding, and must not cost the report.
        with whole_file(path) as binary:
            file = TextIOWrapper(binary, encoding="utf-8", errors="backslashreplace", newline="")
            write(file)
            file.flush()
    except OSError as error:
        raise OutputError(f"can't write {path}: {error.strerror or error}") from None
