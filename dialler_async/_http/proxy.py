"""Choose the proxy for the requests to a server: the configured proxy, or the proxy of the environment.

aiohttp's `trust_env` is not used, since it also reads the user's netrc file. Credentials in that file would replace the
token.
"""

import ipaddress
from urllib.request import getproxies_environment, proxy_bypass

from yarl import URL

from ..config import PROXY_FROM_ENVIRONMENT
from ..errors import ConfigurationError


def proxy_for(server: URL, proxy: str | None) -> URL | None:
    """Return the URL of the proxy for requests to a server; None for no proxy.

    Args:
        server: the base URL.
        proxy: a URL; None for no proxy; "environment" for `HTTP_PROXY`, `HTTPS_PROXY` and `ALL_PROXY`, in upper or
            lower case. The environment is ignored for loopback hosts, and for hosts in `NO_PROXY`.
    Raises:
        ConfigurationError: the URL is not valid for a proxy. The message does not show the URL, since it may contain
            credentials.
    """
    if proxy is None:
        return None
    if proxy != PROXY_FROM_ENVIRONMENT:
        return _checked(proxy, "PoolConfig(proxy=…)")
    host = server.host or ""
    proxies = getproxies_environment()
    if is_loopback(host) or proxy_bypass(f"{host}:{server.port}"):
        return None
    for name in (server.scheme, "all"):
        if given := proxies.get(name):
            return _checked(given if "://" in given else f"http://{given}", f"{name.upper()}_PROXY")
    return None


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _checked(proxy: str, source: str) -> URL:
    try:
        url = URL(proxy)
        is_usable = url.scheme in ("http", "https") and bool(url.host) and url.port is not None
    except ValueError:
        url, is_usable = URL(), False
    if not is_usable:
        raise ConfigurationError(f"{source} must be like http://PROXY:PORT; SOCKS proxies are not supported")
    return url
