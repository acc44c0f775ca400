"""The token is shown nowhere: every error, under every fault of the sandbox, on every surface that could show it."""

import asyncio
import copy
import gc
import html
import json
import logging
import os
import pickle
import ssl
import sys
import traceback
import urllib.parse
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest

from dialler_async import (
    AmbiguousNameError,
    AuthenticationError,
    BadRequestError,
    Campaign,
    ClientStateError,
    ConfigurationError,
    ConflictError,
    ConnectError,
    DeadlineError,
    DiallerClient,
    DiallerError,
    EndpointNotFoundError,
    InvalidTokenError,
    ItemCancelledError,
    Language,
    NoReplyError,
    NotFoundError,
    OutcomeUnknownError,
    PayloadError,
    PoolConfig,
    RateLimitedError,
    Records,
    RedirectError,
    ResultCode,
    RetryPolicy,
    ServerError,
    StatusError,
    Timeouts,
    TokenSourceError,
    errors,
)
from dialler_async.audit import audit, report_as_json
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import (
    CannedResponse,
    CloseAfterResponse,
    CutShort,
    Fault,
    GzipBomb,
    Gzipped,
    HangUp,
    Html,
    Meanwhile,
    Raw,
    Redirect,
    Reset,
    StallBeforeHeaders,
    StallInBody,
    Status,
    Trickle,
    WrongLength,
)

# Letters at both ends, which no encoding changes, so that half a token and one spelt otherwise are found as well.
HEAD, TAIL = "Zm9vYmFyMjE3", "c2VjcmV0ODQy"
TOKEN = f"{HEAD}/+=.~\"&<'%{TAIL}"
PASSWORD = "Zm9vYmFyMjE3-of-the-proxy"
IN_JSON = json.dumps(TOKEN).replace("/", "\\/").replace("+", "\\u002B").encode()
IN_URL = urllib.parse.quote(TOKEN, safe="")
IN_HTML = html.escape(TOKEN)

Call = Callable[[DiallerClient], Awaitable[Any]]


def assert_hidden(text: str) -> None:
    # As UTF-16 read in another charset, a token is still easy to read.
    text = text.replace("\x00", "").replace("\ufffd", "").replace("\\x00", "")
    assert HEAD not in text
    assert TAIL not in text


def surfaces(thing: Any) -> Iterator[str]:
    """All texts that printing, logging, pickling or recording a value could come to."""
    yield repr(thing)
    yield str(thing)
    yield pickle.dumps(thing).decode("latin-1")
    yield from _inside(thing, set())


def _inside(thing: Any, seen: set[int]) -> Iterator[str]:
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, str | bytes):
        yield str(thing)
        return
    if isinstance(thing, BaseException):
        yield from traceback.TracebackException.from_exception(thing, capture_locals=True).format()
        for behind in (thing.args, getattr(thing, "__notes__", ()), thing.__cause__, thing.__context__):
            yield from _inside(behind, seen)
    if isinstance(thing, Mapping):
        yield from _inside([*thing.keys(), *thing.values()], seen)
    elif isinstance(thing, list | tuple | set | frozenset | Records):
        for item in thing:
            yield from _inside(item, seen)
    if attrs.has(type(thing)):
        yield from _inside([getattr(thing, field.name) for field in attrs.fields(type(thing))], seen)
    yield from _inside(getattr(thing, "__dict__", ()), seen)
    yield repr(thing)


def logged(records: list[logging.LogRecord]) -> Iterator[str]:
    for record in records:
        yield record.getMessage()
        if record.name.startswith("aiohttp.server"):
            continue  # the sandbox's side of the wire
        yield repr(record.args)
        if record.exc_info and record.exc_info[1]:
            yield from _inside(record.exc_info[1], set())


def pickled(value: Any, protocol: int = pickle.DEFAULT_PROTOCOL) -> Any:
    return pickle.loads(pickle.dumps(value, protocol))  # noqa: S301  # our own bytes


