"""Part of an audit: what one process found out, ready to be put together with what others did."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator

import attrs
import msgspec

from .findings import Finding
from .rules import NOT_AUDITED
from .summary import CampaignSummary, CodeType


@attrs.frozen(kw_only=True)
class Gap:
    """Something that could not be looked at. The same of several parts is told once, with its numbers added up.

    Attributes:
        rule: ID of the rule that tells it: `stopped-early`, `not-audited`.
        error: why, in words.
        number: how many lookups or campaigns it concerns; None if nobody knows.
    """

    rule: str
    error: str
    number: int | None


@attrs.frozen(kw_only=True)
class AuditPart:
    """What part of an account's audit came to; `merge` makes a report of all parts.

    A plain value that survives JSON. It holds no `RecordSnapshot`s: what travels stays small, and who puts together the
    parts of thousands of accounts must not hold every record of them in memory.

    Attributes:
        account: findings about the whole account.
        gaps: what could not be looked at.
        findings: those about campaigns, in the order in which they came up.
        summaries: the campaigns that were judged, in brief.
        campaigns: how many campaigns the server sent; 0 in all parts but the one that listed them.
        codes: how many result codes were judged.
        lookups: how many lists of result codes were asked for.
        requests: how many calls it took.
    """

    account: tuple[Finding, ...] = ()
    gaps: tuple[Gap, ...] = ()
    findings: tuple[Finding, ...] = ()
    summaries: tuple[CampaignSummary, ...] = ()
    campaigns: int = 0
    codes: int = 0
    lookups: int = 0
    requests: int = 0

    def to_json(self) -> bytes:
        """The part as JSON, all in ASCII; `from_json` reads it."""
        # Not msgspec's own: it writes no lone surrogate, and texts of rules and errors can hold one.
        return json.dumps(msgspec.to_builtins(self), separators=(",", ":")).encode("ascii")

    @classmethod
    def from_json(cls, data: bytes) -> "AuditPart":
        """The part that `to_json` wrote.

        Raises:
            ValueError: it is none.
        """
        try:
            part = _decode(data)
        except msgspec.DecodeError:
            # It reads no lone surrogate either, but four times as fast as `json` does.
            part = _convert(json.loads(data), cls)
        return attrs.evolve(part, summaries=tuple(_sharing(part.summaries)))


def _sharing(summaries: Iterable[CampaignSummary]) -> Iterator[CampaignSummary]:
    """The same summaries. Most of each are export keys, which campaigns and accounts share: they are kept once."""
    known: dict[tuple[str, CodeType], tuple[str, CodeType]] = {}
    for summary in summaries:
        for key, type in summary.export_keys:
            known.setdefault((key, type), (sys.intern(key), type))
        yield attrs.evolve(summary, export_keys=tuple(map(known.__getitem__, summary.export_keys)))


_decode: Callable[[bytes], AuditPart] = msgspec.json.Decoder(AuditPart).decode
_convert: Callable[[object, type[AuditPart]], AuditPart] = msgspec.convert


def not_audited(error: str, campaigns: int | None = None) -> AuditPart:
    """The part that stands for what could not be audited at all: its one finding is `not-audited`.

    Args:
        error: why, in words, without any secret.
        campaigns: how many campaigns it concerns; None or 0 if nobody knows, as when there is not even a list of them.
    """
    return AuditPart(gaps=(Gap(rule=NOT_AUDITED.id, error=error, number=campaigns or None),))
