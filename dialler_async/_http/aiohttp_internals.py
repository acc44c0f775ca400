"""All uses of undocumented attributes of aiohttp and asyncio.

`tests/http/test_aiohttp_internals.py` fails if one of aiohttp's changes, `tests/http/test_pool.py` for asyncio's.

Tested with aiohttp 3.14.3 to 3.14.5.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError, LineTooLong


def loop_of(session: aiohttp.ClientSession | None) -> asyncio.AbstractEventLoop | None:
    """Return the event loop that a session belongs to. The public property `loop` is deprecated."""
    return getattr(session, "_loop", None)


def middlewares_of(session: aiohttp.ClientSession | None) -> tuple[aiohttp.ClientMiddlewareType, ...]:
    """Return the middlewares of a session, which aiohttp ignores if the request has middlewares."""
    return tuple(getattr(session, "_middlewares", ()))


def is_written(request: aiohttp.ClientRequest) -> bool:
    """Return whether aiohttp has begun to write a request.

    When aiohttp begins to write, it also creates the response, still empty. The response stays when a middleware sends
    the same request again.
    """
    return getattr(request, "response", request) is not None


def is_header_too_long(error: aiohttp.ClientResponseError) -> bool:
    """Return whether a line of the headers of a response is longer than aiohttp allows."""
    return isinstance(_parser_error(error), LineTooLong)


def is_coding_unknown(error: aiohttp.ClientResponseError | aiohttp.ClientPayloadError) -> bool:
    """Return whether the body of a response can't be decompressed."""
    return isinstance(error.__cause__, ContentEncodingError) or isinstance(_parser_error(error), ContentEncodingError)


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


def idle_protocols(connector: aiohttp.BaseConnector | None, request: aiohttp.ClientRequest) -> list[Any]:
    """Return the idle connections that a request may get."""
    idle = getattr(connector, "_conns", {})
    return [protocol for protocol, _ in idle.get(request.connection_key, ())]


def was_used(protocol: Any) -> bool:
    """Return whether a connection is open and has already received a response."""
    return protocol._parser is not None and protocol.transport is not None


def has_unread_response(protocol: Any) -> bool:
    """Return whether a used connection has received the beginning of a further response, parsed or not."""
    try:
        # The parser may be fed an EOF, since the next request gets a new parser. The result shows unfinished input.
        return protocol._parser.feed_eof() is not None or bool(protocol.should_close)
    except Exception:
        return True


def detach_connections(connector: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the protocols and transports of a connector. Afterwards, closing the connector does nothing.

    The transports are detached from their protocols, so that aiohttp can't close them.
    """
    if connector._closed:
        return
    idle = [protocol for connections in connector._conns.values() for protocol, *_ in connections]
    for protocol in (*connector._acquired, *idle):
        # A connection that is still being made has no transport.
        yield protocol, getattr(protocol, "transport", None)
        if isinstance(protocol, asyncio.BaseProtocol):
            detached: Any = protocol
            detached.transport = None
    # aiohttp ignores the closing and the garbage collection of a closed connector.
    connector._closed = True


def close_socket(transport: Any) -> None:
    """Close the socket of a transport whose event loop is closed. The transport's own `close` needs the loop."""
    inner = getattr(getattr(transport, "_ssl_protocol", None), "_transport", transport)
    # uvloop closes the sockets with the loop.
    if getattr(inner, "_sock", None) is not None:
        inner._sock.close()
        inner._sock = None
    if inner is not transport:
        transport._closed = True
