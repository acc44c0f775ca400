"""Reports and findings as bytes and texts."""

import json
import zlib
from typing import Any, Final, TypeVar

import attrs
import msgspec

from ..audit import AuditReport, Baseline, Finding, report_as_json

T = TypeVar("T")

_LEVEL: Final = 1
"""The level of zlib. The usual one, 6, takes three times as long, and saves a tenth."""


def encode_report(report: AuditReport) -> bytes:
    """Return a report without the snapshots of its records."""
    return zlib.compress(_dump(attrs.evolve(report, records=())), _LEVEL)


def decode_report(data: bytes) -> AuditReport:
    """Return the report that `encode_report` encoded."""
    return _load(zlib.decompress(data), AuditReport)


def encode_baseline(report: AuditReport) -> bytes:
    """Return the snapshots of a report's records, with what the next report needs to compare them."""
    return zlib.compress(_dump(report_as_json(report)), _LEVEL)


def decode_baseline(data: bytes) -> Baseline:
    """Return the baseline that `encode_baseline` encoded."""
    return Baseline.read(zlib.decompress(data))


def encode_finding(finding: Finding) -> str:
    """Return a finding without its state and its age."""
    return _dump(attrs.evolve(finding, state=None, open_since=None)).decode()


def decode_finding(text: str) -> Finding:
    """Return the finding that `encode_finding` encoded."""
    return _load(text.encode(), Finding)


def storable(text: str) -> str:
    """Return a text that a database can store: without lone surrogates and NUL."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\x00")


def _dump(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        # msgspec refuses a lone surrogate. The texts of the server may contain one.
        return json.dumps(msgspec.to_builtins(value), separators=(",", ":")).encode("ascii")


def _load(text: bytes, type: type[T]) -> T:
    try:
        return msgspec.json.decode(text, type=type)
    except msgspec.DecodeError:
        return msgspec.convert(json.loads(text), type, str_keys=True)
