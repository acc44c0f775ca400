"""`dialler audit`."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter, validators

from dialler_async import PoolConfig
from dialler_async.audit import Severity
from dialler_async.audit import audit as run_audit

from .connection import FROM_ENVIRONMENT, Connection
from .exits import Exit, UsageError
from .languages import LANGUAGES, LanguageName
from .options import Flag
from .progress import progress_bar
from .report import Destination, Format

_USUAL_CONCURRENCY = PoolConfig().limit


async def audit(
    *,
    concurrency: Annotated[int, Parameter(validator=validators.Number(gte=1))] = _USUAL_CONCURRENCY,
    fail_on: Literal["error", "warning", "info", "never"] = "never",
    language: Annotated[tuple[LanguageName, ...], Parameter(negative=(), show_default=", ".join)] = ("en", "de"),
    format: Format = "table",
    json: Flag = False,
    output: Path | None = None,
    html: Path | None = None,
    connection: Connection = FROM_ENVIRONMENT,
) -> Exit:
    """Check every campaign of the account and all its result codes, and show what is wrong with them.

    Parameters
    ----------
    concurrency
        How many requests run at once, and how many connections are open for them.
    fail_on
        Exit with 1 if there are findings as bad as that, or worse.
    language
        A language to fetch and compare result codes in. Repeat it for several.
    format
        How the report is written. JSON has counts, findings and rules; jsonl and csv have a finding a line.
    json
        The same as --format json.
    output
        File to write the report to, in place of the terminal.
    html
        File to write an HTML report to, besides: overviews and findings in one page that needs nothing else.
    """
    if json and format not in ("table", "json"):
        raise UsageError(f"--json and --format {format} contradict each other")
    destination = Destination(format="json" if json else format, output=output, html=html)
    destination.check()
    async with connection.open(PoolConfig(limit=concurrency)) as dialler:
        with progress_bar("Fetching result codes") as on_progress:
            report = await run_audit(
                dialler,
                languages=[LANGUAGES[name] for name in language],
                on_progress=on_progress,
            )
    destination.put(report)
    failed = fail_on != "never" and report.at_least(Severity(fail_on))
    return Exit.FINDINGS if failed else Exit.DONE
