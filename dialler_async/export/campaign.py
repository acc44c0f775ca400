"""One exported campaign, and the protocol of the file formats."""

from collections.abc import Mapping
from typing import Protocol

import attrs

from dialler_async.models import Campaign, Language, ResultCode


@attrs.frozen
class ExportedCampaign:
    """One campaign with the results of its lookups.

    Attributes:
        campaign: its record.
        codes: its result codes by language, without the languages whose lookup failed.
        errors: the errors by language.
    """

    campaign: Campaign
    codes: Mapping[Language, tuple[ResultCode, ...]]
    errors: Mapping[Language, str]


class Writer(Protocol):
    """A file format."""

    def add(self, exported: ExportedCampaign) -> None:
        """Add a campaign."""

    def finish(self, failed: int) -> None:
        """Write the rest of the file.

        Args:
            failed: number of failed lookups.
        """

    def close(self) -> None:
        """Close the file, finished or not."""
