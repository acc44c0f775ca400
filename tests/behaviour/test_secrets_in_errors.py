"""No error shows the token: every error of the client, after every fault of the sandbox."""

from __future__ import annotations

import copy
import gc
import html
import json
import pickle
import urllib.parse
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from dialler_async import Campaign, DiallerClient, Timeouts, errors
from dialler_async.sandbox import faults

if TYPE_CHECKING:
    from tests.behaviour.conftest import AssertHidden, AtWork, ErrorOf

# Letters at both ends, which no encoding changes, so that half a token and one spelt otherwise are found as well.
TOKEN = "Zm9vYmFyMjE3/+=.~\"&<'%c2VjcmV0ODQy"
IN_JSON = json.dumps(TOKEN).replace("/", "\\/").replace("+", "\\u002B").encode()
IN_URL = urllib.parse.quote(TOKEN, safe="")
IN_HTML = html.escape(TOKEN)

Call = Callable[[DiallerClient], Awaitable[Any]]


def pairs() -> Iterator[tuple[str, str]]:
    """Yield every case with a static token, and the cases that renew a token with a token function."""
    for case in CASES:
        yield case, "static"
        if case in ("it works", "401 repeats it", "500 repeats it in a URL", "reset after it was carried out"):
            yield case, "function"
            yield case, "coroutine function"


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


def echo(status: int, body: bytes | str, **headers: str) -> faults.CannedResponse:
    sent = body if isinstance(body, bytes) else body.encode()
    return faults.CannedResponse(status, sent, {"Content-Type": "application/json", **headers})


# A quote in the token makes the body invalid JSON, and its redaction would make the body valid.
QUOTED = f'{{"records":[{{"ID":535,"Name":"{TOKEN}"}}],"count":1,"status":200}}'


def said(status: int) -> bytes:
    return b'{"status":%d,"error":%s}' % (status, IN_JSON)


