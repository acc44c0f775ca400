"""Validate base URLs and ClientsIDs."""

from yarl import URL

from ..config import BASE_PATH
from ..errors import ConfigurationError
from .proxy import is_loopback, parse_url


def check_base_url(given: object) -> URL | ConfigurationError:
    """Return the URL without a trailing slash, or an error that shows no part of it.

    The error is returned, not raised: a traceback would hold the argument, which may contain a secret.

    Source: API reference, "Access".
    """
    if not isinstance(given, str):
        return ConfigurationError(f"the base URL must be a str, not {type(given).__name__}")
    url = parse_url(given)
    # yarl drops line breaks and accepts spaces, even in a host.
    has_blanks = not given.isprintable() or " " in given
    if url is None or has_blanks:
        return ConfigurationError(f"the base URL must be like http(s)://HOST:PORT{BASE_PATH}/CLIENTS_ID")
    if url.raw_user is not None or url.raw_password is not None:
        return ConfigurationError("the base URL must not contain a user or password: pass the token instead")
    if url.raw_query_string or url.raw_fragment or "?" in given or "#" in given:
        return ConfigurationError("the base URL must not contain a query or a fragment: remove it")
    return url.with_path(url.raw_path.rstrip("/"), encoded=True)


def cleartext_warning(url: URL) -> str | None:
    """Return a warning if calls to the URL would send the token unencrypted over a network; otherwise None.

    Source: API reference, "Access".
    """
    if url.scheme != "http" or is_loopback(url.host or ""):
        return None
    return f"the token is sent to {url.host} unencrypted: use https"


def checked_clients_id(value: object) -> int:
    """Return a ClientsID.

    Raises:
        ConfigurationError: the value is not a positive int.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigurationError(f"a ClientsID must be a positive int, not {value!r}")
    return value
