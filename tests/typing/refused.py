"""Misuse of the public API. Type checkers must refuse exactly the lines that end with `# refused`."""

import dialler_async
import dialler_async.fleet
from dialler_async import (
    Campaign,
    DiallerClient,
    Failure,
    Language,
    Outcome,
    PoolConfig,
    RetryPolicy,
    Success,
    fan_out,
)
from dialler_async.sandbox import Sandbox


def names_that_do_not_exist(dialler: DiallerClient) -> None:
    print(dialler_async.DialerClient)  # refused
    print(dialler_async.fleet.audit_fleets)  # refused
    print(dialler.campaign)  # refused


async def calls(dialler: DiallerClient, campaign: Campaign) -> None:
    await dialler.campaigns.get("535")  # refused
    await dialler.campaigns.find(535)  # refused
    await dialler.campaigns.delete(campaign, True)  # refused
    await dialler.campaigns.clone("A")  # refused
    await dialler.campaigns.clone("A", "B", dt_from="2026-01-01")  # refused
    await dialler.result_codes.list(535, language="de")  # refused
    await dialler.result_codes.list(535, Language.GERMAN)  # refused
    dialler.result_codes.for_campaigns(535)  # refused
    dialler.result_codes.for_campaigns([campaign], concurrency="many")  # refused


async def fan_outs(dialler: DiallerClient) -> None:
    async for outcome in fan_out(dialler.campaigns.get, [535], concurrency=1):
        print(outcome.value.name)  # refused
        if outcome.error is None:
            print(outcome.value.nam)  # refused
        else:
            print(outcome.value.name)  # refused
    fan_out(dialler.campaigns.get, ["535"], concurrency=1)  # refused
    fan_out(len, ["535"])  # refused


def outcomes(outcome: Outcome[int, str]) -> int:
    if isinstance(outcome, Failure):
        return outcome.result()
    assert isinstance(outcome, Success)
    return outcome.value  # refused


def records(campaign: Campaign) -> int:
    campaign.name = "Monday"  # refused
    return campaign.id  # refused


def options() -> None:
    DiallerClient("https://acd.example.com/rest/v1.0/1")  # refused
    DiallerClient("https://acd.example.com/rest/v1.0/1", 7)  # refused
    DiallerClient("https://acd.example.com/rest/v1.0/1", "t", retries=3)  # refused
    DiallerClient.for_server("https://acd.example.com", "1", "t")  # refused
    PoolConfig(limit="16")  # refused
    RetryPolicy(attempts=3).attempts = 4  # refused


def sandboxes(sandbox: Sandbox) -> None:
    sandbox.load({"ID": 1}, codes={"de": []})  # refused