async def told(call: Call, dialler: DiallerClient) -> BaseException | None:
    """What a call raises. Kept apart from whatever holds a token, since this frame is in the error's traceback."""
    try:
        await call(dialler)
    except BaseException as error:
        return error
    return None


def told_at_once(make: Callable[[], object]) -> BaseException:
    try:
        make()
    except BaseException as error:
        return error
    raise AssertionError("it did not fail")


def sync_token() -> str:
    return TOKEN


async def async_token() -> str:
    await asyncio.sleep(0)
    return TOKEN


class Changing:
    """A source that gives the token first, and another from then on."""

    def __init__(self) -> None:
        self._given = iter([TOKEN])

    def __call__(self) -> str:
        return next(self._given, "another")


SOURCES: dict[str, Any] = {
    "static": TOKEN,
    "function": sync_token,
    "coroutine function": async_token,
    "changing": Changing(),
}


def pairs() -> Iterator[tuple[str, str]]:
    """Every case with a token that is just given; where it comes from a function, those in which it is renewed."""
    for case in CASES:
        yield case, "static"
        if case in ("it works", "401 repeats it", "500 repeats it in a URL", "reset after it was carried out"):
            yield case, "function"
            yield case, "coroutine function"


@asynccontextmanager
async def at_work(source: str = "static", **options: Any) -> AsyncIterator[tuple[Sandbox, DiallerClient]]:
    records = [{"ID": 535, "Name": "Summer", "ClientsID": 1}, {"ID": 536, "Name": "Twin"}, {"ID": 537, "Name": "Twin"}]
    settings: dict[str, Any] = {
        "retry": RetryPolicy(attempts=2, base_delay=0),
        "pool": PoolConfig(max_body=2**20),
        **options,
    }
    async with Sandbox(records, token=TOKEN) as sandbox:
        for id in sandbox.campaigns:
            sandbox.change(id, ClientsID=1)
        async with DiallerClient(sandbox.base_url, SOURCES[source], **settings) as dialler:
            yield sandbox, dialler


def get(dialler: DiallerClient) -> Awaitable[Any]:
    return dialler.campaigns.get(535)


def find(dialler: DiallerClient) -> Awaitable[Any]:
    return dialler.campaigns.find("Summer")


def list_all(dialler: DiallerClient) -> Awaitable[Any]:
    return dialler.campaigns.list()


def codes(dialler: DiallerClient) -> Awaitable[Any]:
    return dialler.result_codes.list(535)


def get_twin(dialler: DiallerClient) -> Awaitable[Any]:
    return dialler.campaigns.get_by_name("Twin")


def clone(dialler: DiallerClient) -> Awaitable[Any]:
    return dialler.campaigns.clone("Summer", "Monday")


def clone_to_existing(dialler: DiallerClient) -> Awaitable[Any]:
    return dialler.campaigns.clone("Summer", "Twin")


def delete(dialler: DiallerClient) -> Awaitable[Any]:
    return dialler.campaigns.delete(535)


def delete_as_is(dialler: DiallerClient) -> Awaitable[Any]:
    return dialler.campaigns.delete_by_name("Summer", exact=False)


def get_missing(dialler: DiallerClient) -> Awaitable[Any]:
    return dialler.campaigns.get(999)


def get_without_id(dialler: DiallerClient) -> Awaitable[Any]:
    return dialler.campaigns.get(Campaign(name="without ID"))


async def iterate(dialler: DiallerClient) -> None:
    async for _ in dialler.campaigns.iterate():
        pass


def record(value: bytes) -> bytes:
    return b'{"records":[{"ID":535,"Name":"Summer","nMaxParallelLines":' + value + b'}],"count":1,"status":200}'


def echo(status: int, body: bytes | str, **headers: str) -> CannedResponse:
    sent = body if isinstance(body, bytes) else body.encode()
    return CannedResponse(status, sent, {"Content-Type": "application/json", **headers})


