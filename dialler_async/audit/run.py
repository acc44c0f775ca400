"""The run: fetch all campaigns and their result codes, have each judged once its codes are here, let go of them.

The only module of the audit that does I/O or reads a clock.
"""

from collections.abc import Callable, Iterable
from contextlib import aclosing
from datetime import UTC, datetime
from time import perf_counter
from typing import cast

from dialler_async.client import DiallerClient
from dialler_async.errors import ConfigurationError
from dialler_async.fanout import Concurrency
from dialler_async.models import Campaign, Language

from .judge import Answer, Judge
from .report import AuditReport
from .rule import Rule
from .rules import RULES


async def audit(
    dialler: DiallerClient,
    *,
    languages: Iterable[Language] = Language,
    rules: Iterable[Rule] = RULES,
    concurrency: Concurrency = "auto",
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
        concurrency: how many lookups run at once; by default found on the way. See `ResultCodes.for_campaigns`.
        on_progress: called with (done, failed, total) lookups as they finish.
        now: what dates are compared with; a naive one is local time. By default, the moment of the call.

    Raises:
        ConfigurationError: no language is given, or `concurrency` can't work.
        DiallerError: the list of campaigns could not be fetched. A failing lookup does not raise: it is a finding.

    Source: API reference, "The seven calls" and "Typical size" (the N+1 of an account).
    """
    clock = perf_counter()
    started = datetime.now(UTC).astimezone()
    now = now or started
    asked = tuple(dict.fromkeys(Language(language) for language in languages))
    if not asked:
        raise ConfigurationError("an audit needs at least one language")
    judge = Judge(rules, asked, now if now.utcoffset() is not None else now.astimezone())

    waiting = await _campaigns_by_id(dialler, judge)
    arrived: dict[int, dict[Language, Answer]] = {}
    outcomes = dialler.result_codes.for_campaigns(
        list(waiting), languages=asked, concurrency=concurrency, on_progress=on_progress
    )
    async with aclosing(outcomes):
        async for outcome in outcomes:
            campaign_id = cast(int, outcome.campaign_id)  # only IDs were given
            answers = arrived.setdefault(campaign_id, {})
            answers[outcome.language] = cast(Answer, outcome.value if outcome.error is None else outcome.error)
            if len(answers) == len(asked):
                judge.campaigns(waiting.pop(campaign_id), arrived.pop(campaign_id))
    for campaign_id, campaigns in waiting.items():
        judge.campaigns(campaigns, arrived.get(campaign_id, {}))
    return judge.report(seconds=perf_counter() - clock, started=started)


async def _campaigns_by_id(dialler: DiallerClient, judge: Judge) -> dict[int, list[Campaign]]:
    """The campaigns to look up, by ID; those without one that could be asked for are judged at once."""
    by_id: dict[int, list[Campaign]] = {}
    campaigns = await dialler.campaigns.list()
    judge.campaign_list(campaigns)
    for campaign in campaigns:
        if campaign.id is None or campaign.id < 1:
            judge.without_id(campaign)
        else:
            by_id.setdefault(campaign.id, []).append(campaign)
    return by_id
