"""The run: fetch all campaigns and their result codes, have each judged once its codes are here, let go of them.

Whole by `audit`; or in parts, which may be made in several processes: `survey` lists the campaigns, and what it leaves
is done slice by slice with `audit_slice`. The only module of the audit that does I/O or reads a clock.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from time import perf_counter
from typing import cast

import attrs

from dialler_async._bulk.fan_out import Concurrency, OnProgress
from dialler_async.client import DiallerClient
from dialler_async.errors import AuthenticationError, EndpointNotFoundError, TokenSourceError, require
from dialler_async.models import Campaign, Language

from .options import AuditOptions
from .part import AuditPart
from .report import AuditReport
from .rule_runner import LookupResult, RuleRunner
from .rules import RULES, AnyRule


async def audit(
    dialler: DiallerClient,
    *,
    languages: Iterable[Language] = Language,
    rules: Iterable[AnyRule] = RULES,
    template: str | None = None,
    concurrency: Concurrency | None = "auto",
    on_progress: OnProgress | None = None,
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
    options = AuditOptions.of(rules, languages, now or started, template=template is not None)
    runner = RuleRunner(options)
    campaigns = await dialler.campaigns.list_partial()
    runner.check_list(campaigns)
    pattern = None if template is None else _only(template, campaigns.records)
    fetched: dict[Language, LookupResult] = {}
    if pattern is not None:
        for language in options.languages:
            fetched[language] = await dialler.result_codes.list(pattern, language=language)
        runner.set_template(pattern, fetched)
    waiting = _by_id(campaigns.records, runner)
    if pattern is not None:
        runner.check_campaigns(waiting.pop(cast(int, pattern.id)), fetched)
    await _examine(dialler, waiting, runner, options.languages, concurrency, on_progress)
    return runner.report(seconds=perf_counter() - clock, started=started)


@attrs.frozen(kw_only=True)
class Survey:
    """What an account's audit begins with.

    Attributes:
        part: what was found out so far: all of it, if nothing is left.
        left: the campaigns that are still to be looked up, in slices for `audit_slice`.
    """

    part: AuditPart
    left: tuple[tuple[Campaign, ...], ...]


async def survey(
    dialler: DiallerClient,
    *,
    rules: Iterable[AnyRule] = RULES,
    languages: Iterable[Language] = Language,
    now: datetime,
    chunk: int,
    concurrency: Concurrency | None = "auto",
    on_progress: OnProgress | None = None,
) -> Survey:
    """Begin the audit of an account that may be finished by others: list its campaigns, and judge the list.

    The parts of all slices, and this one, are put together with `merge`.

    Args:
        dialler: the account.
        rules: what to judge by; but for `differs-from-template`, which only `audit` can.
        languages: the languages in which result codes are fetched and compared.
        now: what dates are compared with; a naive one is local time.
        chunk: how many campaigns a slice has at most. If there are no more to look up, they are looked up at once, and
            nothing is left. Campaigns of the same ID stay together, in a larger slice if need be.
        concurrency: as for `audit`.
        on_progress: as for `audit`; not called if something is left.

    Raises:
        ConfigurationError: no language is given, `concurrency` can't work, or `chunk` is less than 1.
        DiallerError: the list of campaigns could not be fetched. A lookup that fails is a finding, as in `audit`.
    """
    require(chunk >= 1, "chunk is a positive int")
    options = AuditOptions.of(rules, languages, now)
    runner = RuleRunner(options)
    campaigns = await dialler.campaigns.list_partial()
    runner.check_list(campaigns)
    waiting = _by_id(campaigns.records, runner)
    left = tuple(_slices(waiting.values(), chunk))
    if len(left) <= 1:
        await _examine(dialler, waiting, runner, options.languages, concurrency, on_progress)
        left = ()
    return Survey(part=runner.part(), left=left)


async def audit_slice(
    dialler: DiallerClient,
    campaigns: Iterable[Campaign],
    *,
    rules: Iterable[AnyRule] = RULES,
    languages: Iterable[Language] = Language,
    now: datetime,
    concurrency: Concurrency | None = "auto",
    on_progress: OnProgress | None = None,
) -> AuditPart:
    """Look up and judge campaigns that a `survey` has left.

    Args:
        dialler: the account.
        campaigns: one of the slices.
        rules: as for the survey.
        languages: likewise.
        now: likewise.
        concurrency: as for `audit`.
        on_progress: as for `audit`; of this slice alone.

    Raises:
        ConfigurationError: no language is given, or `concurrency` can't work. A lookup that fails is a finding, as in
            `audit`; one that fails as all others would ends the work on this slice.
    """
    options = AuditOptions.of(rules, languages, now)
    runner = RuleRunner(options)
    waiting = _by_id(campaigns, runner)
    await _examine(dialler, waiting, runner, options.languages, concurrency, on_progress)
    return runner.part()


async def _examine(
    dialler: DiallerClient,
    waiting: Mapping[int, Sequence[Campaign]],
    runner: RuleRunner,
    languages: tuple[Language, ...],
    concurrency: Concurrency | None,
    on_progress: OnProgress | None,
) -> None:
    """Look up the campaigns, known by their IDs, and have each judged once all its answers are here."""
    waiting = dict(waiting)
    arrived: dict[int, dict[Language, LookupResult]] = {}
    outcomes = dialler.result_codes.for_campaigns(
        list(waiting), languages=languages, concurrency=concurrency, on_progress=on_progress
    )
    async with aclosing(outcomes):
        try:
            async for outcome in outcomes:
                campaign_id = cast(int, outcome.item.campaign_id)  # only IDs were given
                answers = arrived.setdefault(campaign_id, {})
                answers[outcome.item.language] = outcome.value if outcome.error is None else outcome.error
                if len(answers) == len(languages):
                    runner.check_campaigns(waiting.pop(campaign_id), arrived.pop(campaign_id))
        except (AuthenticationError, EndpointNotFoundError, TokenSourceError) as error:
            runner.record_stop(error, len(waiting) * len(languages) - sum(map(len, arrived.values())))
    for campaign_id, same_id in waiting.items():
        runner.check_campaigns(same_id, arrived.get(campaign_id, {}))


def _slices(groups: Iterable[Sequence[Campaign]], chunk: int) -> Iterator[tuple[Campaign, ...]]:
    """The campaigns, at most so many at once; each group stays together."""
    slice: list[Campaign] = []
    for group in groups:
        if slice and len(slice) + len(group) > chunk:
            yield tuple(slice)
            slice = []
        slice += group
    if slice:
        yield tuple(slice)


def _by_id(campaigns: Iterable[Campaign], runner: RuleRunner) -> dict[int, list[Campaign]]:
    """The campaigns to look up, by ID; those without one that could be asked for are judged at once."""
    by_id: dict[int, list[Campaign]] = {}
    for campaign in campaigns:
        if campaign.id is None or campaign.id < 1:
            runner.check_without_id(campaign)
        else:
            by_id.setdefault(campaign.id, []).append(campaign)
    return by_id


def _only(name: str, campaigns: Iterable[Campaign]) -> Campaign:
    """The one campaign with exactly this name, and an ID to look up its codes by."""
    same = [campaign for campaign in campaigns if campaign.name == name]
    require(len(same) == 1, f"{len(same) or 'no'} campaigns have exactly the name of the template, “{name}”")
    require((same[0].id or 0) > 0, f"the template “{name}” came without a usable ID, so its codes can't be looked up")
    return same[0]