def said(status: int) -> bytes:
    return b'{"status":%d,"error":%s}' % (status, IN_JSON)


# Fault, call, and what it comes to; None for a call that works.
CASES: dict[str, tuple[Fault | None, Call, type[DiallerError] | None]] = {
    "it works": (None, get, None),
    "reset before it was read": (Reset(), get, NoReplyError),
    "reset after it was carried out": (Reset(carried_out=True), clone, OutcomeUnknownError),
    "hung up": (HangUp(), get, NoReplyError),
    "delete hung up on": (HangUp(carried_out=True), delete, OutcomeUnknownError),
    "closed after the answer": (CloseAfterResponse(), get, None),
    "cut short": (CutShort(), list_all, NoReplyError),
    "stalled before headers": (StallBeforeHeaders(), get, DeadlineError),
    "delete by name stalled": (StallBeforeHeaders(carried_out=True), delete_as_is, OutcomeUnknownError),
    "stalled in the body": (StallInBody(), codes, DeadlineError),
    "byte by byte": (Trickle(), get, None),
    "promises too much": (WrongLength(5), get, NoReplyError),
    "promises too little": (WrongLength(-5), get, NoReplyError),
    "gzipped": (Gzipped(), get, None),
    "gzip bomb": (GzipBomb(4), get, PayloadError),
    "429": (Status(429, retry_after=0), get, RateLimitedError),
    "503": (Status(503), get, ServerError),
    "500 to a clone": (Status(500), clone, OutcomeUnknownError),
    "500 to a delete": (Status(500), delete, ServerError),
    "html instead": (Html(), find, PayloadError),
    "html with 502": (Html(502), find, ServerError),
    "no such record": (None, get_missing, NotFoundError),
    "no such endpoint": (CannedResponse(404), get, EndpointNotFoundError),
    "it exists": (None, clone_to_existing, ConflictError),
    "ambiguous": (None, get_twin, AmbiguousNameError),
    "no ID": (None, get_without_id, ConfigurationError),
    "400 repeats it": (echo(400, said(400)), get, BadRequestError),
    "401 repeats it": (echo(401, said(401)), get, AuthenticationError),
    "404 repeats it": (echo(404, b"\xef\xbb\xbf" + said(404)), get, NotFoundError),
    "408 repeats it in plain text": (echo(408, f"Authorization: Bearer {TOKEN}"), get, StatusError),
    "409 repeats it beyond the excerpt": (echo(409, "x" * 185 + TOKEN), clone, ConflictError),
    "500 repeats it in a URL": (echo(500, f"/login?token={IN_URL}"), get, ServerError),
    "502 repeats it in HTML": (echo(502, f"Token {IN_HTML} was refused"), get, ServerError),
    "503 repeats it in UTF-16": (echo(503, f"Bearer {TOKEN}".encode("utf-16")), get, ServerError),
    "404 of a proxy repeats it": (echo(404, f"no route for {TOKEN}"), get, EndpointNotFoundError),
    "headers repeat it": (echo(500, "", **{"X-Echo": TOKEN, "Set-Cookie": f"{HEAD}={IN_URL}"}), get, ServerError),
    "redirect repeats it": (Redirect(f"https://else.example/{IN_URL}/x?t={IN_URL}"), get, RedirectError),
    "redirect repeats it as it is": (Redirect(f"http://u:{TOKEN}@127.0.0.1/{TOKEN}/x"), get, RedirectError),
    "redirect repeats it beyond the excerpt": (Redirect(f"http://h/{'x' * 180}{TOKEN}"), get, RedirectError),
    "a body's own status repeats it": (echo(200, said(500)), get, ServerError),
    "a misfit value repeats it": (echo(200, record(IN_JSON)), get, PayloadError),
    "a misfit value repeats half of it": (echo(200, record(b'"' + b"x" * 40 + IN_JSON[1:])), get, PayloadError),
    "a misfit list repeats it": (echo(200, record(b"[" + IN_JSON + b"]")), iterate, PayloadError),
    "another value of a misfit repeats it": (echo(200, record(b'"","UserData":' + IN_JSON)), iterate, PayloadError),
    "truncated JSON repeats it": (echo(200, b'{"records":[' + IN_JSON), list_all, PayloadError),
    "broken UTF-8 repeats it": (echo(200, b'{"x":"\xff' + IN_JSON), iterate, PayloadError),
    "HTML with 200 repeats it": (echo(200, f"<p>{IN_HTML}</p>"), get, PayloadError),
    "a clone's HTML repeats it": (echo(200, f"<p>{IN_HTML}</p>"), clone, OutcomeUnknownError),
    "UTF-16 repeats it": (
        echo(200, record(b"[" + IN_JSON + b"]").decode().encode("utf-16"), **{"Content-Type": "x/y; charset=utf-16"}),
        get,
        PayloadError,
    ),
    "UTF-16 that doesn't say so repeats it": (echo(200, f'{{"x":"{TOKEN}'.encode("utf-16-le")), get, PayloadError),
    "not HTTP": (Raw(f"SSH-2.0 {TOKEN}\r\n\r\n".encode()), get, NoReplyError),
    "broken headers repeat it": (
        Raw(f"HTTP/1.1 200 OK\r\n{TOKEN}\r\nContent-Length: {TOKEN}\r\n\r\n".encode()),
        get,
        NoReplyError,
    ),
    "broken gzip": (echo(200, f"\x1f\x8b{TOKEN}", **{"Content-Encoding": "gzip"}), get, NoReplyError),
    "broken chunks": (
        Raw(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{TOKEN}\r\n".encode()),
        get,
        NoReplyError,
    ),
}


@pytest.mark.parametrize(("case", "source"), [*pairs()])
async def test_no_error_shows_the_token(case: str, source: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    await check_case(case, source)
    gc.collect()
    for text in logged(caplog.records):
        assert_hidden(text)
    assert any(record.name == "dialler_async" for record in caplog.records) or case == "no ID"


async def check_case(case: str, source: str) -> None:
    fault, call, expected = CASES[case]
    stalls = isinstance(fault, StallBeforeHeaders | StallInBody)
    async with at_work(source, timeouts=Timeouts(read=0.05 if stalls else 30)) as (sandbox, dialler):
        if fault is not None:
            sandbox.faults.chance(1.0, [fault])
        error = await told(call, dialler)
        assert type(error) is (expected or type(None))
        if error is None:
            return
        for text in surfaces(error):
            assert_hidden(text)
        assert pickled(error) == error
        assert copy.copy(error) == error


def test_cases_cover_every_fault_and_every_error() -> None:
    # Refused and revoked, and the errors of a client that is closed, have tests of their own.
    met = {type(fault) for fault, _, _ in CASES.values() if fault is not None}
    # Other tests have faults of their own.
    there = {fault for fault in Fault.__subclasses__() if fault.__module__ == Fault.__module__}
    assert met | {Meanwhile} == there
    raised = {expected for _, _, expected in CASES.values() if expected is not None}
    elsewhere = {ClientStateError, ConnectError, TokenSourceError, InvalidTokenError, ItemCancelledError}
    assert raised | elsewhere == {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, DiallerError) and kind not in (DiallerError, errors.RequestError)
    }


@pytest.mark.parametrize("source", ["static", "function", "coroutine function"])
async def test_no_error_shows_a_token_that_is_revoked_during_a_run(
    source: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    async with at_work(source) as (sandbox, dialler):
        sandbox.faults.next(Meanwhile(sandbox.revoke), match="get")
        error = await told(get, dialler)
        assert type(error) is AuthenticationError
        for text in (*surfaces(error), *logged(caplog.records)):
            assert_hidden(text)


async def test_no_error_shows_the_token_when_the_connection_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    async with at_work() as (sandbox, dialler), sandbox.refusing():
        error = await told(get, dialler)
    assert type(error) is ConnectError
    for text in (*surfaces(error), *logged(caplog.records)):
        assert_hidden(text)


async def test_no_error_shows_the_token_when_the_client_is_closed_or_on_another_loop() -> None:
    async with at_work() as (_, dialler):
        await dialler.campaigns.get(535)
        elsewhere = await asyncio.to_thread(asyncio.run, told(get, dialler))
    closed = await told(get, dialler)
    for error in (elsewhere, closed):
        assert type(error) is ClientStateError
        for text in surfaces(error):
            assert_hidden(text)


async def test_no_error_shows_the_token_when_the_deadline_expires() -> None:
    async with at_work(timeouts=Timeouts(deadline=0.2)) as (sandbox, dialler):
        sandbox.faults.chance(1.0, [StallBeforeHeaders()])
        for call, kind in ((get, DeadlineError), (clone, OutcomeUnknownError)):
            error = await told(call, dialler)
            assert type(error) is kind
            for text in surfaces(error):
                assert_hidden(text)


class LateEcho(CannedResponse):
    """Answers with the token of the request, after the client has had another in the meantime."""

    def __init__(self) -> None:
        super().__init__(500, said(500))
        self.__dict__.update(arrived=asyncio.Event(), renewed=asyncio.Event())

    async def apply(self, request: Any) -> Any:
        self.arrived.set()
        await self.renewed.wait()
        return await super().apply(request)


async def test_replaced_token_is_redacted_from_a_late_response() -> None:
    late = LateEcho()
    async with at_work("changing", retry=RetryPolicy(attempts=1)) as (sandbox, dialler):
        sandbox.faults.next(late, match="find")
        finding = asyncio.create_task(told(find, dialler))
        await late.arrived.wait()
        sandbox.faults.next(echo(401, said(401)), match="get")
        sandbox.token = "another"
        assert await told(get, dialler) is None
        late.renewed.set()
        error = await finding
    assert type(error) is ServerError
    for text in surfaces(error):
        assert_hidden(text)


def large(status: int = 200) -> CannedResponse:
    """An answer of many slices, with the token in each."""
    each = b'{"ID":1,"Name":"x","UserData":%s,"Filler":"%s"}' % (IN_JSON, b"x" * 900)
    body = b'{"records":[%s],"count":600,"status":200}' % b",".join([each] * 600)
    return CannedResponse(status, body, {"Content-Type": "application/json", "X-Echo": TOKEN})


CANCELLED_WHILE: dict[str, tuple[Fault, str]] = {
    "waiting for the headers": (StallBeforeHeaders(), "_send_once"),
    "reading the body": (StallInBody(), "_send_once"),
    "decoding": (large(), "_decode"),
    "waiting for the next retry": (Status(503, retry_after=30), "_retry"),
}


@pytest.mark.parametrize("while_", CANCELLED_WHILE)
async def test_cancelled_call_shows_no_token(while_: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    frames = await check_cancelled(while_)
    gc.collect()
    assert CANCELLED_WHILE[while_][1] in frames
    for text in logged(caplog.records):
        assert_hidden(text)


async def check_cancelled(while_: str) -> set[str]:
    """Cancels such a call after more and more turns of the loop, and gives the functions that it was in."""
    frames: set[str] = set()
    retry = RetryPolicy(attempts=2)
    async with at_work(retry=retry) as (sandbox, dialler):
        sandbox.faults.chance(1.0, [CANCELLED_WHILE[while_][0]])
        for turns in range(0, 180, 3):
            calling = asyncio.create_task(told(list_all, dialler))
            for _ in range(turns):
                await asyncio.sleep(0)
            calling.cancel()
            try:
                error = await calling
            except asyncio.CancelledError:
                continue  # before it began
            if error is None:
                break
            assert type(error) is asyncio.CancelledError
            frames |= {frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__)}
            for text in _inside(error, set()):
                assert_hidden(text)
    return frames


class Odd:
    """A token source of a kind that can't be one, and shows what it holds."""

    def __repr__(self) -> str:
        return TOKEN


BAD_TOKENS: dict[str, Any] = {
    "with a line break": f"{TOKEN}\n",
    "with a space": f"{TOKEN} ",
    "not in ASCII": f"{TOKEN}ß",
    "as bytes": TOKEN.encode(),
    "as an object": Odd(),
}
SERVER = "http://127.0.0.1:1"
BASE_URL = f"{SERVER}/rest/v1.0/1"
BAD_URLS: dict[str, Any] = {
    "user info": f"https://user:{PASSWORD}@acd.example/rest/v1.0/1",
    "user info and a bad port": f"https://user:{PASSWORD}@acd.example:port/rest/v1.0/1",
    "a token in the query": f"https://acd.example/rest/v1.0/1?token={TOKEN}",
    "a token in the fragment": f"https://acd.example/rest/v1.0/1#{HEAD}",
    "another scheme": f"ftp://user:{PASSWORD}@acd.example/",
    "no URL": f"{TOKEN}",
    "bytes": f"https://user:{PASSWORD}@acd.example/".encode(),
}


def wrong_arguments() -> Iterator[tuple[str, Callable[[], object]]]:
    sibling = DiallerClient(BASE_URL, "other")
    # By name, since the frames of these functions are in the tracebacks as well.
    for name in BAD_TOKENS:
        yield f"token {name}", lambda name=name: DiallerClient(BASE_URL, BAD_TOKENS[name])
        yield f"token {name}, by account", lambda name=name: DiallerClient.for_server(SERVER, 1, BAD_TOKENS[name])
        yield f"token {name}, for another account", lambda name=name: sibling.for_account(2, BAD_TOKENS[name])
    for name in BAD_URLS:
        yield f"base URL with {name}", lambda name=name: DiallerClient(BAD_URLS[name], TOKEN)
        yield f"server with {name}", lambda name=name: DiallerClient.for_server(BAD_URLS[name], 1, TOKEN)
    for clients_id in (0, True, "1", None):
        yield f"ClientsID {clients_id!r}", lambda wrong=clients_id: DiallerClient.for_server(SERVER, wrong, TOKEN)
        yield f"another ClientsID {clients_id!r}", lambda wrong=clients_id: sibling.for_account(wrong, TOKEN)
    yield "max_rate", lambda: DiallerClient(BASE_URL, TOKEN, max_rate=-1)
    yield "not of an account", lambda: DiallerClient("http://localhost/", TOKEN).for_account(2, TOKEN)


@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in wrong_arguments()])
def test_errors_of_wrong_arguments_show_no_secret(make: Callable[[], object]) -> None:
    error = told_at_once(make)
    assert type(error) is ConfigurationError
    for text in surfaces(error):
        assert_hidden(text)


