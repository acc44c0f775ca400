"""`fleet.toml`: the servers, the accounts, and where their tokens are. It contains no token.

Error messages contain no values that could be a token in the wrong place.
"""

import math
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs
from yarl import URL

from .._http.urls import check_server_url, cleartext_warning
from .._text.files import whole_file
from .._text.token_files import read_token_file
from .._text.toml_files import read_toml
from .._text.trusted_files import require_trusted
from ..config import BASE_PATH
from ..errors import ConfigurationError, is_number, require

_PATH_KEYS: Final = ("ca_file", "client_cert", "client_key")
_SERVER_KEYS: Final = ("name", "url", "max_rate", "max_concurrency", "deadline", "attempts", "proxy", *_PATH_KEYS)
_ACCOUNT_KEYS: Final = ("name", "server", "clients_id", "token_env", "token_file")


@attrs.frozen(kw_only=True)
class Server:
    """A server with accounts.

    Attributes:
        name: the name, to which accounts refer.
        url: the URL, such as `https://acd.example.com`, with the path before `/rest`, if any.
        max_rate: the maximum number of calls per second; None for no limit.
        max_concurrency: the maximum number of concurrent calls; None for no limit.
        deadline: the maximum duration of a call in seconds, including retries; None for the default.
        attempts: the maximum number of attempts of a call; None for the number of `RetryPolicy.patient()`.
        proxy: the URL of an HTTP proxy, without credentials; empty for no proxy; None for the proxy of the environment.
        ca_file: a PEM file of CA certificates to trust; None for the certificates of the system.
        client_cert: a PEM file of a client certificate; None for no certificate.
        client_key: a PEM file of its private key; None if `client_cert` contains the key.
    Raises:
        ConfigurationError: a value is invalid.
    """

    name: str
    url: str
    max_rate: float | None = None
    max_concurrency: int | None = None
    deadline: float | None = None
    attempts: int | None = None
    proxy: str | None = None
    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None

    def __attrs_post_init__(self) -> None:
        require(_is_name(self.name), "“name” must be a non-empty, printable text")
        require(
            self.max_rate is None or (is_number(self.max_rate) and 0 < self.max_rate < math.inf),
            "“max_rate” must be a positive number of calls per second",
        )
        require(
            self.max_concurrency is None or _is_positive_int(self.max_concurrency),
            "“max_concurrency” must be a positive number of concurrent calls",
        )
        require(
            self.deadline is None or (is_number(self.deadline) and 0 < self.deadline < math.inf),
            "“deadline” must be a positive number of seconds",
        )
        require(self.attempts is None or _is_positive_int(self.attempts), "“attempts” must be a positive whole number")
        require(
            self.proxy is None or _is_proxy(self.proxy),
            "“proxy” must be a URL like http://PROXY:PORT without credentials, or empty for no proxy: put credentials "
            "into HTTPS_PROXY in the environment of the worker",
        )
        for key in _PATH_KEYS:
            path = getattr(self, key)
            require(path is None or isinstance(path, Path), f"“{key}” must be the path of a file")
        require(
            self.client_key is None or self.client_cert is not None,
            "“client_key” needs a “client_cert”, which is missing",
        )
        url = check_server_url(self.url)
        # The message of `check_server_url` doesn't name the key of the manifest.
        if isinstance(url, ConfigurationError) or BASE_PATH in self.url:
            raise ConfigurationError(
                "“url” must be like https://acd.example.com, without user, query, and the path from /rest on"
            )
        if (warning := cleartext_warning(url)) is not None:
            # Level 3 is the caller of `Server(…)`: level 1 is this method, and level 2 is the `__init__` of attrs.
            warnings.warn(warning, stacklevel=3)

    @property
    def base_url(self) -> str:
        """The URL in the form in which runs name the server."""
        return str(check_server_url(self.url))


