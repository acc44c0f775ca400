"""All uses of undocumented attributes of aiohttp and asyncio.

`tests/http/test_aiohttp_internals.py` fails if one of aiohttp's changes, `tests/http/test_pool.py` for asyncio's.

Tested with aiohttp 3.14.3 to 3.14.5. If another version lacks an attribute, calls still work: what needs the attribute
is off, and one warning in the log says so, with the version.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from functools import cache, partial, wraps
from typing import Any, ParamSpec, TypeVar

import aiohttp
from aiohttp import http_exceptions
from aiohttp.connector import Connection

P = ParamSpec("P")
R = TypeVar("R")
_log = logging.getLogger("dialler_async")


def _without_attributes(result: Any, consequence: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator: the function returns `result`, and warns once, if aiohttp lacks an attribute."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        fallback: R = result

        @wraps(function)
        def tolerant(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except AttributeError:
                _warn_once(consequence)
                return fallback

        return tolerant

    return decorate


@cache
def _warn_once(consequence: str) -> None:
    _log.warning(
        "aiohttp %s lacks an attribute that dialler_async uses: %s. Update dialler_async, or install aiohttp 3.14",
        aiohttp.__version__,
        consequence,
    )


@_without_attributes(None, "a session=… of another event loop is not detected")
def loop_of(session: Any) -> asyncio.AbstractEventLoop | None:
    """Return the event loop that a session belongs to. The public property `loop` is deprecated."""
    return None if session is None else session._loop


@_without_attributes((), "the middlewares of session=… do not run")
def middlewares_of(session: Any) -> tuple[aiohttp.ClientMiddlewareType, ...]:
    """Return the middlewares of a session, which aiohttp ignores if the request has middlewares."""
    return () if session is None else tuple(session._middlewares)


def is_written(request: aiohttp.ClientRequest) -> bool:
    """Return whether aiohttp has begun to write a request.

    When aiohttp begins to write, it also creates the response, still empty. The response stays when a middleware sends
    the same request again.
    """
    try:
        return request.response is not None
    except AttributeError:
        # No caller may be told that nothing was sent.
        _warn_once("a request that got no connection counts as sent")
        return True


@_without_attributes(False, "headers that are too long have the error of a response that is not HTTP")
def is_header_too_long(error: aiohttp.ClientResponseError) -> bool:
    """Return whether a line of the headers of a response is longer than aiohttp allows."""
    return isinstance(_parser_error(error), http_exceptions.LineTooLong)


@_without_attributes(False, "a body that can't be decompressed has the error of an incomplete response")
def is_coding_unknown(error: aiohttp.ClientResponseError | aiohttp.ClientPayloadError) -> bool:
    """Return whether the body of a response can't be decompressed."""
    return any(isinstance(it, http_exceptions.ContentEncodingError) for it in (error.__cause__, _parser_error(error)))


def rejected_bytes(error: aiohttp.ClientResponseError) -> bytes:
    """Return the received bytes that aiohttp's parser refused; b"" if they are unknown.

    aiohttp raises the same exception for another protocol as for a single byte after a response. The bytes are only in
    the local variables of its traceback.
    """
    parser_error = _parser_error(error)
    traceback = None if parser_error is None else parser_error.__traceback__
    while traceback is not None:
        data = traceback.tb_frame.f_locals.get("data")
        if isinstance(data, bytes):
            return data
        traceback = traceback.tb_next
    return b""


def _parser_error(error: BaseException) -> BaseException | None:
    return None if error.__cause__ is None else error.__cause__.__cause__


class TrackedRequest(aiohttp.ClientRequest):
    """A request that tells when `CheckingConnector` has its connection."""

    on_connected: Callable[[], None] | None = None


class CheckingConnector(aiohttp.TCPConnector):
    """A connector that closes an idle connection instead of reusing it if a response without a request has arrived.

    aiohttp would return that response as the response to the next request.
    """

    async def connect(self, req: aiohttp.ClientRequest, *args: Any, **kwargs: Any) -> Connection:
        """Return a new connection, or an idle connection without unsolicited data."""
        connection = await super().connect(req, *args, **kwargs)
        try:
            while (protocol := connection.protocol) is not None and protocol.should_close:
                connection.close()
                connection = await super().connect(req, *args, **kwargs)
        except AttributeError:
            _warn_once("idle connections are not checked for unsolicited responses")
        if isinstance(req, TrackedRequest) and req.on_connected is not None:
            req.on_connected()
        return connection


@_without_attributes(None, "a write may reuse a connection of session=…")
def close_idle_connections(request: aiohttp.ClientRequest) -> None:
    """Close the idle connections of a user's session that a request may get."""
    if (connector := request.session.connector) is not None:
        for protocol, *_ in connector._conns.get(request.connection_key, ()):
            protocol.close()


@_without_attributes(None, "a call waits for its read timeout if a response becomes invalid after its headers")
def fail_when_closed(response: aiohttp.ClientResponse) -> Callable[[], object] | None:
    """Let reading the body fail when the connection is closed; return a function that ends this.

    aiohttp closes the connection after a parser error, such as a malformed chunk, but does not wake the reader.
    """
    content, connection = response.content, response.connection

    def fail(_: object) -> None:
        if not content.is_eof() and content.exception() is None:
            content.set_exception(aiohttp.ClientPayloadError())

    closed = None if connection is None or connection.protocol is None else connection.protocol.closed
    if closed is None:
        # Reading from a connection that is already closed fails by itself.
        return None
    # Once for each connection, which has many responses. asyncio logs an exception of a future that nobody retrieved.
    closed.remove_done_callback(_retrieve)
    closed.add_done_callback(_retrieve)
    closed.add_done_callback(fail)
    return partial(closed.remove_done_callback, fail)


def _retrieve(closed: "asyncio.Future[None]") -> None:
    if not closed.cancelled():
        closed.exception()


def detach_connections(connector: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the protocols and transports of a connector, detached, so that closing the connector does nothing."""
    for protocol in _open_protocols(connector):
        # A connection that is still being made has no transport.
        yield protocol, getattr(protocol, "transport", None)
        if isinstance(protocol, asyncio.BaseProtocol):
            detached: Any = protocol
            detached.transport = None
    # aiohttp ignores the closing and the garbage collection of a closed connector.
    connector._closed = True


@_without_attributes((), "connections are not detached after a fork or the end of their event loop")
def _open_protocols(connector: Any) -> tuple[Any, ...]:
    if connector._closed:
        return ()
    idle = (protocol for connections in connector._conns.values() for protocol, *_ in connections)
    return (*connector._acquired, *idle)


@_without_attributes(None, "the connections of a client that was never closed are closed by the garbage collector")
def close_without_waiting(connector: aiohttp.BaseConnector) -> None:
    """Close all connections of a connector, without a task that waits until they are closed."""
    connector._close()


def close_socket(transport: Any) -> None:
    """Close the socket of a transport whose event loop is closed. The transport's own `close` needs the loop."""
    inner = getattr(getattr(transport, "_ssl_protocol", None), "_transport", transport)
    # uvloop closes the sockets with the loop.
    if getattr(inner, "_sock", None) is not None:
        inner._sock.close()
        inner._sock = None
    if inner is not transport:
        transport._closed = True
