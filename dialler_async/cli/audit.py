"""`dialler audit`."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import attrs
from cyclopts import App, Group, Parameter

from .. import ConfigurationError, DiallerError, PoolConfig, RetryPolicy
from ..audit import AccountIdentity, Baseline, Selection, compare
from ..audit import accept as accept_by_settings
from ..audit import audit as run_audit
from .acceptance import NO_ACCEPTANCE, AcceptanceOptions
from .connection import FROM_ENVIRONMENT, ConnectionOptions
from .exits import Exit, UsageError
from .languages import ALL_LANGUAGES, LanguageNames, languages_named
from .numbers import Id, Positive
from .options import Flag
from .progress import progress_bar
from .report import ON_THE_TERMINAL, Destination, FailOn, exit_code
from .retry_notice import RetryNotice
from .rules import ALL_RULES, RuleOptions, print_rules
from .store import open_store, store_report

_USUAL_CONCURRENCY = PoolConfig().limit
_SANDBOX = AccountIdentity("sandbox", 1)
"""The sandbox has another port in each run, but its reports are of one account."""


@Parameter(name="*", group=Group("Campaigns", sort_key=0))
@attrs.frozen(kw_only=True)
class SelectionOptions:
    """The options that choose campaigns.

    Attributes:
        name: Only campaigns whose name matches this pattern, such as 'VIP*'. Can be given several times.
        id: Only the campaign with this ID. Can be given several times.
        running: Only campaigns that are valid now.
        limit: Maximum number of campaigns. The campaigns with the lowest IDs are audited.
    """

    name: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = ()
    id: Annotated[tuple[Id, ...], Parameter(negative=(), show_default=False)] = ()
    running: Flag = False
    limit: Positive | None = None

    def selection(self) -> Selection:
        """Return the selection of these options."""
        return Selection(names=self.name, ids=self.id, running=self.running, limit=self.limit)


ALL_CAMPAIGNS = SelectionOptions()
"""No option given."""


app: App = App(name="audit", usage="Usage: dialler audit [COMMAND] [OPTIONS]")
app.command(f"{__package__}.explain:explain", name="explain", help="Explain one rule, with an example.")


@app.default
async def audit(
    *,
    concurrency: Positive = _USUAL_CONCURRENCY,
    fail_on: Annotated[FailOn | None, Parameter(show_default=lambda _: "never")] = None,
    baseline: Path | None = None,
    baseline_of_other_account: Flag = False,
    store: str | None = None,
    fail_on_new: Flag = False,
    language: LanguageNames = ALL_LANGUAGES,
    template: str | None = None,
    selection_options: SelectionOptions = ALL_CAMPAIGNS,
    destination: Destination = ON_THE_TERMINAL,
    rule_options: RuleOptions = ALL_RULES,
    acceptance: AcceptanceOptions = NO_ACCEPTANCE,
    connection: ConnectionOptions = FROM_ENVIRONMENT,
) -> Exit:
    """Check every campaign of the account and all its result codes, and show all problems.

    Args:
        concurrency: Maximum number of concurrent requests. The number adapts to the latency of the server.
        fail_on: Exit with 1 if there are findings of this severity or higher. Overrides fail-on in the settings.
        baseline: Compare with this earlier JSON report: show new and gone findings, and changed values.
        baseline_of_other_account: Compare even if the baseline is of another account or server.
        store: Keep the result in this file, or in the PostgreSQL of this URL, and compare with the last one there.
        fail_on_new: Exit with 1 only for new findings: of any severity, or of the severity of --fail-on or higher.
        language: Language to fetch and compare result codes in. Can be given several times.
        template: Exact name of the campaign to compare the others with. Overrides template in the settings.
    """
    loaded = rule_options.load()
    if rule_options.list_rules:
        print_rules(loaded.rules)
        return Exit.DONE
    if fail_on_new and baseline is None and store is None:
        raise UsageError("--fail-on-new needs a --baseline or a --store to compare with")
    if baseline is not None and store is not None:
        raise UsageError("--baseline and --store contradict each other: both say what to compare with")
    acceptance.check()
    before = None if baseline is None else _read(baseline)
    selection = selection_options.selection()
    level = fail_on or loaded.settings.fail_on or ("info" if fail_on_new else "never")
    opened = nullcontext() if store is None else open_store(store)
    is_demonstration = connection.sandbox and baseline is None and store is None
    with destination.open(baseline, is_demonstration=is_demonstration) as put:
        async with opened as results:
            async with connection.open(
                PoolConfig(limit=concurrency), retry=RetryPolicy.patient(), observer=RetryNotice()
            ) as dialler:
                identity = _SANDBOX if connection.sandbox else AccountIdentity.of(dialler.base_url)
                if before is not None:
                    _require_comparable(before, identity, selection, baseline_of_other_account)
                with progress_bar("Fetching result codes") as on_progress:
                    report = await run_audit(
                        dialler,
                        languages=languages_named(language),
                        rules=loaded.rules,
                        template=template or loaded.settings.template,
                        selection=selection,
                        on_progress=on_progress,
                    )
            report = attrs.evolve(
                report,
                identity=identity,
                name=loaded.settings.name,
                fails_on_new=fail_on_new,
                portal_url=loaded.settings.portal_url,
            )
            report = accept_by_settings(report, loaded.settings.accept)
            if before is not None:
                report = compare(report, before, other_account=baseline_of_other_account)
            if results is not None:
                try:
                    report = await store_report(results, report)
                except DiallerError:
                    # The audit took long, and its report is complete, though not compared.
                    put(report)
                    raise
        put(report)
    if acceptance.accept:
        acceptance.accept_findings(report, loaded.file, loaded.settings)
    return exit_code(report, level)


def _read(path: Path) -> Baseline:
    try:
        return Baseline.read(path.read_bytes())
    except OSError as error:
        raise UsageError(f"can't read {path}: {error.strerror}") from None
    except ConfigurationError as error:
        raise UsageError(f"can't compare with {path}: {error}") from None


def _require_comparable(
    baseline: Baseline, identity: AccountIdentity, selection: Selection, other_account: bool
) -> None:
    try:
        baseline.require_comparable(identity, str(selection) or None, other_account=other_account)
    except ConfigurationError as error:
        hint = "" if other_account else " (--baseline-of-other-account compares with another account)"
        raise UsageError(f"can't compare with the baseline: {error}{hint}") from None
