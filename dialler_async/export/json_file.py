"""The JSON writer of exports. The format is lossless, with one campaign per line."""

import json
from datetime import datetime
from io import TextIOWrapper
from typing import BinaryIO

from ..models import Language
from .campaign import ExportedCampaign

# Increment it when a key is removed or changes its meaning, not when a key is added.
SCHEMA = 1


class JsonFile:
    """Writes campaigns to a JSON file as they are added. `failed` comes last, because it is known only at the end."""

    def __init__(self, file: BinaryIO, exported: datetime, languages: tuple[Language, ...]) -> None:
        # ASCII, because UTF-8 can't encode a lone surrogate from the server, but JSON can escape it.
        self._file = TextIOWrapper(file, encoding="ascii", newline="\n")
        head = {
            "schema": SCHEMA,
            "exported": exported.isoformat(),
            "languages": [int(language) for language in languages],
        }
        self._file.write(json.dumps(head)[:-1] + ', "campaigns": [')
        self._separator = "\n"

    def add(self, exported: ExportedCampaign) -> None:
        """Write a campaign."""
        record = {
            "campaign": exported.campaign.wire,
            "codes": {str(int(language)): [code.wire for code in codes] for language, codes in exported.codes.items()},
            "errors": {str(int(language)): error for language, error in exported.errors.items()},
        }
        self._file.write(self._separator + json.dumps(record))
        self._separator = ",\n"

    def finish(self, failed: int) -> None:
        """Write the end of the JSON object, and close the file."""
        self._file.write(f'\n], "failed": {failed}}}\n')
        self._file.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
