"""Values that no option or argument accepts: each is a ConfigurationError where it is given, and nothing is sent."""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any

import aiohttp
import pytest

from dialler_async import (
    Campaign,
    ClientStateError,
    ConfigurationError,
    DiallerClient,
    PoolConfig,
    Records,
    RetryPolicy,
    Timeouts,
)
from dialler_async.sandbox import Sandbox

BASE = "https://acd.example.com/rest/v1.0/1"
HUGE = 10**400
NO_NUMBERS = (math.nan, HUGE, "60", None, True, timedelta(seconds=60), Decimal(5), [5])
NOT_FINITE = (math.inf, *NO_NUMBERS)
NO_COUNTS = (0, -1, 1.0, 2**63, *NOT_FINITE)
NO_FILES = (5, b"ca.pem", "", True, ["ca.pem"])

INVALID_OPTIONS: list[tuple[Callable[..., object], str, tuple[Any, ...]]] = [
    (PoolConfig, "limit", NO_COUNTS),
    (PoolConfig, "max_body", NO_COUNTS),
    (PoolConfig, "proxy", (5, b"http://proxy:1", True)),
    (PoolConfig, "ca_file", NO_FILES),
    (PoolConfig, "client_cert", NO_FILES),
    (PoolConfig, "keep_alive", (0, -1, *NOT_FINITE)),
    (PoolConfig, "ssl", (True, False, "context")),
    (Timeouts, "connect", (0, -1, *NO_NUMBERS)),
    (Timeouts, "read", (0, -1, *NO_NUMBERS)),
    (Timeouts, "deadline", (0, -1, *NO_NUMBERS)),
    (RetryPolicy, "attempts", NO_COUNTS),
    (RetryPolicy, "base_delay", (-1, *NOT_FINITE)),
    (RetryPolicy, "max_delay", (-1, *NOT_FINITE)),
    (RetryPolicy, "max_retry_after", (-1, *NOT_FINITE)),
]


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        pytest.param(kind, name, value, id=f"{name}-{type(value).__name__}-{str(value)[:8]}")
        for kind, name, values in INVALID_OPTIONS
        for value in values
    ],
)
def test_invalid_option_is_refused_when_it_is_given(kind: Any, name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=rf"{kind.__name__}\({name}=…\) must be "):
        kind(**{name: value})


def client(**options: Any) -> DiallerClient:
    return DiallerClient(BASE, "abc-123", **options)


INVALID_ARGUMENTS: dict[str, Callable[[], object]] = {
    "pool": lambda: client(pool=10),
    "no pool": lambda: client(pool=None),
    "retry": lambda: client(retry=3),
    "timeouts": lambda: client(timeouts=5),
    "session": lambda: client(session="x"),
    "observer": lambda: client(observer=3),
    "class of observers": lambda: client(observer=object),
    "trace_configs": lambda: client(trace_configs=5),
    "trace_configs of another type": lambda: client(trace_configs=[5]),
    "headers": lambda: client(headers=5),
    "max_rate of another type": lambda: client(max_rate="5"),
    "max_rate too large": lambda: client(max_rate=HUGE),
    "max_rate not a number": lambda: client(max_rate=math.nan),
    "max_rate too small": lambda: client(max_rate=1e-320),
    "other retry": lambda: client().with_options(retry=3),  # type: ignore[arg-type]  the mistake
    "other timeouts": lambda: client().with_options(timeouts=5),  # type: ignore[arg-type]  the mistake
    "other headers": lambda: client().with_options(headers=5),  # type: ignore[arg-type]  the mistake
    "other max_rate": lambda: client().with_options(max_rate="5"),  # type: ignore[arg-type]  the mistake
    "large ClientsID": lambda: client().for_account(10**5000, "abc-123"),
    "large ClientsID of a server": lambda: DiallerClient.for_server("https://a.example", 10**5000, "abc-123"),
}


@pytest.mark.parametrize("make", INVALID_ARGUMENTS.values(), ids=INVALID_ARGUMENTS)
def test_invalid_argument_of_a_client_is_refused_when_it_is_given(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigurationError):
        make()


async def test_session_that_does_not_decompress_is_refused() -> None:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        with pytest.raises(ConfigurationError, match="must not have auto_decompress=False"):
            client(session=session)


@dataclass
class Unresolved:
    value: "Missing"  # type: ignore[name-defined]  # noqa: F821  the mistake


@dataclass
class Body:
    number: float


CAMPAIGN = Campaign(id=535, name="Summer")
CIRCULAR: list[object] = []
CIRCULAR.append(CIRCULAR)
Call = Callable[[DiallerClient], Awaitable[object]]


def sending(body: object) -> Call:
    return lambda dialler: dialler.request("POST", "/x", body=body)


def decoding(decoder: Any) -> Call:
    return lambda dialler: dialler.request("GET", "/x", decoder=decoder)


