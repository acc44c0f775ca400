"""The bearer token: where it comes from, and the one place that holds it.

Tools that record tracebacks with the values of local variables must not show it. So no function here raises while a
local variable holds the token, and no other room ever holds it in one.
"""

import asyncio
import inspect
import os
import re
from collections.abc import Awaitable, Callable, Generator, Mapping
from functools import cache, cached_property
from typing import NoReturn, TypeAlias, final

from ..errors import Body, ConfigurationError, DiallerError, InvalidTokenError, TokenSourceError
from .slices import finish


@final
class Token:
    """The token in use, and the headers that carry it."""

    def __init__(self, source: "TokenSource | Token") -> None:
        """Takes a source, and never raises: `check` does."""
        self._problem: str | None = None
        self._secrets: list[_Secret] = []
        self._renewing = asyncio.Lock()
        self.headers: Mapping[str, str] = {}
        self.version: int = 0
        """Counts the tokens had so far, so that a call can say which one was refused without holding it."""
        if isinstance(source, Token):
            source = source._source
        self._source: str | Callable[[], str | Awaitable[str]] = source
        if isinstance(source, str):
            self._take(source)
        elif not callable(source):
            self._problem = "the token is a str, or a function that returns one, at once or awaited"

    @property
    def renewable(self) -> bool:
        """Whether there is a source to call again."""
        return not isinstance(self._source, str)

    def check(self) -> None:
        """Raises ConfigurationError for a token that no header can carry."""
        if self._problem is not None:
            raise ConfigurationError(self._problem)

    async def renew(self, refused: int) -> None:
        """Ask the source for a token, unless another call has done so since version `refused`.

        Raises:
            TokenSourceError: the source raised an error.
            InvalidTokenError: the source returned something that no header can carry.
        """
        async with self._renewing:
            if self.version == refused:
                failure = await self._ask()
                # Raised here, where neither the token nor the source's error is a local variable or a context.
                if failure is not None:
                    raise TokenSourceError(failure)
                if self._problem is not None:
                    raise InvalidTokenError(self._problem)

    async def _ask(self) -> str | None:
        """Ask the source. Return how it failed, if it did."""
        if isinstance(self._source, str):
            return None
        try:
            given = self._source()
            # One expression, so that what an awaitable gives is never a local variable while it is awaited.
            self._take(await given if inspect.isawaitable(given) else given)
        except Exception as error:
            return f"the function that gives the token raised {_safe_description(error)}"
        return None

    def _take(self, token: object) -> None:
        self._problem = _problem(token)
        if self._problem is None:
            self._secrets = [_Secret(str(token)), *self._secrets][:_REMEMBERED]
            self.headers = {"Authorization": f"Bearer {token}"}
            self.version += 1

    def redacted(self, body: Body) -> Body:
        """A body without the token: some servers and proxies send a request's headers back in their error pages."""
        return finish(self.redacting(body))

    def redacting(self, body: Body) -> Generator[None, None, Body]:
        """Redact a body as `redacted` does, with a pause after each 256 KiB: the body is the return value."""
        for secret in self._secrets:
            body = yield from _without(secret, body)
        return body

    def redacted_text(self, text: str) -> str:
        """The same for the value of a header."""
        return self.redacted(text.encode(errors="surrogateescape")).decode(errors="surrogateescape")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client's token is not pickled or copied: make another client")


TokenSource: TypeAlias = str | Callable[[], str | Awaitable[str]]
"""A token, or a function that returns one or an awaitable of one: called for the first request and after a 401."""


_PACKAGE = __name__.partition(".")[0]
_REMEMBERED = 8
"""Tokens: a reply may repeat the one it was asked with after another call has had it renewed."""


_HEAD = 32
"""Characters of a token that one pattern finds: to compile one of 1,000 characters takes 100 ms, of 32 it takes 3."""
_WINDOW = 256 * 1024
_LONGEST_HEAD = _HEAD * 20
"""Bytes of the longest spelling of a head: none of a character is longer than 20, zero bytes included."""


@final
class _Secret:
    """A token to redact."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def head(self) -> re.Pattern[bytes]:
        """The pattern of its first characters. It is compiled once: even a lookup in `re` would take 70 µs."""
        return re.compile(_GAP.join(map(_spelling, self.text[:_HEAD])))


def _without(secret: _Secret, body: Body) -> Generator[None, None, Body]:
    """Return the body with every spelling of the secret replaced by `***`."""
    # No spelling of a character is shorter than the character.
    if len(body) < len(secret.text):
        return body
    head = secret.head
    kept: list[Body] = []
    done = start = 0
    while start < len(body):
        found = head.search(body, start, start + _WINDOW + _LONGEST_HEAD)
        if found is None:
            start += _WINDOW
            if start < len(body):
                yield
            continue
        end = _end_of_rest(secret.text, body, found.end())
        if end is None:
            start = found.start() + 1
        else:
            kept += (body[done : found.start()], b"***")
            done = start = end
    return b"".join((*kept, body[done:])) if kept else body


def _end_of_rest(secret: str, body: Body, position: int) -> int | None:
    """Return where the spelling of the secret ends whose head ends at a position; None if something else follows."""
    for character in secret[_HEAD:]:
        found = _pattern_after_gap(character).match(body, position)
        if found is None:
            return None
        position = found.end()
    return position


@cache
def _pattern_after_gap(character: str) -> re.Pattern[bytes]:
    return re.compile(_GAP + _spelling(character))


_GAP = rb"\x00{0,3}"
"""What may stand between two characters: the zero bytes of UTF-16 and UTF-32."""


def _spelling(character: str) -> bytes:
    """Return a pattern for a character as it is, and as JSON, a URL or HTML may spell it.

    Every repetition has a bound, so that no text makes the search slow. Up to four backslashes: JSON within JSON.
    """
    plain = re.escape(character)
    code = ord(character)
    spellings = [
        rf"\\\\{{0,3}}u00(?i:{code:02x})",
        rf"%(?i:{code:02x})",
        rf"&\#0{{0,6}}{code};",
        rf"&\#[xX]0{{0,6}}(?i:{code:x});",
        *(f"&{name};" for name in _HTML_NAMES.get(character, ())),
        plain,
    ]
    if not character.isalnum():
        spellings.insert(0, rf"\\{plain}" if character == "\\" else rf"\\\\{{0,3}}{plain}")
    return f"(?:{'|'.join(spellings)})".encode()


_HTML_NAMES = {"&": ("amp",), "<": ("lt",), ">": ("gt",), '"': ("quot",), "'": ("apos",)}


def _safe_description(error: Exception) -> str:
    """Return the error's type, and the file and line that raised it: what can't hold the token.

    The text of an error that this package raised holds no token, so it is kept.
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
        return f"the token is a str, not {type(token).__name__}"
    if not token:
        return "the token is empty"
    if not token.isascii() or not token.isprintable() or " " in token:
        return (
            "the token holds a space, a line break or something else that no header can carry: give it as it was made"
        )
    return None
