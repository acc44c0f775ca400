"""The export: fetch the campaigns and their result codes, and write each campaign as soon as its codes are fetched.

Only the list of campaigns is in memory as a whole. Codes go to the file in the order of the campaigns.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import aclosing, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import attrs

from dialler_async._api.decoding import InvalidRecord
from dialler_async._api.endpoints import checked_languages
from dialler_async._bulk.fan_out import Concurrency, OnProgress
from dialler_async._text.files import whole_file
from dialler_async.client import DiallerClient
from dialler_async.errors import ConfigurationError, PayloadError
from dialler_async.models import Campaign, Language, Records, ResultCode

from .campaign import ExportedCampaign, Writer
from .csv_file import CsvFile, ExcelCsvFile
from .json_file import JsonFile


@attrs.frozen(kw_only=True)
class Exported:
    """The result of an export.

    Attributes:
        campaigns: number of campaigns in the file, invalid ones included.
        codes: number of records of result codes in all languages.
        lookups: number of lists of result codes that were requested.
        failed: number of these lookups that failed, or whose reply was incomplete.
        errors: the first error of each class among these.
        invalid: an error for each campaign that is not as documented; its codes were not requested.
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
    """Write the campaigns and result codes of the account to a file; the suffix of its name decides the format.

    The file is complete, or it stays as it was before.

    Args:
        dialler: the account.
        path: the file; `.json`, `.csv` or `.parquet`.
        languages: the languages in which result codes are fetched.
        concurrency: how many lookups run at once; see `ResultCodes.for_campaigns`.
        excel: whether a CSV file has tabs and UTF-16, so that Excel opens it in columns and with umlauts.
        on_progress: called with (done, failed, total) after each lookup.

    Raises:
        ConfigurationError: the format is unknown, there is no language, an extra is missing, or `excel` is given for
            another format than CSV.
        DiallerError: the list of campaigns could not be fetched as a whole, or the token or the base URL is wrong.
            Another failed lookup does not raise, nor does a campaign that is not as documented: the file and
            `Exported` have the error.
        OSError: the file can't be written.
    """
    asked = checked_languages(languages)
    open_writer = writer_for(path, excel=excel)
    stats = _Stats()
    # Opened before the first request, because it may fail.
    with whole_file(path) as file, closing(open_writer(file, datetime.now(UTC), asked)) as writer:
        await _fetch(dialler, writer, asked, concurrency, on_progress, stats)
        await asyncio.to_thread(writer.finish, stats.failed)
    return stats.exported()


def writer_for(path: Path, *, excel: bool = False) -> Callable[[BinaryIO, datetime, tuple[Language, ...]], Writer]:
    """Return the class that writes files of this name.

    Raises:
        ConfigurationError: the format is unknown, its extra is missing, or it is not for Excel.
    """
    suffix = path.suffix.lower()
    if excel and suffix != ".csv":
        raise ConfigurationError(f"only a CSV file can be made for Excel, and {path.name} does not end in .csv")
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
                raise ConfigurationError("parquet needs an extra: pip install 'dialler-async[data]'") from None
            return ParquetFile
        case _:
            raise ConfigurationError(f"{path.name} has none of the suffixes .json, .csv and .parquet")


@attrs.define
class _Stats:
    campaigns: int = 0
    codes: int = 0
    lookups: int = 0
    failed: int = 0
    errors: dict[type[Exception], Exception] = attrs.field(factory=dict)
    invalid: tuple[PayloadError, ...] = ()

    def failure(self, error: Exception) -> None:
        self.failed += 1
        self.errors.setdefault(type(error), error)

    def exported(self) -> Exported:
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
    sent = len(campaigns) + len(invalid)
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
                stats.failure(error)
            stats.lookups += 1
            if language == languages[-1]:
                writer.add(ExportedCampaign(campaigns[position], codes, errors))
                position += 1
                codes, errors = {}, {}
    for one in invalid:
        writer.add(ExportedCampaign(_campaign_of(one), {}, dict.fromkeys(languages, str(one.error))))
    stats.campaigns = sent
    stats.invalid = tuple(one.error for one in invalid)


def _campaign_of(invalid: InvalidRecord) -> Campaign:
    """Return ID, name and record of a campaign that is not as documented."""
    name = invalid.record.get("Name")
    return Campaign(id=invalid.error.record_id, name=name if isinstance(name, str) else "", wire=dict(invalid.record))


def _incomplete(codes: Records[ResultCode]) -> PayloadError:
    return PayloadError(f"the server counts {codes.total} result codes, but sent {len(codes)}")
