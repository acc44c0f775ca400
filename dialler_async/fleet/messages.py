"""The messages that go through the broker: JSON with packed records. They hold no token, and they are no pickles.

Reading a pickle would run the code of any process that can write to the broker.
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

from .wire import DECODE_ERRORS, ERROR_LENGTH, RejectedMessageError, WireJobSpec, WireResult, unpack


def settings_digest(settings: AuditSettings) -> str:
    """Return the SHA-256 of audit settings in canonical form. Equivalent settings have the same digest.

    Messages hold this digest and not the settings, so no message decides what a worker imports.
    """
    canonical = {
        "select": sorted(set(settings.select)),
        "ignore": sorted(set(settings.ignore)),
        # Not sorted: findings of one campaign are reported in the order of the rules.
        "rules": list(settings.rules),
        "by_rule": {
            rule: {key.replace("-", "_"): value for key, value in table.items()}
            for rule, table in settings.by_rule.items()
            if table
        },
    }
    # `AuditSettings.choose` refuses values that no rule accepts, such as TOML dates.
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


@attrs.frozen(kw_only=True)
class JobSpec:
    """What all jobs of an audit share.

    Attributes:
        languages: The languages in which result codes are fetched and compared.
        now: The time that dates are compared with, with a zone.
        settings: Digest of the audit settings. A worker uses its own settings, which must have the same digest.
        chunk: How many campaigns a job holds at most.
    """

    languages: tuple[Language, ...]
    now: datetime
    settings: str
    chunk: int

    def to_json(self) -> dict[str, Any]:
        """Return the spec as JSON."""
        return {
            "version": __version__,
            "languages": [int(language) for language in self.languages],
            "now": self.now.isoformat(),
            "settings": self.settings,
            "chunk": self.chunk,
        }

    @classmethod
    def from_json(cls, spec: dict[str, Any]) -> "JobSpec":
        """Return the spec that `to_json` wrote.

        Raises:
            ConfigurationError: Another version of this library wrote it.
            RejectedMessageError: It is malformed.
        """
        theirs = spec.get("version")
        if isinstance(theirs, str) and len(theirs) <= 64 and theirs.isprintable():
            require(theirs == __version__, f"this worker has dialler-async {__version__}, the audit {theirs}: use one")
        try:
            read = msgspec.convert(spec, WireJobSpec)
            now = datetime.fromisoformat(read.now)
            languages = tuple(Language(language) for language in read.languages)
        except DECODE_ERRORS:
            raise RejectedMessageError("its spec is malformed") from None
        if now.utcoffset() is None:
            raise RejectedMessageError("its time has no zone")
        return cls(languages=languages, now=now, settings=read.settings, chunk=read.chunk)


@attrs.frozen(kw_only=True)
class Slice:
    """Campaigns of an account that are still to be looked up.

    Attributes:
        campaigns: How many there are.
        packed: Their records as the server sent them, compressed.
    """

    campaigns: int
    packed: str

    @classmethod
    def pack(cls, campaigns: Iterable[Campaign]) -> "Slice":
        """Return a slice of campaigns."""
        records = [campaign.wire for campaign in campaigns]
        return cls(campaigns=len(records), packed=_pack(json.dumps(records, separators=(",", ":")).encode("ascii")))

    @staticmethod
    def unpack(packed: str) -> list[Campaign]:
        """Return the campaigns of a slice.

        Raises:
            RejectedMessageError: They are malformed or too large.
        """
        data = unpack(packed)
        try:
            # msgspec refuses a lone surrogate, which a campaign's name can hold.
            return [structure_strictly(Campaign, record) for record in json.loads(data)]
        except (*DECODE_ERRORS, MisfitError):
            raise RejectedMessageError("its campaigns are malformed") from None


@attrs.frozen(kw_only=True)
class Result:
    """The result of a job.

    Attributes:
        part: The part of the audit; None if the job failed.
        left: Campaigns that are still to be looked up.
        error: Why the job failed, without secrets.
        is_permanent: Whether a retry would fail, too.
    """

    part: AuditPart | None = None
    left: tuple[Slice, ...] = ()
    error: str = ""
    is_permanent: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON."""
        return {
            "part": None if self.part is None else _pack(self.part.to_json()),
            "left": [attrs.asdict(slice) for slice in self.left],
            # A server may send lone surrogates, which strict JSON does not allow.
            "error": self.error.encode(errors="backslashreplace").decode()[:ERROR_LENGTH],
            "is_permanent": self.is_permanent,
        }

    @classmethod
    def from_json(cls, result: dict[str, Any]) -> "Result":
        """Return the result that `to_json` wrote.

        Raises:
            RejectedMessageError: It is malformed or too large.
        """
        try:
            read = msgspec.convert(result, WireResult)
        except DECODE_ERRORS:
            raise RejectedMessageError("it is malformed") from None
        return cls.read(read)

    @classmethod
    def read(cls, result: WireResult) -> "Result":
        """Return the result with its part unpacked.

        Raises:
            RejectedMessageError: The part is malformed or too large.
        """
        part = None
        if result.part is not None:
            data = unpack(result.part)
            try:
                part = AuditPart.from_json(data)
            except DECODE_ERRORS:
                raise RejectedMessageError("its part is malformed") from None
            if min(part.campaigns, part.codes, part.lookups, part.requests) < 0:
                raise RejectedMessageError("its part is malformed")
        return cls(
            part=part,
            left=tuple(Slice(campaigns=slice.campaigns, packed=slice.packed) for slice in result.left),
            error=result.error,
            is_permanent=result.is_permanent,
        )


def _pack(text: bytes) -> str:
    return b64encode(zlib.compress(text)).decode("ascii")
