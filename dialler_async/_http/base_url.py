"""Validate base URLs and ClientsIDs."""

import re

from yarl import URL

from ..config import BASE_PATH
from ..errors import ConfigurationError
from .proxy import is_loopback, parse_url


def check_base_url(given: object) -> URL | ConfigurationError:
    """Return the base URL of an account without a trailing slash, or an error that shows no part of it.

    The error is returned, not raised: a traceback would hold the argument, which may contain a secret.

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
    """Return a URL without a trailing slash, or an error that shows no part of it; see `check_base_url`.

    Args:
        given: the URL.
        name: the name of the argument.
        form: an example of the URL.
    """
    if not isinstance(given, str):
        return ConfigurationError(f"{name} must be a str, not {type(given).__name__[:80]}")
    # yarl drops line breaks and accepts spaces, even in a host.
    if not given.isprintable() or " " in given:
        return ConfigurationError(f"{name} contains a space or a line break: remove it")
    if (port := _PORT.match(given)) is not None and not 0 < int(port[1]) < 2**16:
        return ConfigurationError(f"{name} has an invalid port: use one from 1 to 65535, as in {form}")
    url = parse_url(given)
    if url is None:
        return ConfigurationError(f"{name} must be like {form}")
    if url.raw_user is not None or url.raw_password is not None:
        return ConfigurationError(f"{name} must not contain a user or password: pass the token instead")
    if url.raw_query_string or url.raw_fragment or "?" in given or "#" in given:
        return ConfigurationError(f"{name} must not contain a query or a fragment: remove it")
    return url.with_path(url.raw_path.rstrip("/"), encoded=True)


_PORT = re.compile(r"https?://[^/?#@]*:([0-9]{1,9})(?:[/?#]|$)", re.ASCII | re.IGNORECASE)


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
        problem = "" if type(value) is int else f", not {type(value).__name__[:80]}"
        raise ConfigurationError(f"a ClientsID must be a positive int{problem}")
    return value
