"""Usage of the public API that type checkers must accept in strict mode. It is never run."""

import ssl
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Unpack, assert_type

from dialler_async import (
    AmbiguousNameError,
    AuthenticationError,
    Campaign,
    ClientOptions,
    CloneResult,
    DiallerClient,
    DiallerError,
    Failure,
    Language,
    NotFoundError,
    ObservedCall,
    Observer,
    Outcome,
    OutcomeUnknownError,
    PartialRecords,
    PoolConfig,
    Records,
    ResultCode,
    RetryPolicy,
    StatusError,
    Success,
    Timeouts,
    fan_out,
)
from dialler_async.audit import RULES, AuditReport, CampaignFacts, FleetReport, Severity, Violation, audit, rule
from dialler_async.fleet import Fleet, audit_fleet, read_fleet
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import Reset, Status
from dialler_async.testing import instant_waits, make_campaign, make_result_code


class SlowCallLogger(Observer):
    def call_ended(self, call: ObservedCall, seconds: float, error: BaseException | None) -> None:
        if seconds > 1:
            print(call.request, call.attempts, error)


async def token() -> str:
    return "a-token"


def with_defaults(**options: Unpack[ClientOptions]) -> DiallerClient:
    return DiallerClient("https://acd.example.com/rest/v1.0/1", "t", **options)


async def clients() -> None:
    async with DiallerClient("https://acd.example.com/rest/v1.0/1", "t") as dialler:
        assert_type(dialler, DiallerClient)
    configured = DiallerClient.for_server(
        "https://acd.example.com",
        1,
        token,
        pool=PoolConfig(limit=16, ssl=ssl.create_default_context(), proxy=None, keep_alive=30),
        timeouts=Timeouts(connect=5, read=20, deadline=60),
        retry=RetryPolicy(attempts=3),
        max_rate=50,
        observer=SlowCallLogger(),
    )
    assert_type(configured, DiallerClient)
    assert_type(configured.for_account(2, "another"), DiallerClient)
    assert_type(DiallerClient.from_env(retry=RetryPolicy.patient()), DiallerClient)
    await configured.aclose()


async def campaigns(dialler: DiallerClient) -> None:
    listed = await dialler.campaigns.list()
    assert_type(listed, Records[Campaign])
    assert_type(listed[0], Campaign)
    assert_type(listed.total, int)
    sequence: Sequence[Campaign] = listed
    assert_type(sequence.count(listed[0]), int)
    assert_type(await dialler.campaigns.get(listed[0]), Campaign)
    assert_type(await dialler.campaigns.get(535, max_age=60), Campaign)
    assert_type(await dialler.campaigns.find("Summer", max_age=60), Records[Campaign])
    assert_type(await dialler.campaigns.get_by_name("Summer 26"), Campaign)
    assert_type(await dialler.campaigns.list_partial(), PartialRecords[Campaign])
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    assert_type(await dialler.campaigns.clone("A", "B", user_data="crm", dt_from=begin, exist_ok=True), Campaign)
    result = await dialler.campaigns.get_or_clone("A", "B")
    assert_type(result, CloneResult)
    clone, created = result
    assert_type(clone, Campaign)
    assert_type(created, bool | None)
    await dialler.campaigns.delete(listed[0], missing_ok=True)
    await dialler.campaigns.delete_by_name("B")
    async for campaign in dialler.campaigns.iterate():
        assert_type(campaign, Campaign)
        assert_type(campaign.name, str)
        assert_type(campaign.id, int | None)


async def result_codes(dialler: DiallerClient, some: list[Campaign]) -> None:
    codes = await dialler.result_codes.list(535, language=Language.GERMAN, max_age=60)
    assert_type(codes, Records[ResultCode])
    assert_type(codes[0].content, str | None)
    async for outcome in dialler.result_codes.for_campaigns(some, concurrency="auto", in_order=True):
        assert_type(outcome.item.campaign_id, int | None)
        if outcome.error is None:
            assert_type(outcome.value, Records[ResultCode])


async def names(dialler: DiallerClient) -> AsyncIterator[str]:
    async for outcome in fan_out(dialler.campaigns.get, [535, 536], concurrency=2, stop_on=(AuthenticationError,)):
        assert_type(outcome, Success[int, Campaign] | Failure[int])
        match outcome:
            case Success(value=campaign):
                yield campaign.name
            case Failure(item=item, error=error):
                yield f"{item}: {error}"


def first_value(outcomes: list[Outcome[int, str]]) -> str:
    return outcomes[0].result()


def absence_is_a_lookup_error(error: NotFoundError) -> LookupError:
    return error


def explain(error: DiallerError) -> str:
    match error:
        case AmbiguousNameError() | NotFoundError():
            return "look again"
        case OutcomeUnknownError():
            return f"unknown after {error.attempts} attempts"
        case StatusError():
            return f"{error.status}: {error.message}"
        case _:
            return str(error)


@rule("vip-has-user-data", Severity.WARNING, title="A title", why="A reason.", fix="A fix.")
def vip_has_user_data(facts: CampaignFacts) -> list[Violation]:
    return [] if facts.campaign.user_data else [Violation("UserData", "is empty")]


async def audits(dialler: DiallerClient) -> None:
    report = await audit(dialler, rules=[*RULES, vip_has_user_data])
    assert_type(report, AuditReport)
    fleet = read_fleet(Path("fleet.toml"))
    assert_type(fleet, Fleet)
    assert_type(await audit_fleet(fleet), FleetReport)


async def with_sandbox() -> None:
    async with Sandbox(campaigns=5) as sandbox, DiallerClient(sandbox.base_url, sandbox.token) as dialler:
        sandbox.faults.next(Status(503, retry_after=30), Reset(carried_out=True), match="delete")
        codes = {Language.GERMAN: [make_result_code(content="Verkauft").wire]}
        sandbox.load(make_campaign(id=7).wire, codes=codes)
        sandbox.load(make_campaign(id=8).wire, codes={1: [make_result_code(content="Sold").wire]})
        assert_type(make_result_code(id=1), ResultCode)
        with instant_waits() as waits:
            await dialler.campaigns.delete(7)
        assert_type(waits, list[float])
