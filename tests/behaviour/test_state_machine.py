"""Random sequences of calls against the sandbox, compared with a model in memory. There are no faults."""

import asyncio
import json
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from dialler_async import (
    AmbiguousNameError,
    Campaign,
    ConflictError,
    DiallerClient,
    DiallerError,
    NotFoundError,
)
from dialler_async.sandbox import Sandbox

# The names are few, so that they occur repeatedly. They are similar, so that they match partially or without case.
NAMES = st.sampled_from(
    [
        "Summer",
        "summer",
        "Summer ",
        "Summer 26",
        "mm",
        "ẞ",
        "ss",
        "50 %",
        "_",
        "a/b?c=d&e#f+g;h",
        " lead",
        "📞 ü \\ \"q'",
    ]
)
IDS = st.integers(1, 12)


class Model:
    """The expected data of the account, according to the API reference."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self.user_data: dict[int, str | None] = {}
        self.keys: dict[int, list[str]] = {}
        self.next_id = 1

    def add(self, name: str, user_data: str | None, keys: list[str]) -> int:
        id = self.next_id
        self.next_id += 1
        self.names[id], self.user_data[id], self.keys[id] = name, user_data, keys
        return id

    def remove(self, id: int) -> None:
        del self.names[id], self.user_data[id], self.keys[id]

    def equal_in_mysql(self, name: str) -> list[int]:
        return [id for id, other in self.names.items() if collation_key(other) == collation_key(name)]

    def containing(self, text: str) -> list[int]:
        return [id for id, name in self.names.items() if text.casefold() in name.casefold()]

    def exactly(self, name: str) -> list[int]:
        return [id for id, other in self.names.items() if other == name]

    def clone(self, source: str, destination: str, user_data: str | None) -> int | type[DiallerError]:
        sources = self.equal_in_mysql(source)
        if not sources:
            return NotFoundError
        if self.equal_in_mysql(destination):
            return ConflictError
        original = min(sources)
        kept = self.user_data[original] if user_data is None else user_data
        return self.add(destination, kept, self.keys[original])

    def get_by_name(self, name: str) -> int | type[DiallerError]:
        exact = self.exactly(name)
        if not exact:
            return NotFoundError
        return exact[0] if len(exact) == 1 else AmbiguousNameError


def collation_key(name: str) -> str:
    return name.casefold().rstrip(" ")


class Calls(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(debug=True)
        self.open = AsyncExitStack()
        self.model = Model()

    @initialize(
        find_without_match=st.sampled_from(["empty", "404"]),
        delete_by_name=st.sampled_from(["first-partial-match", "exact"]),
    )
    def begin(self, find_without_match: Any, delete_by_name: Any) -> None:
        self.deletes_exactly = delete_by_name == "exact"
        self.sandbox = Sandbox([], find_without_match=find_without_match, delete_by_name=delete_by_name)
        for name, keys in (("Summer", ["SALE", "NO"]), ("Winter", []), ("Summer", ["X"])):
            id = self.model.add(name, None, keys)
            codes = [{"ID": 10 * id + nth, "ExportKey": key} for nth, key in enumerate(keys)]
            self.sandbox.load({"ID": id, "Name": name, "UserData": None}, codes={1: codes, 2: codes})
        self.runner.run(self.open.enter_async_context(self.sandbox))
        client = DiallerClient(self.sandbox.base_url, self.sandbox.token)
        self.dialler: DiallerClient = self.runner.run(self.open.enter_async_context(client))

    def teardown(self) -> None:
        self.runner.run(self.open.aclose())
        self.runner.close()

    def result_of(self, call: Coroutine[Any, Any, Any]) -> Any:
        """Return the result of a call, or the class of its error."""

        async def outcome() -> Any:
            try:
                return await call
            except DiallerError as error:
                return type(error)

        return self.runner.run(outcome())

    @rule()
    def list(self) -> None:
        campaigns = self.result_of(self.dialler.campaigns.list())
        ordered = sorted(self.model.names, key=lambda it: (collation_key(self.model.names[it]), it))
        assert [(campaign.id, campaign.name) for campaign in campaigns] == [
            (id, self.model.names[id]) for id in ordered
        ]
        assert campaigns.total == len(ordered)

    @rule()
    def iterate(self) -> None:
        async def ids() -> set[int | None]:
            return {campaign.id async for campaign in self.dialler.campaigns.iterate()}

        assert self.result_of(ids()) == self.model.names.keys()

    @rule(id=IDS)
    def get(self, id: int) -> None:
        campaign = self.result_of(self.dialler.campaigns.get(id))
        if id in self.model.names:
            assert (campaign.id, campaign.name) == (id, self.model.names[id])
            assert campaign.user_data == self.model.user_data[id]
        else:
            assert campaign is NotFoundError

    @rule(text=NAMES | st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), min_size=1))
    def find(self, text: str) -> None:
        assert [campaign.id for campaign in self.result_of(self.dialler.campaigns.find(text))] == self.model.containing(
            text
        )

    @rule(name=NAMES)
    def get_by_name(self, name: str) -> None:
        campaign = self.result_of(self.dialler.campaigns.get_by_name(name))
        expected = self.model.get_by_name(name)
        assert expected == (campaign.id if isinstance(campaign, Campaign) else campaign)

    @rule(id=IDS, language=st.sampled_from([1, 2]))
    def result_codes(self, id: int, language: int) -> None:
        codes = self.result_of(self.dialler.result_codes.list(id, language=language))
        if id in self.model.names:
            assert [code.export_key for code in codes] == self.model.keys[id]
        else:
            assert codes is NotFoundError

    @rule(source=NAMES, destination=NAMES, user_data=st.none() | st.text(max_size=5), exist_ok=st.booleans())
    def clone(self, source: str, destination: str, user_data: str | None, exist_ok: bool) -> None:
        call = self.dialler.campaigns.clone(source, destination, user_data=user_data, exist_ok=exist_ok)
        campaign = self.result_of(call)
        expected = self.model.clone(source, destination, user_data)
        if expected is ConflictError and exist_ok:
            expected = self.model.get_by_name(destination)
            # MySQL treats the name of an existing campaign as equal, but it is not exactly equal.
            expected = ConflictError if expected is NotFoundError else expected
            if isinstance(expected, int) and user_data not in (None, self.model.user_data[expected] or ""):
                expected = ConflictError
        assert expected == (campaign.id if isinstance(campaign, Campaign) else campaign)
        if isinstance(campaign, Campaign):
            assert campaign.name == destination

    @rule(id=IDS, missing_ok=st.booleans(), as_campaign=st.booleans())
    def delete(self, id: int, missing_ok: bool, as_campaign: bool) -> None:
        campaign = Campaign(id=id, name="any") if as_campaign else id
        result = self.result_of(self.dialler.campaigns.delete(campaign, missing_ok=missing_ok))
        if id in self.model.names:
            self.model.remove(id)
            assert result is None
        else:
            assert result is (None if missing_ok else NotFoundError)

    @rule(name=NAMES)
    def delete_by_name(self, name: str) -> None:
        result = self.result_of(self.dialler.campaigns.delete_by_name(name))
        expected = self.model.get_by_name(name)
        if isinstance(expected, int):
            self.model.remove(expected)
        assert result is (None if isinstance(expected, int) else expected)

    @rule(name=NAMES)
    def delete_by_name_with_exact_false(self, name: str) -> None:
        result = self.result_of(self.dialler.campaigns.delete_by_name(name, exact=False))
        match = self.model.equal_in_mysql(name) if self.deletes_exactly else self.model.containing(name)
        if match:
            self.model.remove(min(match))
        assert result is (None if match else NotFoundError)

    @rule(id=IDS, name=NAMES)
    def another_user_renames_a_campaign(self, id: int, name: str) -> None:
        if id in self.model.names:
            self.sandbox.change(id, Name=name)
            self.model.names[id] = name

    @invariant()
    def the_account_equals_the_model(self) -> None:
        if hasattr(self, "sandbox"):
            assert {id: record["Name"] for id, record in self.sandbox.campaigns.items()} == self.model.names


@pytest.mark.slow
def test_sequences_of_calls_agree_with_a_model_in_memory() -> None:
    run_state_machine_as_test(
        Calls,
        settings=settings(
            max_examples=30,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],  # each example opens a sandbox
        ),
    )


# A name can contain everything except control characters and lone surrogates.
ANY_TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1)


def test_names_of_any_text_arrive_unchanged() -> None:
    with asyncio.Runner(debug=True) as runner:
        stack = AsyncExitStack()
        sandbox = runner.run(stack.enter_async_context(Sandbox(1)))
        dialler = runner.run(stack.enter_async_context(DiallerClient(sandbox.base_url, sandbox.token)))

        async def check(name: str, other: str) -> None:
            assert not await dialler.campaigns.find(f"{name}\N{OBJECT REPLACEMENT CHARACTER}")
            assert sandbox.journal[-1].query == {"name": f"{name}\N{OBJECT REPLACEMENT CHARACTER}"}
            await dialler.campaigns.find(name)
            assert sandbox.journal[-1].query == {"name": name}
            for call in (
                dialler.campaigns.delete_by_name(f"{name}{other}{name}", exact=False),
                dialler.campaigns.clone(f"{name}{other}", other[:64], user_data=name),
            ):
                try:
                    await call
                except NotFoundError:
                    pass
                else:
                    raise AssertionError("there is no such campaign")
            assert sandbox.journal[-2].query == {"name": f"{name}{other}{name}"}
            sent = {"source": f"{name}{other}", "destination": other[:64], "userData": name}
            assert json.loads(sandbox.journal[-1].body) == sent

        @settings(max_examples=80, deadline=None)
        @given(ANY_TEXT, ANY_TEXT)
        def check_each(name: str, other: str) -> None:
            sandbox.change(next(iter(sandbox.campaigns)), Name="\x00")  # no generated name contains this character
            runner.run(check(name, other))

        try:
            check_each()
        finally:
            runner.run(stack.aclose())


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=64), min_size=1, max_size=8)
)
def test_campaigns_of_any_name_are_found_cloned_and_deleted_by_name(names: list[str]) -> None:
    async def create_and_delete() -> None:
        async with (
            Sandbox([{"ID": 1, "Name": names[0]}]) as sandbox,
            DiallerClient(sandbox.base_url, sandbox.token) as dialler,
        ):
            for name in names[1:]:
                try:
                    assert (await dialler.campaigns.clone(names[0], name)).name == name
                except ConflictError:
                    assert any(
                        collation_key(record["Name"]) == collation_key(name) for record in sandbox.campaigns.values()
                    )
            for record in list(sandbox.campaigns.values()):
                assert (await dialler.campaigns.get_by_name(record["Name"])).wire == record
                await dialler.campaigns.delete_by_name(record["Name"])
            assert not sandbox.campaigns

    asyncio.run(create_and_delete(), debug=True)
