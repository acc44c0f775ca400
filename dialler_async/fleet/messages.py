"""What goes through the broker: JSON, the bulky part of it packed. No token, and no pickle.

Reading a pickle would run the code of whoever can write to the broker.
"""

import hashlib
import json
import zlib
from base64 import b64encode
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import attrs
import msgspec

from dialler_async._api.structure import MisfitError, structure_strictly
from dialler_async.audit import AuditPart, AuditSettings
from dialler_async.errors import require
from dialler_async.models import Campaign, Language
from dialler_async.version import __version__

from .wire import ERROR_LENGTH, UNREADABLE, RejectedMessageError, WireOrders, WireResult, unpack


def settings_digest(settings: AuditSettings) -> str:
    """Return the SHA-256 of audit settings in canonical form: the same for settings that mean the same.

    Messages carry this digest instead of the settings, so that no message decides what a worker imports.
    """
    canonical = {
        "select": sorted(set(settings.select)),
        "ignore": sorted(set(settings.ignore)),
        # In their order, as findings of one campaign are reported in the order of the rules.
        "rules": list(settings.rules),
        "by_rule": {
            rule: {key.replace("-", "_"): value for key, value in table.items()}
            for rule, table in settings.by_rule.items()
            if table
        },
    }
    # Values that no rule accepts, such as dates in TOML, are refused elsewhere.
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


@attrs.frozen(kw_only=True)
class Orders:
    """What each job of a run is told alike.

    Attributes:
        languages: in which result codes are fetched and compared.
        now: what dates are compared with, with a zone.
        settings: digest of the audit settings; a worker judges by its own settings, which must have the same digest.
        chunk: how many campaigns a job has at most.
    """

    languages: tuple[Language, ...]
    now: datetime
    settings: str
    chunk: int

    def to_json(self) -> dict[str, Any]:
        """The orders as JSON has them; `from_json` reads it."""
        return {
            "version": __version__,
            "languages": [int(language) for language in self.languages],
            "now": self.now.isoformat(),
            "settings": self.settings,
            "chunk": self.chunk,
        }

    @classmethod
    def from_json(cls, orders: dict[str, Any]) -> "Orders":
        """The orders that `to_json` wrote.

        Raises:
            ConfigurationError: another version of this library wrote them.
            RejectedMessageError: they are malformed.
        """
        theirs = orders.get("version")
        if isinstance(theirs, str) and len(theirs) <= 64 and theirs.isprintable():
            require(theirs == __version__, f"this worker has dialler-async {__version__}, the audit {theirs}: use one")
        try:
            read = msgspec.convert(orders, WireOrders)
            now = datetime.fromisoformat(read.now)
            languages = tuple(Language(language) for language in read.languages)
        except UNREADABLE:
            raise RejectedMessageError("its orders are malformed") from None
        if now.utcoffset() is None:
            raise RejectedMessageError("its time has no zone")
        return cls(languages=languages, now=now, settings=read.settings, chunk=read.chunk)


@attrs.frozen(kw_only=True)
class Slice:
    """Campaigns of an account on their way to be looked up, as the server sent them.

    Attributes:
        campaigns: how many.
        packed: their records.
    """

    campaigns: int
    packed: str

    @classmethod
    def of(cls, campaigns: Iterable[Campaign]) -> "Slice":
        """A slice of these."""
        records = [campaign.wire for campaign in campaigns]
        return cls(campaigns=len(records), packed=_pack(json.dumps(records, separators=(",", ":")).encode("ascii")))

    @staticmethod
    def unpacked(packed: str) -> list[Campaign]:
        """The campaigns, just as the survey saw them.

        Raises:
            RejectedMessageError: they are malformed, or too large.
        """
        data = unpack(packed)
        try:
            # Not by msgspec: it reads no lone surrogate, and a campaign's name can hold one.
            return [structure_strictly(Campaign, record) for record in json.loads(data)]
        except (*UNREADABLE, MisfitError):
            raise RejectedMessageError("its campaigns are malformed") from None


@attrs.frozen(kw_only=True)
class Result:
    """What became of a job.

    Attributes:
        part: what was found out; None where the job failed.
        left: campaigns that are still to be looked up.
        error: why the job failed, in words without any secret.
        for_good: whether it would fail again.
    """

    part: AuditPart | None = None
    left: tuple[Slice, ...] = ()
    error: str = ""
    for_good: bool = False

    def to_json(self) -> dict[str, Any]:
        """The result as JSON has it; `from_json` reads it."""
        return {
            "part": None if self.part is None else _pack(self.part.to_json()),
            "left": [attrs.asdict(slice) for slice in self.left],
            # Lone surrogates, which a server may have sent, are escaped: strict JSON has none.
            "error": self.error.encode(errors="backslashreplace").decode()[:ERROR_LENGTH],
            "for_good": self.for_good,
        }

    @classmethod
    def from_json(cls, result: dict[str, Any]) -> "Result":
        """The result that `to_json` wrote.

        Raises:
            RejectedMessageError: it is malformed, or too large.
        """
        try:
            read = msgspec.convert(result, WireResult)
        except UNREADABLE:
            raise RejectedMessageError("it is malformed") from None
        return cls.read(read)

    @classmethod
    def read(cls, result: WireResult) -> "Result":
        """Return the result with its part unpacked.

        Raises:
            RejectedMessageError: The part is malformed, or too large.
        """
        part = None
        if result.part is not None:
            data = unpack(result.part)
            try:
                part = AuditPart.from_json(data)
            except UNREADABLE:
                raise RejectedMessageError("its part is malformed") from None
            if min(part.campaigns, part.codes, part.lookups, part.requests) < 0:
                raise RejectedMessageError("its part is malformed")
        return cls(
            part=part,
            left=tuple(Slice(campaigns=slice.campaigns, packed=slice.packed) for slice in result.left),
            error=result.error,
            for_good=result.for_good,
        )


def _pack(text: bytes) -> str:
    return b64encode(zlib.compress(text)).decode("ascii")
