"""Any response is decoded or raises an error of this library, and does not affect the next call."""

import asyncio
import contextlib
import gzip
import json
import logging
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialler_async import (
    BadRequestError,
    DeadlineError,
    DiallerClient,
    DiallerError,
    NoReplyError,
    NotFoundError,
    OutcomeUnknownError,
    PayloadError,
    PoolConfig,
    RetryPolicy,
    ServerError,
    Timeouts,
)
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import CannedResponse, Fault, GzipBomb, Gzipped, Raw, Trickle, WrongLength

NAME = "Kündiger €"
RECORD = {"ID": 535, "Name": NAME}
JSON = "application/json"


def body(record: bytes = b'{"ID":535,"Name":"x"}', count: bytes = b"1", status: bytes = b"200") -> bytes:
    return b'{"records":[%b],"count":%b,"status":%b}' % (record, count, status)


def text(name: str = NAME) -> str:
    return json.dumps({"records": [{"ID": 535, "Name": name}], "count": 1, "status": 200}, ensure_ascii=False)


def json_response(sent: bytes, content_type: str = JSON, **headers: str) -> CannedResponse:
    return CannedResponse(200, sent, {"Content-Type": content_type, **headers})


@asynccontextmanager
async def connected(**options: Any) -> AsyncIterator[tuple[Sandbox, DiallerClient]]:
    settings: dict[str, Any] = {
        "retry": RetryPolicy(attempts=2, base_delay=0),
        "timeouts": Timeouts(read=20, deadline=30),
        **options,
    }
    async with (
        Sandbox([RECORD]) as sandbox,
        DiallerClient(sandbox.base_url, sandbox.token, **settings) as dialler,
        asyncio.timeout(250),
    ):
        yield sandbox, dialler


async def outcome(sandbox: Sandbox, dialler: DiallerClient, fault: Fault) -> Any:
    """Return the name of the campaign, or the error. Assert that the next call is not affected."""
    # The fault is planned twice, because the read is retried after a lost connection.
    sandbox.faults.next(fault, fault)
    try:
        result: Any = (await dialler.campaigns.get(535)).name
    except DiallerError as error:
        result = error
    sandbox.faults.clear()
    assert (await dialler.campaigns.get(535)).wire == RECORD
    return result


READABLE: dict[str, Fault] = {
    "as documented": json_response(text().encode()),
    "a BOM": json_response(b"\xef\xbb\xbf" + text().encode()),
    "BOM with declared charset": json_response(b"\xef\xbb\xbf" + text().encode(), "application/json; charset=utf-8"),
    "declared latin-1": json_response(text("Kündiger").encode("latin-1"), "application/json; charset=ISO-8859-1"),
    "declared windows-1252": json_response(text().encode("cp1252"), 'application/json; charset="windows-1252"'),
    "declared UTF-16": json_response(text().encode("utf-16"), "application/json;charset=utf-16"),
    "declared UTF-16 without a BOM": json_response(text().encode("utf-16-be"), "application/json; charset=utf-16be"),
    "declared UTF-16 of ASCII text": json_response(text("Kundiger").encode("utf-16-le"), "text/json; charset=utf-16le"),
    "UTF-16 with a BOM declared as utf-16le": json_response(text().encode("utf-16"), "text/json; charset=utf-16le"),
    "declared UTF-32": json_response(text().encode("utf-32"), "application/json; charset=utf-32"),
    "UTF-8 declared as latin-1": json_response(text().encode(), "application/json; charset=iso-8859-1"),
    "UTF-8 declared as UTF-16": json_response(text().encode(), "application/json; charset=utf-16"),
    "lone surrogate in another key": json_response(body(b'{"ID":535,"Name":"%b","x":"\\ud83c"}' % NAME.encode())),
    "escapes": json_response(json.dumps(json.loads(text())).encode()),
    "content type text/html": json_response(text().encode(), "text/html"),
    "content type image/png": json_response(text().encode(), "image/png"),
    "no content type": CannedResponse(200, text().encode(), {}),
    "invalid content type": json_response(text().encode(), ";;; charset=;"),
    "white space around": json_response(b"\r\n\t " + text().encode() + b"\n\n"),
    "gzipped": Gzipped(),
    "deflated": json_response(zlib.compress(text().encode()), JSON, **{"Content-Encoding": "deflate"}),
    "byte by byte": Trickle(),
    "duplicate keys": json_response(body(b'{"ID":1,"Name":"first","Name":"%b","ID":535}' % NAME.encode())),
    "duplicate envelope keys": json_response(b'{"records":[],"count":9,' + text().encode()[1:]),
    "body until the connection closes": Raw(b"HTTP/1.1 200 OK\r\n\r\n" + text().encode()),
    "HTTP/1.0": Raw(b"HTTP/1.0 200 OK\r\nContent-Type: x\r\n\r\n" + text().encode()),
    "no reason phrase": Raw(b"HTTP/1.1 200\r\n\r\n" + text().encode()),
    "chunks": Raw(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"".join(b"1;x=y\r\n%c\r\n" % byte for byte in text().encode())
        + b"0\r\nTrailer: x\r\n\r\n"
    ),
    "informational responses before": Raw(
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"
        + text().encode()
    ),
}


