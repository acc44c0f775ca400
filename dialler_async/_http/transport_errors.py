"""What went wrong on the wire -> the error that says so: pure, as `errors.from_reply` is for what came back.

Of aiohttp's exceptions only the reason of the operating system or of TLS is passed on: their other texts may hold
names, and some hold the token.
"""

import os
import ssl

import aiohttp

from ..errors import ConnectError, DeadlineError, NoReplyError, SentRequest
from .pool import ConnectionLost


def no_reply(
    what: SentRequest, error: Exception, sent: bool | None, *, connect: float, read: float, server: str
) -> NoReplyError:
    """The error for an attempt that brought no reply.

    Args:
        what: the call.
        error: what aiohttp raised.
        sent: whether the server may have any of the request; None where nobody can tell.
        connect: seconds that a connection may take.
        read: seconds that may pass between two pieces of an answer.
        server: host and port.
    """
    match error:
        case aiohttp.ConnectionTimeoutError() | aiohttp.ClientConnectorError() if sent:
            # No connection for a second sending, by a middleware of a session that was brought.
            return NoReplyError(f"{what}: the connection to {server} was lost before the answer came", request=what)
        case aiohttp.ConnectionTimeoutError():
            text = f"{what}: no connection to {server} within {connect:g} s; nothing was sent"
            return ConnectError(text, request=what)
        case aiohttp.ClientProxyConnectionError():
            text = f"{what}: no connection to the proxy on the way to {server}; nothing was sent"
            return ConnectError(text, request=what)
        case aiohttp.ClientConnectorCertificateError():
            reason = getattr(error.certificate_error, "verify_message", "") or "it does not verify"
            text = (
                f"{what}: the server's certificate is not trusted ({reason}), at {server}; nothing was sent. If it is"
                " your own, trust it: PoolConfig(ca_file=…)"
            )
            return ConnectError(text, request=what)
        case aiohttp.ClientConnectorSSLError() if _is_not_tls(error.os_error):
            text = f"{what}: {server} does not speak https; nothing was sent. Is it http, or another port?"
            return ConnectError(text, request=what)
        case aiohttp.ClientConnectorSSLError() if "HANDSHAKE_FAILURE" in (_ssl_reason(error.os_error)):
            text = f"{what}: {server} refused the TLS handshake; nothing was sent. If it wants a client certificate"
            return ConnectError(f"{text}, give it one: PoolConfig(client_cert=…)", request=what)
        case aiohttp.ClientConnectorError():
            reason = _reason(error.os_error)
            return ConnectError(f"{what}: no connection to {server} ({reason}); nothing was sent", request=what)
        case aiohttp.ClientHttpProxyError(status=407):
            text = f"{what}: the proxy on the way to {server} asks for other credentials; nothing was sent"
            return ConnectError(f"{text}. Put them into the proxy's URL: PoolConfig(proxy=…)", request=what)
        case aiohttp.ClientHttpProxyError():
            text = f"{what}: the proxy refused a connection to {server} ({error.status}); nothing was sent"
            return ConnectError(text, request=what)
        case aiohttp.InvalidURL():
            return ConnectError(f"{what}: the base URL's host can't be one; nothing was sent", request=what)
        case aiohttp.ServerFingerprintMismatch():
            text = f"{what}: no connection to {server} ({type(error).__name__}); nothing was sent"
            return ConnectError(text, request=what)
        case _ if sent is False:
            return ConnectError(f"{what}: no connection to {server}; nothing was sent", request=what)
        case aiohttp.ServerTimeoutError() | TimeoutError():
            text = f"{what}: the server sent nothing for {read:g} s"
            return DeadlineError(text, request=what)
        case aiohttp.ClientPayloadError():
            return NoReplyError(f"{what}: the answer broke off", request=what)
        case aiohttp.ClientResponseError():
            text = f"{what}: what came back from {server} is not HTTP. If the port speaks https, so must the base URL"
            return NoReplyError(text, request=what)
        case ConnectionLost(wants_client_certificate=True):
            text = f"{what}: {server} wants a client certificate; nothing was read of the request"
            return ConnectError(f"{text}. Give it one: PoolConfig(client_cert=…)", request=what)
        case _:
            return NoReplyError(f"{what}: the connection to {server} was lost before the answer came", request=what)


def _reason(error: OSError) -> str:
    """Why there is no connection, in the words of the operating system where it says so by number."""
    if error.errno and error.errno > 0 and not isinstance(error, ssl.SSLError):
        # asyncio puts "Connect call failed" and an address in place of them.
        return os.strerror(error.errno)
    return error.strerror or type(error).__name__


def _is_not_tls(error: OSError) -> bool:
    return _ssl_reason(error) in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")


def _ssl_reason(error: OSError) -> str:
    return (error.reason or "") if isinstance(error, ssl.SSLError) else ""
