"""Strict validation of messages from the broker: types, sizes, and signatures if `DIALLER_FLEET_KEY` is set.

A process that can write to Redis can send any message. An invalid message raises `RejectedMessageError`, whose text
contains nothing from the message.
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
"""Maximum size of an encoded job in bytes."""
RESULT_LIMIT: Final = 64 * 2**20
"""Maximum size of an encoded result in bytes."""
UNPACKED_LIMIT: Final = 128 * 2**20
"""Maximum size of unpacked records in bytes. 16 MiB of zlib data can unpack to 16 GiB."""
VALUES_LIMIT: Final = 4_000_000
"""Maximum number of JSON values in unpacked records. 128 MiB of `{},` would take gigabytes of memory."""
_JOB_VALUES_LIMIT: Final = 10_000
"""Maximum number of JSON values in a job, without its packed records."""
MAX_CAMPAIGNS: Final = 100_000
"""Maximum number of campaigns in a job."""
ERROR_LENGTH: Final = 2000
"""Maximum number of characters of the error in a result."""

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
"""Errors that decoding of untrusted data can raise."""


class RejectedMessageError(ValueError):
    """Raised for an invalid message from the broker. The text is the reason, without content of the message."""


@final
class MessageSigner:
    """Signs messages with HMAC-SHA256, and checks signatures. Without a key, it does neither.

    Args:
        key: the secret that the coordinator and the workers share; None disables signatures.
    """

    __slots__ = ("__key",)

    def __init__(self, key: str | None) -> None:
        self.__key = None if key is None else key.encode(errors="surrogateescape")

    @classmethod
    def from_environment(cls) -> "MessageSigner":
        """Return a signer with the key in `DIALLER_FLEET_KEY`.

        Raises:
            ConfigurationError: the variable is set but empty. Ignoring it would silently disable signatures.
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
        """The suffix of Redis keys, so that only workers with the same key take these jobs; "" without a key."""
        return f":{self.sign('queue')[:16]}" if self.has_key else ""

    def sign(self, direction: str, *parts: bytes) -> str:
        """Return the signature of these parts in hexadecimal digits; "" without a key.

        Args:
            direction: `job` or `result`. A signed job is invalid as a result, and a signed result is invalid as a job.
            parts: the bytes to sign.
        """
        if self.__key is None:
            return ""
        mac = hmac.new(self.__key, digestmod=hashlib.sha256)
        for part in (b"dialler-fleet/1", direction.encode("ascii"), *parts):
            # The length is signed too, so that bytes can't move from one part to the next.
            mac.update(len(part).to_bytes(8, "big"))
            mac.update(part)
        return mac.hexdigest()

    def check(self, signature: bytes, direction: str, *parts: bytes) -> None:
        """Check a signature. Without a key, accept any signature.

        Raises:
            RejectedMessageError: the signature is missing or wrong.
        """
        if not self.has_key:
            return
        if not signature:
            raise RejectedMessageError("it is not signed")
        if not hmac.compare_digest(signature, self.sign(direction, *parts).encode("ascii")):
            raise RejectedMessageError(f"its signature is wrong: {KEY_VARIABLE} differs, or the message was changed")

    def __repr__(self) -> str:
        return "MessageSigner(signs)" if self.has_key else "MessageSigner()"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"the key of {KEY_VARIABLE} can't be pickled or copied")


_Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
_ShortText = Annotated[str, Meta(min_length=1, max_length=64)]
_EmptyObject = Annotated[dict[str, Any], Meta(max_length=0)]
_Concurrency = Annotated[int, Meta(ge=1, le=10_000)]


class WireJobSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """A `JobSpec` in JSON."""

    version: _ShortText
    languages: Annotated[list[int], Meta(min_length=1, max_length=16)]
    now: _ShortText
    settings: _Digest
    chunk: Annotated[int, Meta(ge=1, le=MAX_CAMPAIGNS)]


class _Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    account: Annotated[str, Meta(min_length=1, max_length=1000)]
    # `JobSpec.from_json` validates it after the check of the version.
    spec: dict[str, Any]
    concurrency: _Concurrency | None
    packed: str | UnsetType = UNSET


class _Job(Struct, frozen=True, forbid_unknown_fields=True):
    """A job as taskiq encodes it. Labels are refused, because they change how taskiq runs a job."""

    task_id: str
    task_name: str
    labels: _EmptyObject
    args: Annotated[list[Any], Meta(max_length=0)]
    kwargs: _Arguments
    labels_types: _EmptyObject | None = None