@pytest.mark.parametrize(
    ("base_url", "token"),
    [(BAD_URLS["user info"], "fine"), (BASE_URL, f"{TOKEN} x"), ("", TOKEN), (BAD_URLS["a token in the query"], TOKEN)],
)
def test_errors_of_wrong_settings_show_no_secret(base_url: str, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIALLER_BASE_URL", base_url)
    monkeypatch.setenv("DIALLER_TOKEN", token)
    del base_url, token
    error = told_at_once(DiallerClient.from_env)
    assert type(error) is ConfigurationError
    for text in surfaces(error):
        assert_hidden(text)


def bad_sync_token() -> str:
    return f"{TOKEN}\n"


async def bad_async_token() -> Any:
    return TOKEN.encode()


@pytest.mark.parametrize("source", [bad_sync_token, bad_async_token])
async def test_error_of_an_invalid_token_from_a_function_shows_no_token(source: Any) -> None:
    async with DiallerClient(BASE_URL, source) as dialler:
        error = await told(get, dialler)
    assert type(error) is InvalidTokenError
    for text in surfaces(error):
        assert_hidden(text)


def raising_sync_token() -> str:
    raise LookupError(f"the vault refused {TOKEN}")


async def raising_async_token() -> str:
    token = TOKEN
    await asyncio.sleep(0)
    raise LookupError(token)


@pytest.mark.parametrize("source", [raising_sync_token, raising_async_token])
async def test_error_of_the_token_function_shows_no_token(source: Any) -> None:
    async with DiallerClient(BASE_URL, source) as dialler:
        error = await told(get, dialler)
    assert type(error) is TokenSourceError
    assert "LookupError at test_secrets.py:" in str(error)
    for text in surfaces(error):
        assert_hidden(text)


def test_client_shows_no_token() -> None:
    for source in SOURCES.values():
        dialler = DiallerClient(BASE_URL, source)
        for thing in (dialler, dialler.campaigns, dialler.result_codes, dialler.campaigns._transport, dialler._shared):
            assert_hidden(repr(thing) + str(thing))
        del thing
        assert_hidden(repr(dialler.for_account(2, TOKEN)))


@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy])
def test_client_cannot_be_pickled_or_copied(way: Callable[[object], object]) -> None:
    dialler = DiallerClient(BASE_URL, TOKEN)
    with pytest.raises(TypeError, match=r"a DiallerClient has a token .* can't be pickled or copied"):
        way(dialler)


