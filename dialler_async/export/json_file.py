"""An export as JSON: lossless, a campaign a line."""

import json
from datetime import datetime
from io import TextIOWrapper
from typing import BinaryIO

from dialler_async.models import Language

from .campaign import ExportedCampaign

# Raised when a key changes its meaning or goes away, not when one is added.
SCHEMA = 1


class JsonFile:
    """Writes as it goes; `failed` comes last, since it is known only then."""

    def __init__(self, file: BinaryIO, exported: datetime, languages: tuple[Language, ...]) -> None:
        # All in ASCII, so that whatever the server sent has an encoding.
        self._file = TextIOWrapper(file, encoding="ascii", newline="\n")
        head = {"schema": SCHEMA, "exported": exported.isoformat(), "languages": [int(one) for one in languages]}
        self._file.write(json.dumps(head)[:-1] + ', "campaigns": [')
        self._before = "\n"

    def add(self, exported: ExportedCampaign) -> None:
        """Write one campaign."""
        record = {
            "campaign": exported.campaign.wire,
            "codes": {str(int(language)): [code.wire for code in codes] for language, codes in exported.codes.items()},
            "errors": {str(int(language)): error for language, error in exported.errors.items()},
        }
        self._file.write(self._before + json.dumps(record))
        self._before = ",\n"

    def finish(self, failed: int) -> None:
        """Write the end."""
        self._file.write(f'\n], "failed": {failed}}}\n')
        self._file.close()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
