"""The exported campaign, and the protocol of the writers."""

from collections.abc import Mapping
from typing import Protocol

import attrs

from ..models import Campaign, Language, ResultCode


@attrs.frozen
class ExportedCampaign:
    """A campaign with the results of its lookups.

    Attributes:
        campaign: the record.
        codes: the result codes by language, without the languages whose lookup failed.
        errors: the errors of failed lookups by language.
    """

    campaign: Campaign
    codes: Mapping[Language, tuple[ResultCode, ...]]
    errors: Mapping[Language, str]


class Writer(Protocol):
    """Writes campaigns to a file in one format."""

    def add(self, exported: ExportedCampaign) -> None:
        """Add a campaign."""

    def finish(self, failed: int) -> None:
        """Write the end of the file.

        Args:
            failed: the number of failed lookups.
        """

    def close(self) -> None:
        """Close the file, whether it is finished or not."""