@attrs.frozen(kw_only=True)
class Account:
    """An account to audit.

    Attributes:
        name: the name in reports and messages.
        server: the name of the server.
        clients_id: the ClientsID of the account on the server.
        token: a function that returns the token. The process that sends requests calls it, also after a 401.
    Raises:
        ConfigurationError: a value is invalid.
    """

    name: str
    server: str
    clients_id: int
    token: Callable[[], str] = attrs.field(repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        require(_is_name(self.name), "“name” must be a non-empty, printable text")
        require(isinstance(self.server, str), "“server” must be the name of a server")
        require(
            _is_positive_int(self.clients_id), "“clients_id” must be the account's ClientsID, a positive whole number"
        )


@attrs.frozen(kw_only=True)
class Fleet:
    """Servers and accounts by name, in the order of the manifest."""

    servers: Mapping[str, Server]
    accounts: Mapping[str, Account]

    @classmethod
    def of(cls, servers: Iterable[Server], accounts: Iterable[Account]) -> "Fleet":
        """Return a fleet of these servers and accounts.

        Raises:
            ConfigurationError: there is no account, a name or an account occurs twice, or a server is unknown.
        """
        by_name: dict[str, Server] = {}
        for server in servers:
            require(server.name not in by_name, f"two servers have the name “{server.name}”")
            same = next((other.name for other in by_name.values() if other.base_url == server.base_url), None)
            require(same is None, f"servers “{same}” and “{server.name}” have the same URL")
            by_name[server.name] = server
        known: dict[str, Account] = {}
        names: dict[tuple[str, int], str] = {}
        for account in accounts:
            require(account.name not in known, f"two accounts have the name “{account.name}”")
            if account.server not in by_name:
                raise ConfigurationError(
                    f"account “{account.name}”: unknown “server”; known servers: {', '.join(by_name) or 'none'}"
                )
            other = names.setdefault((account.server, account.clients_id), account.name)
            require(
                other == account.name, f"accounts “{other}” and “{account.name}” have the same server and clients_id"
            )
            known[account.name] = account
        require(bool(known), "there is no account: add [[accounts]]")
        return cls(servers=by_name, accounts=known)


def read_fleet(path: Path) -> Fleet:
    """Return the fleet that a file describes.

    Raises:
        ConfigurationError: the file can't be read, another user may have written it, or an entry is invalid. The
            message names the entry.
    """
    table, status = read_toml(path)
    require_trusted(path, status, decides="where your tokens are sent")
    try:
        for key in table:
            require(key in ("servers", "accounts"), f"unknown key “{key}”: the keys are [[servers]] and [[accounts]]")
        servers = [_server(entry, where, path.parent) for where, entry in _entries(table, "servers")]
        accounts = [_account(entry, where, path.parent) for where, entry in _entries(table, "accounts")]
        return Fleet.of(servers, accounts)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def write_fleet(directory: Path, url: str, tokens: Mapping[int, str]) -> Path:
    """Write a `fleet.toml` with one server, and a token file for each account. Return the path of the `fleet.toml`.

    Args:
        directory: the directory for the files.
        url: the URL of the server.
        tokens: the tokens of the accounts by ClientsID.
    """
    tables = [f'[[servers]]\nname = "sandbox"\nurl = "{url}"\n']
    for id, token in tokens.items():
        with whole_file(directory / f"{id}.token") as file:
            file.write(token.encode())
        tables.append(
            f'[[accounts]]\nname = "account {id}"\nserver = "sandbox"\nclients_id = {id}\ntoken_file = "{id}.token"\n'
        )
    path = directory / "fleet.toml"
    with whole_file(path) as file:
        file.write("\n".join(tables).encode())
    return path


def _entries(table: Mapping[str, Any], kind: str) -> Iterable[tuple[str, dict[str, Any]]]:
    entries = table.get(kind, [])
    is_list = isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)
    require(is_list, f"“{kind}” must be a list of tables: write [[{kind}]]")
    for number, entry in enumerate(entries, 1):
        name = entry.get("name")
        suffix = f" (“{name}”)" if _is_name(name) else ""
        yield f"{kind.removesuffix('s')} {number}{suffix}", entry


def _server(entry: dict[str, Any], where: str, directory: Path) -> Server:
    _check_keys(entry, where, _SERVER_KEYS, ("name", "url"))
    paths: dict[str, Path] = {}
    for key in _PATH_KEYS:
        if key in entry:
            value = entry[key]
            is_path = isinstance(value, str) and bool(value) and "\0" not in value
            require(is_path, f"{where}: “{key}” must be the path of a file")
            paths[key] = directory / value
    try:
        return Server(**{**entry, **paths})
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from None


def _account(entry: dict[str, Any], where: str, directory: Path) -> Account:
    if "token" in entry:
        raise ConfigurationError(
            f"{where}: a token must not be in this file, where others could read it: put it into an environment "
            "variable or a file of the worker, and set token_env or token_file"
        )
    _check_keys(entry, where, _ACCOUNT_KEYS, ("name", "server", "clients_id"))
    sources = [key for key in ("token_env", "token_file") if key in entry]
    require(len(sources) == 1, f"{where}: set either token_env or token_file")
    source = entry[sources[0]]
    require(isinstance(source, str) and bool(source), f"{where}: “{sources[0]}” must be a text")
    try:
        return Account(
            name=entry["name"],
            server=entry["server"],
            clients_id=entry["clients_id"],
            token=partial(_from_environment, entry["name"], source)
            if sources[0] == "token_env"
            else partial(_from_file, entry["name"], directory / source),
        )
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from None


def _check_keys(entry: dict[str, Any], where: str, known: tuple[str, ...], required: tuple[str, ...]) -> None:
    for key in entry:
        require(key in known, f"{where}: unknown key “{key}”: the keys are {', '.join(known)}")
    for key in required:
        require(key in entry, f"{where}: “{key}” is missing")


def _from_environment(account: str, variable: str) -> str:
    token = os.environ.get(variable, "").strip()
    require(bool(token), f"account “{account}”: the environment variable that token_env names is not set")
    return token


def _from_file(account: str, path: Path) -> str:
    try:
        return read_token_file(path, "its token_file")
    except ConfigurationError as error:
        raise ConfigurationError(f"account “{account}”: {error}") from None


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()


def _is_proxy(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        url = URL(value)
        is_plain = url.scheme in ("http", "https") and bool(url.host) and url.user is None and url.password is None
    except ValueError:
        return False
    return value == "" or is_plain


def _is_positive_int(value: object) -> bool:
    return type(value) is int and value > 0
