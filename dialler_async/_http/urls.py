"""Validate the URLs of servers and proxies, and choose the proxy for the requests to a server.

Errors are returned, not raised: a traceback would hold the arguments, which may contain credentials.

aiohttp's `trust_env` is not used, because it also reads the user's netrc file. Credentials in that file would replace
the token.
"""

import ipaddress
import re
import sys
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, final
from urllib.parse import unquote_to_bytes
from urllib.request import getproxies_environment

import attrs
from yarl import URL

from ..config import BASE_PATH, PROXY_FROM_ENVIRONMENT
from ..errors import ConfigurationError


def check_base_url(given: object) -> URL | ConfigurationError:
    """Return the base URL of an account without a trailing slash, or an error that shows no part of it.

    Source: API reference, "Access".
    """
    url = check_server_url(given, "the base URL", f"http(s)://HOST:PORT{BASE_PATH}/CLIENTS_ID")
    # A proxy may map another path to an account, so only these paths certainly lack the ClientsID.
    if isinstance(url, URL) and (url.path == "/" or url.path.endswith(("/rest", BASE_PATH))):
        return ConfigurationError(
            f"the base URL has no ClientsID: append {BASE_PATH}/CLIENTS_ID to the server's URL, or use"
            " DiallerClient.for_server(server, clients_id, token)"
        )
    return url


def check_server_url(
    given: object, name: str = "the server", form: str = "http(s)://HOST:PORT"
) -> URL | ConfigurationError:
    """Return a URL without a trailing slash, or an error that shows no part of it; see `check_base_url`."""
    if not isinstance(given, str):
        return ConfigurationError(f"{name} must be a str, not {type(given).__name__[:80]}")
    # yarl drops line breaks and accepts spaces, even in a host.
    if not given.isprintable() or " " in given:
        return ConfigurationError(f"{name} contains a space or a line break: remove it")
    if (port := _PORT.match(given)) is not None and not 0 < int(port[1]) < 2**16:
        return ConfigurationError(f"{name} has an invalid port: use one from 1 to 65535, as in {form}")
    url = _parse_url(given)
    if url is None:
        hint = ". IPv6 zones, such as %eth0, are not supported" if "]" in given and "%" in given else ""
        return ConfigurationError(f"{name} must be like {form}{hint}")
    if url.raw_user is not None or url.raw_password is not None:
        return ConfigurationError(f"{name} must not contain a user or password: pass the token instead")
    if url.raw_query_string or url.raw_fragment or "?" in given or "#" in given:
        return ConfigurationError(f"{name} must not contain a query or a fragment: remove it")
    return url.with_path(url.raw_path.rstrip("/"), encoded=True)


_PORT: Final = re.compile(r"https?://[^/?#@]*:([0-9]{1,9})(?:[/?#]|$)", re.ASCII | re.IGNORECASE)


def cleartext_warning(url: URL) -> str | None:
    """Return a warning if calls to the URL would send the token unencrypted over a network; otherwise None.

    Source: API reference, "Access".
    """
    if url.scheme != "http" or _is_loopback(url.host or ""):
        return None
    return f"the token is sent to {url.host} unencrypted: use https"


def checked_clients_id(value: object) -> int:
    """Return a ClientsID; raise ConfigurationError for a value that is not a positive int."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= sys.maxsize:
        problem = "" if type(value) is int else f", not {type(value).__name__[:80]}"
        raise ConfigurationError(f"a ClientsID must be a positive int{problem}")
    return int(value)


def host_and_port(url: URL) -> str:
    """Return the host and the port of a URL, for messages."""
    return f"{url.host_subcomponent}:{url.port}"


@final
@attrs.frozen
class Proxy:
    """An HTTP proxy. The URL is without the credentials, so that no exception of aiohttp shows them.

    Attributes:
        headers: the header with the credentials, if there are any.
    """

    url: URL
    user: str = attrs.field(default="", repr=False)
    password: str = attrs.field(default="", repr=False)
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)


def proxy_for(server: URL, proxy: str | None) -> Proxy | ConfigurationError | None:
    """Return the proxy for requests to a server; None for no proxy; or an error that shows no part of a proxy's URL.

    Args:
        server: the base URL.
        proxy: a URL; None for no proxy; "environment" for `HTTP_PROXY`, `HTTPS_PROXY` and `ALL_PROXY`, in upper or
            lower case. The environment is ignored for loopback hosts, and for hosts and networks in `NO_PROXY`.
    """
    if proxy is None:
        return None
    if proxy != PROXY_FROM_ENVIRONMENT:
        return _checked_proxy(proxy, "PoolConfig(proxy=…)")
    proxies = getproxies_environment()
    if _is_loopback(server.host or "") or _is_exception(server, proxies.get("no", "")):
        return None
    for name in (server.scheme, "all"):
        if given := proxies.get(name):
            return _checked_proxy(given if "://" in given else f"http://{given}", f"{name.upper()}_PROXY")
    return None


def _checked_proxy(given: str, source: str) -> Proxy | ConfigurationError:
    url = _parse_url(given)
    # A "/", "?" or "#" in a password that is not percent-encoded ends the host. The rest still has the "@".
    if url is None or "@" in url.raw_path_qs + url.raw_fragment:
        return ConfigurationError(
            f"{source} must be like http://PROXY:PORT or http://USER:PASSWORD@PROXY:PORT, with special characters"
            " percent-encoded; SOCKS proxies and IPv6 zones are not supported"
        )
    if url.raw_user is None and url.raw_password is None:
        return Proxy(url)
    # Not decoded as text: the proxy gets the bytes that the user has percent-encoded, in UTF-8 or another encoding.
    user, password = (unquote_to_bytes(part or "") for part in (url.raw_user, url.raw_password))
    if b":" in user:
        return ConfigurationError(f"the user in {source} must not contain a colon")
    credentials = b64encode(b"%b:%b" % (user, password)).decode()
    headers = {"Proxy-Authorization": f"Basic {credentials}"}
    return Proxy(url.with_user(None), url.user or "", url.password or "", headers)


def _parse_url(given: str) -> URL | None:
    """Return an http(s) URL with a host that can be looked up; otherwise None."""
    try:
        url = URL(given)
        host = url.host or ""
        if ":" in host or host.replace(".", "").isdigit():
            # aiohttp refuses other spellings of IPv4 addresses, such as 127.1.
            ipaddress.ip_address(host)
        # The lookup of a host that IDNA can't encode would fail with an error of another library.
        host.encode("idna")
        # aiohttp looks the zone of an IPv6 address up as it is written in the URL.
        is_usable = url.scheme in ("http", "https") and bool(host) and "%" not in host and url.port is not None
    except ValueError:
        return None
    return url if is_usable else None


def _is_loopback(host: str) -> bool:
    """Return whether a host is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_exception(server: URL, no_proxy: str) -> bool:
    """Return whether `NO_PROXY` names a server: `example.com`, `*.example.com`, `example.com:443`, `10.0.0.0/8` or `*`.

    A name includes its subdomains, as in Go. Python's own function knows no networks and no `*.`.
    """
    host = (server.host or "").lower()
    for name in map(str.strip, no_proxy.lower().split(",")):
        domain = name.removeprefix("*.").lstrip(".")
        if name == "*" or (domain and f".{host}:{server.port}".endswith((f".{domain}", f".{domain}:{server.port}"))):
            return True
        with suppress(ValueError):
            if ipaddress.ip_address(host) in ipaddress.ip_network(name.strip("[]"), strict=False):
                return True
    return False
