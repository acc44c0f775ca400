"""Random calls under faults, compared with the journal of the sandbox: no write is lost, and none runs twice.

The event loop skips waits in which no socket is ready, so a server that stalls for 30 s delays no test.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections import Counter
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from dialler_async import Campaign, DiallerClient, PoolConfig, RetryPolicy, Timeouts, errors
from dialler_async._http.clock import CLOCK
from dialler_async.sandbox import Received, Sandbox
from dialler_async.sandbox import faults as kinds
from dialler_async.sandbox.faults import Fault, Meanwhile

if TYPE_CHECKING:
    from tests.conftest import SkipWaits

MAX_BODY = 64 * 1024
BOMB = kinds.CannedResponse(200, gzip.compress(bytes(2 * MAX_BODY)), {"Content-Encoding": "gzip"})

# With 429 and 503, a server or proxy refuses a request. With 500, 502 and 504, it may have carried out the request.
FAULTS_WITH_KNOWN_EXECUTION: list[Fault] = [
    *(kinds.Status(status, retry_after=wait) for status in (429, 503) for wait in (None, 0, 1, 90)),
    kinds.CloseAfterResponse(),
    kinds.CutShort(),
    kinds.StallInBody(),
    kinds.Trickle(),
    kinds.WrongLength(5),
    kinds.WrongLength(-3),
    kinds.Gzipped(),
    BOMB,
    kinds.Status(401),
    kinds.CannedResponse(404),
    kinds.Status(413),
    kinds.Redirect("https://elsewhere.example/rest/v1.0/1/dialler/campaigns"),
]
FAULTS_BEFORE_OR_AFTER_EXECUTION: list[Fault] = [
    kind
    for done in (False, True)
    for kind in (
        kinds.Reset(carried_out=done),
        kinds.HangUp(carried_out=done),
        kinds.StallBeforeHeaders(carried_out=done),
        kinds.Status(500, carried_out=done),
        kinds.Status(502, carried_out=done),
        kinds.Status(504, retry_after=1, carried_out=done),
        kinds.Html(carried_out=done),
        kinds.CannedResponse(200, b"", carried_out=done),
        kinds.CannedResponse(200, b'{"records":[{"ID":1}],"count":1}', carried_out=done),
        kinds.CannedResponse(202, b'{"status":202}', carried_out=done),
        kinds.Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", carried_out=done),
        kinds.Raw(b"garbage\r\n\r\n", carried_out=done),
    )
]
FAULTS = st.lists(st.sampled_from([*FAULTS_WITH_KNOWN_EXECUTION, *FAULTS_BEFORE_OR_AFTER_EXECUTION]), max_size=9)
NAMES = st.sampled_from(["Summer", "summer", "Summer 26", "Winter", "A", "B", "C"])
IDS = st.integers(1, 9)


@attrs.frozen
class Step:
    """The outcome of a call, and the changes and requests in the sandbox."""

    outcome: Any
    before: dict[int, str]
    after: dict[int, str]
    received: list[Received]

    def carried_out(self, *calls: str) -> list[Received]:
        return [received for received in self.received if received.carried_out and received.call in calls]

    @property
    def deleted_ids(self) -> set[int]:
        return self.before.keys() - self.after.keys()

    @property
    def created_ids(self) -> set[int]:
        return self.after.keys() - self.before.keys()

    @property
    def is_unknown(self) -> bool:
        return isinstance(self.outcome, errors.OutcomeUnknownError | asyncio.CancelledError)

    def failed(self) -> bool:
        return isinstance(self.outcome, BaseException)


class CallsUnderFaults(RuleBasedStateMachine):
    """Makes calls, and compares each outcome with the journal and the data of the sandbox."""

    skip_waits: ClassVar[SkipWaits]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        type(self).skip_waits(self.runner.get_loop())
        self.open = AsyncExitStack()

    @initialize(
        attempts=st.integers(1, 4),
        deadline=st.sampled_from([15.0, 45.0, 500.0]),
        delete_by_name=st.sampled_from(["first-partial-match", "exact"]),
    )
    def begin(self, attempts: int, deadline: float, delete_by_name: Any) -> None:
        loop = self.runner.get_loop()
        CLOCK.monotonic = loop.time
        self.deletes_exactly = delete_by_name == "exact"
        records = [{"ID": id, "Name": name} for id, name in enumerate(("Summer", "Winter", "Summer 26", "A"), 1)]
        self.sandbox = self.runner.run(self.open.enter_async_context(Sandbox(records, delete_by_name=delete_by_name)))
        dialler = DiallerClient(
            self.sandbox.base_url,
            lambda: self.sandbox.token,
            pool=PoolConfig(limit=4, max_body=MAX_BODY),
            retry=RetryPolicy(attempts=attempts),
            timeouts=Timeouts(read=10, deadline=deadline),
        )
        self.dialler: DiallerClient = self.runner.run(self.open.enter_async_context(dialler))

    def teardown(self) -> None:
        self.runner.run(self.open.aclose())
        self.runner.close()

    def names(self) -> dict[int, str]:
        return {id: record["Name"] for id, record in self.sandbox.campaigns.items()}

    def run_step(self, call: Coroutine[Any, Any, Any], faults: list[Fault], cancelled_after: int | None = None) -> Step:
        """Make a call with these faults for the next requests."""
        before, arrived = self.names(), len(self.sandbox.journal)
        self.sandbox.faults.next(*faults)
        outcome = self.runner.run(self._outcome(call, cancelled_after))
        self.sandbox.faults.clear()
        return Step(outcome, before, self.names(), self.sandbox.journal[arrived:])

    async def _outcome(self, call: Coroutine[Any, Any, Any], cancelled_after: int | None) -> Any:
        task = asyncio.ensure_future(call)
        if cancelled_after is not None:
            for _ in range(cancelled_after):
                await asyncio.sleep(0)
            task.cancel()
        try:
            return await task
        except (errors.DiallerError, asyncio.CancelledError) as error:
            return error
        finally:
            await run_pending_callbacks()

    def check_read(self, step: Step, expected: Any) -> None:
        assert step.before == step.after
        if not step.failed():
            assert step.outcome == expected

    def check_clone(self, step: Step, destination: str, exist_ok: bool = False) -> None:
        done = step.carried_out("clone")
        assert len(done) <= 1
        assert not step.deleted_ids
        assert len(step.created_ids) == len(done)
        if isinstance(step.outcome, Campaign):
            assert step.outcome.name == destination == step.after[step.outcome.id or 0]
            assert step.created_ids == {step.outcome.id} or (exist_ok and step.outcome.id in step.before)
        elif not step.is_unknown:
            assert done == []

    def check_delete(self, step: Step, targets: set[int], existed: bool) -> None:
        done = step.carried_out("delete", "delete_by_name")
        assert len(done) <= 1
        assert step.deleted_ids <= targets
        assert not step.created_ids
        assert len(step.deleted_ids) == len(done)
        if step.outcome is None:
            assert not targets & step.after.keys()
            assert len(done) == 1 or not existed
        elif not step.is_unknown:
            # A 500 to a delete by ID is raised unchanged. The caller can check whether the campaign exists.
            is_plain_500 = isinstance(step.outcome, errors.ServerError) and step.outcome.status == 500
            assert done == [] or (is_plain_500 and done[0].call == "delete")
            assert not isinstance(step.outcome, errors.NotFoundError) or not targets & step.after.keys()

    @rule(faults=FAULTS)
    def list_all(self, faults: list[Fault]) -> None:
        async def names() -> dict[int | None, str]:
            return {campaign.id: campaign.name for campaign in await self.dialler.campaigns.list()}

        self.check_read(self.run_step(names(), faults), self.names())

    @rule(faults=FAULTS, id=IDS)
    def get(self, faults: list[Fault], id: int) -> None:
        async def name() -> str:
            return (await self.dialler.campaigns.get(id)).name

        self.check_read(self.run_step(name(), faults), self.names().get(id))

    @rule(faults=FAULTS, text=NAMES)
    def find(self, faults: list[Fault], text: str) -> None:
        async def ids() -> list[int | None]:
            return [campaign.id for campaign in await self.dialler.campaigns.find(text)]

        expected = [id for id, name in self.names().items() if text.casefold() in name.casefold()]
        self.check_read(self.run_step(ids(), faults), expected)

    @rule(faults=FAULTS, source=NAMES, destination=NAMES, exist_ok=st.booleans())
    def clone(self, faults: list[Fault], source: str, destination: str, exist_ok: bool) -> None:
        step = self.run_step(self.dialler.campaigns.clone(source, destination, exist_ok=exist_ok), faults)
        self.check_clone(step, destination, exist_ok)

    @rule(faults=FAULTS, id=IDS, missing_ok=st.booleans())
    def delete(self, faults: list[Fault], id: int, missing_ok: bool) -> None:
        step = self.run_step(self.dialler.campaigns.delete(id, missing_ok=missing_ok), faults)
        self.check_delete(step, {id}, id in step.before)

    @rule(faults=FAULTS, name=NAMES)
    def delete_by_name(self, faults: list[Fault], name: str) -> None:
        targets = {id for id, other in self.names().items() if other == name}
        step = self.run_step(self.dialler.campaigns.delete_by_name(name), faults)
        assert not any(received.call == "delete_by_name" for received in step.received)
        self.check_delete(step, targets, bool(targets))

    @rule(faults=FAULTS, name=NAMES)
    def delete_by_name_with_exact_false(self, faults: list[Fault], name: str) -> None:
        names = self.names()
        if self.deletes_exactly:
            matches = [id for id, other in names.items() if other.casefold() == name.casefold()]
        else:
            matches = [id for id, other in names.items() if name.casefold() in other.casefold()]
        step = self.run_step(self.dialler.campaigns.delete_by_name(name, exact=False), faults)
        self.check_delete(step, set(matches[:1]), bool(matches))
        assert step.outcome is not None or matches

    @rule(name=NAMES, other=NAMES, on=st.sampled_from(["find", "get"]), remove=st.booleans(), faults=FAULTS)
    def delete_by_name_while_another_user_renames_or_deletes_the_campaign(
        self, name: str, other: str, on: str, remove: bool, faults: list[Fault]
    ) -> None:
        named = [id for id, other_name in self.names().items() if other_name == name]
        removed: list[int] = []

        def meanwhile() -> None:
            if named[0] in self.sandbox.campaigns:
                if remove:
                    self.sandbox.remove(named[0])
                    removed.append(named[0])
                else:
                    self.sandbox.change(named[0], Name=other)

        if not named:
            return
        self.sandbox.faults.next(Meanwhile(meanwhile), match=on)
        step = self.run_step(self.dialler.campaigns.delete_by_name(name), faults)
        our_deletions = step.carried_out("delete", "delete_by_name")
        assert len(our_deletions) == len(step.deleted_ids) - len(removed)
        # The campaign was renamed before the last lookup, so deleting it would delete a campaign of another name.
        if not remove and other != name:
            assert not any(received.path.endswith(f"/{named[0]}") for received in our_deletions)
        if step.outcome is None:
            assert len(our_deletions) == 1 or removed == named

    @rule(faults=FAULTS, destination=NAMES, exist_ok=st.booleans(), loop_steps=st.integers(0, 40))
    def clone_cancelled(self, faults: list[Fault], destination: str, exist_ok: bool, loop_steps: int) -> None:
        call = self.dialler.campaigns.clone("Summer", destination, exist_ok=exist_ok)
        self.check_clone(self.run_step(call, faults, loop_steps), destination, exist_ok)

    @rule(faults=FAULTS, id=IDS, loop_steps=st.integers(0, 40))
    def delete_cancelled(self, faults: list[Fault], id: int, loop_steps: int) -> None:
        step = self.run_step(self.dialler.campaigns.delete(id), faults, loop_steps)
        assert step.deleted_ids <= {id}
        assert not step.created_ids
        assert len(step.carried_out("delete")) == len(step.deleted_ids)

    @rule(faults=FAULTS, call=st.sampled_from(["clone", "delete", "list"]))
    def token_is_replaced_before_a_request(self, faults: list[Fault], call: str) -> None:
        self.sandbox.faults.next(Meanwhile(self.sandbox.revoke))
        if call == "clone":
            self.check_clone(self.run_step(self.dialler.campaigns.clone("Summer", "D"), faults), "D")
        elif call == "delete":
            self.delete(faults, 2, False)
        else:
            self.list_all(faults)

    @rule(write=st.booleans())
    def server_is_down(self, write: bool) -> None:
        async def call_during_outage() -> None:
            async with self.sandbox.refusing():
                await run_pending_callbacks()
                if write:
                    await self.dialler.campaigns.clone("Summer", "E")
                else:
                    await self.dialler.campaigns.list()

        step = self.run_step(call_during_outage(), [])
        assert isinstance(step.outcome, errors.DiallerError)
        # No request was sent, so no outcome is unknown.
        assert not step.is_unknown
        assert step.received == []

    @rule(settle=st.booleans())
    def idle_connections_are_closed(self, settle: bool) -> None:
        self.sandbox.close_idle()
        if settle:
            self.runner.run(run_pending_callbacks())

    @rule(seed=st.integers(0, 2**16), share=st.sampled_from([0.1, 0.5, 0.9]), calls=st.integers(2, 12))
    def many_concurrent_calls(self, seed: int, share: float, calls: int) -> None:
        first = 1 + len(self.sandbox.journal)
        destinations = [f"Many {first} {nth}" for nth in range(calls)]
        to_delete = list(self.sandbox.campaigns)[1:4]
        before = self.names()
        self.sandbox.faults.chance(share, [*FAULTS_WITH_KNOWN_EXECUTION, *FAULTS_BEFORE_OR_AFTER_EXECUTION], seed=seed)

        async def run_all() -> tuple[list[Any], list[Any], list[Any]]:
            clones = [
                self.dialler.campaigns.clone("Winter", name, exist_ok=nth % 2 == 0)
                for nth, name in enumerate(destinations)
            ]
            deletes = [self.dialler.campaigns.delete(id) for id in to_delete]
            reads = [self.dialler.campaigns.list() for _ in range(calls)]
            groups = (asyncio.gather(*group, return_exceptions=True) for group in (clones, deletes, reads))
            outcomes = await asyncio.gather(*groups)
            await run_pending_callbacks()
            return outcomes[0], outcomes[1], outcomes[2]

        clones, deletes, reads = self.runner.run(run_all())
        self.sandbox.faults.clear()
        done = [received for received in self.sandbox.journal[first - 1 :] if received.carried_out]
        cloned = Counter(json.loads(received.body)["destination"] for received in done if received.call == "clone")
        deleted = Counter(int(received.path.rpartition("/")[2]) for received in done if received.call == "delete")
        assert not any(received.call == "delete_by_name" for received in done)
        after = self.names()
        assert before.keys() - after.keys() == deleted.keys() <= set(to_delete)
        for name, result in zip(destinations, clones, strict=True):
            assert cloned[name] <= 1
            if isinstance(result, Campaign):
                assert cloned[name] == 1
                assert after[result.id or 0] == name
            else:
                assert isinstance(result, errors.DiallerError)
                assert isinstance(result, errors.OutcomeUnknownError) or not cloned[name]
        for id, result in zip(to_delete, deletes, strict=True):
            assert deleted[id] <= 1
            if result is not None:
                assert isinstance(result, errors.DiallerError)
                is_plain_500 = isinstance(result, errors.ServerError) and result.status == 500
                assert isinstance(result, errors.OutcomeUnknownError) or is_plain_500 or not deleted[id]
        for result in reads:
            assert (
                isinstance(result, errors.DiallerError)
                or {campaign.id for campaign in result} <= before.keys() | after.keys()
            )

    @invariant()
    def no_call_is_in_flight_and_all_connections_are_free(self) -> None:
        if not hasattr(self, "dialler"):
            return
        assert self.dialler._shared.pool.in_flight == 0
        # Kept connections, connections of writes, and one that the server does not know to be closed.
        assert self.sandbox.connections.peak <= 4 + 4 + 1
        # Only the tasks of the sandbox may be left, one for each connection.
        running = {str(task.get_coro()) for task in asyncio.all_tasks(self.runner.get_loop())}
        assert [coroutine for coroutine in running if "RequestHandler" not in coroutine] == []

    @rule()
    def call_without_faults_succeeds(self) -> None:
        self.runner.run(run_pending_callbacks())
        step = self.run_step(self.dialler.campaigns.list(), [])
        assert {it.id: it.name for it in step.outcome} == self.names()
        assert len(step.outcome) == len(self.names())

    @rule()
    def invalid_call_sends_no_request(self) -> None:
        step = self.run_step(self.dialler.campaigns.delete(0), [])
        assert isinstance(step.outcome, errors.ConfigurationError)
        assert step.received == []


async def run_pending_callbacks() -> None:
    """Let both ends of the connections process the events of the other end."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.slow
def test_sequences_of_calls_under_faults_run_each_write_once_and_report_its_outcome(
    skip_waits: SkipWaits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CLOCK, "random", lambda: 0.5)
    # Each example sets it; this restores it.
    monkeypatch.setattr(CLOCK, "monotonic", CLOCK.monotonic)
    CallsUnderFaults.skip_waits = staticmethod(skip_waits)
    slow = [HealthCheck.too_slow]  # Each example opens a sandbox.
    options = settings(max_examples=40, stateful_step_count=20, deadline=None, suppress_health_check=slow)
    run_state_machine_as_test(CallsUnderFaults, settings=options)
