"""The bearer token, its source, and its redaction. No other module holds the token.

Tools that record tracebacks also record local variables, and must not record the token. So no function here raises an
error while a local variable holds the token, and no other module has it in a local variable.

Source: API reference, "Access".
"""

import asyncio
import inspect
import os
import re
from collections.abc import Awaitable, Callable, Generator, Mapping
from functools import cache, cached_property
from typing import NoReturn, final

from ..config import TokenSource
from ..errors import Body, ConfigurationError, DiallerError, InvalidTokenError, TokenSourceError
from .slices import finish


@final
class Token:
    """The current token, and the `Authorization` header with it.

    Args:
        source: a token, or a function that returns a token. `check` raises the error for an invalid token.

    Attributes:
        headers: the `Authorization` header; empty without a token.
        version: number of tokens so far. A call remembers the version of its token instead of the token.
    """

    def __init__(self, source: "TokenSource | Token") -> None:
        self._problem: str | None = None
        self._secrets: list[_Secret] = []
        self._renewing = asyncio.Lock()
        self.headers: Mapping[str, str] = {}
        self.version: int = 0
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

    async def renew(self, refused: int) -> None:
        """Get a new token from the source, unless another call has already done so.

        Args:
            refused: version of the token that the server refused. If the current version is newer, nothing happens.
        Raises:
            TokenSourceError: the source raised an error.
            InvalidTokenError: the source returned a value that can't be sent in a header.
        """
        async with self._renewing:
            if self.version == refused:
                failure = await self._call_source()
                # Raised here, where the token and the source's error are neither a local variable nor a context.
                if failure is not None:
                    raise TokenSourceError(failure)
                if self._problem is not None:
                    raise InvalidTokenError(self._problem)

    async def _call_source(self) -> str | None:
        """Store a new token; return a description of the source's error, or None."""
        if isinstance(self._source, str):
            return None
        try:
            result = self._source()
            # One expression, so that the token of an awaitable is never a local variable.
            self._store(await result if inspect.isawaitable(result) else result)
        except Exception as error:
            return f"the function that returns the token raised {_safe_description(error)}"
        return None

    def _store(self, token: object) -> None:
        self._problem = _problem(token)
        if self._problem is None:
            self._secrets = [_Secret(str(token)), *self._secrets][:_MAX_SECRETS]
            self.headers = {"Authorization": f"Bearer {token}"}
            self.version += 1

    def redacted(self, body: Body) -> Body:
        """Return a body without the token. Some servers and proxies repeat a request's headers in error pages."""
        return finish(self.redacting(body))

    def redacting(self, body: Body) -> Generator[None, None, Body]:
        """Redact a body in slices of 256 KiB. The return value of the generator is the body without the token."""
        for secret in self._secrets:
            body = yield from _redact(secret, body)
        return body

    def redacted_text(self, text: str) -> str:
        """Return a header's name or value without the token."""
        return self.redacted(text.encode(errors="surrogateescape")).decode(errors="surrogateescape")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client's token can't be pickled or copied: make a new client")


_PACKAGE = __name__.partition(".")[0]
_MAX_SECRETS = 8
"""Number of tokens that are redacted. A response may contain an older token, if another call has renewed the token."""


_HEAD_LENGTH = 32
"""Number of characters in the first pattern. Compiling 32 characters takes 3 ms; compiling 1,000 takes 100 ms."""
_SLICE = 256 * 1024
_MAX_HEAD_BYTES = _HEAD_LENGTH * 20
"""Maximum number of bytes that match the first pattern: 20 for each character, with zero bytes."""


@final
class _Secret:
    """A token to redact."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def head(self) -> re.Pattern[bytes]:
        """The pattern of its first characters. It is compiled once: even a lookup in `re` would take 70 µs."""
        return re.compile(_ZERO_BYTES.join(map(_spelling, self.text[:_HEAD_LENGTH])))


def _redact(secret: _Secret, body: Body) -> Generator[None, None, Body]:
    """Return the body with `***` for each spelling of the secret."""
    # No spelling of a character is shorter than the character.
    if len(body) < len(secret.text):
        return body
    head = secret.head
    parts: list[Body] = []
    done = start = 0
    while start < len(body):
        found = head.search(body, start, start + _SLICE + _MAX_HEAD_BYTES)
        if found is None:
            start += _SLICE
            if start < len(body):
                yield
            continue
        end = _end_of_tail(secret.text, body, found.end())
        if end is None:
            start = found.start() + 1
        else:
            parts += (body[done : found.start()], b"***")
            done = start = end
    return b"".join((*parts, body[done:])) if parts else body


def _end_of_tail(secret: str, body: Body, position: int) -> int | None:
    """Return the end of the secret if the characters after its head follow at the position; otherwise None."""
    for character in secret[_HEAD_LENGTH:]:
        found = _tail_pattern(character).match(body, position)
        if found is None:
            return None
        position = found.end()
    return position


@cache
def _tail_pattern(character: str) -> re.Pattern[bytes]:
    return re.compile(_ZERO_BYTES + _spelling(character))


_ZERO_BYTES = rb"\x00{0,3}"
"""The zero bytes between two characters in UTF-16 and UTF-32."""


def _spelling(character: str) -> bytes:
    """Return a pattern for the plain character, and for its escapes in JSON, URLs and HTML.

    Each quantifier has an upper bound, so that no text makes the search slow. JSON within JSON has up to four
    backslashes.
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
    """Return the error's type, and the file and line that raised it, which can't contain the token.

    For an error that this package raised, the text is included, since it never contains a token.
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
    if not token.isascii() or not token.isprintable() or " " in token:
        return "the token must contain only printable ASCII characters, without spaces and line breaks"
    return None
