"""The export: fetch the campaigns, then their result codes, and write each campaign once its codes are here.

Only the list of campaigns is held as a whole; codes go to the file in the order of the campaigns, and are let go of.
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
from .csv_file import CsvFile
from .json_file import JsonFile


@attrs.frozen(kw_only=True)
class Exported:
    """What an export came to.

    Attributes:
        campaigns: how many campaigns are in the file, invalid ones included.
        codes: how many records of result codes, over all languages.
        lookups: how many lists of result codes were asked for.
        failed: how many of these did not come, or not whole.
        errors: what went wrong with these: the first error of each kind.
        invalid: what is not as documented, for each campaign whose codes were therefore not asked for.
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
    on_progress: OnProgress | None = None,
) -> Exported:
    """Write the campaigns and result codes of the account to a file; the end of its name says how.

    The file is there as a whole, or not at all.

    Args:
        dialler: the account.
        path: where to; `.json`, `.csv` or `.parquet`.
        languages: the languages in which result codes are fetched.
        concurrency: how many lookups run at once; see `ResultCodes.for_campaigns`.
        on_progress: called with (done, failed, total) lookups as they finish.

    Raises:
        ConfigurationError: no such format, no language, or the extra that the format needs is missing.
        DiallerError: the list of campaigns could not be fetched, or not whole, or the token or the base URL is wrong.
            Any other failing lookup does not raise, nor does a campaign that is not as documented: the file and
            `Exported` tell of it.
        OSError: the file can't be written.
    """
    asked = checked_languages(languages)
    open_writer = writer_for(path)
    told = _Told()
    # Opened before anything is fetched, as it may fail.
    with whole_file(path) as file, closing(open_writer(file, datetime.now(UTC), asked)) as writer:
        await _fetch(dialler, writer, asked, concurrency, on_progress, told)
        await asyncio.to_thread(writer.finish, told.failed)
    return told.exported()


def writer_for(path: Path) -> Callable[[BinaryIO, datetime, tuple[Language, ...]], Writer]:
    """What writes files of such a name.

    Raises:
        ConfigurationError: nothing does, or not without an extra.
    """
    match path.suffix.lower():
        case ".json":
            return JsonFile
        case ".csv":
            return CsvFile
        case ".parquet":
            try:
                # Only here, as it needs an extra.
                from .parquet_file import ParquetFile
            except ModuleNotFoundError as error:
                if error.name != "polars":
                    raise
                raise ConfigurationError("parquet needs an extra: pip install 'dialler-async[data]'") from None
            return ParquetFile
        case _:
            raise ConfigurationError(f"{path.name} is no name of an export: it ends in .json, .csv or .parquet")


@attrs.define
class _Told:
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
    told: _Told,
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
                told.codes += len(outcome.value)
                error = None if outcome.value.complete else _shortened(outcome.value)
            if error is not None:
                errors[language] = str(error) or type(error).__name__
                told.failure(error)
            told.lookups += 1
            if language == languages[-1]:
                writer.add(ExportedCampaign(campaigns[position], codes, errors))
                position += 1
                codes, errors = {}, {}
    for one in invalid:
        writer.add(ExportedCampaign(_as_it_came(one), {}, dict.fromkeys(languages, str(one.error))))
    told.campaigns = sent
    told.invalid = tuple(one.error for one in invalid)


def _as_it_came(invalid: InvalidRecord) -> Campaign:
    """What is known of a campaign that is not as documented; its record is kept as the server sent it."""
    name = invalid.record.get("Name")
    return Campaign(id=invalid.error.record_id, name=name if isinstance(name, str) else "", wire=dict(invalid.record))


def _shortened(codes: Records[ResultCode]) -> PayloadError:
    return PayloadError(f"the server counts {codes.total} result codes, but sent {len(codes)}")
