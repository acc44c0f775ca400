"""What went wrong on the wire -> the error that says so: pure, as `errors.from_reply` is for what came back.

Of aiohttp's exceptions only the reason of the operating system or of TLS is passed on: their other texts may hold
names, and some hold the token.
"""

import os
import ssl

import aiohttp

from .errors import ConnectError, DeadlineError, NoReplyError, SentRequest


def no_reply(what: SentRequest, error: Exception, sent: bool | None, *, connect: float, read: float) -> NoReplyError:
    """The error for an attempt that brought no reply.

    Args:
        what: the call.
        error: what aiohttp raised.
        sent: whether the server may have any of the request; None where nobody can tell.
        connect: seconds that a connection may take.
        read: seconds that may pass between two pieces of an answer.
    """
    match error:
        case aiohttp.ConnectionTimeoutError() | aiohttp.ClientConnectorError() if sent:
            # No connection for a second sending, by a middleware of a session that was brought.
            return NoReplyError(f"{what}: the connection was lost before the answer came", request=what)
        case aiohttp.ConnectionTimeoutError():
            text = f"{what}: no connection within {connect:g} s; nothing was sent"
            return ConnectError(text, request=what)
        case aiohttp.ClientConnectorCertificateError():
            reason = getattr(error.certificate_error, "verify_message", "") or "it does not verify"
            text = (
                f"{what}: the server's certificate is not trusted ({reason}); nothing was sent. If it is your own,"
                " trust it: PoolConfig(ssl=ssl.create_default_context(cafile=…))"
            )
            return ConnectError(text, request=what)
        case aiohttp.ClientConnectorError():
            reason = _reason(error.os_error)
            return ConnectError(f"{what}: no connection to the server ({reason}); nothing was sent", request=what)
        case aiohttp.InvalidURL():
            return ConnectError(f"{what}: the base URL's host can't be one; nothing was sent", request=what)
        case aiohttp.ServerFingerprintMismatch() | aiohttp.ClientHttpProxyError():
            text = f"{what}: no connection to the server ({type(error).__name__}); nothing was sent"
            return ConnectError(text, request=what)
        case _ if sent is False:
            return ConnectError(f"{what}: no connection to the server; nothing was sent", request=what)
        case aiohttp.ServerTimeoutError() | TimeoutError():
            text = f"{what}: the server sent nothing for {read:g} s"
            return DeadlineError(text, request=what)
        case aiohttp.ClientPayloadError():
            return NoReplyError(f"{what}: the answer broke off", request=what)
        case aiohttp.ClientResponseError():
            return NoReplyError(f"{what}: what came back is not HTTP", request=what)
        case _:
            return NoReplyError(f"{what}: the connection was lost before the answer came", request=what)


def _reason(error: OSError) -> str:
    """Why there is no connection, in the words of the operating system where it says so by number."""
    if error.errno and error.errno > 0 and not isinstance(error, ssl.SSLError):
        # asyncio puts "Connect call failed" and an address in place of them.
        return os.strerror(error.errno)
    return error.strerror or type(error).__name__