@pytest.mark.parametrize("way", [pickle.dumps, copy.deepcopy])
def test_attributes_of_a_client_cannot_carry_the_token_away(way: Callable[[object], object]) -> None:
    dialler = DiallerClient(BASE_URL, TOKEN)
    for resource in (dialler.campaigns, dialler.result_codes):
        with pytest.raises(TypeError, match="token"):
            way(resource)


async def test_warning_of_an_unclosed_client_shows_no_token() -> None:
    async with Sandbox(1, token=TOKEN) as sandbox:
        with warnings.catch_warnings(record=True, action="always") as warned:
            await leave_open(sandbox)
            gc.collect()
            await asyncio.sleep(0)
    ours = [warning for warning in warned if "never closed" in str(warning.message)]
    assert len(ours) == 1
    for warning in warned:
        assert_hidden(str(warning))
        assert_hidden(repr(warning.source))


async def leave_open(sandbox: Sandbox) -> None:
    dialler = DiallerClient(sandbox.base_url, TOKEN)
    await dialler.campaigns.list()


def test_warning_of_plain_http_shows_no_token() -> None:
    with warnings.catch_warnings(record=True, action="always") as warned:
        DiallerClient("http://acd.example/rest/v1.0/1", TOKEN)
    assert len(warned) == 1
    assert_hidden(str(warned[0]))


