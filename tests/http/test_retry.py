"""The retry table: which call is retried after which error, and after which delay."""

import itertools
import pickle
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialler_async import (
    AuthenticationError,
    BadRequestError,
    ClientStateError,
    ConfigurationError,
    ConflictError,
    ConnectError,
    DeadlineError,
    DiallerError,
    EndpointNotFoundError,
    NoReplyError,
    NotFoundError,
    PayloadError,
    RateLimitedError,
    RedirectError,
    RetryPolicy,
    ServerError,
    StatusError,
    Timeouts,
)
from dialler_async._api import endpoints
from dialler_async._http.retry import decide, is_transient, max_total_delay, may_have_run, resolves_outcome

READ, SAFE, BY_ID, ONCE = "read", "clone, exist_ok", "delete by ID", "once"
"""The rows of the table. Several calls share a row."""

CALLS: list[tuple[str, str, endpoints.Request[Any]]] = [
    (READ, "list", endpoints.list_campaigns()),
    (READ, "iterate", endpoints.list_campaigns_in_slices()),
    (READ, "get", endpoints.get_campaign(535)),
    (READ, "find", endpoints.find_campaigns("x")),
    (READ, "result codes", endpoints.list_result_codes(535, 1)),
    (SAFE, "clone, exist_ok", endpoints.clone_campaign("A", "B", exist_ok=True)),
    (BY_ID, "delete by ID", endpoints.delete_campaign(535)),
    (ONCE, "clone", endpoints.clone_campaign("A", "B")),
    (ONCE, "delete by name", endpoints.delete_campaign_by_name("x")),
]

RETRY = "retry"
ERROR = "the error"
UNKNOWN = "outcome unknown"


def status(kind: type[StatusError], code: int, retry_after: float | None = None) -> StatusError:
    return kind(f"{code}", status=code, retry_after=retry_after)


TABLE: list[tuple[str, DiallerError, dict[str, str]]] = [
    # Each entry has an error, and the result for a read, a clone with exist_ok, a delete by ID, and other writes.
    ("never sent", ConnectError(), {READ: RETRY, SAFE: RETRY, BY_ID: RETRY, ONCE: RETRY}),
    ("lost after sending", NoReplyError(), {READ: RETRY, SAFE: RETRY, BY_ID: RETRY, ONCE: UNKNOWN}),
    ("permanent, never sent", ConnectError(permanent=True), {READ: ERROR, SAFE: ERROR, BY_ID: ERROR, ONCE: ERROR}),
    (
        "permanent, after sending",
        NoReplyError(permanent=True),
        {READ: ERROR, SAFE: UNKNOWN, BY_ID: UNKNOWN, ONCE: UNKNOWN},
    ),
    ("no response in time", DeadlineError(), {READ: RETRY, SAFE: RETRY, BY_ID: RETRY, ONCE: UNKNOWN}),
    ("429", status(RateLimitedError, 429), {READ: RETRY, SAFE: RETRY, BY_ID: RETRY, ONCE: ERROR}),
    ("429, wait", status(RateLimitedError, 429, 1.0), {READ: RETRY, SAFE: RETRY, BY_ID: RETRY, ONCE: RETRY}),
    ("502", status(ServerError, 502), {READ: RETRY, SAFE: RETRY, BY_ID: RETRY, ONCE: UNKNOWN}),
    ("502, wait", status(ServerError, 502, 1.0), {READ: RETRY, SAFE: RETRY, BY_ID: RETRY, ONCE: UNKNOWN}),
    ("503", status(ServerError, 503), {READ: RETRY, SAFE: RETRY, BY_ID: RETRY, ONCE: ERROR}),
    ("503, wait", status(ServerError, 503, 1.0), {READ: RETRY, SAFE: RETRY, BY_ID: RETRY, ONCE: RETRY}),
    ("504", status(ServerError, 504), {READ: RETRY, SAFE: RETRY, BY_ID: RETRY, ONCE: UNKNOWN}),
    ("504, wait", status(ServerError, 504, 1.0), {READ: RETRY, SAFE: RETRY, BY_ID: RETRY, ONCE: UNKNOWN}),
    ("500", status(ServerError, 500), {READ: RETRY, SAFE: RETRY, BY_ID: ERROR, ONCE: UNKNOWN}),
    ("500, wait", status(ServerError, 500, 1.0), {READ: RETRY, SAFE: RETRY, BY_ID: ERROR, ONCE: UNKNOWN}),
    ("408", status(StatusError, 408), {READ: RETRY, SAFE: RETRY, BY_ID: ERROR, ONCE: ERROR}),
    ("200, no JSON", PayloadError(not_json=True), {READ: RETRY, SAFE: UNKNOWN, BY_ID: UNKNOWN, ONCE: UNKNOWN}),
    ("501", status(ServerError, 501), {READ: ERROR, SAFE: UNKNOWN, BY_ID: UNKNOWN, ONCE: UNKNOWN}),
    ("505", status(ServerError, 505), {READ: ERROR, SAFE: UNKNOWN, BY_ID: UNKNOWN, ONCE: UNKNOWN}),
    ("520", status(ServerError, 520), {READ: ERROR, SAFE: UNKNOWN, BY_ID: UNKNOWN, ONCE: UNKNOWN}),
    ("201", status(StatusError, 201), {READ: ERROR, SAFE: UNKNOWN, BY_ID: UNKNOWN, ONCE: UNKNOWN}),
    ("204", status(StatusError, 204), {READ: ERROR, SAFE: UNKNOWN, BY_ID: UNKNOWN, ONCE: UNKNOWN}),
    ("200, no envelope", PayloadError(), {READ: ERROR, SAFE: UNKNOWN, BY_ID: UNKNOWN, ONCE: UNKNOWN}),
    (
        "200, wrong record",
        PayloadError(path="records[0].ID"),
        {READ: ERROR, SAFE: UNKNOWN, BY_ID: UNKNOWN, ONCE: UNKNOWN},
    ),
    *(
        (name, error, dict.fromkeys((READ, SAFE, BY_ID, ONCE), ERROR))
        for name, error in [
            ("300", status(RedirectError, 300)),
            ("301", status(RedirectError, 301)),
            ("307", status(RedirectError, 307, 1.0)),
            ("400", status(BadRequestError, 400)),
            ("401", status(AuthenticationError, 401)),
            ("403", status(StatusError, 403)),
            ("404", status(NotFoundError, 404)),
            ("404, no endpoint", status(EndpointNotFoundError, 404)),
            ("409", status(ConflictError, 409)),
            ("409, wait", status(ConflictError, 409, 1.0)),
            ("413", status(StatusError, 413)),
            ("closed", ClientStateError()),
        ]
    ),
]
MATRIX = [
    pytest.param(request, failure, reactions[row], id=f"{call} after {name}")
    for (row, call, request), (name, failure, reactions) in itertools.product(CALLS, TABLE)
]

