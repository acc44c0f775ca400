"""`Call`: the waits of a call that an observer gets."""

from __future__ import annotations

from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from dialler_async import AuthenticationError, AutoConcurrency, DeadlineError, RetryPolicy
from dialler_async._api.endpoints import list_campaigns
from dialler_async._bulk.concurrency import ITEM_LATENCY, ItemLatency
from dialler_async._http.call import Call, Phase
from dialler_async.observer import ObservedCall, Observer

if TYPE_CHECKING:
    from tests.conftest import Clock


class Waits(Observer):
    """Records how long each attempt waited."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def attempt_started(self, call: ObservedCall, waited: float) -> None:
        self.seconds.append(waited)


def test_wait_for_an_attempt_begins_after_the_token_and_at_the_gate(clock: Clock) -> None:
    observer = Waits()
    call = Call(list_campaigns(), RetryPolicy(), {}, "http://127.0.0.1:1", observer)
    call.started()
    for phase in (Phase.AUTHENTICATING, Phase.AT_GATE, Phase.QUEUED):
        call.wait_started(phase)
        clock.seconds += 10
    call.attempt_started(token_version=1)
    assert observer.seconds == [20]


def call_of(item: ItemLatency) -> Call[Any]:
    """Return a call of an item of a fan-out."""
    context = copy_context()
    context.run(ITEM_LATENCY.set, item)
    return context.run(Call, list_campaigns(), RetryPolicy(), {}, "http://127.0.0.1:1", None)


def test_timeout_of_a_call_that_was_not_sent_is_no_refusal(clock: Clock) -> None:
    auto = AutoConcurrency(8)
    refused: list[float] = []
    auto.refused = lambda now, latency: refused.append(latency)  # type: ignore[method-assign]  recorded
    item = ItemLatency(auto, lambda: clock.seconds)
    call = call_of(item)
    item.failed(DeadlineError("the deadline expired in the queue"))
    assert refused == []
    call.attempt_started(token_version=1)
    item.failed(DeadlineError("late"))
    assert len(refused) == 1


def test_item_of_a_fan_out_gets_all_waits_of_a_call_but_not_its_attempts(clock: Clock) -> None:
    auto = AutoConcurrency(8)
    latencies: list[float] = []
    auto.finished = lambda now, latency, in_flight: latencies.append(latency)  # type: ignore[method-assign]  recorded
    item = ItemLatency(auto, lambda: clock.seconds)
    call = call_of(item)
    refused = AuthenticationError("expired", status=401)
    for start_wait in (
        lambda: call.wait_started(Phase.QUEUED),
        lambda: call.wait_started(Phase.AUTHENTICATING),
        lambda: call.retry_scheduled(refused, 5),
    ):
        start_wait()
        clock.seconds += 10
        call.retry_scheduled(refused, 0)
        clock.seconds += 10
        call.wait_started(Phase.QUEUED)
        clock.seconds += 10
        call.attempt_started(token_version=1)
        clock.seconds += 1
    item.response_received(1)
    assert latencies == [3]
