"""`dialler history`: runs and findings over time."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from .numbers import Positive
from .options import Flag
from .output import counted, print_line, print_table, text
from .store import Duration, duration, ended_runs_like, moment, open_store

if TYPE_CHECKING:
    from ..store import RunSummary

_BARS = "▁▂▃▄▅▆▇█"
_NUMBERS = ("ACCOUNTS", "FAILED", "ERRORS", "WARNINGS", "INFOS", "NEW")

app: App = App(name="history", help="Show runs and findings over time, from the store.")


@app.default
async def history(*, store: str | None = None, limit: Positive = 30) -> None:
    """Show the latest runs, the latest first.

    Args:
        store: File of the results, or URL of a PostgreSQL. Default: DIALLER_STORE, or audits.db.
        limit: Maximum number of runs.
    """
    await _print_runs(store, limit, None)


@app.command
async def trend(account: str | None = None, *, store: str | None = None, limit: Positive = 30) -> None:
    """Show how many findings there were in the latest runs, with a line chart.

    Args:
        account: Name of an account. Default: the numbers of all accounts of each run.
        store: File of the results, or URL of a PostgreSQL. Default: DIALLER_STORE, or audits.db.
        limit: Maximum number of runs.
    """
    runs = await _print_runs(store, limit, account)
    if alike := ended_runs_like(runs[0], runs) if runs else []:
        numbers = [run.errors + run.warnings + run.infos for run in reversed(alike)]
        line = "".join(_BARS[number * (len(_BARS) - 1) // max(1, *numbers)] for number in numbers)
        first, last = (
            f"{number:,} in run {run.id}" for number, run in ((numbers[0], alike[-1]), (numbers[-1], alike[0]))
        )
        print_line(f"findings: {line}  {first}, {last}")


@app.command
async def show(run: Positive, *, store: str | None = None) -> None:
    """Show the accounts of a run: whether each was audited, and its findings in numbers.

    Args:
        run: ID of the run.
        store: File of the results, or URL of a PostgreSQL. Default: DIALLER_STORE, or audits.db.
    """
    rows = []
    async with open_store(store, must_exist=True) as opened_store:
        await opened_store.runs.get(run)
        async for result in opened_store.results.read(run):
            numbers = [text(number) for number in result.report.by_severity().values()]
            rows.append([*numbers, text(result.name), text(result.state.value)])
    print_table(("ERRORS", "WARNINGS", "INFOS", "ACCOUNT", "STATE"), rows, right=("ERRORS", "WARNINGS", "INFOS"))


@app.command
async def findings(
    *,
    store: str | None = None,
    account: str | None = None,
    open: Annotated[Flag, Parameter(name="--open")] = False,
    older_than: Duration = 0.0,
) -> None:
    """Show findings of all runs, with the time for which each is open. The oldest comes first.

    Args:
        store: File of the results, or URL of a PostgreSQL. Default: DIALLER_STORE, or audits.db.
        account: Only accounts whose name matches this pattern, such as 'acme*'.
        open: Only findings that are not gone.
        older_than: Only findings that are, or were, open for longer, such as 30d.
    """
    async with open_store(store, must_exist=True) as opened_store:
        found = await opened_store.history.findings(account=account, only_open=open, older_than=older_than)
    rows = []
    for one in found:
        state = "gone" if one.gone_since is not None else "accepted" if one.is_accepted else "open"
        campaign = "" if one.campaign_name is None else f"{one.campaign_id or ''} {one.campaign_name}"
        cells = (duration(one.age), state, one.severity, one.rule, one.account, campaign, one.message)
        rows.append([text(cell) for cell in cells])
    print_table(("AGE", "STATE", "SEVERITY", "RULE", "ACCOUNT", "CAMPAIGN", "MESSAGE"), rows, right=("AGE",))


@app.command
async def prune(*, keep: Duration, store: str | None = None) -> None:
    """Delete old runs, and findings that are gone for long. Open findings stay.

    Args:
        keep: Age of the oldest runs to keep, such as 90d.
        store: File of the results, or URL of a PostgreSQL. Default: DIALLER_STORE, or audits.db.
    """
    async with open_store(store, must_exist=True) as opened_store:
        number = await opened_store.history.prune(keep)
    print_line(f"deleted {counted(number, 'run')}")


async def _print_runs(store: str | None, limit: int, account: str | None) -> "list[RunSummary]":
    async with open_store(store, must_exist=True) as opened_store:
        runs = await opened_store.history.runs(limit=limit, account=account)
    rows = []
    for run in runs:
        took = "" if run.ended is None else duration(run.ended - run.started)
        numbers = (run.accounts, run.failed, run.errors, run.warnings, run.infos, run.new)
        cells = (run.id, moment(run.started), run.state, took, *(f"{number:,}" for number in numbers), run.scope)
        rows.append([text(cell) for cell in cells])
    print_table(("RUN", "STARTED", "STATE", "TOOK", *_NUMBERS, "SCOPE"), rows, right=("RUN", "TOOK", *_NUMBERS))
    return runs
