"""The circuit breaker with given times: when calls wait, when a call probes, and when calls give up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialler_async import ConnectError, NotFoundError, PayloadError, RetryPolicy, ServerError
from dialler_async._http.circuit import FAILURES_TO_OPEN, TOKENS, CircuitBreaker, Permit

DOWN = ConnectError("no connection")
HALF = 0.5
DEFAULT = RetryPolicy()


def opened(policy: RetryPolicy = DEFAULT, now: float = 0.0) -> CircuitBreaker:
    """Return a circuit that has just opened. With the default policy, the first probe is due after 0.1875 s."""
    circuit = CircuitBreaker(policy)
    for _ in range(FAILURES_TO_OPEN):
        circuit.record(now, HALF, DOWN, probe=False)
    assert circuit.is_open
    return circuit


def test_closed_circuit_sends_every_call() -> None:
    assert CircuitBreaker(RetryPolicy()).permit(0.0, 0.0, sent=False) is Permit.SEND


def test_failures_with_a_success_between_them_do_not_open_the_circuit() -> None:
    circuit = CircuitBreaker(RetryPolicy())
    for _ in range(10):
        for _ in range(FAILURES_TO_OPEN - 1):
            assert circuit.record(0.0, HALF, DOWN, probe=False) is False
        circuit.record(0.0, HALF, None, probe=False)
    assert not circuit.is_open


@pytest.mark.parametrize("outcome", [None, NotFoundError(status=404), PayloadError(path="count")])
def test_response_that_a_retry_would_not_change_closes_the_circuit(outcome: object) -> None:
    circuit = opened()
    assert circuit.record(0.1, HALF, outcome, probe=False) is True
    assert not circuit.is_open
    assert circuit.permit(0.1, 0.0, sent=True) is Permit.SEND


def test_one_call_probes_after_the_backoff_and_the_others_wait() -> None:
    circuit = opened()
    assert circuit.permit(0.0, 0.0, sent=True) == 0.1875
    assert circuit.permit(0.1875, 0.0, sent=True) is Permit.PROBE
    assert circuit.permit(0.1875, 0.0, sent=True) == 1.75 - 0.1875


def test_failed_probe_doubles_the_backoff() -> None:
    circuit = opened()
    now = 0.0
    for delay in (0.1875, 0.375, 0.75):
        now += delay
        assert circuit.permit(now, now, sent=True) is Permit.PROBE
        assert circuit.record(now, HALF, DOWN, probe=True) is True
    assert circuit.permit(now, now, sent=True) == 1.5


def test_call_that_failed_before_probes_before_a_call_that_was_never_sent() -> None:
    circuit = opened()
    assert circuit.permit(0.1875, 0.0, sent=False) == 0.25
    assert circuit.permit(0.4375, 0.0, sent=False) is Permit.PROBE


def test_failures_of_other_calls_do_not_postpone_the_next_probe() -> None:
    circuit = opened()
    for _ in range(100):
        assert circuit.record(0.1, HALF, DOWN, probe=False) is False
    assert circuit.permit(0.1875, 0.0, sent=True) is Permit.PROBE


@pytest.mark.parametrize(("sent", "permit"), [(True, Permit.GIVE_UP), (False, Permit.SEND_ONCE)])
def test_call_waits_at_most_as_long_as_its_retries_may_take(sent: bool, permit: Permit) -> None:
    circuit = opened()
    assert circuit.permit(0.1875, 0.0, sent=True) is Permit.PROBE
    assert isinstance(circuit.permit(1.74, 0.0, sent=sent), float)
    assert circuit.permit(1.75, 0.0, sent=sent) is permit
    assert circuit.must_give_up(1.75, 0.0)
    assert not circuit.must_give_up(1.74, 0.0)


def test_success_restarts_the_time_that_calls_wait() -> None:
    circuit = opened()
    circuit.record(1.0, HALF, None, probe=False)
    for _ in range(FAILURES_TO_OPEN):
        circuit.record(1.5, HALF, DOWN, probe=False)
    assert not circuit.must_give_up(2.7, 0.0)
    assert circuit.must_give_up(2.75, 0.0)


def test_retry_after_postpones_the_probe_and_the_end_of_the_wait() -> None:
    circuit = CircuitBreaker(RetryPolicy())
    for _ in range(FAILURES_TO_OPEN):
        circuit.record(0.0, HALF, ServerError(status=503, retry_after=5.0), probe=False)
    assert circuit.permit(0.0, 0.0, sent=True) == 5.0
    assert circuit.permit(5.0, 0.0, sent=True) is Permit.PROBE
    assert not circuit.must_give_up(16.7, 0.0)
    assert circuit.must_give_up(16.75, 0.0)


def test_503_without_retry_after_does_not_postpone_the_probe() -> None:
    circuit = CircuitBreaker(RetryPolicy())
    for _ in range(FAILURES_TO_OPEN):
        circuit.record(0.0, HALF, ServerError(status=503), probe=False)
    assert circuit.permit(0.0, 0.0, sent=True) == 0.1875


def test_too_long_retry_after_is_ignored() -> None:
    circuit = CircuitBreaker(RetryPolicy())
    for _ in range(FAILURES_TO_OPEN):
        circuit.record(0.0, HALF, ServerError(status=503, retry_after=3600.0), probe=False)
    assert circuit.permit(0.0, 0.0, sent=True) == 0.1875


def test_another_call_probes_immediately_after_an_abandoned_probe() -> None:
    circuit = opened()
    for _ in range(100):
        assert circuit.permit(0.1875, 0.0, sent=True) is Permit.PROBE
        circuit.abandon_probe()


def test_call_that_was_never_sent_is_sent_after_its_wait_without_tokens() -> None:
    circuit = opened(RetryPolicy(attempts=100, base_delay=0.001, max_delay=0.001))
    now = 0.0
    for _ in range(int(TOKENS)):
        now += 0.001
        assert circuit.permit(now, now, sent=True) is Permit.PROBE
        circuit.record(now, HALF, DOWN, probe=True)
    assert circuit.permit(now, now, sent=False) == pytest.approx(0.099)
    assert circuit.permit(now + 0.1, now, sent=False) is Permit.SEND_ONCE
    for _ in range(11):
        circuit.deposit()
    assert circuit.permit(now + 0.1, now, sent=False) is Permit.PROBE


@given(st.lists(st.tuples(st.floats(0, 0.5), st.booleans(), st.booleans()), max_size=60))
def test_circuit_has_at_most_one_probe_and_bounded_waits(steps: list[tuple[float, bool, bool]]) -> None:
    circuit = CircuitBreaker(RetryPolicy())
    now, probing = 0.0, False
    for elapsed, fails, ends in steps:
        now += elapsed
        circuit.deposit()
        permit = circuit.permit(now, now, sent=False)
        assert permit is not Permit.GIVE_UP
        if permit is Permit.PROBE:
            assert not probing
            probing = True
        elif not isinstance(permit, Permit):
            assert 0 < permit <= 1.75 + 1e-9  # the sum of the delays, and its rounding
        if permit is Permit.SEND or ends:
            probe, probing = probing and circuit.is_open, False
            circuit.record(now, HALF, DOWN if fails else None, probe=probe)
        probing = probing and circuit.is_open
