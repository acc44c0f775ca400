"""Secrets in texts: each spelling of a token and of a proxy's credentials, whole and in part."""

import base64
import copy
import html
import itertools
import json
import pickle
import urllib.parse
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialler_async import PayloadError, StatusError
from dialler_async._http.secrets import Secrets
from dialler_async._http.token import Token

TOKEN = "Zm9vYmFyMjE3/+=.~\"&<'%c2VjcmV0ODQy"
# RFC 6750 allows fewer characters. A backslash at the end of a token would change what the text around it means.
TOKENS = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\\"), min_size=1, max_size=80)


def knowing(*tokens: str) -> Secrets:
    secrets = Secrets()
    for token in tokens:
        secrets.add_token(token)
    return secrets


def in_json(text: str) -> str:
    return json.dumps(text)[1:-1]


SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "URL": lambda text: urllib.parse.quote(text, safe=""),
    "URL in lower case": lambda text: "".join(f"%{ord(one):02x}" for one in text),
    "URL in URL": lambda text: urllib.parse.quote(urllib.parse.quote(text, safe=""), safe=""),
    "JSON": in_json,
    "JSON with slashes": lambda text: in_json(text).replace("/", "\\/"),
    "JSON in JSON": lambda text: in_json(in_json(text)),
    "JSON with escapes only": lambda text: "".join(f"\\u{ord(one):04X}" for one in text),
    "JSON with escapes only in JSON": lambda text: in_json("".join(f"\\u{ord(one):04x}" for one in text)),
    "Python": lambda text: repr(text)[1:-1],
    "bytes in Python": lambda text: "".join(f"\\x{ord(one):02x}" for one in text),
    "HTML": html.escape,
    "HTML with decimals": lambda text: "".join(f"&#{ord(one)};" for one in text),
    "HTML with hexadecimals": lambda text: "".join(f"&#x{ord(one):04X};" for one in text),
    "URL in HTML": lambda text: html.escape(urllib.parse.quote(html.escape(text))),
    "UTF-16": lambda text: text.encode("utf-16-le").decode(),
    "UTF-16 after replacement": lambda text: text.encode("utf-16-be").decode().replace("\0", "\ufffd"),
    "UTF-32": lambda text: text.encode("utf-32-le").decode(),
}


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS.keys())
class TestSpellings:
    """A token in a text, in each spelling."""

    @given(token=TOKENS)
    def test_secret_is_removed_and_the_text_around_it_stays(self, spelling: Callable[[str], str], token: str) -> None:
        cleaned = knowing(token).clean(f"\n{spelling(token)}\n")
        assert cleaned.replace("\0", "").replace("\ufffd", "").strip("*") == "\n" or set(cleaned) <= set("\n*\0\ufffd")

    @given(cut=st.integers(8, len(TOKEN)))
    def test_part_of_a_secret_at_the_end_of_an_excerpt_is_removed(
        self, spelling: Callable[[str], str], cut: int
    ) -> None:
        cleaned = knowing(TOKEN).clean(f"id {spelling(TOKEN[:cut])}")
        assert set(cleaned.removeprefix("id ")) <= set("*\0\ufffd")

    @given(cut=st.integers(0, len(TOKEN) - 8))
    def test_part_of_a_secret_at_the_start_of_an_excerpt_is_removed(
        self, spelling: Callable[[str], str], cut: int
    ) -> None:
        cleaned = knowing(TOKEN).clean(f"{spelling(TOKEN[cut:])} id")
        assert set(cleaned.removesuffix(" id")) <= set("*\0\ufffd")


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("before", ["", "a", "ab", "abc", "user:"])
@pytest.mark.parametrize("after", ["", "x", "xy", "\n"])
def test_secret_in_base64_is_removed(encode: Callable[[bytes], bytes], before: str, after: str) -> None:
    cleaned = knowing(TOKEN).clean(encode(f"{before}{TOKEN}{after}".encode()).decode())
    assert "***" in cleaned
    for rest in cleaned.split("***"):
        # The characters at both ends hold less than one character of the secret.
        assert len(rest) <= len(encode((before + after + "..").encode()))


def test_credentials_of_a_proxy_are_removed() -> None:
    secrets = Secrets()
    secrets.add_credentials("user", "pässword-843")
    basic = base64.b64encode("user:pässword-843".encode()).decode()
    assert secrets.clean(f"Proxy-Authorization: Basic {basic}") == "Proxy-Authorization: Basic ***"
    assert secrets.clean("from http://user:pässword-843@proxy:3128 not pässword-843") == "from *** not ***"


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("it is my pass phrase, sir", "***"),
        ("it is my%20pass%20phrase, sir", "it is *** sir"),
        ("it is my pass, sir", "it is my pass, sir"),
    ],
)
def test_password_with_spaces_is_removed(text: str, cleaned: str) -> None:
    secrets = Secrets()
    secrets.add_credentials("user", "my pass phrase")
    assert secrets.clean(text) == cleaned


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("", ""),
        ("no token here", "no token here"),
        ("Authorization: Bearer a/b+c=", "Authorization: Bearer ***"),
        ('{"error": "a\\/b+c= and a/b+c="}', '{"error": *** and ***'),
        ("a%2Fb%2Bc%3D a%2fb%2bc%3d", "*** ***"),
        ("a/b+c", "a/b+c"),
        ("100% \\ &amp; ok", "100% \\ &amp; ok"),
    ],
)
def test_short_secret_is_removed_as_a_whole(text: str, cleaned: str) -> None:
    assert knowing("a/b+c=").clean(text) == cleaned


@given(text=st.text(st.characters(exclude_categories=[]), max_size=60))
def test_text_without_a_secret_stays_as_it_is(text: str) -> None:
    assert knowing("Zm9vYmFyMjE3c2VjcmV0ODQy").clean(text) == text
    assert Secrets().clean(text) == text


def test_secret_is_not_a_pattern() -> None:
    assert knowing(".*[a]$").clean("all of this .*[a]$") == "all of this ***"


async def test_earlier_tokens_are_removed() -> None:
    numbers = itertools.count(1)
    token = Token(lambda: f"secret{next(numbers)}x")
    for version in range(8):
        await token.renew(refused=version)
    assert token.secrets.clean("secret1x secret8x") == "*** ***"


def test_all_texts_of_an_error_are_cleaned() -> None:
    error = PayloadError(f"not JSON: {TOKEN}", path=f"records[0].{TOKEN}", excerpt=f"<{TOKEN}", record_id=5)
    assert knowing(TOKEN).clean_error(error) is error
    assert (str(error), error.path, error.excerpt, error.record_id) == ("not JSON: ***", "***", "***", 5)
    refused = StatusError("no", status=401, message=f"wrong: {TOKEN}")
    assert knowing(TOKEN).clean_error(refused).message == "wrong: ***"


@pytest.mark.parametrize("hostile", ["Zm9vYmF", "\\", "&#0", "%25", "%5C%5C", "\0", "%74", "\\u005c", "&#x00000"])
def test_cleaning_of_hostile_text_visits_each_character_once_for_each_layer(hostile: str) -> None:
    # The text is an excerpt, which is never longer.
    text = (hostile * 400)[:400]
    assert knowing(*(f"{number}{TOKEN}" for number in range(8))).clean(text) == text


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_secrets_can_not_be_pickled_or_copied(duplicate: Callable[[object], Any]) -> None:
    with pytest.raises(TypeError, match="can't be pickled or copied"):
        duplicate(knowing(TOKEN))


def test_repr_shows_no_secret() -> None:
    assert TOKEN not in repr(knowing(TOKEN))
