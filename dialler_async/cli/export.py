"""`dialler export`."""

from pathlib import Path

from dialler_async import DiallerError, NoReplyError, RetryPolicy
from dialler_async.export import export as run_export

from .connection import FROM_ENVIRONMENT, Connection
from .exits import Exit, OutputError, print_error
from .languages import ALL_LANGUAGES, LanguageNames, languages_named
from .options import Flag
from .output import counted, print_line
from .patience import notice_of_retries
from .progress import progress_bar
from .report import check_place


async def export(
    *,
    output: Path,
    language: LanguageNames = ALL_LANGUAGES,
    excel: Flag = False,
    connection: Connection = FROM_ENVIRONMENT,
) -> Exit:
    """Write all campaigns and their result codes to a file, for notebooks and spreadsheets.

    If a campaign can't be fetched or read, the file has the error in its place.
    The command then exits with 3, or with 4 if no reply came for any of them.

    Args:
        output: File to write; .json is lossless, .csv and .parquet have a row for each result code and language.
        language: A language to fetch result codes in. Repeat it for several.
        excel: Write a CSV file that Excel opens in columns and with umlauts: with tabs, in UTF-16.
    """
    check_place(output)
    try:
        async with connection.open(retry=RetryPolicy.patient()) as dialler:
            with notice_of_retries(), progress_bar("Fetching result codes") as on_progress:
                exported = await run_export(
                    dialler, output, languages=languages_named(language), excel=excel, on_progress=on_progress
                )
    except DiallerError:
        raise  # some are an OSError as well
    except OSError as error:
        raise OutputError(f"can't write {output}: {error.strerror or error}") from None
    print_line(f"{counted(exported.campaigns, 'campaign')}, {counted(exported.codes, 'record')} of result codes")
    if exported.invalid:
        campaigns = counted(len(exported.invalid), "campaign")
        # If a key has changed its type, every campaign is invalid; the file has all the errors.
        first = "; ".join(map(str, exported.invalid[:3])) + ("; …" if len(exported.invalid) > 3 else "")
        print_error(f"{campaigns} without result codes, because the record is not as documented: {first}")
    if exported.failed:
        print_error(
            f"{counted(exported.failed, 'lookup')} of result codes failed: {'; '.join(map(str, exported.errors))}"
        )
    errors = (*exported.invalid, *exported.errors)
    if not errors:
        return Exit.DONE
    return Exit.NO_REPLY if all(isinstance(error, NoReplyError) for error in errors) else Exit.REFUSED
