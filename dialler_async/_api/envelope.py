"""The JSON object around the records of a response.

Source: API reference, "The seven calls" (list envelope, records envelope) and "Status codes and error bodies".
"""

from typing import Final, Generic, Literal, TypeVar

import msgspec

RecordT = TypeVar("RecordT")


class Envelope(msgspec.Struct, Generic[RecordT], rename="camel"):
    """The values of a response. Each value may be missing, because an error response has other values than a list."""

    records: list[RecordT] | None = None
    count: int | None = None
    status: int | None = None
    error: str | None = None
    filter: str | None = None
    limit_start: int | None = None
    limit_page_size: int | None = None
    order_by: str | None = None
    ascending: bool | Literal[0, 1] | None = None


decode_envelope: Final = msgspec.json.Decoder(Envelope[msgspec.Raw]).decode
"""Return the envelope of a body, with the bytes of its records."""
