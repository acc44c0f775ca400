"""Map aiohttp's exceptions to this library's errors. Pure.

A message contains only the reason from the operating system or from TLS. Other texts of an exception may contain names,
IDs or the token.
"""

import os
import ssl
from typing import TypeVar

import aiohttp

from ..errors import ConnectError, DeadlineError, NoReplyError, SentRequest
from .connector import ConnectionLost

E = TypeVar("E", bound=BaseException)


def strip_traceback(error: E) -> E:
    """Return the exception without its traceback, cause and context, whose local variables may hold the token."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def map_transport_error(
    call: SentRequest, error: Exception, sent: bool | None, *, connect: float, read: float, server: str
) -> NoReplyError:
    """Return the error for an attempt without a response.

    Args:
        call: method and path template of the call.
        error: the exception that aiohttp raised.
        sent: whether the server may have received a part of the request; None if unknown.
        connect: the timeout for connecting, in seconds.
        read: the timeout for the next part of a response, in seconds.
        server: host and port.
    """
    match error:
        case aiohttp.ConnectionTimeoutError() | aiohttp.ClientConnectorError() if sent:
            # A middleware of the user's session sent the request again, and got no connection the second time.
            return NoReplyError(f"{call}: the connection to {server} was lost before the response", request=call)
        case aiohttp.ConnectionTimeoutError():
            text = f"{call}: no connection to {server} within {connect:g} s; nothing was sent"
            return ConnectError(text, request=call)
        case aiohttp.ClientProxyConnectionError():
            text = f"{call}: no connection to the proxy for {server}; nothing was sent"
            return ConnectError(text, request=call)
        case aiohttp.ClientConnectorCertificateError():
            reason = getattr(error.certificate_error, "verify_message", "") or "it can't be verified"
            text = (
                f"{call}: the certificate of {server} is not trusted ({reason}); nothing was sent. For your own CA,"
                " set PoolConfig(ca_file=…)"
            )
            return ConnectError(text, request=call)
        case aiohttp.ClientConnectorSSLError() if _is_not_tls(error.os_error):
            text = (
                f"{call}: {server} does not support https; nothing was sent. Check the scheme and port of the base URL"
            )
            return ConnectError(text, request=call)
        case aiohttp.ClientConnectorSSLError() if "HANDSHAKE_FAILURE" in (_ssl_reason(error.os_error)):
            text = f"{call}: {server} refused the TLS handshake; nothing was sent. If it requires a client certificate"
            return ConnectError(f"{text}, set PoolConfig(client_cert=…)", request=call)
        case aiohttp.ClientConnectorError():
            reason = _reason(error.os_error)
            return ConnectError(f"{call}: no connection to {server} ({reason}); nothing was sent", request=call)
        case aiohttp.ClientHttpProxyError(status=407):
            text = f"{call}: the proxy for {server} refused the credentials; nothing was sent"
            return ConnectError(f"{text}. Set them in the proxy's URL: PoolConfig(proxy=…)", request=call)
        case aiohttp.ClientHttpProxyError():
            text = f"{call}: the proxy refused a connection to {server} ({error.status}); nothing was sent"
            return ConnectError(text, request=call)
        case aiohttp.InvalidURL():
            return ConnectError(f"{call}: the host in the base URL is invalid; nothing was sent", request=call)
        case aiohttp.ServerFingerprintMismatch():
            text = f"{call}: no connection to {server} ({type(error).__name__}); nothing was sent"
            return ConnectError(text, request=call)
        case _ if sent is False:
            return ConnectError(f"{call}: no connection to {server}; nothing was sent", request=call)
        case aiohttp.ServerTimeoutError() | TimeoutError():
            text = f"{call}: no further part of the response arrived for {read:g} s"
            return DeadlineError(text, request=call)
        case aiohttp.ClientPayloadError():
            return NoReplyError(f"{call}: the response is incomplete", request=call)
        case aiohttp.ClientResponseError():
            text = f"{call}: the response of {server} is not HTTP. Check the scheme and port of the base URL"
            return NoReplyError(text, request=call)
        case ConnectionLost(wants_client_certificate=True):
            text = f"{call}: {server} requires a client certificate, and has not read the request"
            return ConnectError(f"{text}. Set PoolConfig(client_cert=…)", request=call)
        case _:
            return NoReplyError(f"{call}: the connection to {server} was lost before the response", request=call)


def _reason(error: OSError) -> str:
    """Return the operating system's reason for a failed connection, if the error has an error number."""
    if error.errno and error.errno > 0 and not isinstance(error, ssl.SSLError):
        # asyncio replaces the reason by "Connect call failed" and an address.
        return os.strerror(error.errno)
    return error.strerror or type(error).__name__


def _is_not_tls(error: OSError) -> bool:
    return _ssl_reason(error) in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")


def _ssl_reason(error: OSError) -> str:
    return (error.reason or "") if isinstance(error, ssl.SSLError) else ""
