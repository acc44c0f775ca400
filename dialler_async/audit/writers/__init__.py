"""Writers of reports, by the name of their format on the command line.

Each writer takes the report of an account or of a fleet, and yields text piece by piece, account by account. Text from
the server is escaped as the format requires; JSON, JSON lines and SARIF are lossless. The table for terminals is in the
command.
"""

from collections.abc import Callable, Iterator, Mapping

from ..report import Report
from .csv import write_csv
from .json import json_schema, report_as_json, write_json, write_jsonl
from .junit import write_junit
from .markdown import write_markdown, write_summary
from .sarif import write_sarif

Writer = Callable[[Report], Iterator[str]]

WRITERS: Mapping[str, Writer] = {
    "json": write_json,
    "jsonl": write_jsonl,
    "csv": write_csv,
    "markdown": write_markdown,
    "summary": write_summary,
    "junit": write_junit,
    "sarif": write_sarif,
}

__all__ = ["WRITERS", "Writer", "json_schema", "report_as_json", "write_json"]
