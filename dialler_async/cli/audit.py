"""`dialler audit`."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from dialler_async import ConfigurationError, PoolConfig, RetryPolicy
from dialler_async.audit import Baseline, Severity, compare
from dialler_async.audit import audit as run_audit

from .connection import FROM_ENVIRONMENT, Connection
from .exits import Exit, UsageError
from .languages import ALL_LANGUAGES, LanguageNames, languages_named
from .numbers import Positive
from .options import Flag
from .patience import notice_of_retries
from .progress import progress_bar
from .report import ON_THE_TERMINAL, Destination
from .rules import ALL_RULES, RuleOptions, print_rules

_USUAL_CONCURRENCY = PoolConfig().limit


async def audit(
    *,
    concurrency: Positive = _USUAL_CONCURRENCY,
    fail_on: Annotated[
        Literal["error", "warning", "info", "never"] | None, Parameter(show_default=lambda _: "never")
    ] = None,
    baseline: Path | None = None,
    fail_on_new: Flag = False,
    language: LanguageNames = ALL_LANGUAGES,
    template: str | None = None,
    destination: Destination = ON_THE_TERMINAL,
    rule_options: RuleOptions = ALL_RULES,
    connection: Connection = FROM_ENVIRONMENT,
) -> Exit:
    """Check every campaign of the account and all its result codes, and show what is wrong with them.

    Parameters
    ----------
    concurrency
        How many requests run at once, at most, and so how many connections are open. How many do, is found on the way.
    fail_on
        Exit with 1 if there are findings as bad as that, or worse.
    baseline
        Report of before, written with --format json: tell what is new, what is gone, and which records changed since.
    fail_on_new
        Exit with 1 for new findings only: those as bad as --fail-on says, or any.
    language
        A language to fetch and compare result codes in. Repeat it for several.
    template
        Exact name of a campaign that the others are compared with.
    """
    rules = rule_options.chosen()
    if rule_options.list_rules:
        print_rules(rules)
        return Exit.DONE
    if fail_on_new and baseline is None:
        raise UsageError("--fail-on-new needs a --baseline to tell what is new")
    before = None if baseline is None else _read(baseline)
    destination.check()
    async with connection.open(PoolConfig(limit=concurrency), retry=RetryPolicy.patient()) as dialler:
        with notice_of_retries(), progress_bar("Fetching result codes") as on_progress:
            report = await run_audit(
                dialler,
                languages=languages_named(language),
                rules=rules,
                template=template,
                on_progress=on_progress,
            )
    if before is not None:
        report = compare(report, before)
    destination.put(report)
    if report.stopped:
        return Exit.REFUSED
    findings = report.comparison.new if fail_on_new and report.comparison else report.findings
    level = fail_on or ("info" if fail_on_new else "never")
    failed = level != "never" and any(finding.severity.at_least(Severity(level)) for finding in findings)
    return Exit.FINDINGS if failed else Exit.DONE


def _read(path: Path) -> Baseline:
    try:
        return Baseline.read(path.read_bytes())
    except OSError as error:
        raise UsageError(f"can't read {path}: {error.strerror}") from None
    except ConfigurationError as error:
        raise UsageError(f"can't compare with {path}: {error}") from None
