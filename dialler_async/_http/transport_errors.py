"""Map aiohttp's exceptions to this library's errors, which name the one at fault: the server or the proxy. Pure.

A message contains only the reason from the operating system or from TLS. Other texts of an exception may contain names,
IDs or the token.
"""

import os
import re
import ssl
from collections.abc import Mapping
from typing import Final, NamedTuple, TypeVar, final

import aiohttp
import attrs
from yarl import URL

from ..config import Timeouts
from ..errors import ConnectError, DeadlineError, NoReplyError, SentRequest
from .aiohttp_internals import is_coding_unknown, is_header_too_long, rejected_bytes
from .tls import TlsHints
from .urls import host_and_port

E = TypeVar("E", bound=BaseException)
N = TypeVar("N", bound=NoReplyError)


def strip_traceback(error: E) -> E:
    """Return the exception without its traceback, cause and context, whose local variables may hold the token."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


class ConnectionLostError(Exception):
    """The connection was lost after aiohttp began to send the request. `tls_reason` is OpenSSL's, or empty."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, ssl.SSLError):
            cause = cause.__cause__ or cause.__context__
        self.tls_reason = _ssl_reason(cause)


@final
@attrs.frozen(kw_only=True)
class Route:
    """The way to a server, for error messages. The URL of the proxy has no credentials."""

    server: URL
    proxy: URL | None
    hints: TlsHints

    def __str__(self) -> str:
        server = host_and_port(self.server)
        return server if self.proxy is None else f"{server} through the proxy {host_and_port(self.proxy)}"

    def peer(self, error: Exception) -> tuple[str, str]:
        """Return whom an error before the request was sent is about, the server or the proxy, and where its URL is."""
        proxy = self.proxy
        if proxy is None:
            return str(self), "the base URL"
        # Errors without an address are about the answer to a CONNECT.
        address = (getattr(error, "host", proxy.raw_host), getattr(error, "port", proxy.port))
        if isinstance(error, aiohttp.ClientProxyConnectionError) or address == (proxy.raw_host, proxy.port):
            return f"the proxy {host_and_port(proxy)}", "the proxy's URL"
        return str(self), "the base URL"


class _Problem(NamedTuple):
    """Why an attempt failed: what happened, what the user can do, and whether a retry can't help."""

    reason: str
    hint: str = ""
    permanent: bool = False


def map_transport_error(
    call: SentRequest, error: Exception, sent: bool | None, timeouts: Timeouts, route: Route
) -> NoReplyError:
    """Return the error for an attempt without a usable response.

    Args:
        call: method and path template of the call.
        error: the exception that escaped from the attempt.
        sent: whether the server may have received a part of the request; None if unknown.
        timeouts: the timeouts of the attempt.
        route: the way to the server.
    """
    if sent is False or (sent is None and isinstance(error, _BEFORE_SENDING)):
        return _new(ConnectError, call, _connect_problem(error, timeouts, route))
    match error:
        case ConnectionLostError() if alert := _ALERT.search(error.tls_reason):
            # In TLS 1.3, the client sends the request before it knows that the server refused its certificate.
            return _new(ConnectError, call, _client_certificate_problem(alert, str(route), route))
        case aiohttp.ServerTimeoutError() | TimeoutError() if not isinstance(error, _BEFORE_SENDING):
            reason = f"no further part of the response arrived for {timeouts.read:g} s"
            return _new(DeadlineError, call, _Problem(reason))
        case aiohttp.ClientPayloadError():
            reason = "can't be decompressed" if is_coding_unknown(error) else "is incomplete"
            return _new(NoReplyError, call, _Problem(f"the response {reason}"))
        case aiohttp.ClientResponseError() if not isinstance(error, _BEFORE_SENDING):
            return _new(NoReplyError, call, _unreadable_response(error, str(route), "the base URL"))
        case _:
            # With `_BEFORE_SENDING`, a middleware of the user's session sent the request again, without a connection.
            reason = f"the connection to {route} was lost before the response"
            return _new(NoReplyError, call, _Problem(reason))


def refused_by_proxy(call: SentRequest, status: int, headers: Mapping[str, str], route: Route) -> ConnectError:
    """Return the error for a proxy that refuses to forward a request to the server."""
    return _new(ConnectError, call, _refusal_of_proxy(status, headers, route))


_BEFORE_SENDING: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
    aiohttp.InvalidURL,
    aiohttp.ServerFingerprintMismatch,
)
"""Errors from the time before the request is sent."""


def _new(kind: type[N], call: SentRequest, problem: _Problem) -> N:
    sent = "; nothing was sent" if kind is ConnectError else ""
    hint = f". {problem.hint}" if problem.hint else ""
    return kind(f"{call}: {problem.reason}{sent}{hint}", request=call, permanent=problem.permanent)


