"""The SSL context of a client, and what its user can do if the context does not fit a server."""

from ssl import SSLContext, SSLError, create_default_context
from typing import final

import attrs

from ..config import PoolConfig
from ..errors import ConfigurationError


def ssl_context(config: PoolConfig) -> SSLContext | None:
    """Return the SSL context for the settings; None for aiohttp's default. Raise ConfigurationError for a bad file."""
    if config.ca_file is None and config.client_cert is None:
        return config.ssl
    try:
        context = create_default_context(cafile=config.ca_file)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"can't load the CA file {config.ca_file}: {_file_problem(error)}") from None
    if config.client_cert is not None:
        try:
            # Without `password`, OpenSSL would ask for a passphrase on the terminal.
            context.load_cert_chain(config.client_cert, config.client_key, password=lambda: "")
        except (OSError, ValueError) as error:
            files = " and ".join(str(file) for file in (config.client_cert, config.client_key) if file is not None)
            problem = _file_problem(error)
            raise ConfigurationError(f"can't load the client certificate from {files}: {problem}") from None
    return context


def _file_problem(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and not isinstance(error, SSLError):
        return error.strerror or "it can't be read"
    return "the file is not a PEM file of this kind, or the key has a passphrase or does not match"


@final
@attrs.frozen
class TlsHints:
    """What the user can do after a TLS error: to trust another CA, or to send a client certificate."""

    ca: str
    client_cert: str


def tls_hints(config: PoolConfig, owns_session: bool) -> TlsHints:
    """Return the hints for the settings of a client; `owns_session` is false with a session of the user."""
    if not owns_session or config.ssl is not None:
        context = "the SSL context" if owns_session else "the SSL context of the session"
        return TlsHints(f"Load its CA into {context}", f"Load a client certificate into {context}")
    return TlsHints(
        "For your own CA, set PoolConfig(ca_file=…)"
        if config.ca_file is None
        else "Its CA is not in the given CA file",
        "Set PoolConfig(client_cert=…)" if config.client_cert is None else "",
    )
