"""Checks of base URLs, without a client."""

from yarl import URL

from ..errors import ConfigurationError
from .proxy import is_loopback


def check_base_url(given: object) -> URL | ConfigurationError:
    """Return the URL without a trailing slash, or an error without what may be secret in it.

    The error is returned, not raised, so that no traceback holds the argument.
    """
    if not isinstance(given, str):
        return ConfigurationError(f"the base URL is a str, not {type(given).__name__}")
    try:
        url = URL(given)
        port = url.port
        # A host that can't be looked up would fail in every call, with an error of another library.
        (url.host or "").encode("idna")
    except ValueError:
        url, port = URL(), None
    # yarl drops line breaks and accepts spaces, even in a host.
    unlikely = not given.isprintable() or " " in given
    if url.scheme not in ("http", "https") or not url.host or port is None or unlikely:
        return ConfigurationError("the base URL is not like http(s)://HOST:PORT/rest/v1.0/CLIENTS_ID")
    if url.raw_user is not None or url.raw_password is not None:
        return ConfigurationError(
            "the base URL holds user info, a secret in a URL; the API takes only its bearer token"
        )
    if url.raw_query_string or url.raw_fragment or "?" in given or "#" in given:
        return ConfigurationError("the base URL holds a query or a fragment, which no call could be appended to")
    return url.with_path(url.raw_path.rstrip("/"), encoded=True)


def cleartext_warning(url: URL) -> str | None:
    """Return the text of a warning if calls to the URL send the token unencrypted over a network, otherwise None."""
    if url.scheme != "http" or is_loopback(url.host or ""):
        return None
    return f"the token goes to {url.host} in clear: use https, which the server's port 80 redirects to anyway"


def checked_clients_id(value: object) -> int:
    """Return a ClientsID.

    Raises:
        ConfigurationError: the value is not a positive int.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigurationError(f"a ClientsID is a positive int, not {value!r}")
    return value
