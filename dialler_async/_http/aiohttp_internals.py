"""Everything of aiohttp that is used and not documented, in one place. A test fails when one of these changes.

Checked with aiohttp 3.14.3 to 3.14.5.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import aiohttp


def loop_of(session: aiohttp.ClientSession | None) -> asyncio.AbstractEventLoop | None:
    """Return the event loop that a session belongs to. The public property `loop` is deprecated."""
    return getattr(session, "_loop", None)


def middlewares_of(session: aiohttp.ClientSession | None) -> tuple[aiohttp.ClientMiddlewareType, ...]:
    """Return the middlewares of a session, which the middlewares of a request would replace."""
    return tuple(getattr(session, "_middlewares", ()))


def is_written(request: aiohttp.ClientRequest) -> bool:
    """Return whether aiohttp has begun to write a request.

    aiohttp makes the response, still empty, in the same step in which it begins to write. It keeps that response when
    a middleware sends the same request again.
    """
    return getattr(request, "response", request) is not None


def idle_protocols(connector: aiohttp.BaseConnector | None, request: aiohttp.ClientRequest) -> list[Any]:
    """Return the idle connections that a request may get."""
    kept = getattr(connector, "_conns", {})
    return [protocol for protocol, _ in kept.get(request.connection_key, ())]


def was_used(protocol: Any) -> bool:
    """Return whether a connection has carried a response before, and is still open."""
    return protocol._parser is not None and protocol.transport is not None


def has_unread_response(protocol: Any) -> bool:
    """Return whether a used connection has received the beginning of a response, parsed or not."""
    try:
        # The next request gets another parser. This one knows whether it has seen the beginning of a response.
        return protocol._parser.feed_eof() is not None or bool(protocol.should_close)
    except Exception:
        return True


def detach_connections(connector: Any) -> Iterator[object]:
    """Yield what a connector's connections hold, and make closing the connector do nothing.

    The transports are detached from their protocols, so that nothing closes them.
    """
    if connector._closed:
        return
    for protocol in (*connector._acquired, *(kept[0] for of_one in connector._conns.values() for kept in of_one)):
        # A connection that is still being made has no transport.
        yield protocol, getattr(protocol, "transport", None)
        if isinstance(protocol, asyncio.BaseProtocol):
            held: Any = protocol
            held.transport = None
    # aiohttp does nothing when a closed connector is closed or collected.
    connector._closed = True
