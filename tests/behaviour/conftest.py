"""Fixtures for the tests of secrets. The secret is the constant `TOKEN` of a test's module."""

import asyncio
import logging
import pickle
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import attrs
import pytest

from dialler_async import DiallerClient, PoolConfig, Records, RetryPolicy
from dialler_async.sandbox import Sandbox

Call = Callable[[DiallerClient], Awaitable[Any]]
ErrorOf = Callable[[Call, DiallerClient], Awaitable[BaseException | None]]
AtWork = Callable[..., AbstractAsyncContextManager[tuple[Sandbox, DiallerClient]]]


class AssertHidden:
    """Raises `AssertionError` if the first or the last twelve letters of a token are in a text."""

    def __init__(self, token: str) -> None:
        self._ends = token[:12], token[-12:]

    def in_text(self, text: str) -> None:
        # As UTF-16 read in another charset, a token is still easy to read.
        text = text.replace("\x00", "").replace("\ufffd", "").replace("\\x00", "")
        assert not [end for end in self._ends if end in text]

    def in_value(self, value: Any) -> None:
        """Search all texts that printing, logging or recording a value could show."""
        for text in _texts_in(value, set()):
            self.in_text(text)

    def in_pickle_and_value(self, value: Any) -> None:
        self.in_text(str(value))
        self.in_text(pickle.dumps(value).decode("latin-1"))
        self.in_value(value)

    def in_log(self, records: Iterable[logging.LogRecord]) -> None:
        for record in records:
            self.in_text(record.getMessage())
            # The server is allowed to know the token.
            if not record.name.startswith("aiohttp.server"):
                self.in_text(repr(record.args))
                if record.exc_info and record.exc_info[1]:
                    self.in_value(record.exc_info[1])


def _texts_in(value: Any, seen: set[int]) -> Iterator[str]:
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, str | bytes):
        yield str(value)
        return
    if isinstance(value, BaseException):
        yield from traceback.TracebackException.from_exception(value, capture_locals=True).format()
        for behind in (value.args, getattr(value, "__notes__", ()), value.__cause__, value.__context__):
            yield from _texts_in(behind, seen)
    if isinstance(value, Mapping):
        yield from _texts_in([*value.keys(), *value.values()], seen)
    elif isinstance(value, list | tuple | set | frozenset | Records):
        for item in value:
            yield from _texts_in(item, seen)
    if attrs.has(type(value)):
        yield from _texts_in([getattr(value, field.name) for field in attrs.fields(type(value))], seen)
    yield from _texts_in(getattr(value, "__dict__", ()), seen)
    yield repr(value)


@pytest.fixture
def assert_hidden(request: pytest.FixtureRequest) -> AssertHidden:
    """Return checks that nothing shows the token."""
    return AssertHidden(request.module.TOKEN)


@pytest.fixture
def error_of() -> ErrorOf:
    """Return a function that makes a call, and returns its error or None.

    Its frame is in the error's traceback, so it holds no token.
    """
    return _error_of


async def _error_of(call: Call, dialler: DiallerClient) -> BaseException | None:
    try:
        await call(dialler)
    except BaseException as error:
        return error
    return None


class ChangingToken:
    """A source that returns the token at the first call, and another token at later calls."""

    def __init__(self, token: str) -> None:
        self._tokens = iter([token])

    def __call__(self) -> str:
        return next(self._tokens, "another")


@pytest.fixture
def token_sources(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return each kind of source that gives the token."""
    token: str = request.module.TOKEN

    async def coroutine_function() -> str:
        await asyncio.sleep(0)
        return token

    return {
        "static": token,
        "function": lambda: token,
        "coroutine function": coroutine_function,
        "changing": ChangingToken(token),
    }


@pytest.fixture
def at_work(request: pytest.FixtureRequest, token_sources: dict[str, Any]) -> AtWork:
    """Return a context manager that gives a sandbox with three campaigns, and a client with one kind of source."""

    @asynccontextmanager
    async def at_work(source: str = "static", **options: Any) -> AsyncIterator[tuple[Sandbox, DiallerClient]]:
        names = {535: "Summer", 536: "Twin", 537: "Twin"}
        records = [{"ID": id, "Name": name, "ClientsID": 1} for id, name in names.items()]
        settings = {"retry": RetryPolicy(attempts=2, base_delay=0), "pool": PoolConfig(max_body=2**20), **options}
        async with (
            Sandbox(records, token=request.module.TOKEN) as sandbox,
            DiallerClient(sandbox.base_url, token_sources[source], **settings) as dialler,
        ):
            yield sandbox, dialler

    return at_work
