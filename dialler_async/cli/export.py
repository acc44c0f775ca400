"""`dialler export`: write an account to a file."""

from pathlib import Path

from .. import DiallerError, NoReplyError, RetryPolicy
from ..export import export as run_export
from .connection import FROM_ENVIRONMENT, ConnectionOptions
from .exits import Exit, OutputError, print_error
from .languages import ALL_LANGUAGES, LanguageNames, languages_named
from .options import Flag
from .output import counted, print_line
from .progress import progress_bar
from .report import check_place
from .retry_notice import RetryNotice


async def export(
    *,
    output: Path,
    language: LanguageNames = ALL_LANGUAGES,
    excel: Flag = False,
    connection: ConnectionOptions = FROM_ENVIRONMENT,
) -> Exit:
    """Write all campaigns and their result codes to a file, for notebooks and spreadsheets.

    If the result codes of a campaign can't be fetched, the file contains the error.
    The exit code is then 3, or 4 if the server sent no response to any failed
    request.

    Args:
        output: File to write. The suffix .json keeps everything; .csv and .parquet have a row per result code.
        language: Language of the result codes. Can be given several times.
        excel: Write CSV in UTF-16 with tabs, so that Excel shows columns and umlauts.
    """
    check_place(output)
    try:
        async with connection.open(retry=RetryPolicy.patient(), observer=RetryNotice()) as dialler:
            with progress_bar("Fetching result codes") as on_progress:
                exported = await run_export(
                    dialler, output, languages=languages_named(language), excel=excel, on_progress=on_progress
                )
    except DiallerError:
        raise  # some DiallerErrors are also OSErrors
    except OSError as error:
        raise OutputError(f"can't write {output}: {error.strerror or error}") from None
    print_line(f"{counted(exported.campaigns, 'campaign')}, {counted(exported.codes, 'record')} of result codes")
    if exported.invalid:
        campaigns = counted(len(exported.invalid), "campaign")
        # If a key changed its type, every campaign is invalid. The file contains all errors.
        first = "; ".join(map(str, exported.invalid[:3])) + ("; …" if len(exported.invalid) > 3 else "")
        print_error(f"{campaigns} exported without result codes, because the record is invalid: {first}")
    if exported.failed:
        print_error(
            f"{counted(exported.failed, 'lookup')} of result codes failed: {'; '.join(map(str, exported.errors))}"
        )
    errors = (*exported.invalid, *exported.errors)
    if not errors:
        return Exit.DONE
    return Exit.NO_REPLY if all(isinstance(error, NoReplyError) for error in errors) else Exit.REFUSED
