"""The options for the output of an audit, and the exit code of the command."""

import os
import sys
from collections.abc import Callable, Container, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Literal, TextIO

import attrs
from cyclopts import Group, Parameter

from .. import ConfigurationError
from .._extras import needs_extra
from .._text.csv_cells import EXCEL_ENCODING
from .._text.files import whole_file
from ..audit import WRITERS, AuditReport, Report, Severity, SortKey
from ..audit.story import tell
from ..audit.writers.csv import write_excel_csv
from .exits import Exit, OutputError, UsageError, print_error
from .findings import print_demonstration, print_report
from .options import Flag
from .output import Console

Format = Literal["table", "json", "jsonl", "csv", "markdown", "summary", "junit", "sarif"]
FailOn = Literal["error", "warning", "info", "never"]

_STDOUT = Path("-")


@Parameter(name="*", group=Group("Report", sort_key=-1))
@attrs.frozen(kw_only=True)
class Destination:
    """The options about the output.

    Attributes:
        format: Format of the report. JSON has counts, findings and rules; jsonl and csv have one finding per line.
        json: The same as --format json.
        excel: Write CSV in UTF-16 with tabs, so that Excel shows columns and umlauts.
        output: File to write the report to, instead of the terminal; - is stdout.
        html: File for an additional HTML report: charts and findings in one self-contained page. For a fleet, a name
            without .html is a directory: an index, and a page for each account.
        sort: Sort key of the findings.
        unfold: Show every finding in the table. By default, more than 20 findings of one rule are one line.
    """

    format: Format = "table"
    json: Flag = False
    excel: Flag = False
    output: Annotated[Path | None, Parameter(allow_leading_hyphen=True)] = None
    html: Path | None = None
    sort: Literal["severity", "campaign", "rule"] = "severity"
    unfold: Flag = False

    def without_folder(self) -> tuple[Path | None, "Destination"]:
        """Return the directory for the pages of a fleet, if --html names one, and the other options."""
        if self.html is None or self.html.suffix.lower() in (".html", ".htm"):
            return None, self
        if self.html.exists() and not self.html.is_dir():
            raise UsageError(f"can't write {self.html}: for a file, the name must end with .html")
        if not self.html.absolute().parent.is_dir():
            raise UsageError(f"can't write {self.html}: there is no such directory")
        _check_html_extra()
        return self.html, attrs.evolve(self, html=None)

    @contextmanager
    def open(
        self, baseline: Path | None = None, *, is_demonstration: bool = False
    ) -> Iterator[Callable[[Report], None]]:
        """Open the files, and yield a function that writes the report to all of them and to the terminal.

        A file keeps its old content until the whole report is written. The function raises OutputError if an output
        can't be written, after it has written the other outputs.

        Args:
            baseline: the earlier report that this one is compared with. Only a report in JSON may replace it.
            is_demonstration: whether the table on stdout is short, and ends with the commands to go on with.
        Raises:
            UsageError: options contradict each other, a file can't be written, or the extra is missing.
        """
        if self.output != _STDOUT and str(self.output).startswith("-"):
            raise UsageError(f"--output needs a file, not the option {self.output}")
        if self.json and self.format not in ("table", "json"):
            raise UsageError(f"--json and --format {self.format} contradict each other")
        if self.excel and (self.format != "csv" or self.output in (None, _STDOUT)):
            raise UsageError("--excel needs --format csv and a file as --output")
        if self.html is not None:
            _check_html_extra()
        if self.html is not None and self.output is not None and _is_same_file(self.html, self.output):
            raise UsageError("--output and --html name the same file")
        no_baselines = [self.html] if self.json or self.format == "json" else [self.html, self.output]
        if any(path and baseline and _is_same_file(path, baseline) for path in no_baselines):
            raise UsageError(f"{baseline} is the baseline: only --format json may replace it")
        files: list[_ReportFile] = []
        with ExitStack() as stack:
            if self.output is not None and self.output != _STDOUT:
                encoding = EXCEL_ENCODING if self.excel else "utf-8"
                files.append(stack.enter_context(_ReportFile.open(self.output, self._print, encoding)))
            if self.html is not None:
                files.append(stack.enter_context(_ReportFile.open(self.html, _print_html)))
            yield lambda report: self._put(report.sorted_by(SortKey(self.sort)), files, is_demonstration)

    def _put(self, report: Report, files: list["_ReportFile"], is_demonstration: bool) -> None:
        failures: list[str] = []
        for file in files:
            try:
                file.put(report)
            except OSError as error:
                failures.append(f"can't write {file.path}: {error.strerror or error}")
            except ConfigurationError as error:
                failures.append(f"can't write {file.path}: {error}")
            except Exception as error:
                failures.append(f"can't write {file.path}: {type(error).__name__}: {error}")
        try:
            if self.output in (None, _STDOUT):
                is_short = is_demonstration and self.format == "table" and not (self.json or self.unfold)
                if is_short and isinstance(report, AuditReport):
                    print_demonstration(report, Console())
                else:
                    self._print(report, sys.stdout)
                sys.stdout.flush()
        except OSError as error:
            if not failures:
                raise
            failures.append(f"can't write to stdout: {error.strerror}")
        written = [str(file.path) for file in files if file.is_written]
        if self.output not in (None, _STDOUT) and written:
            print_error(f"wrote {' and '.join(written)}: {tell(report).verdict}")
        if failures:
            raise OutputError("; ".join(failures))

    def _print(self, report: Report, file: TextIO) -> None:
        format = "json" if self.json else self.format
        if format == "table":
            print_report(report, Console(file=file), unfold=self.unfold)
        else:
            writer = write_excel_csv if self.excel else WRITERS[format]
            file.writelines(writer(report))