@pytest.mark.parametrize("case", READABLE)
async def test_readable_response_is_decoded(case: str) -> None:
    async with connected() as (sandbox, dialler):
        assert await outcome(sandbox, dialler, READABLE[case]) in (NAME, "Kündiger", "Kundiger")


def http(*lines: bytes, then: bytes = b"") -> Raw:
    return Raw(b"\r\n".join(lines) + b"\r\n\r\n" + then)


OK, CHUNKED = b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked"
UNREADABLE: dict[str, tuple[Fault, type[DiallerError], str]] = {
    "empty": (json_response(b""), PayloadError, "body is empty"),
    "blank": (json_response(b" \r\n"), PayloadError, "body is empty"),
    "only a BOM": (json_response(b"\xef\xbb\xbf"), PayloadError, "body is empty"),
    "null": (json_response(b"null"), PayloadError, "not the documented JSON"),
    "a list": (json_response(b"[]"), PayloadError, "not the documented JSON"),
    "a text": (json_response(b'"OK"'), PayloadError, "not the documented JSON"),
    "HTML": (
        json_response(b"<!DOCTYPE html><title>Portal</title>", "text/html"),
        PayloadError,
        "not the documented JSON",
    ),
    "HTML as JSON": (json_response(b"<html></html>"), PayloadError, "not the documented JSON"),
    "no records": (json_response(b'{"status":200}'), PayloadError, "no list of records"),
    "records of null": (json_response(b'{"records":null,"status":200}'), PayloadError, "no list of records"),
    "records as an object": (json_response(b'{"records":{},"status":200}'), PayloadError, "not the documented JSON"),
    "a record of null": (json_response(body(b"null")), PayloadError, r"records\[0\]"),
    "a record without a name": (json_response(body(b"{}")), PayloadError, "Name is missing"),
    "two records for one": (
        json_response(body(b'{"Name":"a"},{"Name":"b"}', b"2")),
        PayloadError,
        "2 records where one",
    ),
    "another count": (json_response(body(count=b"2")), PayloadError, "counts 2 records, but sent 1"),
    "a negative count": (json_response(body(count=b"-1")), PayloadError, "counts -1"),
    "count out of range": (json_response(body(count=b"1e999")), PayloadError, "not the documented JSON"),
    "a broken count": (json_response(body(count=b"1.5")), PayloadError, "not the documented JSON"),
    "another campaign": (
        json_response(body(b'{"ID":536,"Name":"x"}')),
        PayloadError,
        "the request is about campaign 535",
    ),
    "another status": (json_response(body(status=b"500")), ServerError, "the body has status 500"),
    "not found in the body only": (json_response(b'{"status":404,"error":"none"}'), NotFoundError, "none"),
    "invalid status in the body": (json_response(body(status=b"7")), PayloadError, "the body has status 7"),
    "text status in the body": (json_response(body(status=b'"OK"')), PayloadError, "not the documented JSON"),
    "NaN": (json_response(body(b'{"Name":"x","V":NaN}')), PayloadError, "not the documented JSON"),
    "Infinity": (json_response(body(b'{"Name":"x","V":Infinity}')), PayloadError, "not the documented JSON"),
    "minus Infinity": (json_response(body(b'{"Name":"x","ID":-Infinity}')), PayloadError, "not the documented JSON"),
    "number out of range": (json_response(body(b'{"Name":"x","V":1e999}')), PayloadError, r"records\[0\]"),
    "a number of 5000 digits": (
        json_response(body(b'{"Name":"x","V":%b}' % (b"9" * 5000))),
        PayloadError,
        r"records\[0\]",
    ),
    "an ID of 5000 digits": (
        json_response(body(b'{"Name":"x","ID":%b}' % (b"9" * 5000))),
        PayloadError,
        r"records\[0\]",
    ),
    "an ID with a fraction": (
        json_response(body(b'{"Name":"x","ID":535.0}')),
        PayloadError,
        "ID is 535.0, not an integer",
    ),
    "a raw line break": (
        json_response(body(b'{"Name":"a\nb"}')),
        PayloadError,
        r"not the documented JSON|records\[0\]",
    ),
    "nested too deep": (json_response(b"[" * 200_000), PayloadError, "not the documented JSON"),
    "a record nested too deep": (
        json_response(body(b'{"Name":"x","V":%b%b}' % (b"[" * 90_000, b"]" * 90_000))),
        PayloadError,
        r"records\[0\] is nested more than 200 levels deep",
    ),
    "name nested too deep": (
        json_response(body(b'{"Name":%b%b}' % (b"[" * 985, b"]" * 985))),
        PayloadError,
        "nested more than 200 levels deep",
    ),
    "undeclared latin-1": (json_response(text("ü").encode("latin-1")), PayloadError, "not the documented JSON"),
    "latin-1 in an unknown charset": (
        json_response(text("ü").encode("latin-1"), "text/json; charset=klingon"),
        PayloadError,
        "not the documented JSON",
    ),
    "charset zlib": (
        json_response(text("ü").encode("latin-1"), "text/json; charset=zlib"),
        PayloadError,
        "not the documented JSON|records",
    ),
    "charset unicode_escape": (
        json_response(body(b'{"Name":"\xff\\q \\N{x} \\400"}'), "text/json; charset=unicode_escape"),
        PayloadError,
        "not the documented JSON|records",
    ),
    "undeclared UTF-16": (json_response(text().encode("utf-16")), PayloadError, "not the documented JSON"),
    "binary": (json_response(bytes(range(256)) * 10), PayloadError, "not the documented JSON"),
    "Content-Length too large": (WrongLength(7), NoReplyError, "incomplete"),
    "Content-Length too small": (WrongLength(-3), NoReplyError, "invalid HTTP"),
    "broken gzip": (
        json_response(b"\x1f\x8bnonsense", **{"Content-Encoding": "gzip"}),
        NoReplyError,
        "can't be decompressed",
    ),
    "truncated gzip": (
        json_response(gzip.compress(text().encode() * 9)[:-20], **{"Content-Encoding": "gzip"}),
        PayloadError,
        "not the documented JSON",
    ),
    "plain body declared as gzip": (
        json_response(text().encode(), **{"Content-Encoding": "gzip"}),
        NoReplyError,
        "can't be decompressed",
    ),
    "only a status line": (Raw(OK + b"\r\n"), NoReplyError, "was lost before the response"),
    "another protocol": (Raw(b"SSH-2.0-OpenSSH_9.6\r\n"), NoReplyError, "not HTTP"),
    "no status": (http(b"HTTP/1.1 OK"), NoReplyError, "invalid HTTP"),
    "a status of five digits": (http(b"HTTP/1.1 20000 OK"), NoReplyError, "invalid HTTP"),
    "a header without a colon": (http(OK, b"broken"), NoReplyError, "invalid HTTP"),
    "a header without end": (http(OK, b"X: " + b"x" * 100_000), NoReplyError, "header of more than"),
    "headers without end": (http(OK, *(b"X%d: x" % n for n in range(20_000))), NoReplyError, "more than 128 headers"),
    "two lengths": (http(OK, b"Content-Length: 5", b"Content-Length: 6", then=b"12345"), NoReplyError, "invalid HTTP"),
    "invalid Content-Length": (http(OK, b"Content-Length: many"), NoReplyError, "invalid HTTP"),
    "a negative length": (http(OK, b"Content-Length: -1", then=text().encode()), NoReplyError, "invalid HTTP"),
    "invalid chunk size": (
        http(OK, CHUNKED, then=b"zz\r\n{}\r\n0\r\n\r\n"),
        NoReplyError,
        "incomplete|invalid",
    ),
    "a negative chunk size": (
        http(OK, CHUNKED, then=b"-5\r\n{}\r\n0\r\n\r\n"),
        NoReplyError,
        "incomplete|invalid",
    ),
    "chunk longer than its size": (
        http(OK, CHUNKED, then=b"1\r\n{}\r\n0\r\n\r\n"),
        NoReplyError,
        "incomplete|invalid",
    ),
    "truncated huge chunk": (http(OK, CHUNKED, then=b"FFFFFFFFFF\r\n{"), NoReplyError, "incomplete"),
    "chunks without end": (http(OK, CHUNKED, then=b"1\r\n{\r\n"), NoReplyError, "incomplete"),
}


