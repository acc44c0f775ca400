"""Bodies in other charsets than UTF-8. Source: API reference, "Status codes and error bodies"."""

import codecs
import re
from collections.abc import Generator
from typing import Final

from ..errors import Body

_BOM: Final = b"\xef\xbb\xbf"
# Not compiled at import, because few bodies need it.
_CHARSET: Final = r"""(?ai)charset\s*=\s*["']?([\w.:-]+)"""
_CHARSETS: Final = {
    **{f"utf{bits}": f"utf-{bits}" for bits in (8, 16, 32)},
    **{f"utf{bits}{order}": f"utf-{bits}-{order}" for bits in (16, 32) for order in ("le", "be")},
    **dict.fromkeys(("iso88591", "latin1"), "latin-1"),
    **dict.fromkeys(("iso885915", "latin9"), "iso8859-15"),
    **dict.fromkeys(("windows1252", "cp1252"), "cp1252"),
    **dict.fromkeys(("usascii", "ascii"), "ascii"),
}
"""Charsets that are decoded, by name without hyphens. Python knows many more, and some take quadratic time."""
_MAX_RECODED: Final = 16 * 1024 * 1024
_BYTES_PER_STEP: Final = 256 * 1024


def recoding(body: Body, content_type: str) -> Generator[None, None, Body]:
    """Return a body as UTF-8 without a BOM, decoded from the charset that its content type names.

    Only for a body that could not be decoded: a content type that names another charset is often wrong. A body stays
    as it is if its charset is not in `_CHARSETS`, or if it is larger than 16 MiB.
    """
    named = re.search(_CHARSET, content_type[:1000])
    charset = named and _CHARSETS.get(named[1].lower().replace("-", "").replace("_", ""))
    if charset and len(body) <= _MAX_RECODED:
        # JSON in UTF-16 contains zero bytes, and may be valid UTF-8. JSON in UTF-8 contains no zero byte.
        is_utf_8 = b"\x00" not in body[:4] and (yield from _decoded("utf-8", body)) is not None
        text = None if is_utf_8 else (yield from _decoded(charset, body))
        body = body if text is None else text
    # Without a BOM, `bytearray.removeprefix` would copy the body.
    return body[len(_BOM) :] if body.startswith(_BOM) else body


def _decoded(charset: str, body: Body) -> Generator[None, None, bytes | None]:
    """Return a body in UTF-8; None if it is not in this charset."""
    decoder = codecs.getincrementaldecoder(charset)()
    recoded = bytearray()
    try:
        for start in range(0, len(body), _BYTES_PER_STEP):
            if start:
                yield
            recoded += decoder.decode(body[start : start + _BYTES_PER_STEP]).encode()
        recoded += decoder.decode(b"", final=True).encode()
    except UnicodeError:
        return None
    return bytes(recoded)