PATIENT = RetryPolicy(attempts=4, base_delay=1, max_delay=8, max_retry_after=60)


def delay_after(
    failure: DiallerError,
    *,
    request: endpoints.Request[Any] = CALLS[0][2],
    attempt: int = 1,
    time_left: float = 1000.0,
    random: float = 0.5,
    policy: RetryPolicy = PATIENT,
) -> float | None:
    return decide(request, failure, attempt=attempt, time_left=time_left, random=random, policy=policy)


@pytest.mark.parametrize(("request_", "failure", "reaction"), MATRIX)
def test_each_call_is_handled_after_each_error_as_in_the_table(
    request_: endpoints.Request[Any], failure: DiallerError, reaction: str
) -> None:
    is_retried = delay_after(failure, request=request_) is not None
    is_unknown = not is_retried and may_have_run(request_, failure)
    assert (RETRY if is_retried else UNKNOWN if is_unknown else ERROR) == reaction


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (ConnectError(), False),
        (status(RateLimitedError, 429, 1.0), False),
        (status(ServerError, 503, 1.0), False),
        (NoReplyError(), True),
        (DeadlineError(), True),
        (status(ServerError, 502), True),
        (status(ServerError, 504), True),
    ],
)
@pytest.mark.parametrize("request_", [request for row, _, request in CALLS if row != READ])
def test_write_may_have_run_after_a_lost_attempt_or_a_gateway_error(
    request_: endpoints.Request[Any], failure: DiallerError, expected: bool
) -> None:
    assert may_have_run(request_, failure) is expected


@pytest.mark.parametrize("failure", [row[1] for row in TABLE])
@pytest.mark.parametrize("request_", [request for row, _, request in CALLS if row == READ])
def test_read_has_no_unknown_outcome(request_: endpoints.Request[Any], failure: DiallerError) -> None:
    assert may_have_run(request_, failure) is False


