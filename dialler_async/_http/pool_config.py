"""The network settings of a client: connections, proxies and certificates."""

import os
from ssl import SSLContext, SSLError, create_default_context
from typing import Final, final

import attrs

from ..errors import ConfigurationError, is_number, require
from .proxy import FROM_ENVIRONMENT

MIB: Final = 1024 * 1024


@final
@attrs.frozen(kw_only=True)
class PoolConfig:
    """The network settings of a client.

    Attributes:
        limit: maximum number of calls in flight, and so of open connections. Further calls wait in a queue.
        max_body: maximum size of a response in bytes, after decompression. A larger response raises PayloadError.
        proxy: URL of an HTTP proxy, with credentials if the proxy needs them; None for no proxy. By default, the
            environment variables `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` decide. A netrc file is never
            read.
        ca_file: PEM file of the trusted CAs for https, instead of the system's CAs.
        client_cert: PEM file of a client certificate. Without `client_key`, the file also contains the key.
        client_key: PEM file of the client certificate's key, without a passphrase.
        keep_alive: seconds after which an idle connection is closed.
        ssl: SSL context for https, instead of `ca_file`, `client_cert` and `client_key`.
    Raises:
        ConfigurationError: a value is out of range, or two values contradict each other.
    """

    limit: int = 32
    max_body: int = 256 * MIB
    proxy: str | None = attrs.field(default=FROM_ENVIRONMENT, repr=False)
    ca_file: str | os.PathLike[str] | None = None
    client_cert: str | os.PathLike[str] | None = None
    client_key: str | os.PathLike[str] | None = None
    keep_alive: float = 15.0
    ssl: SSLContext | None = attrs.field(default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        require(type(self.limit) is int and self.limit >= 1, "PoolConfig(limit=…) must be a positive int")
        require(
            type(self.max_body) is int and self.max_body >= 1,
            "PoolConfig(max_body=…) must be a positive int, in bytes",
        )
        require(
            self.ssl is None or isinstance(self.ssl, SSLContext),
            "PoolConfig(ssl=…) must be an ssl.SSLContext; to skip the verification, pass a context that skips it",
        )
        files = (self.ca_file, self.client_cert, self.client_key)
        require(
            self.ssl is None or files == (None, None, None),
            "PoolConfig(ssl=…) can't be combined with ca_file, client_cert or client_key: load them into the context",
        )
        require(self.client_key is None or self.client_cert is not None, "PoolConfig(client_key=…) needs client_cert=…")
        require(
            is_number(self.keep_alive) and self.keep_alive > 0,
            "PoolConfig(keep_alive=…) must be a positive number of seconds",
        )
        require(
            self.proxy is None or isinstance(self.proxy, str), "PoolConfig(proxy=…) must be a URL, or None for no proxy"
        )


def ssl_context(config: PoolConfig) -> SSLContext | None:
    """Return the SSL context for the settings; None for aiohttp's default context.

    Raises:
        ConfigurationError: a file can't be read, or has the wrong content.
    """
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
