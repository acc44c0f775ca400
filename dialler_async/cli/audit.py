"""`dialler audit`."""

from typing import Annotated, Literal

from cyclopts import Parameter, validators

from dialler_async import PoolConfig
from dialler_async.audit import Severity, report_as_json
from dialler_async.audit import audit as run_audit

from .connection import FROM_ENVIRONMENT, Connection
from .exits import Exit
from .findings import print_report
from .languages import LANGUAGES, LanguageName
from .options import Flag
from .output import Console, print_json
from .progress import progress_bar

_USUAL_CONCURRENCY = PoolConfig().limit


async def audit(
    *,
    concurrency: Annotated[int, Parameter(validator=validators.Number(gte=1))] = _USUAL_CONCURRENCY,
    fail_on: Literal["error", "warning", "info", "never"] = "never",
    language: Annotated[tuple[LanguageName, ...], Parameter(negative=(), show_default=", ".join)] = ("en", "de"),
    json: Flag = False,
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
    json
        Print the report as JSON: schema, counts, findings, rules.
    """
    async with connection.open(PoolConfig(limit=concurrency)) as dialler:
        with progress_bar("Fetching result codes") as on_progress:
            report = await run_audit(
                dialler,
                languages=[LANGUAGES[name] for name in language],
                on_progress=on_progress,
            )
    if json:
        print_json(report_as_json(report))
    else:
        print_report(report, Console())
    failed = fail_on != "never" and report.at_least(Severity(fail_on))
    return Exit.FINDINGS if failed else Exit.DONE