@pytest.mark.parametrize(("row", "request_"), [(row, request) for row, _, request in CALLS if row != READ])
@pytest.mark.parametrize("failure", [row[1] for row in TABLE])
def test_only_a_conflict_resolves_the_outcome_of_a_clone_with_exist_ok(
    row: str, request_: endpoints.Request[Any], failure: DiallerError
) -> None:
    assert resolves_outcome(request_, failure) is (row == SAFE and isinstance(failure, ConflictError))


@pytest.mark.parametrize(
    ("failure", "transient"),
    [
        (ConnectError(), True),
        (NoReplyError(), True),
        (DeadlineError(), True),
        *((status(StatusError, code), True) for code in (408, 429, 500, 502, 503, 504)),
        *((status(StatusError, code), False) for code in (301, 400, 401, 404, 409, 413, 501)),
        (PayloadError(not_json=True), True),
        (PayloadError(path="count"), False),
        (ClientStateError(), False),
    ],
)
def test_transient_errors_are_lost_connections_5xx_and_bodies_without_json(
    failure: DiallerError, transient: bool
) -> None:
    assert is_transient(failure) is transient


class TestAttempts:
    """The number of attempts of a call."""

    @pytest.mark.parametrize(("attempt", "is_retried"), [(1, True), (3, True), (4, False), (5, False)])
    def test_last_attempt_is_not_retried(self, attempt: int, is_retried: bool) -> None:
        assert (delay_after(ConnectError(), attempt=attempt) is not None) is is_retried

    def test_policy_of_one_attempt_never_retries(self) -> None:
        assert delay_after(ConnectError(), policy=RetryPolicy(attempts=1)) is None


class TestDelay:
    """The backoff with equal jitter: a random time between half of the backoff and the backoff."""

    @pytest.mark.parametrize(
        ("attempt", "random", "wait"),
        [(1, 0.0, 0.5), (1, 1.0, 1.0), (1, 0.5, 0.75), (2, 1.0, 2.0), (3, 1.0, 4.0), (3, 0.5, 3.0)],
    )
    def test_delay_doubles_with_jitter(self, attempt: int, random: float, wait: float) -> None:
        assert delay_after(ConnectError(), attempt=attempt, random=random) == wait

    @pytest.mark.parametrize("attempt", [4, 5, 10, 1000, 10**6])
    def test_delay_never_exceeds_max_delay(self, attempt: int) -> None:
        policy = RetryPolicy(attempts=10**9, base_delay=1, max_delay=8)
        assert delay_after(ConnectError(), attempt=attempt, random=1.0, policy=policy) == 8.0

    def test_max_delay_below_base_delay_limits_the_delay(self) -> None:
        assert delay_after(ConnectError(), random=1.0, policy=RetryPolicy(base_delay=5, max_delay=2)) == 2.0

    def test_base_delay_of_zero_never_waits(self) -> None:
        policy = RetryPolicy(base_delay=0, attempts=5000)
        assert delay_after(ConnectError(), attempt=4000, random=1.0, policy=policy) == 0.0

    @given(
        attempt=st.integers(1, 5000),
        random=st.floats(0, 1),
        base=st.floats(0, 100),
        longest_delay=st.floats(0, 1000),
        time_left=st.floats(-10, 1000),
    )
    def test_delay_is_never_negative_and_never_beyond_max_delay_or_deadline(
        self, attempt: int, random: float, base: float, longest_delay: float, time_left: float
    ) -> None:
        policy = RetryPolicy(attempts=10**9, base_delay=base, max_delay=longest_delay)
        wait = delay_after(ConnectError(), attempt=attempt, random=random, time_left=time_left, policy=policy)
        if wait is not None:
            assert 0 <= wait <= longest_delay
            assert wait < time_left


class TestRetryAfter:
    """`Retry-After` is obeyed up to a maximum. Beyond the maximum, the error is raised without a retry."""

    @pytest.mark.parametrize(
        ("retry_after", "wait"),
        [(0.0, 0.75), (0.2, 0.75), (3.0, 3.0), (60.0, 60.0), (60.1, None), (3600.0, None), (float("inf"), None)],
    )
    @pytest.mark.parametrize("kind", [(RateLimitedError, 429), (ServerError, 503)])
    def test_delay_is_at_least_retry_after(
        self, kind: tuple[type[StatusError], int], retry_after: float, wait: float | None
    ) -> None:
        assert delay_after(status(*kind, retry_after), random=0.5) == wait

    @pytest.mark.parametrize("request_", [request for row, _, request in CALLS if row == ONCE])
    def test_write_refused_with_too_long_retry_after_has_no_unknown_outcome(
        self, request_: endpoints.Request[Any]
    ) -> None:
        failure = status(RateLimitedError, 429, 61.0)
        assert delay_after(failure, request=request_) is None
        assert not may_have_run(request_, failure)

    def test_retry_after_of_zero_seconds_allows_a_retry(self) -> None:
        clone = endpoints.clone_campaign("A", "B")
        assert delay_after(status(ServerError, 503, 0.0), request=clone, random=0.0) == 0.5

    def test_maximum_retry_after_is_taken_from_the_policy(self) -> None:
        failure = status(ServerError, 503, 61.0)
        assert delay_after(failure, policy=RetryPolicy(max_retry_after=61)) == 61.0
        assert delay_after(status(ServerError, 503, 0.1), policy=RetryPolicy(max_retry_after=0)) is None