async def test_report_shows_no_token_that_error_pages_contain() -> None:
    async with at_work() as (sandbox, dialler):
        faults = [echo(500, said(500)), echo(200, record(IN_JSON)), echo(403, TOKEN), Redirect(f"http://x/{IN_URL}")]
        sandbox.faults.chance(0.8, faults, match="result_codes")
        report = await audit(dialler)
    assert any(finding.rule == "unreachable-codes" for finding in report.findings)
    for text in surfaces(report):
        assert_hidden(text)
    assert_hidden(json.dumps(report_as_json(report)))


COMMANDS = [
    ("campaigns", "list"),
    ("campaigns", "get", "535"),
    ("campaigns", "clone", "Summer", "Monday"),
    ("campaigns", "delete", "535", "--yes"),
    ("result-codes", "535"),
    ("audit", "--json"),
]


async def run(argv: tuple[str, ...], base_url: str, token_file: Path | None = None) -> str:
    """All that a command prints, in Python's development mode, with every log record on stderr."""
    main = (
        "import sys, logging; logging.basicConfig(level=0);"
        "from dialler_async.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    environment = {**os.environ, "DIALLER_BASE_URL": base_url, "DIALLER_TOKEN": TOKEN}
    options = () if token_file is None else ("--token-file", str(token_file))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "dev", "-c", main, *argv, *options),
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    assert process.returncode != 0
    return printed.decode()