def asking(query: Any) -> Call:
    return lambda dialler: dialler.request("GET", "/x", query=query)


def of_age(max_age: Any) -> Call:
    return lambda dialler: dialler.campaigns.list(max_age=max_age)


INVALID_CALLS: dict[str, Call] = {
    "NaN": sending(math.nan),
    "NaN in a dict": sending({"a": [1, {"b": math.nan}]}),
    "infinity as a key": sending({math.inf: 1}),
    "infinity in a dataclass": sending([Body(math.inf)]),
    "campaign": sending(CAMPAIGN),
    "campaign in a list": sending({"campaigns": [CAMPAIGN]}),
    "int of 5,000 digits": sending(10**5000),
    "circular": sending(CIRCULAR),
    "201 levels": sending(json.loads("[" * 201 + "1" + "]" * 201)),
    "decoder of campaigns": decoding(Campaign),
    "decoder of lists of campaigns": decoding(list[Campaign]),
    "decoder of records": decoding(Records),
    "decoder of optional campaigns": decoding(Campaign | None),
    "decoder with an unresolved annotation": decoding(Unresolved),
    "decoder that is no type": decoding("dict"),
    "query of 5,000 digits": asking({"a": 10**5000}),
    "query of a float": asking({"a": 1.5}),
    "query of a bool": asking({"a": True}),
    "method": lambda dialler: dialler.request(["GET"], "/x"),  # type: ignore[call-overload]  the mistake
    "ID of 5,000 digits": lambda dialler: dialler.campaigns.get(10**5000),
    "max_age as text": of_age("60"),
    "max_age as timedelta": of_age(timedelta(seconds=60)),
    "max_age too large": of_age(HUGE),
    "max_age negative": of_age(-1),
    "max_age not a number": of_age(math.nan),
    "max_age as bool": of_age(True),
    "aclose": lambda dialler: dialler.aclose(HUGE),
}


@pytest.mark.parametrize("call", INVALID_CALLS.values(), ids=INVALID_CALLS)
async def test_invalid_argument_of_a_call_is_refused_and_nothing_is_sent(sandbox: Sandbox, call: Call) -> None:
    async with DiallerClient(sandbox.base_url, sandbox.token) as dialler:
        with pytest.raises(ConfigurationError):
            await call(dialler)
    assert sandbox.journal == []


class Name(StrEnum):
    OLD = "old"


class NameOfTwoBases(str, Enum):  # noqa: UP042  its `str()` is another than that of StrEnum
    OLD = "old"


class Number(IntEnum):
    SEVEN = 7


class NumberOfTwoBases(int, Enum):
    SEVEN = 7


@pytest.mark.parametrize("name", [Name.OLD, NameOfTwoBases.OLD])
@pytest.mark.parametrize("number", [Number.SEVEN, NumberOfTwoBases.SEVEN])
async def test_members_of_enums_are_sent_by_their_values(sandbox: Sandbox, name: str, number: int) -> None:
    headers = {"X-Name": name, "User-Agent": name}
    async with DiallerClient(sandbox.base_url, sandbox.token, headers=headers) as dialler:
        await asyncio.gather(
            dialler.request("GET", "/x", query={name: name, "n": number}),
            dialler.campaigns.find(name),
            dialler.for_account(number, sandbox.token).campaigns.list(),
            return_exceptions=True,
        )
    targets = sorted(received.target for received in sandbox.journal)
    assert [target.rpartition("/v1.0/")[2] for target in targets] == [
        "1/dialler/campaigns/campaign?name=old",
        "1/x?old=old&n=7",
        "7/dialler/campaigns",
    ]
    assert {received.headers["X-Name"] for received in sandbox.journal} == {"old"}
    assert {received.headers["User-Agent"].split()[0] for received in sandbox.journal} == {"old"}


async def test_call_outside_of_a_task_says_so() -> None:
    async with client() as dialler:
        outside: Coroutine[Any, Any, object] = dialler.campaigns.list()
        errors: list[BaseException] = []

        def run() -> None:
            try:
                outside.send(None)
            except BaseException as error:
                errors.append(error)

        asyncio.get_running_loop().call_soon(run)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    [error] = errors
    assert type(error) is ClientStateError
    assert "a call needs a task" in str(error)


def test_call_without_an_event_loop_says_so() -> None:
    call: Coroutine[Any, Any, object] = client().campaigns.list()
    with pytest.raises(ClientStateError, match="a call needs a running event loop"):
        call.send(None)


async def test_cancelled_error_of_the_header_function_is_a_configuration_error() -> None:
    def headers() -> dict[str, str]:
        raise asyncio.CancelledError

    async with client(headers=headers) as dialler:
        with pytest.raises(ConfigurationError, match="raised CancelledError"):
            await dialler.campaigns.list()