@pytest.mark.parametrize("case", UNREADABLE)
async def test_unreadable_response_raises_an_error_with_the_reason(case: str) -> None:
    fault, kind, reason = UNREADABLE[case]
    async with connected() as (sandbox, dialler):
        error = await outcome(sandbox, dialler, fault)
    assert type(error) is kind
    assert error.__context__ is None
    assert len(getattr(error, "excerpt", "")) <= 200
    assert len(str(error)) < 600
    with pytest.raises(kind, match=reason):
        raise error


@pytest.mark.parametrize("depth", [198, 199, 200, 300, *range(980, 1000), 10_000])
async def test_record_is_nested_at_most_200_levels_deep(depth: int) -> None:
    """The limit is far below that of any interpreter, so that `wire` can be decoded wherever it is read."""
    nested = b"[" * depth + b"]" * depth
    async with connected() as (sandbox, dialler):
        # The second time, the key is known.
        for _ in range(2):
            sandbox.faults.next(json_response(body(b'{"ID":535,"Name":"x","Column":%b}' % nested)))
            if depth < 200:
                assert repr((await dialler.campaigns.get(535)).wire["Column"]).encode() == nested
            else:
                with pytest.raises(PayloadError, match=r"records\[0\] is nested more than 200 levels deep"):
                    await dialler.campaigns.get(535)