@pytest.mark.slow
async def test_commands_print_no_token(tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(TOKEN)
    async with at_work() as (sandbox, _):
        sandbox.token = "another"
        sandbox.faults.chance(0.5, [echo(401, said(401))])
        runs = [run(argv, sandbox.base_url, token_file if at % 2 else None) for at, argv in enumerate(COMMANDS)]
        runs += [run(COMMANDS[0], url, token_file) for url in (BASE_URL, BAD_URLS["user info"])]
        for printed in await asyncio.gather(*runs):
            assert "dialler: " in printed
            assert "Traceback" not in printed
            assert_hidden(printed)


async def test_log_lines_have_method_path_template_and_status_and_no_arguments(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "dialler_async")
    async with at_work() as (sandbox, dialler):
        sandbox.faults.next(Status(503), match="find")
        await dialler.campaigns.find("Summer of names")
    lines = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "dialler_async"]
    assert [level for level, _ in lines] == ["DEBUG", "WARNING", "DEBUG"]
    path = "GET /dialler/campaigns/campaign"
    assert lines[0][1].startswith(f"{path}: 503 in ")
    assert lines[1][1] == f"{path} failed (503), attempt 1; retry in 0.00 s"
    assert lines[2][1].endswith(" ms, attempt 2")
    assert "Summer" not in caplog.text


