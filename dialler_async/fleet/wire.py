"""Strict parsing of messages from the broker: typed, bounded, and signed if `DIALLER_FLEET_KEY` is set.

A process that can write to Redis can send anything. An invalid message is rejected with
`RejectedMessageError`. Its text never repeats content of the message.
"""

import hashlib
import hmac
import os
import re
import zlib
from base64 import b64decode
from collections.abc import Mapping
from typing import Annotated, Any, Final, NoReturn, final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from dialler_async.errors import require

KEY_VARIABLE: Final = "DIALLER_FLEET_KEY"
JOB_LIMIT: Final = 16 * 2**20
"""Bytes of a job as it is sent."""
RESULT_LIMIT: Final = 64 * 2**20
"""Bytes of a result as it is sent."""
UNPACKED_LIMIT: Final = 128 * 2**20
"""Bytes of unpacked records. 16 MiB of zlib can unpack to 16 GiB."""
VALUES_LIMIT: Final = 4_000_000
"""JSON values in unpacked records. 128 MiB of `{},` would take gigabytes of memory."""
_JOB_VALUES_LIMIT: Final = 10_000
"""JSON values in a job, without its packed records."""
MAX_CAMPAIGNS: Final = 100_000
"""Campaigns that a job may hold."""
ERROR_LENGTH: Final = 2000
"""Characters of an error in a result."""

SURVEY: Final = "dialler-fleet:survey"
SLICE: Final = "dialler-fleet:slice"

_JOB_NAME: Final = re.compile(rb"[0-9a-z]{1,32}/[0-9]{1,9}")
DECODE_ERRORS: Final = (
    msgspec.MsgspecError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
    RecursionError,
    zlib.error,
)
"""What decoding of untrusted data can raise."""


class RejectedMessageError(ValueError):
    """A message from the broker was rejected. The text says why, without content of the message."""


@final
class MessageSigner:
    """Signs messages with HMAC-SHA256, and checks signatures. Without a key it does neither.

    Args:
        key: The secret that coordinator and workers share; None if messages are not signed.
    """

    __slots__ = ("__key",)

    def __init__(self, key: str | None) -> None:
        self.__key = None if key is None else key.encode(errors="surrogateescape")

    @classmethod
    def from_environment(cls) -> "MessageSigner":
        """Return a signer with the key in `DIALLER_FLEET_KEY`.

        Raises:
            ConfigurationError: The variable is set but empty, so messages would not be signed as the user wants.
        """
        key = os.environ.get(KEY_VARIABLE)
        require(key is None or bool(key.strip()), f"{KEY_VARIABLE} is empty: set a secret, or unset the variable")
        return cls(None if key is None else key.strip())

    @property
    def has_key(self) -> bool:
        """Whether messages are signed."""
        return self.__key is not None

    @property
    def suffix(self) -> str:
        """The suffix of Redis keys, so that workers with another key take none of these jobs; empty without a key."""
        return f":{self.sign('queue')[:16]}" if self.has_key else ""

    def sign(self, direction: str, *parts: bytes) -> str:
        """Return the signature of these parts, as hexadecimal digits; empty without a key.

        Args:
            direction: `job` or `result`. A job is never accepted as a result, nor a result as a job.
            parts: The signed bytes.
        """
        if self.__key is None:
            return ""
        mac = hmac.new(self.__key, digestmod=hashlib.sha256)
        for part in (b"dialler-fleet/1", direction.encode("ascii"), *parts):
            # The length is signed, so that bytes can't move from one part to the next.
            mac.update(len(part).to_bytes(8, "big"))
            mac.update(part)
        return mac.hexdigest()

    def check(self, signature: bytes, direction: str, *parts: bytes) -> None:
        """Check a signature; without a key, accept every one.

        Raises:
            RejectedMessageError: It is missing or wrong.
        """
        if not self.has_key:
            return
        if not signature:
            raise RejectedMessageError("it is not signed")
        if not hmac.compare_digest(signature, self.sign(direction, *parts).encode("ascii")):
            raise RejectedMessageError(f"its signature is wrong: {KEY_VARIABLE} differs, or somebody changed it")

    def __repr__(self) -> str:
        return "MessageSigner(signs)" if self.has_key else "MessageSigner()"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"the key of {KEY_VARIABLE} is not pickled or copied")


_Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
_Short = Annotated[str, Meta(min_length=1, max_length=64)]
_Nothing = Annotated[dict[str, Any], Meta(max_length=0)]
_AtOnce = Annotated[int, Meta(ge=1, le=10_000)]


class WireJobSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """A `JobSpec` in JSON."""

    version: _Short
    languages: Annotated[list[int], Meta(min_length=1, max_length=16)]
    now: _Short
    settings: _Digest
    chunk: Annotated[int, Meta(ge=1, le=MAX_CAMPAIGNS)]


class _Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    account: Annotated[str, Meta(min_length=1, max_length=1000)]
    # `JobSpec.from_json` parses it strictly, after it has checked the version.
    spec: dict[str, Any]
    concurrency: _AtOnce | None
    packed: str | UnsetType = UNSET