ON_THE_TERMINAL = Destination()
"""No option given."""


class _ReportFile:
    """A file that is opened before the audit. It is replaced when the report is complete."""

    def __init__(self, path: Path, file: TextIO, print: Callable[[Report, TextIO], None], stack: ExitStack) -> None:
        self.path = path
        self.is_written = False
        self._file = file
        self._print = print
        self._stack = stack

    @classmethod
    @contextmanager
    def open(
        cls, path: Path, print: Callable[[Report, TextIO], None], encoding: str = "utf-8"
    ) -> Iterator["_ReportFile"]:
        """Open a file. If nothing is written, the old file stays."""
        check_place(path)
        stack = ExitStack()
        try:
            binary = stack.enter_context(whole_file(path))
        except OSError as error:
            raise UsageError(f"can't write {path}: {error.strerror or error}") from None
        # Each format writes its own line ends. A lone surrogate can't be encoded, so it is escaped.
        text = TextIOWrapper(binary, encoding=encoding, errors="backslashreplace", newline="")
        file = cls(path, text, print, stack)
        try:
            yield file
        finally:
            if not file.is_written:
                file._drop(UsageError("nothing was written"))

    def put(self, report: Report) -> None:
        """Write the report."""
        try:
            self._print(report, self._file)
            self._file.flush()
        except BaseException as error:
            self._drop(error)
            raise
        self._stack.close()
        self.is_written = True

    def _drop(self, error: BaseException) -> None:
        self._stack.__exit__(type(error), error, None)


def _print_html(report: Report, file: TextIO) -> None:
    # Imported here, because it needs an extra.
    from ..audit.writers.html import write_html

    file.writelines(write_html(report))


def _check_html_extra() -> None:
    """Raise UsageError if the extra for HTML is missing."""
    if not (find_spec("jinja2") and find_spec("svg")):
        raise UsageError(needs_extra("the HTML report", "report"))


def _is_same_file(path: Path, other: Path) -> bool:
    """Return whether two paths lead to the same file, which need not exist."""
    try:
        return path.samefile(other)
    except OSError:
        return os.path.realpath(path) == os.path.realpath(other)


def check_place(path: Path) -> None:
    """Raise UsageError if the path is a directory, or if its directory does not exist."""
    if path.is_dir():
        raise UsageError(f"can't write {path}: it is a directory")
    if not path.parent.is_dir():
        raise UsageError(f"can't write {path}: there is no such directory")


def exit_code(report: Report, fail_on: str) -> Exit:
    """Return the exit code of the command after a report."""
    if report.unfinished:
        return Exit.REFUSED
    if report.rule_failed:
        return Exit.USAGE
    return Exit.FINDINGS if has_failing(report, fail_on) else Exit.DONE


def has_failing(report: Report, fail_on: str, ignored: Container[str] = ()) -> bool:
    """Return whether findings of this severity or higher fail; findings of the ignored rules don't."""
    if fail_on == "never":
        return False
    findings = (finding for part in report.parts() for finding in part.findings if finding.rule not in ignored)
    return any(finding.severity.at_least(Severity(fail_on)) and report.fails(finding) for finding in findings)
