"""Validate what a base URL is made of."""

from yarl import URL

from ..errors import ConfigurationError


def parse_base_url(value: object) -> URL | ConfigurationError:
    """Return the base URL without a trailing slash, or an error that shows none of it, since it may hold a secret."""
    if not isinstance(value, str):
        return ConfigurationError(f"the base URL is a str, not {type(value).__name__}")
    try:
        url = URL(value)
        port = url.port
        # A host that can't be looked up would fail in every call, with an error of another library.
        (url.host or "").encode("idna")
    except ValueError:
        url, port = URL(), None
    # yarl drops line breaks and accepts spaces, even in a host.
    unlikely = not value.isprintable() or " " in value
    if url.scheme not in ("http", "https") or not url.host or port is None or unlikely:
        return ConfigurationError("the base URL is not like http(s)://HOST:PORT/rest/v1.0/CLIENTS_ID")
    if url.raw_user is not None or url.raw_password is not None:
        return ConfigurationError(
            "the base URL holds user info, a secret in a URL; the API takes only its bearer token"
        )
    if url.raw_query_string or url.raw_fragment or "?" in value or "#" in value:
        return ConfigurationError("the base URL holds a query or a fragment, which no call could be appended to")
    return url.with_path(url.raw_path.rstrip("/"), encoded=True)


def checked_clients_id(value: object) -> int:
    """Return a ClientsID.

    Raises:
        ConfigurationError: the value is not a positive int.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigurationError(f"a ClientsID is a positive int, not {value!r}")
    return value