# faults.Fault, call, and what it comes to; None for a call that works.
CASES: dict[str, tuple[faults.Fault | None, Call, type[errors.DiallerError] | None]] = {
    "it works": (None, get, None),
    "reset before it was read": (faults.Reset(), get, errors.NoReplyError),
    "reset after it was carried out": (faults.Reset(carried_out=True), clone, errors.OutcomeUnknownError),
    "hung up": (faults.HangUp(), get, errors.NoReplyError),
    "delete hung up on": (faults.HangUp(carried_out=True), delete, errors.OutcomeUnknownError),
    "closed after the answer": (faults.CloseAfterResponse(), get, None),
    "cut short": (faults.CutShort(), list_all, errors.NoReplyError),
    "stalled before headers": (faults.StallBeforeHeaders(), get, errors.DeadlineError),
    "delete by name stalled": (faults.StallBeforeHeaders(carried_out=True), delete_as_is, errors.OutcomeUnknownError),
    "stalled in the body": (faults.StallInBody(), codes, errors.DeadlineError),
    "byte by byte": (faults.Trickle(), get, None),
    "promises too much": (faults.WrongLength(5), get, errors.NoReplyError),
    "promises too little": (faults.WrongLength(-5), get, errors.NoReplyError),
    "gzipped": (faults.Gzipped(), get, None),
    "gzip bomb": (faults.GzipBomb(4), get, errors.PayloadError),
    "429": (faults.Status(429, retry_after=0), get, errors.RateLimitedError),
    "503": (faults.Status(503), get, errors.ServerError),
    "500 to a clone": (faults.Status(500), clone, errors.OutcomeUnknownError),
    "500 to a delete": (faults.Status(500), delete, errors.ServerError),
    "html instead": (faults.Html(), find, errors.PayloadError),
    "html with 502": (faults.Html(502), find, errors.ServerError),
    "no such record": (None, get_missing, errors.NotFoundError),
    "no such endpoint": (faults.CannedResponse(404), get, errors.EndpointNotFoundError),
    "it exists": (None, clone_to_existing, errors.ConflictError),
    "ambiguous": (None, get_twin, errors.AmbiguousNameError),
    "no ID": (None, get_without_id, errors.ConfigurationError),
    "400 repeats it": (echo(400, said(400)), get, errors.BadRequestError),
    "401 repeats it": (echo(401, said(401)), get, errors.AuthenticationError),
    "404 repeats it": (echo(404, b"\xef\xbb\xbf" + said(404)), get, errors.NotFoundError),
    "408 repeats it in plain text": (echo(408, f"Authorization: Bearer {TOKEN}"), get, errors.StatusError),
    "409 repeats it beyond the excerpt": (echo(409, "x" * 185 + TOKEN), clone, errors.ConflictError),
    "500 repeats it in a URL": (echo(500, f"/login?token={IN_URL}"), get, errors.ServerError),
    "502 repeats it in HTML": (echo(502, f"Token {IN_HTML} was refused"), get, errors.ServerError),
    "503 repeats it in UTF-16": (echo(503, f"Bearer {TOKEN}".encode("utf-16")), get, errors.ServerError),
    "404 of a proxy repeats it": (echo(404, f"no route for {TOKEN}"), get, errors.EndpointNotFoundError),
    "headers repeat it": (
        echo(500, "", **{"X-Echo": TOKEN, "Set-Cookie": f"{TOKEN[:12]}={IN_URL}"}),
        get,
        errors.ServerError,
    ),
    "redirect repeats it": (faults.Redirect(f"https://else.example/{IN_URL}/x?t={IN_URL}"), get, errors.RedirectError),
    "redirect repeats it as it is": (
        faults.Redirect(f"http://u:{TOKEN}@127.0.0.1/{TOKEN}/x"),
        get,
        errors.RedirectError,
    ),
    "redirect repeats it beyond the excerpt": (
        faults.Redirect(f"http://h/{'x' * 180}{TOKEN}"),
        get,
        errors.RedirectError,
    ),
    "a body's own status repeats it": (echo(200, said(500)), get, errors.ServerError),
    "a misfit value repeats it": (echo(200, record(IN_JSON)), get, errors.PayloadError),
    "a misfit value repeats half of it": (echo(200, record(b'"' + b"x" * 40 + IN_JSON[1:])), get, errors.PayloadError),
    "a misfit list repeats it": (echo(200, record(b"[" + IN_JSON + b"]")), iterate, errors.PayloadError),
    "another value of a misfit repeats it": (
        echo(200, record(b'"","UserData":' + IN_JSON)),
        iterate,
        errors.PayloadError,
    ),
    "invalid JSON repeats it": (echo(200, QUOTED), list_all, errors.PayloadError),
    "invalid JSON of a slice repeats it": (echo(200, QUOTED), iterate, errors.PayloadError),
    "truncated JSON repeats it": (echo(200, b'{"records":[' + IN_JSON), list_all, errors.PayloadError),
    "broken UTF-8 repeats it": (echo(200, b'{"x":"\xff' + IN_JSON), iterate, errors.PayloadError),
    "HTML with 200 repeats it": (echo(200, f"<p>{IN_HTML}</p>"), get, errors.PayloadError),
    "a clone's HTML repeats it": (echo(200, f"<p>{IN_HTML}</p>"), clone, errors.OutcomeUnknownError),
    "UTF-16 repeats it": (
        echo(200, record(b"[" + IN_JSON + b"]").decode().encode("utf-16"), **{"Content-Type": "x/y; charset=utf-16"}),
        get,
        errors.PayloadError,
    ),
    "UTF-16 that doesn't say so repeats it": (
        echo(200, f'{{"x":"{TOKEN}'.encode("utf-16-le")),
        get,
        errors.PayloadError,
    ),
    "not HTTP": (faults.Raw(f"SSH-2.0 {TOKEN}\r\n\r\n".encode()), get, errors.NoReplyError),
    "broken headers repeat it": (
        faults.Raw(f"HTTP/1.1 200 OK\r\n{TOKEN}\r\nContent-Length: {TOKEN}\r\n\r\n".encode()),
        get,
        errors.NoReplyError,
    ),
    "broken gzip": (echo(200, f"\x1f\x8b{TOKEN}", **{"Content-Encoding": "gzip"}), get, errors.NoReplyError),
    "broken chunks": (
        faults.Raw(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{TOKEN}\r\n".encode()),
        get,
        errors.NoReplyError,
    ),
}


@pytest.mark.parametrize(("case", "source"), [*pairs()])
async def test_no_error_shows_the_token(
    case: str,
    source: str,
    caplog: pytest.LogCaptureFixture,
    at_work: AtWork,
    error_of: ErrorOf,
    assert_hidden: AssertHidden,
) -> None:
    caplog.set_level(0)
    await check_case(case, source, at_work, error_of, assert_hidden)
    gc.collect()
    assert_hidden.in_log(caplog.records)
    assert any(record.name == "dialler_async" for record in caplog.records) or case == "no ID"


async def check_case(case: str, source: str, at_work: AtWork, error_of: ErrorOf, assert_hidden: AssertHidden) -> None:
    fault, call, expected = CASES[case]
    stalls = isinstance(fault, faults.StallBeforeHeaders | faults.StallInBody)
    async with at_work(source, timeouts=Timeouts(read=0.05 if stalls else 30)) as (sandbox, dialler):
        if fault is not None:
            sandbox.faults.chance(1.0, [fault])
        error = await error_of(call, dialler)
        assert type(error) is (expected or type(None))
        if error is None:
            return
        assert_hidden.in_pickle_and_value(error)
        assert pickle.loads(pickle.dumps(error)) == error  # noqa: S301  our own bytes
        assert copy.copy(error) == error


async def test_error_of_a_slice_says_what_is_wrong_without_the_token(
    at_work: AtWork, error_of: ErrorOf, assert_hidden: AssertHidden
) -> None:
    async with at_work() as (sandbox, dialler):
        sandbox.faults.next(echo(200, record(b"[" + IN_JSON + b"]")))
        error = await error_of(iterate, dialler)
    assert "nMaxParallelLines" in str(error)
    assert_hidden.in_pickle_and_value(error)


def test_cases_cover_every_fault_and_every_error() -> None:
    # Refused connections, revoked tokens and closed clients have tests of their own.
    met = {type(fault) for fault, _, _ in CASES.values() if fault is not None}
    # Other tests have faults of their own.
    there = {fault for fault in faults.Fault.__subclasses__() if fault.__module__ == faults.Fault.__module__}
    assert met | {faults.Meanwhile} == there
    raised = {expected for _, _, expected in CASES.values() if expected is not None}
    elsewhere = {
        errors.ClientClosedError,
        errors.ClientStateError,
        errors.ConnectError,
        errors.InvalidInputError,
        errors.TokenSourceError,
        errors.InvalidTokenError,
        errors.ItemCancelledError,
    }
    assert raised | elsewhere == {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type)
        and issubclass(kind, errors.DiallerError)
        and kind not in (errors.DiallerError, errors.RequestError)
    }


def test_search_finds_the_token_in_an_error_of_aiohttp(assert_hidden: AssertHidden) -> None:
    error = errors.NoReplyError("no reply")
    error.__context__ = aiohttp.ClientConnectionError({"Authorization": f"Bearer {TOKEN}"})
    with pytest.raises(AssertionError):
        assert_hidden.in_pickle_and_value(error)