async def test_large_integers_are_unchanged() -> None:
    async with connected() as (sandbox, dialler):
        for number in (0, 2**53 + 1, 2**64, 10**300, -(2**70)):
            sandbox.faults.next(json_response(body(b'{"ID":535,"Name":"x","Column":%d}' % number)))
            campaign = await dialler.campaigns.get(535)
            assert campaign.wire["Column"] == number
            assert type(campaign.wire["Column"]) is int


async def test_response_cut_at_any_byte_is_a_payload_error() -> None:
    whole = body(b'{"ID":535,"Name":"x","nMaxParallelLines":null,"b":[true,1.5e3,"\\u00fc"]}')
    async with connected() as (sandbox, dialler):
        for end in range(len(whole)):
            # The fault is planned twice, because the read is retried.
            sandbox.faults.next(json_response(whole[:end]), json_response(whole[:end]))
            with pytest.raises(PayloadError, match="the status is 200, but"):
                await dialler.campaigns.get(535)
        assert sandbox.connections.opened == 1


async def test_iterate_accepts_the_charsets_of_list() -> None:
    async with connected() as (sandbox, dialler):
        for sent, content_type in (
            (text("ü").encode("latin-1"), "text/json; charset=latin-1"),
            (text("ü").encode(), JSON),
        ):
            sandbox.faults.next(json_response(sent, content_type))
            assert [campaign.name async for campaign in dialler.campaigns.iterate()] == ["ü"]


