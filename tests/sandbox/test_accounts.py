"""Sandboxes with several accounts, each with its own token and campaigns."""

import json
from collections.abc import AsyncIterator
from datetime import datetime
from random import Random
from typing import Any

import aiohttp
import msgspec
import pytest

from dialler_async.sandbox import Sandbox, SandboxAccount
from dialler_async.sandbox.generator import Generator

NOW = datetime.fromisoformat("2026-03-15T11:00")


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(campaigns=30, accounts=3, clients_id=41, now=NOW) as sandbox:
        yield sandbox


async def send(sandbox: Sandbox, clients_id: int | str, token: str, path: str = "", method: str = "GET") -> Any:
    url = f"{sandbox.server}/rest/v1.0/{clients_id}/dialler/campaigns{path}"
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
        session.request(method, url) as response,
    ):
        return response.status, json.loads(await response.read() or "null")


def all_data(account: SandboxAccount | Sandbox) -> bytes:
    return msgspec.json.encode(
        [
            [dict(record), account.result_codes(id, 1), account.result_codes(id, 2)]
            for id, record in account.campaigns.items()
        ]
    )


async def test_each_account_serves_its_own_campaigns(sandbox: Sandbox) -> None:
    assert list(sandbox.accounts) == [41, 42, 43]
    for clients_id, account in sandbox.accounts.items():
        status, body = await send(sandbox, clients_id, account.token)
        assert status == 200
        assert {record["ID"]: record for record in body["records"]} == account.campaigns
        assert {record["ClientsID"] for record in body["records"]} == {clients_id} == {account.clients_id}
    contents = {all_data(account) for account in sandbox.accounts.values()}
    assert len(contents) == len({account.token for account in sandbox.accounts.values()}) == 3


async def test_token_is_valid_only_for_its_own_account(sandbox: Sandbox) -> None:
    for clients_id in sandbox.accounts:
        for other, account in sandbox.accounts.items():
            expected = 200 if other == clients_id else 401
            assert (await send(sandbox, clients_id, account.token))[0] == expected
            assert sandbox.journal[-1].authorised is (expected == 200)
    for wrong in (40, 44, "041", "x"):
        assert (await send(sandbox, wrong, sandbox.token))[0] == 401
    assert await send(sandbox, 41, sandbox.accounts[43].token, "/x") == (404, None)
    assert sandbox.journal[-1].authorised


async def test_changes_of_one_account_do_not_affect_other_accounts(sandbox: Sandbox) -> None:
    before = {clients_id: all_data(account) for clients_id, account in sandbox.accounts.items()}
    account = sandbox.accounts[42]
    old = account.token
    new = account.revoke()
    assert (await send(sandbox, 42, old))[0] == 401
    assert (await send(sandbox, 42, new, "/campaign/535", "DELETE"))[0] == 200
    assert 535 not in account.campaigns
    [loaded] = account.load({"Name": "Mine"}, codes={1: [{"ID": 1}]})
    account.change(loaded, Name="Ours")
    assert (await send(sandbox, 42, new, f"/{loaded}"))[1]["records"] == [{"Name": "Ours"}]
    account.remove(loaded)
    assert all_data(account) != before[42]
    for other in (41, 43):
        assert all_data(sandbox.accounts[other]) == before[other]
        assert (await send(sandbox, other, sandbox.accounts[other].token))[0] == 200


async def test_first_account_equals_a_sandbox_with_one_account(sandbox: Sandbox) -> None:
    single = Sandbox(campaigns=30, clients_id=41, now=NOW)
    first = sandbox.accounts[41]
    assert all_data(single) == all_data(sandbox) == all_data(first)
    assert (single.token, single.seeded_defects, single.template) == (first.token, first.seeded_defects, first.template)
    assert sandbox.base_url == f"{sandbox.server}/rest/v1.0/41"
    sandbox.token = "mine"
    assert (await send(sandbox, 41, "mine"))[0] == 200
    assert sandbox.revoke() == first.token == single.revoke()


def test_account_data_depends_on_the_seed_but_not_on_the_number_of_accounts() -> None:
    few, many, other = (Sandbox(30, seed, accounts=n, now=NOW) for seed, n in ((7, 2), (7, 4), (8, 2)))
    assert few.accounts[2].token == many.accounts[2].token != other.accounts[2].token
    assert all_data(few.accounts[2]) == all_data(many.accounts[2]) != all_data(other.accounts[2])
    assert few.accounts[2].seeded_defects == many.accounts[2].seeded_defects != []
    # The second account of one seed is not the first account of another seed.
    assert all_data(few.accounts[2]) != all_data(other)


def test_each_account_has_a_copy_of_given_records() -> None:
    sandbox = Sandbox(iter([{"ID": 7, "Name": "x"}]), accounts=2, token="mine")
    sandbox.accounts[2].change(7, Name="y")
    assert [account.campaigns[7]["Name"] for account in sandbox.accounts.values()] == ["x", "y"]
    assert sandbox.accounts[1].token == "mine" != sandbox.accounts[2].token
    with pytest.raises(ValueError, match="campaign 7 exists already"):
        Sandbox([{"ID": 7}, {"ID": 7}])


def test_campaigns_of_an_account_are_generated_at_the_first_access(monkeypatch: pytest.MonkeyPatch) -> None:
    generated: list[int] = []

    def record(random: Random, clients_id: int, *rest: Any) -> Generator:
        generated.append(clients_id)
        return Generator(random, clients_id, *rest)

    monkeypatch.setattr("dialler_async.sandbox.server.Generator", record)
    sandbox = Sandbox(campaigns=5, accounts=100)
    assert len({account.token for account in sandbox.accounts.values()}) == 100
    assert generated == [1]
    assert len(sandbox.accounts[9].campaigns) == len(sandbox.accounts[9].campaigns) == 5
    assert generated == [1, 9]


def test_sandbox_with_zero_accounts_raises() -> None:
    with pytest.raises(ValueError, match="one account or more"):
        Sandbox(accounts=0)


def test_repr_of_accounts_contains_no_token() -> None:
    sandbox = Sandbox(campaigns=3, accounts=2)
    text = repr(sandbox.accounts)
    assert "clients_id=2" in text
    assert not any(account.token in text for account in sandbox.accounts.values())