def _connect_problem(error: Exception, timeouts: Timeouts, route: Route) -> _Problem:
    peer, url = route.peer(error)
    match error:
        case aiohttp.ConnectionTimeoutError():
            return _Problem(f"no connection to {route} within {timeouts.connect:g} s")
        case aiohttp.ClientConnectorCertificateError():
            return _certificate_problem(error.certificate_error, peer, route)
        case aiohttp.ClientConnectorSSLError() if _ssl_reason(error.os_error) in _NOT_TLS:
            return _Problem(f"{peer} does not support https", f"Check the scheme and port of {url}", permanent=True)
        case aiohttp.ClientConnectorSSLError() if "HANDSHAKE_FAILURE" in _ssl_reason(error.os_error):
            hint = route.hints.client_cert and f"It may require a client certificate. {route.hints.client_cert}"
            return _Problem(f"{peer} refused the TLS handshake", hint, permanent=True)
        case aiohttp.ClientConnectorSSLError() if alert := _ALERT.search(_ssl_reason(error.os_error)):
            return _client_certificate_problem(alert, peer, route)
        case aiohttp.ClientConnectorError():
            return _Problem(f"no connection to {peer} ({_os_reason(error.os_error)})")
        case aiohttp.ClientHttpProxyError():
            return _refusal_of_proxy(error.status, error.headers or {}, route)
        case aiohttp.InvalidURL():
            return _Problem(f"the host in {url} is invalid", permanent=True)
        case aiohttp.ServerFingerprintMismatch():
            return _Problem(f"no connection to {peer} ({type(error).__name__})", permanent=True)
        case aiohttp.ClientResponseError():
            return _unreadable_response(error, peer, url)
        case ConnectionLostError() if route.proxy is not None:
            return _Problem(f"{peer} closed the connection")
        case _:
            return _Problem(f"no connection to {route}")


def _refusal_of_proxy(status: int, headers: Mapping[str, str], route: Route) -> _Problem:
    proxy = "the proxy" if route.proxy is None else f"the proxy {host_and_port(route.proxy)}"
    if status == 407:
        hint = "Set them in the proxy's URL: PoolConfig(proxy=…)"
        schemes = " ".join(value for name, value in headers.items() if name.lower() == "proxy-authenticate").lower()
        if schemes and "basic" not in schemes:
            hint = "It does not accept a user and password (Basic), and no other scheme is supported, such as NTLM"
        return _Problem(f"{proxy} refused the credentials", hint, permanent=True)
    reason = f"{proxy} refused a connection to {host_and_port(route.server)} ({status})"
    return _Problem(reason, permanent=400 <= status < 500 and status not in (408, 429))


_UNKNOWN_ISSUER: Final = frozenset({2, 18, 19, 20, 21, 27})
"""OpenSSL's codes of certificates whose CA is not trusted: a self-signed certificate, or an issuer that is unknown."""
_STRICT: Final = range(80, 95)
"""OpenSSL's codes of certificates that only `ssl.VERIFY_X509_STRICT` refuses, such as 85: without a key identifier of
the issuer. Python sets this flag from 3.13 on."""


def _certificate_problem(error: Exception, peer: str, route: Route) -> _Problem:
    reason = getattr(error, "verify_message", "") or "it can't be verified"
    code = getattr(error, "verify_code", 0)
    hint = ""
    if code in _UNKNOWN_ISSUER:
        hint = route.hints.ca
    elif code in _STRICT:
        hint = (
            "Python 3.13 and later refuse certificates that do not conform to RFC 5280. Until it is replaced, use an"
            " SSL context without ssl.VERIFY_X509_STRICT: PoolConfig(ssl=…)"
        )
    return _Problem(f"the certificate of {peer} is not trusted ({reason})", hint, permanent=True)


_ALERT: Final = re.compile(r"ALERT_(UNKNOWN_CA|ACCESS_DENIED|\w*CERTIFICATE\w*)")
"""The TLS alerts of a server about the certificate of the client, in the names of OpenSSL."""


def _client_certificate_problem(alert: re.Match[str], peer: str, route: Route) -> _Problem:
    if alert[1] == "CERTIFICATE_REQUIRED":
        return _Problem(f"{peer} requires a client certificate", route.hints.client_cert, permanent=True)
    reason = alert[1].lower().replace("_", " ")
    return _Problem(f"{peer} does not accept the client certificate ({reason})", permanent=True)


_MAX_HEADERS: Final = 128
"""aiohttp's limit."""


def _unreadable_response(error: aiohttp.ClientResponseError, sender: str, url: str) -> _Problem:
    """Return why aiohttp refused a response."""
    if is_header_too_long(error):
        return _Problem(f"the response of {sender} has a header of more than 8,190 bytes", permanent=True)
    if is_coding_unknown(error):
        hint = "The extra aiohttp[speedups] adds br and zstd"
        reason = f"the response of {sender} has a content coding that can't be decoded, and that was not asked for"
        return _Problem(reason, hint, permanent=True)
    received = rejected_bytes(error)
    if received and not received.startswith(b"HTTP/"):
        return _Problem(f"the response of {sender} is not HTTP", f"Check the scheme and port of {url}")
    if received.partition(b"\r\n\r\n")[0].count(b"\r\n") > _MAX_HEADERS:
        return _Problem(f"the response of {sender} has more than {_MAX_HEADERS} headers", permanent=True)
    return _Problem(
        f"the response of {sender} is invalid HTTP: it is malformed, or longer than its Content-Length says"
    )


def _os_reason(error: OSError) -> str:
    """Return the operating system's reason for a failed connection, if the error has an error number."""
    if error.errno and error.errno > 0 and not isinstance(error, ssl.SSLError):
        # asyncio replaces the reason by "Connect call failed" and an address.
        return os.strerror(error.errno)
    return error.strerror or type(error).__name__


_NOT_TLS: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")


def _ssl_reason(error: BaseException | None) -> str:
    return (error.reason or "") if isinstance(error, ssl.SSLError) else ""