class _Job(Struct, frozen=True, forbid_unknown_fields=True):
    """A job as taskiq writes it. Labels are refused, since they change how taskiq runs it."""

    task_id: str
    task_name: str
    labels: _Nothing
    args: Annotated[list[Any], Meta(max_length=0)]
    kwargs: _Arguments
    labels_types: _Nothing | None = None


class WireSlice(Struct, frozen=True, forbid_unknown_fields=True):
    """A `Slice` in JSON."""

    campaigns: Annotated[int, Meta(ge=1, le=MAX_CAMPAIGNS)]
    # The rest of the job is smaller than a MiB.
    packed: Annotated[str, Meta(max_length=JOB_LIMIT - 2**20)]


class WireResult(Struct, frozen=True, forbid_unknown_fields=True):
    """A `Result` in JSON."""

    part: str | None
    left: Annotated[list[WireSlice], Meta(max_length=100_000)]
    error: Annotated[str, Meta(max_length=ERROR_LENGTH)]
    is_permanent: bool


_decode_job: Final = msgspec.json.Decoder(_Job).decode
_decode_result: Final = msgspec.json.Decoder(WireResult).decode


def job_name(fields: Mapping[bytes, bytes]) -> str:
    """Return the name of the job in an entry of a stream.

    Raises:
        RejectedMessageError: The name is missing or malformed.
    """
    name = fields.get(b"job", b"")
    if not _JOB_NAME.fullmatch(name):
        raise RejectedMessageError("it has no job name")
    return name.decode("ascii")


def digest(data: bytes) -> str:
    """Return the SHA-256 of a job's bytes. A result holds it, so that it belongs to this very job."""
    return hashlib.sha256(data).hexdigest()


def sign_job(signer: MessageSigner, job: str, data: bytes) -> str:
    """Return the signature of a job. It covers the task, the account, the settings' digest and the campaigns."""
    return signer.sign("job", job.encode("ascii"), data)


def check_job(signer: MessageSigner, job: str, fields: Mapping[bytes, bytes]) -> bytes:
    """Return the data of a job if it is signed, well-formed and within the limits.

    Raises:
        RejectedMessageError: It is not.
    """
    data = fields.get(b"data", b"")
    signer.check(fields.get(b"mac", b""), "job", job.encode("ascii"), data)
    # Packed records hold none of these characters, so the rest of the job is small.
    if sum(map(data.count, (b"{", b"[", b","))) > _JOB_VALUES_LIMIT:
        raise RejectedMessageError("it is malformed")
    try:
        read = _decode_job(data)
    except DECODE_ERRORS:
        raise RejectedMessageError("it is malformed") from None
    given = read.kwargs
    has_campaigns = given.packed is not UNSET
    if read.task_id != job or (read.task_name, has_campaigns) not in ((SURVEY, False), (SLICE, True)):
        raise RejectedMessageError("it is malformed")
    if not given.account.isprintable():
        raise RejectedMessageError("the name of its account is not printable")
    return data


def sign_result(signer: MessageSigner, job: str, of: str, result: bytes) -> str:
    """Return the signature of a result. It covers the digest of the job."""
    return signer.sign("result", job.encode("ascii"), of.encode("ascii"), result)


def check_result(signer: MessageSigner, job: str, of: str, fields: Mapping[bytes, bytes]) -> WireResult:
    """Return a result if it belongs to this job and is signed, well-formed and within the limits.

    Args:
        signer: Checks the signature.
        job: Name of the job.
        of: Digest of the job that was sent.
        fields: The fields of the entry.

    Raises:
        RejectedMessageError: It is not.
    """
    result = fields.get(b"result", b"")
    if len(result) > RESULT_LIMIT:
        raise RejectedMessageError(f"it has more than {RESULT_LIMIT:,} bytes")
    signer.check(fields.get(b"mac", b""), "result", job.encode("ascii"), of.encode("ascii"), result)
    if fields.get(b"of", b"") != of.encode("ascii"):
        raise RejectedMessageError("it belongs to another job than the one that was sent")
    try:
        return _decode_result(result)
    except DECODE_ERRORS:
        raise RejectedMessageError("it is malformed") from None


def unpack(packed: str) -> bytes:
    """Return the packed records of a message.

    Raises:
        RejectedMessageError: They can't be unpacked, or are too large.
    """
    try:
        unzip = zlib.decompressobj()
        data = unzip.decompress(b64decode(packed, validate=True), UNPACKED_LIMIT)
    except (ValueError, zlib.error):
        raise RejectedMessageError("its records can't be unpacked") from None
    if unzip.unconsumed_tail or not unzip.eof or unzip.unused_data:
        raise RejectedMessageError(f"its records are cut off, or have more than {UNPACKED_LIMIT:,} bytes")
    if sum(map(data.count, (b"{", b"[", b","))) > VALUES_LIMIT:
        raise RejectedMessageError(f"its records have more than {VALUES_LIMIT:,} values")
    return data