async def test_iterate_yields_the_records_before_an_invalid_record_and_names_that_record() -> None:
    good = b'{"ID":1,"Name":"%b"}' % (b"x" * 70_000)
    names = []
    async with connected() as (sandbox, dialler):
        sandbox.faults.next(json_response(body(b'%b,{"ID":2,"Name":null}' % good, b"2")))
        iterating = dialler.campaigns.iterate()
        names.append((await anext(iterating)).name)
        with pytest.raises(PayloadError, match=r"records\[1\] \(ID 2\) Name is None, not text") as caught:
            await anext(iterating)
    assert len(names) == 1
    assert (caught.value.path, caught.value.record_id) == ("records[1].Name", 2)
    assert str(caught.value.request) == "GET /dialler/campaigns"


async def test_gzip_bomb_is_refused_before_it_fills_the_memory() -> None:
    async with connected(pool=PoolConfig(max_body=2**20)) as (sandbox, dialler):
        await dialler.campaigns.get(535)
        sandbox.faults.next(GzipBomb(mebibytes=300))
        tracemalloc.start()
        try:
            with pytest.raises(PayloadError, match=r"larger than 1048576 bytes"):
                await dialler.campaigns.get(535)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 40 * 2**20
        assert sandbox.connections.opened == 1
        async with asyncio.timeout(10):
            while sandbox.connections.open:  # noqa: ASYNC110  # the server runs in this loop and must notice the closed connection
                await asyncio.sleep(0)
        await dialler.campaigns.get(535)
        assert sandbox.connections.opened == 2
        assert sandbox.journal[-1].nth_on_connection == 1


async def test_max_body_counts_bytes_after_decompression() -> None:
    sent = text().encode()
    compressed = json_response(gzip.compress(sent), **{"Content-Encoding": "gzip"})
    for limit, fits in ((len(sent), True), (len(sent) - 1, False)):
        for fault in (json_response(sent), compressed, Raw(b"HTTP/1.1 200 OK\r\n\r\n" + sent)):
            async with connected(pool=PoolConfig(max_body=limit)) as (sandbox, dialler):
                sandbox.faults.next(fault)
                if fits:
                    assert (await dialler.campaigns.get(535)).name == NAME
                else:
                    with pytest.raises(PayloadError, match="larger than"):
                        await dialler.campaigns.get(535)


async def test_error_body_is_read_up_to_64_kib() -> None:
    async with connected() as (sandbox, dialler):
        sandbox.faults.next(CannedResponse(400, b"x" * 1_000_000))
        with pytest.raises(BadRequestError) as caught:
            await dialler.campaigns.get(535)
        assert caught.value.message == "x" * 199 + "…"
        assert (await dialler.campaigns.get(535)).wire == RECORD


async def test_404_with_a_text_cut_within_an_emoji_is_not_found() -> None:
    async with connected() as (sandbox, dialler):
        sandbox.faults.next(CannedResponse(404, b'{"status":404,"error":"Dialler campaign cut \\ud83c"}'))
        with pytest.raises(NotFoundError) as caught:
            await dialler.campaigns.get(535)
        assert caught.value.message == "Dialler campaign cut �"


@pytest.mark.parametrize("charset", ["punycode", "idna", "raw_unicode_escape"])
async def test_charset_that_takes_quadratic_time_is_not_decoded(charset: str) -> None:
    async with connected() as (sandbox, dialler):
        sandbox.faults.next(json_response(b"-" + b"a" * 512 * 1024 + b"\xff", f"application/json; charset={charset}"))
        started_at = time.process_time()
        with pytest.raises(PayloadError):
            await dialler.campaigns.get(535)
        assert time.process_time() - started_at < 1


