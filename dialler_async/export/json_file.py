"""An export as JSON: lossless, a campaign a line."""

import json
from datetime import datetime
from io import TextIOWrapper
from typing import BinaryIO

from dialler_async.models import Language

from .campaign import ExportedCampaign

# Incremented if a key is removed or changes its meaning, not if one is added.
SCHEMA = 1


class JsonFile:
    """Writes each campaign at once; `failed` comes last, because only then it is known."""

    def __init__(self, file: BinaryIO, exported: datetime, languages: tuple[Language, ...]) -> None:
        # ASCII only: a lone surrogate from the server has no encoding, but an escape.
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
        """Close the file."""
        self._file.close()
