"""The messages in the broker: JSON with packed records. They contain no token.

They are not pickles, because unpickling would run code of any process that can write to the broker.
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
    """Return the SHA-256 of audit settings. Equivalent settings have the same digest.

    Messages contain this digest instead of the settings, so that a message can't make a worker import a module.
    """
    canonical = {
        "select": sorted(set(settings.select)),
        "ignore": sorted(set(settings.ignore)),
        # Not sorted, because the findings of a campaign are reported in the order of the rules.
        "rules": list(settings.rules),
        "by_rule": {
            rule: {key.replace("-", "_"): value for key, value in table.items()}
            for rule, table in settings.by_rule.items()
            if table
        },
    }
    # `default=str` encodes values such as TOML dates. `AuditSettings.choose` refuses them later.
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


@attrs.frozen(kw_only=True)
class JobSpec:
    """The specification that all jobs of an audit share.

    Attributes:
        languages: the languages in which result codes are fetched and compared.
        now: the time that dates are compared with, with a time zone.
        settings: the digest of the audit settings. The settings of a worker must have the same digest.
        chunk: the maximum number of campaigns of a job.
    """

    languages: tuple[Language, ...]
    now: datetime
    settings: str
    chunk: int

    def to_json(self) -> dict[str, Any]:
        """Return the specification as JSON values."""
        return {
            "version": __version__,
            "languages": [int(language) for language in self.languages],
            "now": self.now.isoformat(),
            "settings": self.settings,
            "chunk": self.chunk,
        }

    @classmethod
    def from_json(cls, spec: dict[str, Any]) -> "JobSpec":
        """Return the specification that `to_json` encoded.

        Raises:
            ConfigurationError: the specification is of another version of this library.
            RejectedMessageError: the specification is malformed.
        """
        version = spec.get("version")
        if isinstance(version, str) and len(version) <= 64 and version.isprintable():
            require(
                version == __version__,
                f"this worker has dialler-async {__version__}, the audit has {version}: install the same version",
            )
        try:
            fields = msgspec.convert(spec, WireJobSpec)
            now = datetime.fromisoformat(fields.now)
            languages = tuple(Language(language) for language in fields.languages)
        except DECODE_ERRORS:
            raise RejectedMessageError("its specification is malformed") from None
        if now.utcoffset() is None:
            raise RejectedMessageError("its time has no time zone")
        return cls(languages=languages, now=now, settings=fields.settings, chunk=fields.chunk)


@attrs.frozen(kw_only=True)
class Slice:
    """Campaigns of an account whose result codes are not fetched yet.

    Attributes:
        campaigns: the number of campaigns.
        packed: the compressed records, as the server sent them.
    """

    campaigns: int
    packed: str

    @classmethod
    def pack(cls, campaigns: Iterable[Campaign]) -> "Slice":
        """Return a slice with these campaigns."""
        records = [campaign.wire for campaign in campaigns]
        return cls(campaigns=len(records), packed=_pack(json.dumps(records, separators=(",", ":")).encode("ascii")))

    @staticmethod
    def unpack(packed: str) -> list[Campaign]:
        """Return the campaigns of a slice.

        Raises:
            RejectedMessageError: the campaigns are malformed or too large.
        """
        data = unpack(packed)
        try:
            # Not msgspec, which refuses a lone surrogate. The name of a campaign can contain such a character.
            return [structure_strictly(Campaign, record, record) for record in json.loads(data)]
        except (*DECODE_ERRORS, MisfitError):
            raise RejectedMessageError("its campaigns are malformed") from None


@attrs.frozen(kw_only=True)
class Result:
    """The result of a job.

    Attributes:
        part: the result of a part of the audit; None if the job failed.
        remaining: the slices that a survey leaves for other jobs.
        error: the reason why the job failed, without secrets.
        is_permanent: whether a retry would fail with the same error.
    """

    part: AuditPart | None = None
    remaining: tuple[Slice, ...] = ()
    error: str = ""
    is_permanent: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "part": None if self.part is None else _pack(self.part.to_json()),
            "remaining": [attrs.asdict(slice) for slice in self.remaining],
            # A server can send lone surrogates, which strict JSON does not allow.
            "error": self.error.encode(errors="backslashreplace").decode()[:ERROR_LENGTH],
            "is_permanent": self.is_permanent,
        }

    @classmethod
    def from_json(cls, result: dict[str, Any]) -> "Result":
        """Return the result that `to_json` encoded.

        Raises:
            RejectedMessageError: the result is malformed or too large.
        """
        try:
            wire_result = msgspec.convert(result, WireResult)
        except DECODE_ERRORS:
            raise RejectedMessageError("it is malformed") from None
        return cls.from_wire(wire_result)

    @classmethod
    def from_wire(cls, result: WireResult) -> "Result":
        """Return the result with an unpacked part.

        Raises:
            RejectedMessageError: the part is malformed or too large.
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
            remaining=tuple(Slice(campaigns=slice.campaigns, packed=slice.packed) for slice in result.remaining),
            error=result.error,
            is_permanent=result.is_permanent,
        )


def _pack(text: bytes) -> str:
    return b64encode(zlib.compress(text)).decode("ascii")
