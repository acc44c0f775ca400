"""Run an audit: fetch the campaigns, and check each campaign as soon as its result codes are fetched.

No other module of the audit does I/O or reads a clock, except `settings`, which loads the user's rules.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from time import perf_counter
from typing import cast

from .._bulk.fan_out import Concurrency, OnProgress
from ..client import DiallerClient
from ..errors import AuthenticationError, EndpointNotFoundError, TokenSourceError, require
from ..models import Campaign, Language
from .identity import AccountIdentity
from .options import AuditOptions
from .report import AuditReport
from .rule_runner import LookupResult, RuleRunner
from .rules import RULES, AnyRule
from .selection import Selection


async def audit(
    dialler: DiallerClient,
    *,
    languages: Iterable[Language] = Language,
    rules: Iterable[AnyRule] | None = None,
    template: str | Mapping[str, str] | None = None,
    selection: Selection | None = None,
    concurrency: Concurrency | None = "auto",
    on_progress: OnProgress | None = None,
    now: datetime | None = None,
) -> AuditReport:
    """Check every campaign of the account against the rules, and return the report.

    Nothing is skipped silently. Data that could not be fetched is a finding (`unreachable-codes`, `incomplete-list`),
    even if these rules are not given.

    Args:
        dialler: the account.
        languages: the languages in which result codes are fetched and compared.
        rules: the rules to apply, in the order in which a campaign's findings are reported; None for all `RULES`.
        template: exact name of the campaign that the others are compared with (`differs-from-template`). Or a
            mapping of patterns to such names, such as `{"Winback*": "Winback Master"}`. The first pattern that matches
            a campaign's name is used. A campaign is not compared if no pattern matches.
        selection: which campaigns to audit; all by default.
        concurrency: number of concurrent lookups; adapts to the latency by default. See `ResultCodes.for_campaigns`.
        on_progress: called with (done, failed, total) lookups as they finish.
        now: the time that dates are compared with; a naive one is local time. By default, the time of the call.
    Raises:
        ConfigurationError: no language is given, `concurrency` is invalid, no campaign or several have the name of a
            template, or the selection names a campaign that does not exist.
        DiallerError: the list of campaigns, or the codes of a template, could not be fetched. A failed lookup is a
            finding and does not raise. An error that would hit every lookup (401, 404 without a body) ends the run
            early. Then the report has a finding about the run, and a finding for each campaign that was not checked.

    Source: API reference, "The seven calls" and "Typical size" (the N+1 of an account).
    """
    clock = perf_counter()
    started = datetime.now(UTC).astimezone()
    options = AuditOptions.of(RULES if rules is None else rules, languages, now or started, template=bool(template))
    runner = RuleRunner(options, selection)
    campaigns = await dialler.campaigns.list_partial()
    runner.check_list(campaigns)
    patterns = template if isinstance(template, Mapping) else {"*": template} if template else {}
    templates = {name: _only(name, campaigns.records) for name in patterns.values()}
    fetched: dict[int, dict[Language, LookupResult]] = {}
    for pattern, name in patterns.items():
        campaign = templates[name]
        results = fetched.setdefault(cast(int, campaign.id), {})
        for language in options.languages if not results else ():
            results[language] = await dialler.result_codes.list(campaign, language=language)
        runner.add_template(pattern, campaign, results)
    waiting = _by_id(runner.chosen, runner)
    for id, results in fetched.items():
        runner.check_campaigns(waiting.pop(id, ()), results)
    await _examine(dialler, waiting, runner, options.languages, concurrency, on_progress)
    identity = AccountIdentity.of(dialler.base_url)
    return runner.report(seconds=perf_counter() - clock, started=started, identity=identity)


async def _examine(
    dialler: DiallerClient,
    waiting: Mapping[int, Sequence[Campaign]],
    runner: RuleRunner,
    languages: tuple[Language, ...],
    concurrency: Concurrency | None,
    on_progress: OnProgress | None,
) -> None:
    """Look up campaigns by their IDs, and check each when all its lookups have finished."""
    waiting = dict(waiting)
    results: dict[int, dict[Language, LookupResult]] = {}
    outcomes = dialler.result_codes.for_campaigns(
        list(waiting), languages=languages, concurrency=concurrency, on_progress=on_progress
    )
    async with aclosing(outcomes):
        try:
            async for outcome in outcomes:
                campaign_id = cast(int, outcome.item.campaign_id)  # only IDs were given
                found = results.setdefault(campaign_id, {})
                found[outcome.item.language] = outcome.value if outcome.error is None else outcome.error
                if len(found) == len(languages):
                    runner.check_campaigns(waiting.pop(campaign_id), results.pop(campaign_id))
        except (AuthenticationError, EndpointNotFoundError, TokenSourceError) as error:
            runner.record_stop(error, len(waiting) * len(languages) - sum(map(len, results.values())))
    for campaign_id, same_id in waiting.items():
        runner.check_campaigns(same_id, results.get(campaign_id, {}))


def _by_id(campaigns: Iterable[Campaign], runner: RuleRunner) -> dict[int, Sequence[Campaign]]:
    """Return the campaigns to look up, by ID. Campaigns without a usable ID are checked immediately."""
    by_id: dict[int, list[Campaign]] = {}
    for campaign in campaigns:
        if campaign.id is None or campaign.id < 1:
            runner.check_without_id(campaign)
        else:
            by_id.setdefault(campaign.id, []).append(campaign)
    return {**by_id}


def _only(name: str, campaigns: Iterable[Campaign]) -> Campaign:
    """Return the one campaign with exactly this name, and with an ID to look up its codes by."""
    same = [campaign for campaign in campaigns if campaign.name == name]
    require(len(same) == 1, f"{len(same) or 'no'} campaigns have exactly the name of the template, “{name}”")
    require((same[0].id or 0) > 0, f"the template “{name}” came without a usable ID, so its codes can't be looked up")
    return same[0]


def not_audited(
    error: str,
    *,
    rules: Iterable[AnyRule],
    languages: Iterable[Language],
    now: datetime,
    started: datetime,
    seconds: float = 0.0,
) -> AuditReport:
    """Return the report of an account that could not be audited: its one finding is `not-audited`.

    Args:
        error: the reason, in words, without any secret.
        rules: the rules that would have been applied.
        languages: the languages in which result codes would have been requested.
        now: the time that dates would have been compared with.
        started: when the audit began, with zone.
        seconds: how long it took.
    Raises:
        ConfigurationError: no language is given.
    """
    runner = RuleRunner(AuditOptions.of(rules, languages, now))
    runner.record_no_list(error)
    return runner.report(seconds=seconds, started=started)
