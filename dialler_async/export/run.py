"""The export: fetch the campaigns and their result codes, and pass each campaign to the writer.

Only the list of campaigns is held in memory. Result codes are written in the order of the campaigns.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import aclosing, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import attrs

from .._api.endpoints import checked_languages
from .._api.partial_records import campaign_of
from .._bulk.fan_out import Concurrency, OnProgress
from .._extras import needs_extra
from .._text.files import whole_file
from ..client import DiallerClient
from ..errors import ConfigurationError, PayloadError
from ..models import Language, Records, ResultCode, with_wire
from .campaign import ExportedCampaign, Writer
from .csv_file import CsvFile, ExcelCsvFile
from .json_file import JsonFile


@attrs.frozen(kw_only=True)
class Exported:
    """The result of an export.

    Attributes:
        campaigns: the number of campaigns in the file, including invalid ones.
        codes: the number of records of result codes in all languages.
        lookups: the number of requested lists of result codes.
        failed: the number of lookups that failed or whose response was incomplete.
        errors: the first error of each class among the failed lookups.
        invalid: an error for each invalid campaign. Its result codes are not requested.
    """

    campaigns: int
    codes: int
    lookups: int
    failed: int
    errors: tuple[Exception, ...]
    invalid: tuple[PayloadError, ...] = ()


async def export(
    dialler: DiallerClient,
    path: Path,
    *,
    languages: Iterable[Language] = Language,
    concurrency: Concurrency = "auto",
    excel: bool = False,
    on_progress: OnProgress | None = None,
) -> Exported:
    """Write the campaigns and result codes of the account to a file, and return an `Exported`.

    An existing file is replaced when the export is complete. If the export fails, the file is not changed.

    Args:
        dialler: the client of the account.
        path: the file. Its suffix selects the format: `.json`, `.csv` or `.parquet`.
        languages: the languages of the result codes.
        concurrency: how many lookups run at once; see `ResultCodes.for_campaigns`.
        excel: whether to write CSV in UTF-16 with tabs, so that Excel shows columns and umlauts.
        on_progress: a function that is called with (done, failed, total) after each lookup.
    Raises:
        ConfigurationError: the format is unknown, there is no language, an extra is missing, or `excel` is used for
            another format than CSV.
        DiallerError: the list of campaigns can't be fetched completely, or the token or the base URL is wrong. Other
            failed lookups and invalid campaigns don't raise, but are reported in the file and in the result.
        OSError: the file can't be written.
    """
    requested = checked_languages(languages)
    open_writer = writer_for(path, excel=excel)
    stats = _Stats()
    # Opened before the first request, so that no request is sent if the file can't be written.
    with whole_file(path) as file, closing(open_writer(file, datetime.now(UTC), requested)) as writer:
        await _fetch(dialler, writer, requested, concurrency, on_progress, stats)
        await asyncio.to_thread(writer.finish, stats.failed)
    return stats.result()


def writer_for(path: Path, *, excel: bool = False) -> Callable[[BinaryIO, datetime, tuple[Language, ...]], Writer]:
    """Return the writer class for a file name.

    Raises:
        ConfigurationError: the format is unknown, its extra is missing, or `excel` is used for another format than CSV.
    """
    suffix = path.suffix.lower()
    if excel and suffix != ".csv":
        raise ConfigurationError(f"excel needs a CSV file, but {path.name} does not end in .csv")
    match suffix:
        case ".json":
            return JsonFile
        case ".csv":
            return ExcelCsvFile if excel else CsvFile
        case ".parquet":
            try:
                # Imported here, because it needs an extra.
                from .parquet_file import ParquetFile
            except ModuleNotFoundError as error:
                if error.name != "polars":
                    raise
                raise ConfigurationError(needs_extra("a Parquet file", "data")) from None
            return ParquetFile
        case _:
            raise ConfigurationError(f"the format of {path.name} is unknown: use the suffix .json, .csv or .parquet")


@attrs.define
class _Stats:
    campaigns: int = 0
    codes: int = 0
    lookups: int = 0
    failed: int = 0
    errors: dict[type[Exception], Exception] = attrs.field(factory=dict)
    invalid: tuple[PayloadError, ...] = ()

    def add_failure(self, error: Exception) -> None:
        self.failed += 1
        self.errors.setdefault(type(error), error)

    def result(self) -> Exported:
        return Exported(
            campaigns=self.campaigns,
            codes=self.codes,
            lookups=self.lookups,
            failed=self.failed,
            errors=tuple(self.errors.values()),
            invalid=self.invalid,
        )


async def _fetch(
    dialler: DiallerClient,
    writer: Writer,
    languages: tuple[Language, ...],
    concurrency: Concurrency,
    on_progress: OnProgress | None,
    stats: _Stats,
) -> None:
    listed = await dialler.campaigns.list_partial()
    campaigns, invalid = listed.records, listed.invalid
    sent = len(campaigns) + listed.invalid_count
    if listed.invalid_count > len(invalid):
        first = invalid[0].error
        reason = f"{listed.invalid_count} of {sent} campaigns are invalid, too many to export. The first: {first}"
        raise PayloadError(reason, path=first.path)
    if listed.total > sent:
        raise PayloadError(f"the server counts {listed.total} campaigns, but sent {sent}", path="count")
    outcomes = dialler.result_codes.for_campaigns(
        campaigns, languages=languages, concurrency=concurrency, in_order=True, on_progress=on_progress
    )
    codes: dict[Language, tuple[ResultCode, ...]] = {}
    errors: dict[Language, str] = {}
    position = 0
    async with aclosing(outcomes):
        async for outcome in outcomes:
            language, error = outcome.item.language, outcome.error
            if outcome.value is not None:
                codes[language] = tuple(outcome.value)
                stats.codes += len(outcome.value)
                error = None if outcome.value.complete else _incomplete(outcome.value)
            if error is not None:
                errors[language] = str(error) or type(error).__name__
                stats.add_failure(error)
            stats.lookups += 1
            if language == languages[-1]:
                writer.add(ExportedCampaign(campaigns[position], codes, errors))
                position += 1
                codes, errors = {}, {}
    for record in invalid:
        campaign = with_wire(campaign_of(record), dict(record.record))
        writer.add(ExportedCampaign(campaign, {}, dict.fromkeys(languages, str(record.error))))
    stats.campaigns = sent
    stats.invalid = tuple(record.error for record in invalid)


def _incomplete(codes: Records[ResultCode]) -> PayloadError:
    return PayloadError(f"the server counts {codes.total} result codes, but sent {len(codes)}")
