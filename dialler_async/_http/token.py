"""The bearer token and its source.

Tools that record tracebacks also record local variables, and must not record the token. So no function here raises an
error while a local variable holds the token, and no other module has it in a local variable. `secrets` removes the
token from texts.

Source: API reference, "Access".
"""

import asyncio
import inspect
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NoReturn, cast, final

from ..config import TokenSource
from ..errors import ConfigurationError, DiallerError, InvalidTokenError, TokenSourceError
from .secrets import Secrets


@final
class Token:
    """The current token. `check` raises the error for an invalid token.

    Attributes:
        headers: the `Authorization` header; empty without a token.
        version: number of different tokens so far. A call remembers the version of its token instead of the token.
        secrets: the secrets of the account, for cleaning texts.
    """

    def __init__(self, source: "TokenSource | Token") -> None:
        self._problem: str | None = None
        self._renewing = asyncio.Lock()
        self._failure: TokenSourceError | None = None
        self._calls = 0
        self.headers: Mapping[str, str] = {}
        self.version: int = 0
        self.secrets: Final = Secrets()
        if isinstance(source, Token):
            source = source._source
        self._source: str | Callable[[], str | Awaitable[str]] = source
        if isinstance(source, str):
            self._store(source)
        elif not callable(source):
            self._problem = "the token must be a str, or a function that returns a str or an awaitable of a str"

    @property
    def is_renewable(self) -> bool:
        """Whether the source is a function, which can be called again."""
        return not isinstance(self._source, str)

    def check(self) -> None:
        """Raise ConfigurationError if the token can't be sent in a header."""
        if self._problem is not None:
            raise ConfigurationError(self._problem)

    async def renew(self, refused: int) -> bool:
        """Get a token from the source, unless another call has already done so; return whether it is another token.

        All calls that wait while the source runs share its result, also its error.

        Args:
            refused: version of the token that the server refused. If the current version is newer, nothing happens.
        Raises:
            TokenSourceError: the source raised an error.
            InvalidTokenError: the source returned a value that can't be sent in a header.
        """
        calls = self._calls
        async with self._renewing:
            if self.version == refused and self._calls == calls:
                self._failure = await self._call_source()
            failure = self._failure if self.version == refused else None
        # Raised here, where the token and the source's error are neither a local variable nor a context.
        if failure is not None:
            raise type(failure)(*failure.args)
        return self.version != refused

    async def _call_source(self) -> TokenSourceError | None:
        """Store a new token; return the error if there is none."""
        if isinstance(self._source, str):
            return None
        cancellations = _cancellations()
        try:
            result = self._source()
            # One expression, so that the token of an awaitable is never a local variable.
            self._store(await result if inspect.isawaitable(result) else result)
        except (asyncio.CancelledError, Exception) as error:
            if isinstance(error, asyncio.CancelledError) and _cancellations() > cancellations:
                raise
            # Otherwise, something that the source awaited was cancelled, and the call goes on.
            self._calls += 1
            return TokenSourceError(f"the function that returns the token raised {_safe_description(error)}")
        self._calls += 1
        return None if self._problem is None else InvalidTokenError(self._problem)

    def _store(self, token: object) -> None:
        self._problem = _problem(token)
        if self._problem is not None:
            return
        # `str.__str__`, because a member of an Enum with str would show its name.
        header = {"Authorization": f"Bearer {str.__str__(cast(str, token))}"}
        if self.headers != header:
            self.secrets.add_token(header["Authorization"].removeprefix("Bearer "))
            self.headers = header
            self.version += 1

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client's token can't be pickled or copied: make a new client")


_PACKAGE = __name__.partition(".")[0]


def _cancellations() -> int:
    """Return how often the current task was asked to end."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def _safe_description(error: BaseException) -> str:
    """Return the error's type, and the file and line that raised it, which can't contain the token.

    For an error that this package raised, the text is included, because it never contains a token.
    """
    frames = error.__traceback__
    if frames is None:
        return type(error).__name__
    while frames.tb_next is not None:
        frames = frames.tb_next
    module = frames.tb_frame.f_globals.get("__name__", "")
    if isinstance(error, DiallerError) and module.partition(".")[0] == _PACKAGE:
        return f"{type(error).__name__}: {error}"
    file = os.path.basename(frames.tb_frame.f_code.co_filename)
    return f"{type(error).__name__} at {file}:{frames.tb_lineno}"


def _problem(token: object) -> str | None:
    if not isinstance(token, str):
        return f"the token must be a str, not {type(token).__name__}"
    if not token:
        return "the token must not be empty"
    if token[:7].lower() == "bearer ":
        return 'the token must not begin with "Bearer ": pass only what follows, because the client adds it'
    if token != token.strip():
        return "the token begins or ends with a space or a line break: pass token.strip()"
    if not token.isascii() or not token.isprintable() or " " in token:
        return "the token must contain only printable ASCII characters, without spaces and line breaks"
    return None
