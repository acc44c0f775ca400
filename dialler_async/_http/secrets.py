"""Remove secrets from texts: the tokens of an account, and the credentials of its proxy.

Some servers and proxies repeat a request's headers in a response. So each text of a response is cleaned when it becomes
a part of an error or of a `ResponseInfo`. Such a text is an excerpt of at most a few hundred characters. It may begin
or end within a secret, so a word with a part of a secret is removed, too. Decoded data is not changed.
"""

import re
from base64 import b64encode, urlsafe_b64encode
from collections import deque
from typing import Final, NoReturn, TypeVar, final

from ..errors import RequestError

E = TypeVar("E", bound=RequestError)

_PART: Final = 8
"""Number of characters of a secret that give it away. A shorter secret is only found as a whole."""
_MAX_TOKENS: Final = 8
"""Number of tokens to remember. A response may contain an older token, if another call has renewed the token."""
_ESCAPE: Final = re.compile(
    r"%(?P<url>[0-9a-fA-F]{2})"
    r"|\\{1,4}(?:u00|x)(?P<json>[0-9a-fA-F]{2})"
    r"|\\{1,3}(?P<escaped>[^0-9a-zA-Z\x00\ufffd])"
    r"|&\#0{0,6}(?P<decimal>[0-9]{1,3});"
    r"|&\#[xX]0{0,6}(?P<hexadecimal>[0-9a-fA-F]{1,2});"
    r"|&(?P<html>amp|lt|gt|quot|apos);"
    # The zero bytes of UTF-16 and UTF-32, before and after unprintable characters were replaced.
    r"|[\x00\ufffd]"
)
_HTML: Final = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}


@final
class Secrets:
    """The secrets of an account. Nothing else in this package removes secrets from texts."""

    def __init__(self) -> None:
        self._tokens: deque[str] = deque(maxlen=_MAX_TOKENS)
        self._credentials: list[str] = []
        self._parts: dict[int, frozenset[str]] | None = None

    def add_token(self, token: str) -> None:
        """Add a token. Only the latest tokens are remembered."""
        self._tokens.append(token)
        self._parts = None

    def add_credentials(self, user: str, password: str) -> None:
        """Add the credentials of a proxy."""
        self._credentials += [f"{user}:{password}", password]
        self._parts = None

    def clean(self, text: str) -> str:
        """Return an excerpt with `***` for each word that contains a secret or a part of a secret, in any spelling.

        The spellings are plain text, Base64, and the escapes of URLs, JSON and HTML, also within each other. The time
        is proportional to the length of the text, not to the number of secrets.
        """
        parts = self._parts
        if parts is None:
            parts = self._parts = _parts([*self._tokens, *filter(None, self._credentials)])
        if not _contains(text, parts):
            return text
        cleaned = re.sub(r"\S+", lambda word: "***" if _contains(word[0], parts) else word[0], text)
        # A password may contain spaces.
        return "***" if _contains(cleaned, parts) else cleaned

    def clean_error(self, error: E) -> E:
        """Return an error after cleaning all its texts."""
        error.args = tuple(self.clean(value) if isinstance(value, str) else value for value in error.args)
        for name, value in vars(error).items():
            if isinstance(value, str):
                setattr(error, name, self.clean(value))
        return error

    def __reduce__(self) -> NoReturn:
        raise TypeError("the secrets of a client can't be pickled or copied: make a new client")


def _contains(text: str, parts: dict[int, frozenset[str]]) -> bool:
    """Return whether a part of a secret is in a text, as it is or without its escapes."""
    for length, texts in parts.items():
        if not texts.isdisjoint([text[at : at + length] for at in range(len(text) - length + 1)]):
            return True
    decoded = _ESCAPE.sub(_character, text)
    return decoded != text and _contains(decoded, parts)


def _character(escape: re.Match[str]) -> str:
    """Return the character of an escape; empty for a zero byte."""
    match escape.lastgroup:
        case None:
            return ""
        case "escaped":
            return escape["escaped"]
        case "html":
            return _HTML[escape["html"]]
        case "decimal":
            return chr(int(escape["decimal"]))
        case group:
            return chr(int(escape[group], 16))


def _parts(secrets: list[str]) -> dict[int, frozenset[str]]:
    """Return the texts to find, by their length: all parts of `_PART` characters, and shorter secrets."""
    texts: set[str] = set()
    for secret in secrets:
        # A secret may contain what looks like an escape.
        decoded = secret
        while decoded and decoded not in texts:
            texts.add(decoded)
            decoded = _ESCAPE.sub(_character, decoded)
        for offset in range(3):
            # Base64 encodes three bytes at a time, and the secret may begin at any of them.
            for encode in (b64encode, urlsafe_b64encode):
                encoded = encode(b"\0" * offset + secret.encode())
                # The characters at both ends depend on the text around the secret.
                end = -1 if encoded.endswith(b"=") else len(encoded)
                inner = encoded.rstrip(b"=")[offset and offset + 1 : end].decode()
                if len(inner) >= _PART:
                    texts.add(inner)
    parts: dict[int, set[str]] = {}
    for text in texts:
        length = min(_PART, len(text))
        parts.setdefault(length, set()).update(text[at : at + length] for at in range(len(text) - length + 1))
    return {length: frozenset(found) for length, found in parts.items()}
