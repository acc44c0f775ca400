"""The records of a response of which some are not as documented."""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar, final

import attrs

from .._public import public
from ..errors import PayloadError
from ..models import Campaign

T_co = TypeVar("T_co", covariant=True)


@public
@final
@attrs.frozen
class InvalidRecord:
    """A record that is not as documented.

    Attributes:
        record: the decoded record; empty if it is not an object, or is nested too deeply.
        error: what is wrong, with the record's `.path` and `.record_id`.
    """

    record: Mapping[str, Any]
    error: PayloadError


@public
@final
@attrs.frozen
class PartialRecords(Generic[T_co]):
    """The records of a response in which invalid records don't prevent reading the others.

    Attributes:
        records: the records that are as documented.
        invalid: the records that are not. Only the first 1,000 are kept.
        total: the number of records that the server counts, which may be larger than the number that it sent.
        invalid_count: the number of all invalid records.
    """

    records: tuple[T_co, ...]
    invalid: tuple[InvalidRecord, ...]
    total: int
    invalid_count: int = attrs.field(default=attrs.Factory(lambda self: len(self.invalid), takes_self=True))


def campaign_of(invalid: InvalidRecord) -> Campaign:
    """Return a campaign with the ID and the name of an invalid campaign; `""` without a name."""
    name = invalid.record.get("Name")
    return Campaign(id=invalid.error.record_id, name=name if isinstance(name, str) else "")
