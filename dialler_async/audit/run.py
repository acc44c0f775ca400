"""The run: fetch all campaigns and their result codes, have each judged once its codes are here, let go of them.

The only module of the audit that does I/O or reads a clock.
"""

from collections.abc import Callable, Iterable
from contextlib import aclosing
from datetime import UTC, datetime
from time import perf_counter
from typing import cast

from dialler_async.client import DiallerClient
from dialler_async.errors import AuthenticationError, ConfigurationError, EndpointNotFoundError, require
from dialler_async.fanout import Concurrency
from dialler_async.models import Campaign, Language

from .judge import Answer, Judge
from .report import AuditReport
from .rules import RULES, AnyRule, differs_from_template


async def audit(
    dialler: DiallerClient,
    *,
    languages: Iterable[Language] = Language,
    rules: Iterable[AnyRule] = RULES,
    template: str | None = None,
    concurrency: Concurrency | None = "auto",
    on_progress: Callable[[int, int, int | None], None] | None = None,
    now: datetime | None = None,
) -> AuditReport:
    """Check every campaign of the account against the rules.

    Nothing is skipped in silence: what could not be fetched is a finding (`unreachable-codes`, `incomplete-list`),
    whichever rules are asked for.

    Args:
        dialler: the account.
        languages: the languages in which result codes are fetched and compared.
        rules: what to judge by, in the order in which a campaign's findings are reported.
        template: exact name of the campaign that the others are compared with (`differs-from-template`).
        concurrency: how many lookups run at once; by default found on the way. See `ResultCodes.for_campaigns`.
        on_progress: called with (done, failed, total) lookups as they finish.
        now: what dates are compared with; a naive one is local time. By default, the moment of the call.

    Raises:
        ConfigurationError: no language is given, `concurrency` can't work, or not exactly one campaign has the name
            of the template.
        DiallerError: the list of campaigns, or the template's codes could not be fetched. A failing lookup does not
            raise: it is a finding. One that fails as all others would (401, 404 without a body) ends the run early,
            which is a finding too; what was not looked up is told campaign by campaign.

    Source: API reference, "The seven calls" and "Typical size" (the N+1 of an account).
    """
    clock = perf_counter()
    started = datetime.now(UTC).astimezone()
    now = now or started
    asked = tuple(dict.fromkeys(Language(language) for language in languages))
    if not asked:
        raise ConfigurationError("an audit needs at least one language")
    judge = Judge(
        [rule for rule in rules if template is not None or rule.about.id != differs_from_template.about.id],
        asked,
        now if now.utcoffset() is not None else now.astimezone(),
    )
    campaigns = await dialler.campaigns.list_readable()
    judge.campaign_list(campaigns)
    pattern = None if template is None else _only(template, campaigns.records)
    fetched: dict[Language, Answer] = {}
    if pattern is not None:
        fetched = {language: await dialler.result_codes.list(pattern, language=language) for language in asked}
        judge.template(pattern, fetched)
    waiting = _by_id(campaigns.records, judge)
    if pattern is not None:
        judge.campaigns(waiting.pop(cast(int, pattern.id)), fetched)
    arrived: dict[int, dict[Language, Answer]] = {}
    outcomes = dialler.result_codes.for_campaigns(
        list(waiting), languages=asked, concurrency=concurrency, on_progress=on_progress
    )
    async with aclosing(outcomes):
        try:
            async for outcome in outcomes:
                campaign_id = cast(int, outcome.campaign_id)  # only IDs were given
                answers = arrived.setdefault(campaign_id, {})
                answers[outcome.language] = cast(Answer, outcome.value if outcome.error is None else outcome.error)
                if len(answers) == len(asked):
                    judge.campaigns(waiting.pop(campaign_id), arrived.pop(campaign_id))
        except (AuthenticationError, EndpointNotFoundError) as error:
            judge.stopped(error, len(waiting) * len(asked) - sum(map(len, arrived.values())))
    for campaign_id, same_id in waiting.items():
        judge.campaigns(same_id, arrived.get(campaign_id, {}))
    return judge.report(seconds=perf_counter() - clock, started=started)


def _by_id(campaigns: Iterable[Campaign], judge: Judge) -> dict[int, list[Campaign]]:
    """The campaigns to look up, by ID; those without one that could be asked for are judged at once."""
    by_id: dict[int, list[Campaign]] = {}
    for campaign in campaigns:
        if campaign.id is None or campaign.id < 1:
            judge.without_id(campaign)
        else:
            by_id.setdefault(campaign.id, []).append(campaign)
    return by_id


def _only(name: str, campaigns: Iterable[Campaign]) -> Campaign:
    """The one campaign with exactly this name, and an ID to look up its codes by."""
    same = [campaign for campaign in campaigns if campaign.name == name]
    require(len(same) == 1, f"{len(same) or 'no'} campaigns have exactly the name of the template, “{name}”")
    require((same[0].id or 0) > 0, f"the template “{name}” came without a usable ID, so its codes can't be looked up")
    return same[0]
