"""The result of one process that audited a part of an account; `merge` makes a report of all parts."""

import json
import traceback
from collections.abc import Callable, Iterable, Iterator
from itertools import starmap
from pathlib import Path

import attrs
import msgspec

from .coverage import NotChecked
from .findings import Finding
from .rules import NOT_AUDITED, RULE_FAILED, AnyRule
from .summary import CampaignSummary, shared_pair


@attrs.frozen(kw_only=True)
class Gap:
    """Data that could not be checked. `merge` turns equal gaps of several parts into one finding with their sum.

    Attributes:
        rule: ID of the rule that reports it: `stopped-early`, `not-audited`, `rule-failed`.
        error: the reason, in words.
        number: how many lookups or campaigns it concerns; None if it is unknown.
        subject: ID of the rule that failed; else empty.
    """

    rule: str
    error: str
    number: int | None
    subject: str = ""


@attrs.frozen(kw_only=True)
class AuditPart:
    """The result of auditing a part of an account; `merge` makes a report of all parts.

    A plain value that survives JSON. It holds no `RecordSnapshot`s, so that messages stay small, and merging the parts
    of thousands of accounts does not need every record in memory.

    Attributes:
        account: findings about the whole account.
        gaps: what could not be checked.
        findings: findings about campaigns, in the order in which they were found.
        summaries: a summary of each campaign that was checked.
        not_checked: the campaigns that were not checked.
        campaigns: how many campaigns the server sent; 0 in parts that did not list them.
        total: how many campaigns the server counts, or how many it sent, if these are more.
        codes: how many result codes were checked.
        lookups: how many lists of result codes were requested.
        requests: number of calls.
    """

    account: tuple[Finding, ...] = ()
    gaps: tuple[Gap, ...] = ()
    findings: tuple[Finding, ...] = ()
    summaries: tuple[CampaignSummary, ...] = ()
    not_checked: tuple[NotChecked, ...] = ()
    campaigns: int = 0
    total: int = 0
    codes: int = 0
    lookups: int = 0
    requests: int = 0

    def to_json(self) -> bytes:
        """Return the part as JSON in ASCII; `from_json` reads it."""
        # msgspec can't encode a lone surrogate, which the texts of rules and errors may contain.
        return json.dumps(msgspec.to_builtins(self), separators=(",", ":")).encode("ascii")

    @classmethod
    def from_json(cls, data: bytes) -> "AuditPart":
        """Return the part that `to_json` wrote.

        Raises:
            ValueError: the data is not a part.
        """
        try:
            part = _decode(data)
        except msgspec.DecodeError:
            # msgspec refuses lone surrogates. It is tried first, since it is four times as fast as `json`.
            part = _convert(json.loads(data), cls)
        return attrs.evolve(part, summaries=tuple(_sharing(part.summaries)))


def _sharing(summaries: Iterable[CampaignSummary]) -> Iterator[CampaignSummary]:
    """Yield the same summaries with shared export keys, which take most of the memory of a summary."""
    for summary in summaries:
        yield attrs.evolve(summary, export_keys=tuple(starmap(shared_pair, summary.export_keys)))


_decode: Callable[[bytes], AuditPart] = msgspec.json.Decoder(AuditPart).decode
_convert: Callable[[object, type[AuditPart]], AuditPart] = msgspec.convert


def not_audited(error: str, campaigns: int | None = None) -> AuditPart:
    """Return the part for campaigns that could not be audited at all: its one finding is `not-audited`.

    Args:
        error: the reason, in words, without any secret.
        campaigns: how many campaigns it concerns; None or 0 if it is unknown, because they could not be listed.
    """
    gap = Gap(rule=NOT_AUDITED.id, error=error, number=campaigns or None)
    return AuditPart(gaps=(gap,), not_checked=(NotChecked(reason=error),))


def rule_failure(rule: AnyRule, error: Exception, campaigns: int | None = None) -> Gap:
    """Return the gap of a rule that raised an error.

    It contains the file and line of the error, but not its text, which may contain secrets.
    """
    ours = str(Path(__file__).parent)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(ours)]
    code = getattr(rule.check, "__code__", None)
    if frames:
        where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"
    else:
        # The rule's function raised nothing, but returned something other than violations.
        where = "unknown place" if code is None else f"{Path(code.co_filename).name}:{code.co_firstlineno}"
    return Gap(rule=RULE_FAILED.id, error=f"{type(error).__name__} at {where}", number=campaigns, subject=rule.info.id)
