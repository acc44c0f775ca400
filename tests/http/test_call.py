"""`Call`: the waits of a call that an observer gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dialler_async import RetryPolicy
from dialler_async._api.endpoints import list_campaigns
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
