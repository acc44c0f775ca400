"""How a client uses the network: connections, proxies and certificates."""

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
    """How the client uses the network.

    Attributes:
        limit: maximum number of calls in flight, and so of open connections. Further calls wait, first come first
            served.
        max_body: maximum size of a response in bytes, after decompression. A larger one raises PayloadError.
        proxy: URL of an HTTP proxy, with credentials if it asks for them; None for no proxy. By default, the
            environment variables `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` decide. A netrc file is never
            read.
        ca_file: PEM file of the CAs to trust for https. It replaces the system's CAs.
        client_cert: PEM file of a client certificate, and of its key unless `client_key` is given.
        client_key: PEM file of the key, without a passphrase.
        keep_alive: seconds for which an idle connection is kept.
        ssl: context for https; it replaces `ca_file`, `client_cert` and `client_key`.
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
        require(type(self.limit) is int and self.limit >= 1, "PoolConfig(limit=…) is a positive int")
        require(type(self.max_body) is int and self.max_body >= 1, "PoolConfig(max_body=…) is a positive int: bytes")
        require(
            self.ssl is None or isinstance(self.ssl, SSLContext),
            "PoolConfig(ssl=…) is an ssl.SSLContext; to leave certificates unverified, give a context that does so",
        )
        files = (self.ca_file, self.client_cert, self.client_key)
        require(
            self.ssl is None or files == (None, None, None),
            "PoolConfig takes ssl=… or the files, not both: load ca_file and client_cert into the context",
        )
        require(self.client_key is None or self.client_cert is not None, "PoolConfig(client_key=…) needs client_cert=…")
        require(
            is_number(self.keep_alive) and self.keep_alive > 0,
            "PoolConfig(keep_alive=…) is a number of seconds, and positive",
        )
        require(self.proxy is None or isinstance(self.proxy, str), "PoolConfig(proxy=…) is a URL, or None for no proxy")


def ssl_context(config: PoolConfig) -> SSLContext | None:
    """Return the context that the settings ask for; None for aiohttp's own.

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
            # Without the password, OpenSSL would ask for a passphrase on the terminal.
            context.load_cert_chain(config.client_cert, config.client_key, password=lambda: "")
        except (OSError, ValueError) as error:
            files = " and ".join(str(file) for file in (config.client_cert, config.client_key) if file is not None)
            problem = _file_problem(error)
            raise ConfigurationError(f"can't load the client certificate from {files}: {problem}") from None
    return context


def _file_problem(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and not isinstance(error, SSLError):
        return error.strerror or "it can't be read"
    return "it is not a PEM file of that kind, or its key has a passphrase or does not match"