async def test_compressed_error_body_takes_little_time_and_memory() -> None:
    bomb = zlib.compress(b"[" + b"{}," * (20 * 1024 * 1024) + b"{}]", 9, wbits=31)
    assert len(bomb) < 100_000
    async with connected(retry=RetryPolicy(attempts=1)) as (sandbox, dialler):
        sandbox.faults.next(CannedResponse(500, bomb, {"Content-Encoding": "gzip"}))
        tracemalloc.start()
        started_at = time.process_time()
        with pytest.raises(ServerError):
            await dialler.campaigns.get(535)
        took = time.process_time() - started_at
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert took < 1
    assert peak < 4 * 1024 * 1024


@pytest.mark.parametrize("record", [{"ID": 536, "Name": "other"}, {"ID": 5350, "Name": NAME}])
async def test_get_refuses_a_campaign_with_another_id(record: dict[str, Any]) -> None:
    async with connected() as (sandbox, dialler):
        sandbox.faults.next(json_response(body(json.dumps(record).encode())))
        with pytest.raises(PayloadError, match="about campaign 535, but the server sent") as caught:
            await dialler.campaigns.get(535)
        assert (caught.value.path, caught.value.record_id) == ("records[0].ID", record["ID"])


async def test_get_accepts_a_campaign_without_an_id() -> None:
    async with connected() as (sandbox, dialler):
        sandbox.faults.next(json_response(body(b'{"Name":"x"}')))
        assert (await dialler.campaigns.get(535)).name == "x"


async def test_result_codes_of_another_campaign_are_refused() -> None:
    async with connected() as (sandbox, dialler):
        sandbox.faults.next(json_response(body(b'{"ID":1},{"ID":2,"DiallerCampaignsID":536}', count=b"2")))
        with pytest.raises(PayloadError, match="about campaign 535, but the server sent") as caught:
            await dialler.result_codes.list(535)
        assert (caught.value.path, caught.value.record_id) == ("records[1].DiallerCampaignsID", 2)


@pytest.mark.parametrize("sent", [body(), b'{"records":[],"count":0,"status":200}'])
async def test_delete_has_unknown_outcome_when_the_response_has_records(sent: bytes) -> None:
    async with connected() as (sandbox, dialler):
        sandbox.faults.next(json_response(sent))
        with pytest.raises(OutcomeUnknownError, match="belongs to another request"):
            await dialler.campaigns.delete(535)
        sandbox.faults.next(json_response(sent))
        with pytest.raises(OutcomeUnknownError, match="belongs to another request"):
            await dialler.campaigns.delete_by_name(NAME, exact=False)


async def test_write_with_an_unreadable_response_has_unknown_outcome() -> None:
    responses = [
        json_response(b""),
        json_response(b"{}"),
        json_response(b"x" * 5000),
        json_response(body(status=b"7")),
        json_response(b'{"records":[],"count":0,"status":200}'),
        json_response(body(b'{"ID":700,"Name":null}')),
        json_response(body(count=b"2")),
        CannedResponse(204),
        CannedResponse(202, b'{"status":202}'),
    ]
    async with connected(pool=PoolConfig(max_body=4000)) as (sandbox, dialler):
        for invalid in responses:
            sandbox.faults.next(attrs.evolve(invalid, carried_out=True))
            with pytest.raises(OutcomeUnknownError, match="Check before you retry"):
                await dialler.campaigns.clone(NAME, f"Copy {len(sandbox.journal)}")
        assert len(sandbox.journal) == len(responses) == len(sandbox.campaigns) - 1
        for id, invalid in zip(list(sandbox.campaigns)[1:], [*responses[:4], *responses[7:]], strict=False):
            sandbox.faults.next(attrs.evolve(invalid, carried_out=True))
            with pytest.raises(OutcomeUnknownError, match="Check before you retry"):
                await dialler.campaigns.delete(id)