REQUEST = errors.SentRequest("GET", "/dialler/campaigns")
CAMPAIGN = Campaign(id=535, name="Sömmer", dt_from=datetime(2026, 1, 2, 3, 4, 5), dt_to=datetime.now(UTC))  # noqa: DTZ001  # naive, as the server sends it
VALUES: list[Any] = [
    PoolConfig(limit=3, max_body=5),
    RetryPolicy(attempts=2),
    Timeouts(read=1),
    REQUEST,
    CAMPAIGN,
    ResultCode(id=1, content="Sale", done=True, time_offset=None),
    Records(items=[CAMPAIGN], total=1, order_by="Name", ascending=True),
    Records(items=(), total=0),
    Language.GERMAN,
    Language(7),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_unpickled_values_are_equal(value: Any, protocol: int) -> None:
    back = pickled(value, protocol)
    assert back == value
    assert type(back) is type(value)
    assert repr(back) == repr(value)
    assert copy.deepcopy(value) == value


async def test_unpickled_records_have_all_that_the_server_sent() -> None:
    async with Sandbox(5, filler_keys=4) as sandbox, DiallerClient(sandbox.base_url, sandbox.token) as dialler:
        campaigns = await dialler.campaigns.list()
        codes = await dialler.result_codes.list(campaigns[0])
    for records in (campaigns, codes):
        back = pickled(records)
        assert back == records
        assert [one.wire for one in back] == [one.wire for one in records]
        assert (back.total, back.order_by) == (records.total, records.order_by)


def test_pickle_of_a_pool_config_with_an_ssl_context_raises() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(PoolConfig(ssl=ssl.create_default_context()))


def test_search_finds_the_token_in_an_error_of_aiohttp() -> None:
    """So that the tests above are known to look: what aiohttp raises shows it in a dozen places."""
    error = NoReplyError("no reply")
    error.__context__ = aiohttp.ClientConnectionError({"Authorization": f"Bearer {TOKEN}"})
    assert any(TOKEN in text for text in surfaces(error))