class TestDeadline:
    """No delay reaches the deadline."""

    @pytest.mark.parametrize(
        ("time_left", "wait"), [(10.0, 0.75), (0.76, 0.75), (0.75, None), (0.1, None), (0.0, None), (-1.0, None)]
    )
    def test_call_is_not_retried_when_the_delay_would_reach_the_deadline(
        self, time_left: float, wait: float | None
    ) -> None:
        assert delay_after(ConnectError(), time_left=time_left) == wait

    def test_call_is_not_retried_when_retry_after_would_reach_the_deadline(self) -> None:
        failure = status(RateLimitedError, 429, 30.0)
        assert delay_after(failure, time_left=31.0) == 30.0
        assert delay_after(failure, time_left=30.0) is None


class TestPolicy:
    """`RetryPolicy` is a frozen value that refuses invalid settings."""

    def test_default_policy_has_4_attempts_and_a_delay_of_250_ms(self) -> None:
        policy = RetryPolicy()
        assert (policy.attempts, policy.base_delay, policy.max_delay) == (4, 0.25, 8.0)
        assert policy.max_retry_after == 60.0

    def test_patient_policy_waits_for_37_to_75_seconds_and_less_than_the_default_deadline(self) -> None:
        longest = max_total_delay(RetryPolicy.patient())
        assert (int(longest / 2), int(longest)) == (37, 75)
        assert longest < Timeouts().deadline

    @pytest.mark.parametrize(
        ("policy", "seconds"),
        [
            (RetryPolicy(), 1.75),
            (RetryPolicy(attempts=1), 0.0),
            (RetryPolicy(attempts=6, base_delay=1, max_delay=3), 12.0),
            (RetryPolicy(attempts=10**9 + 1, base_delay=0, max_delay=8), 0.0),
            (RetryPolicy(attempts=1001, base_delay=1, max_delay=1), 1000.0),
        ],
    )
    def test_max_total_delay_is_the_sum_of_the_maximum_delays(self, policy: RetryPolicy, seconds: float) -> None:
        assert max_total_delay(policy) == seconds

    @pytest.mark.parametrize("attempts", [0, -1, True, 2.0, "3", None])
    def test_attempts_that_are_not_a_positive_int_are_refused(self, attempts: Any) -> None:
        with pytest.raises(ConfigurationError, match=r"RetryPolicy\(attempts=…\) must be a positive int"):
            RetryPolicy(attempts=attempts)

    @pytest.mark.parametrize("name", ["base_delay", "max_delay", "max_retry_after"])
    @pytest.mark.parametrize("value", [-0.1, -1, float("-inf"), float("nan"), True, "1", None])
    def test_delay_that_is_not_a_number_or_negative_is_refused(self, name: str, value: Any) -> None:
        with pytest.raises(
            ConfigurationError, match=rf"RetryPolicy\({name}=…\) must be a number of seconds, and not negative"
        ):
            RetryPolicy(**{name: value})

    @pytest.mark.parametrize("name", ["base_delay", "max_delay", "max_retry_after"])
    def test_delay_of_zero_is_accepted(self, name: str) -> None:
        assert getattr(RetryPolicy(**{name: 0}), name) == 0

    def test_policy_is_a_frozen_value(self) -> None:
        policy = RetryPolicy(attempts=2)
        assert pickle.loads(pickle.dumps(policy)) == policy == RetryPolicy(attempts=2)  # noqa: S301  trusted bytes
        assert policy != RetryPolicy()
        assert hash(policy) == hash(RetryPolicy(attempts=2))
        assert attrs.evolve(policy, attempts=3).attempts == 3
        with pytest.raises(AttributeError):
            policy.attempts = 9  # type: ignore[misc]  the mistake that is tested
        with pytest.raises(TypeError):
            RetryPolicy(4)  # type: ignore[misc]  the mistake that is tested