class TurnCounter(logging.Handler):
    """Counts the iterations of the event loop, in all and since the last response arrived."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = 0
        self._at_arrival = 0

    def emit(self, record: logging.LogRecord) -> None:
        # The client logs each attempt after it has read the body.
        self._at_arrival = self.turns

    @property
    def since_arrival(self) -> int:
        return self.turns - self._at_arrival

    async def count(self) -> None:
        while True:
            self.turns += 1
            await asyncio.sleep(0)


@asynccontextmanager
async def counted_turns() -> AsyncIterator[TurnCounter]:
    turns = TurnCounter()
    log = logging.getLogger("dialler_async")
    log.addHandler(turns)
    log.setLevel(logging.DEBUG)
    counting = asyncio.create_task(turns.count())
    try:
        yield turns
    finally:
        log.setLevel(logging.NOTSET)
        log.removeHandler(turns)
        counting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await counting


@pytest.mark.slow
async def test_other_tasks_run_while_a_large_list_is_decoded() -> None:
    async with (
        Sandbox(10_000, filler_keys=60) as sandbox,
        DiallerClient(sandbox.base_url, sandbox.token) as dialler,
        counted_turns() as turns,
    ):
        campaigns = await dialler.campaigns.list()
        assert len(campaigns) == 10_000
        assert len(campaigns[0].wire) == 73
        assert turns.since_arrival > 150
        iterated = 0
        async for _ in dialler.campaigns.iterate():
            iterated += 1
        assert iterated == 10_000
        assert turns.since_arrival > 150


@pytest.mark.slow
async def test_other_tasks_run_while_a_million_tiny_records_are_decoded() -> None:
    million = 1_000_000
    sent = body(b",".join([b'{"Name":""}'] * million), b"%d" % million)
    # The time to decode a million records varies from machine to machine, and is not under test.
    patient = Timeouts(read=200, deadline=200)
    async with connected(timeouts=patient) as (sandbox, dialler), counted_turns() as turns:
        sandbox.faults.next(json_response(sent))
        campaigns = await dialler.campaigns.list()
        assert len(campaigns) == million
        # A slice has about 200 records at most: its size depends on the cost of records, not only on bytes.
        assert turns.since_arrival > million / 250


def check_in_one_loop(
    check: Callable[[Sandbox, DiallerClient, bytes], Any], examples: st.SearchStrategy[bytes]
) -> None:
    """Check many examples against one sandbox with one client."""
    with asyncio.Runner(debug=True) as runner:
        closing = contextlib.AsyncExitStack()
        sandbox, dialler = runner.run(closing.enter_async_context(connected()))

        @settings(max_examples=150, deadline=None)
        @given(examples)
        def each(example: bytes) -> None:
            runner.run(check(sandbox, dialler, example))

        try:
            each()
        finally:
            runner.run(closing.aclose())


async def assert_record_or_error(sandbox: Sandbox, dialler: DiallerClient, fault: Fault) -> None:
    result = await outcome(sandbox, dialler, fault)
    assert isinstance(result, str | DiallerError)
    assert not isinstance(result, DeadlineError)


@pytest.mark.slow
def test_any_bytes_in_a_body_give_a_record_or_an_error() -> None:
    whole = text().encode()
    corrupted = st.builds(
        lambda at, piece, length: whole[:at] + piece + whole[at + length :],
        st.integers(0, len(whole)),
        st.binary(max_size=4) | st.sampled_from([b"[", b"{", b'"', b"\\u", b",", b"1e9", b"null", b"\xff"]),
        st.integers(0, 6),
    )
    check_in_one_loop(
        lambda sandbox, dialler, sent: assert_record_or_error(sandbox, dialler, json_response(sent)),
        st.binary() | corrupted,
    )


@pytest.mark.slow
def test_any_bytes_from_the_server_give_a_record_or_an_error() -> None:
    whole = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(text().encode())
    whole += text().encode()
    corrupted = st.builds(
        lambda at, piece, length: whole[:at] + piece + whole[at + length :],
        st.integers(0, len(whole)),
        st.binary(max_size=4) | st.sampled_from([b"\r\n", b"\r\n\r\n", b":", b"HTTP/1.1 200 OK\r\n", b"\x00"]),
        st.integers(0, 6),
    )
    check_in_one_loop(
        lambda sandbox, dialler, sent: assert_record_or_error(sandbox, dialler, Raw(sent)), st.binary() | corrupted
    )