class WireSlice(Struct, frozen=True, forbid_unknown_fields=True):
    """A `Slice` in JSON."""

    campaigns: Annotated[int, Meta(ge=1, le=MAX_CAMPAIGNS)]
    # The rest of the job fits into the remaining MiB.
    packed: Annotated[str, Meta(max_length=JOB_LIMIT - 2**20)]


class WireResult(Struct, frozen=True, forbid_unknown_fields=True):
    """A `Result` in JSON."""

    part: str | None
    remaining: Annotated[list[WireSlice], Meta(max_length=100_000)]
    error: Annotated[str, Meta(max_length=ERROR_LENGTH)]
    is_permanent: bool


_decode_job: Final = msgspec.json.Decoder(_Job).decode
_decode_result: Final = msgspec.json.Decoder(WireResult).decode


def job_name(fields: Mapping[bytes, bytes]) -> str:
    """Return the name of the job in an entry of a stream.

    Raises:
        RejectedMessageError: the name is missing or malformed.
    """
    name = fields.get(b"job", b"")
    if not _JOB_NAME.fullmatch(name):
        raise RejectedMessageError("it has no job name")
    return name.decode("ascii")


def digest(data: bytes) -> str:
    """Return the SHA-256 of an encoded job. A result contains it as a reference to exactly this job."""
    return hashlib.sha256(data).hexdigest()


def sign_job(signer: MessageSigner, job: str, data: bytes) -> str:
    """Return the signature of a job. It covers the task, the account, the settings' digest and the campaigns."""
    return signer.sign("job", job.encode("ascii"), data)


def check_job(signer: MessageSigner, job: str, fields: Mapping[bytes, bytes]) -> bytes:
    """Return the data of a job after checking its signature, format and size.

    Raises:
        RejectedMessageError: the job is invalid.
    """
    data = fields.get(b"data", b"")
    signer.check(fields.get(b"mac", b""), "job", job.encode("ascii"), data)
    # Packed records contain none of these characters, so only the rest of the job is counted.
    if sum(map(data.count, (b"{", b"[", b","))) > _JOB_VALUES_LIMIT:
        raise RejectedMessageError("it is malformed")
    try:
        message = _decode_job(data)
    except DECODE_ERRORS:
        raise RejectedMessageError("it is malformed") from None
    arguments = message.kwargs
    has_campaigns = arguments.packed is not UNSET
    if message.task_id != job or (message.task_name, has_campaigns) not in ((SURVEY, False), (SLICE, True)):
        raise RejectedMessageError("it is malformed")
    if not arguments.account.isprintable():
        raise RejectedMessageError("the name of its account is not printable")
    return data


def sign_result(signer: MessageSigner, job: str, job_digest: str, result: bytes) -> str:
    """Return the signature of a result. It covers the digest of the job."""
    return signer.sign("result", job.encode("ascii"), job_digest.encode("ascii"), result)


def check_result(signer: MessageSigner, job: str, job_digest: str, fields: Mapping[bytes, bytes]) -> WireResult:
    """Return a result after checking its signature, format and size, and that it belongs to the job.

    Args:
        signer: the signer that checks the signature.
        job: the name of the job.
        job_digest: the digest of the job that was sent.
        fields: the fields of the stream entry.

    Raises:
        RejectedMessageError: the result is invalid.
    """
    result = fields.get(b"result", b"")
    if len(result) > RESULT_LIMIT:
        raise RejectedMessageError(f"it has more than {RESULT_LIMIT:,} bytes")
    signer.check(fields.get(b"mac", b""), "result", job.encode("ascii"), job_digest.encode("ascii"), result)
    if fields.get(b"of", b"") != job_digest.encode("ascii"):
        raise RejectedMessageError("it is the result of another job")
    try:
        return _decode_result(result)
    except DECODE_ERRORS:
        raise RejectedMessageError("it is malformed") from None


def unpack(packed: str) -> bytes:
    """Return the packed records of a message.

    Raises:
        RejectedMessageError: the records can't be unpacked, or are too large.
    """
    try:
        decompressor = zlib.decompressobj()
        data = decompressor.decompress(b64decode(packed, validate=True), UNPACKED_LIMIT)
    except (ValueError, zlib.error):
        raise RejectedMessageError("its records can't be unpacked") from None
    if decompressor.unconsumed_tail or not decompressor.eof or decompressor.unused_data:
        raise RejectedMessageError(f"its records are cut off, or have more than {UNPACKED_LIMIT:,} bytes")
    if sum(map(data.count, (b"{", b"[", b","))) > VALUES_LIMIT:
        raise RejectedMessageError(f"its records have more than {VALUES_LIMIT:,} values")
    return data
