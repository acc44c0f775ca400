"""What is exported of one campaign, and what takes it."""

from collections.abc import Mapping
from typing import Protocol

import attrs

from dialler_async.models import Campaign, Language, ResultCode


@attrs.frozen
class ExportedCampaign:
    """One campaign, with what its lookups came to.

    Attributes:
        campaign: its record.
        codes: its result codes by language; none where the lookup failed.
        errors: what went wrong, by language.
    """

    campaign: Campaign
    codes: Mapping[Language, tuple[ResultCode, ...]]
    errors: Mapping[Language, str]


class Writer(Protocol):
    """What makes a file of campaigns."""

    def add(self, exported: ExportedCampaign) -> None:
        """Take one more campaign."""

    def finish(self, failed: int) -> None:
        """Write what is still to be written; so many lookups failed."""

    def close(self) -> None:
        """Let go of the file, finished or not."""
