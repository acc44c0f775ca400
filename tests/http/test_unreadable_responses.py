"""Responses that aiohttp refuses: the error says why, and only what a retry can change is retried."""

from __future__ import annotations

import pytest

from dialler_async import DiallerClient, NoReplyError, OutcomeUnknownError, RetryPolicy
from dialler_async.sandbox import Sandbox
from dialler_async.sandbox.faults import Raw

RETRY = RetryPolicy(attempts=3, base_delay=0)
OK = b"HTTP/1.1 200 OK\r\n"
JSON = b"Content-Type: application/json\r\nContent-Length: 2\r\n"

PERMANENT: dict[str, tuple[bytes, str]] = {
    "header value of 9,000 bytes": (
        OK + JSON + b"X: " + b"x" * 9000 + b"\r\n\r\n{}",
        "header of more than 8,190 bytes",
    ),
    "header name of 9,000 bytes": (OK + JSON + b"X" * 9000 + b": x\r\n\r\n{}", "header of more than 8,190 bytes"),
    "reason of 9,000 bytes": (b"HTTP/1.1 200 " + b"x" * 9000 + b"\r\n\r\n", "header of more than 8,190 bytes"),
    "200 headers": (OK + JSON + b"".join(b"X%d: x\r\n" % n for n in range(200)) + b"\r\n{}", "more than 128 headers"),
    "br": (OK + JSON + b"Content-Encoding: br\r\n\r\n{}", "content coding that can't be decoded"),
}
MAY_CHANGE: dict[str, tuple[bytes, str]] = {
    "surplus byte": (
        OK + JSON + b"\r\n{}x",
        "is invalid HTTP: it is malformed, or longer than its Content-Length says",
    ),
    "surplus byte and close": (OK + JSON + b"Connection: close\r\n\r\n{}x", "is invalid HTTP: "),
    "surplus byte after chunks": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\nx",
        "is invalid HTTP: ",
    ),
    "header without a colon": (OK + JSON + b"broken\r\n\r\n{}", "is invalid HTTP: "),
    "two lengths": (OK + JSON + b"Content-Length: 3\r\n\r\n{}", "is invalid HTTP: "),
    "malformed chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "is invalid HTTP: "),
    "HTTP/2": (b"HTTP/2 200 OK\r\n\r\n", "is invalid HTTP: "),
    "SSH and a blank line": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "is not HTTP. Check the scheme and port of the base URL"),
    "SSH": (b"SSH-2.0-OpenSSH_9.6\r\n", "is not HTTP. Check the scheme and port of the base URL"),
    "SMTP": (b"220 mail.example.com ESMTP\r\n", "is not HTTP. Check the scheme and port of the base URL"),
    "broken gzip": (OK + JSON + b"Content-Encoding: gzip\r\n\r\n{}", "the response can't be decompressed"),
}
REFUSED_BY_THE_C_PARSER_ONLY = {
    *("surplus byte", "surplus byte and close", "surplus byte after chunks", "two lengths", "SSH", "SMTP")
}


@pytest.fixture(params=[*PERMANENT, *MAY_CHANGE])
def case(request: pytest.FixtureRequest) -> str:
    """Return the name of a response that aiohttp's parser refuses."""
    name: str = request.param
    if name in REFUSED_BY_THE_C_PARSER_ONLY:
        request.getfixturevalue("c_parser")
    return name


async def test_unreadable_response_to_a_read_is_named(case: str) -> None:
    received, reason = (PERMANENT | MAY_CHANGE)[case]
    async with Sandbox(1) as sandbox:
        sandbox.faults.chance(1.0, [Raw(received)])
        async with DiallerClient(sandbox.base_url, sandbox.token, retry=RETRY) as dialler:
            with pytest.raises(NoReplyError) as caught:
                await dialler.campaigns.list()
    assert type(caught.value) is NoReplyError
    assert reason in str(caught.value)
    assert caught.value.permanent == (case in PERMANENT)
    assert len(sandbox.journal) == (1 if case in PERMANENT else 3)


async def test_outcome_of_a_write_with_an_unreadable_response_is_unknown(case: str) -> None:
    received, reason = (PERMANENT | MAY_CHANGE)[case]
    async with Sandbox(1) as sandbox:
        sandbox.faults.chance(1.0, [Raw(received)])
        async with DiallerClient(sandbox.base_url, sandbox.token, retry=RETRY) as dialler:
            with pytest.raises(OutcomeUnknownError) as caught:
                await dialler.campaigns.clone("Spring", "Monday")
    assert reason in str(caught.value)
    assert len(sandbox.journal) == 1


@pytest.mark.usefixtures("c_parser")
async def test_read_succeeds_after_a_surplus_byte() -> None:
    async with Sandbox(1) as sandbox:
        sandbox.faults.next(Raw(MAY_CHANGE["surplus byte"][0]))
        async with DiallerClient(sandbox.base_url, sandbox.token, retry=RETRY) as dialler:
            assert len(await dialler.campaigns.list()) == 1
