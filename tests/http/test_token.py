"""The bearer token: which tokens are valid, when the token is renewed, and its redaction."""

import asyncio
import copy
import itertools
import json
import pickle
import time
from collections.abc import Awaitable, Callable
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialler_async import ConfigurationError, TokenSourceError
from dialler_async._http import token as token_module
from dialler_async._http.token import Token


def bearer(token: Token) -> str | None:
    return token.headers.get("Authorization")


class TestFixedToken:
    """A token that is a str."""

    def test_fixed_token_is_available_immediately_and_not_renewable(self) -> None:
        token = Token("abc-123")
        token.check()
        assert dict(token.headers) == {"Authorization": "Bearer abc-123"}
        assert (token.version, token.is_renewable) == (1, False)

    async def test_renewing_a_fixed_token_changes_nothing(self) -> None:
        token = Token("abc-123")
        await token.renew(refused=1)
        assert (bearer(token), token.version) == ("Bearer abc-123", 1)

    @given(text=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1))
    def test_any_printable_ascii_token_is_accepted(self, text: str) -> None:
        token = Token(text)
        token.check()
        assert bearer(token) == f"Bearer {text}"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "empty"),
            (" ", "space"),
            ("secret token", "space"),
            (" secret", "space"),
            ("secret\n", "line break"),
            ("secret\r\nX-Injected: 1", "line break"),
            ("secret\x00", "only printable ASCII characters"),
            ("secrét", "only printable ASCII characters"),
            ("secret\x7f", "only printable ASCII characters"),
        ],
    )
    def test_token_that_can_not_be_sent_in_a_header_is_refused_and_not_shown(self, text: str, message: str) -> None:
        token = Token(text)
        with pytest.raises(ConfigurationError, match=message) as caught:
            token.check()
        assert "secr" not in str(caught.value)
        assert (dict(token.headers), token.version) == ({}, 0)

    @pytest.mark.parametrize("source", [None, 5, b"secret", ["secret"], object()])
    def test_token_that_is_neither_str_nor_function_is_refused(self, source: Any) -> None:
        token = Token(source)
        with pytest.raises(ConfigurationError, match="a str, or a function that returns a str") as caught:
            token.check()
        assert "secret" not in str(caught.value)
        assert token.version == 0


def returned(tokens: Callable[[], object]) -> Callable[[], Any]:
    return tokens


def awaited(tokens: Callable[[], object]) -> Callable[[], Any]:
    async def source() -> object:
        await asyncio.sleep(0)
        return tokens()

    return source


def returned_in_a_future(tokens: Callable[[], object]) -> Callable[[], Any]:
    def source() -> Awaitable[object]:
        future = asyncio.get_running_loop().create_future()
        future.set_result(tokens())
        return future

    return source


@pytest.mark.parametrize("source_kind", [returned, awaited, returned_in_a_future])
class TestTokenFunction:
    """A token from a function that returns it, directly or as an awaitable."""

    def counted_tokens(self) -> tuple[Callable[[], str], list[int]]:
        calls: list[int] = []
        numbers = itertools.count(1)

        def tokens() -> str:
            calls.append(next(numbers))
            return f"token-{calls[-1]}"

        return tokens, calls

    async def test_function_is_called_at_the_first_renewal_and_not_before(
        self, source_kind: Callable[..., Any]
    ) -> None:
        tokens, calls = self.counted_tokens()
        token = Token(source_kind(tokens))
        token.check()
        assert (calls, token.version, token.is_renewable, dict(token.headers)) == ([], 0, True, {})
        await token.renew(refused=0)
        assert (calls, token.version, bearer(token)) == ([1], 1, "Bearer token-1")

    async def test_function_is_called_again_after_a_refusal(self, source_kind: Callable[..., Any]) -> None:
        tokens, calls = self.counted_tokens()
        token = Token(source_kind(tokens))
        await token.renew(refused=0)
        await token.renew(refused=1)
        assert (calls, token.version, bearer(token)) == ([1, 2], 2, "Bearer token-2")

    async def test_refusal_of_an_older_token_does_not_call_the_function(self, source_kind: Callable[..., Any]) -> None:
        tokens, calls = self.counted_tokens()
        token = Token(source_kind(tokens))
        for refused in (0, 0, 1, 1, 0):
            await token.renew(refused=refused)
        assert (calls, bearer(token)) == ([1, 2], "Bearer token-2")

    async def test_concurrent_refusals_call_the_function_once(self, source_kind: Callable[..., Any]) -> None:
        tokens, calls = self.counted_tokens()
        token = Token(source_kind(tokens))
        await asyncio.gather(*(token.renew(refused=0) for _ in range(50)))
        assert calls == [1]
        await asyncio.gather(*(token.renew(refused=1) for _ in range(50)))
        assert (calls, token.version) == ([1, 2], 2)

    async def test_same_token_again_is_a_new_version(self, source_kind: Callable[..., Any]) -> None:
        token = Token(source_kind(lambda: "same"))
        await token.renew(refused=0)
        await token.renew(refused=1)
        assert (token.version, bearer(token)) == (2, "Bearer same")

    @pytest.mark.parametrize("given", [None, 5, b"secret", "", "secret token", "secret\n"])
    async def test_invalid_token_from_the_function_is_refused_and_the_next_call_renews_it(
        self, source_kind: Callable[..., Any], given: object
    ) -> None:
        results = iter([given, "good"])
        token = Token(source_kind(lambda: next(results)))
        with pytest.raises(ConfigurationError) as caught:
            await token.renew(refused=0)
        assert isinstance(caught.value, TokenSourceError)
        assert "secret" not in str(caught.value)
        assert token.version == 0
        await token.renew(refused=0)
        token.check()
        assert bearer(token) == "Bearer good"

    async def test_invalid_token_from_the_function_keeps_the_previous_token(
        self, source_kind: Callable[..., Any]
    ) -> None:
        results = iter(["first", "", "second"])
        token = Token(source_kind(lambda: next(results)))
        await token.renew(refused=0)
        with pytest.raises(ConfigurationError):
            await token.renew(refused=1)
        assert (token.version, bearer(token)) == (1, "Bearer first")
        await token.renew(refused=1)
        assert (token.version, bearer(token)) == (2, "Bearer second")

    async def test_error_of_the_function_is_a_token_source_error_and_the_next_call_retries(
        self, source_kind: Callable[..., Any]
    ) -> None:
        results = iter([OSError("no vault for t0ken"), "good"])

        def tokens() -> object:
            result = next(results)
            if isinstance(result, OSError):
                raise result
            return result

        token = Token(source_kind(tokens))
        with pytest.raises(TokenSourceError, match=r"raised OSError at test_token\.py:\d+") as caught:
            await token.renew(refused=0)
        assert "t0ken" not in str(caught.value)
        assert (caught.value.__cause__, caught.value.__context__) == (None, None)
        await token.renew(refused=0)
        assert bearer(token) == "Bearer good"


async def test_waiting_caller_calls_the_function_when_the_first_caller_is_cancelled() -> None:
    calls = 0
    release = asyncio.Event()

    async def source() -> str:
        nonlocal calls
        calls += 1
        await release.wait()
        return f"token-{calls}"

    token = Token(source)
    first = asyncio.create_task(token.renew(refused=0))
    second = asyncio.create_task(token.renew(refused=0))
    await asyncio.sleep(0)
    first.cancel()
    release.set()
    await asyncio.wait([first, second])
    assert first.cancelled()
    assert await second is None
    assert (calls, bearer(token)) == (2, "Bearer token-2")


async def test_text_of_an_error_of_this_package_is_shown() -> None:
    token = Token(lambda: Token("").check())  # type: ignore[arg-type, return-value]  it raises
    with pytest.raises(TokenSourceError, match="raised ConfigurationError: the token must not be empty"):
        await token.renew(refused=0)


async def test_text_of_an_error_raised_by_the_function_is_not_shown() -> None:
    def source() -> str:
        raise ConfigurationError("t0ken is wrong")

    with pytest.raises(TokenSourceError, match=r"raised ConfigurationError at test_token\.py:\d+$"):
        await Token(source).renew(refused=0)


async def test_cancelled_error_of_the_function_is_raised_unchanged() -> None:
    def source() -> str:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await Token(source).renew(refused=0)


def test_token_made_from_a_token_uses_the_same_source() -> None:
    fixed, renewable = Token("abc"), Token(lambda: "token-1")
    assert bearer(Token(fixed)) == "Bearer abc"
    assert Token(renewable).is_renewable
    assert Token(renewable).version == 0


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_token_can_not_be_pickled_or_copied(duplicate: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match="can't be pickled or copied"):
        duplicate(Token("abc"))


def test_repr_does_not_show_the_token() -> None:
    assert "secret" not in repr(Token("secret")) + str(Token("secret"))


class TestRedaction:
    """Some servers repeat a request's headers in their error pages."""

    @pytest.mark.parametrize(
        ("body", "redacted_body"),
        [
            (b"", b""),
            (b"no token here", b"no token here"),
            (b"Authorization: Bearer a/b+c=", b"Authorization: Bearer ***"),
            (b'{"error": "a\\/b+c= and a/b+c="}', b'{"error": "*** and ***"}'),
            (b"a%2Fb%2Bc%3D a%2fb%2bc%3d", b"*** ***"),
            (b"a\\u002fb\\u002Bc\\u003d", b"***"),
            (b"a&#47;b&#x2B;c&#061;", b"***"),
            ("a/b+c=".encode("utf-16-le"), b"***\x00"),
            (b"a/b+c", b"a/b+c"),
            (b"a/b+c=", b"***"),
        ],
    )
    def test_redaction_finds_the_token_in_any_escape(self, body: bytes, redacted_body: bytes) -> None:
        assert Token("a/b+c=").redacted(body) == redacted_body

    @pytest.mark.parametrize("spelled", ["u0041b", "Abc7", "\\u0041bc"])
    @pytest.mark.parametrize("backslashes", [1, 2, 4])
    def test_redaction_finds_json_escapes_of_letters_and_digits(self, spelled: str, backslashes: int) -> None:
        escape = "\\" * backslashes + "u00"
        text = f"{escape}41b{escape}63{escape}37{escape}6D%6D&#{ord('z')};&#x07a;".encode()
        assert Token("Abc7mmzz").redacted(text + b" " + spelled.encode()) == b"*** " + spelled.encode()

    @given(
        token=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=80),
        data=st.data(),
    )
    def test_redaction_finds_any_json_spelling_of_any_token(self, token: str, data: st.DataObject) -> None:
        spelled = "".join(
            data.draw(st.sampled_from([json.dumps(one)[1:-1], f"\\u{ord(one):04x}", f"\\u{ord(one):04X}"]))
            for one in token
        )
        assert json.loads(f'"{spelled}"') == token
        assert Token(token).redacted(f"\n{spelled}\n".encode()) == b"\n***\n"

    @pytest.mark.parametrize("length", [10, 33, 1000])
    @pytest.mark.parametrize("before", [0, 256 * 1024 - 5, 256 * 1024, 600_000])
    def test_redaction_finds_the_token_at_any_position_of_a_large_body(self, before: int, length: int) -> None:
        secret = ("t0ken~value" * 100)[:length]
        body = b"x" * before + secret.encode() + b"y" * 300_000
        assert Token(secret).redacted(bytearray(body)) == b"x" * before + b"***" + b"y" * 300_000

    def test_redaction_continues_after_text_that_only_begins_like_the_token(self) -> None:
        secret = "0123456789" * 4
        body = f"{secret[:39]}x {secret}".encode()
        assert Token(secret).redacted(body) == f"{secret[:39]}x ***".encode()

    @pytest.mark.parametrize("hostile", ["t", "\\", "&#0", "t\0\0\0", "t0ken~valu", "%74", "\\u0074", "&#x00000"])
    def test_redaction_of_hostile_text_takes_linear_time(self, hostile: str) -> None:
        token = Token("t0ken~value")
        body = (hostile * 64 * 1024)[: 64 * 1024].encode()
        times = []
        for factor in (1, 8):
            started_at = time.process_time()
            assert token.redacted(body * factor) == body * factor
            times.append(time.process_time() - started_at)
        assert times[1] < 0.5, "linear: 512 KiB take some 15 ms"

    def test_redaction_compiles_the_pattern_of_a_token_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        spelling = Mock(wraps=token_module._spelling)
        monkeypatch.setattr(token_module, "_spelling", spelling)
        token = Token("t0ken~value")
        for _ in range(3):
            assert token.redacted_text("Bearer t0ken~value") == "Bearer ***"
        assert spelling.call_count == len("t0ken~value")

    def test_redaction_does_not_read_the_token_as_a_pattern(self) -> None:
        assert Token(".*[a]$").redacted(b"all of this .*[a]$") == b"all of this ***"

    @given(text=st.text(max_size=40))
    def test_redaction_of_header_text_changes_only_the_token(self, text: str) -> None:
        header_text = text.encode(errors="surrogatepass").decode(errors="surrogateescape")
        assert (
            Token("t0ken~value").redacted_text(f"{header_text}t0ken~value{header_text}")
            == f"{header_text}***{header_text}"
        )

    async def test_redaction_finds_earlier_tokens(self) -> None:
        numbers = itertools.count(1)
        token = Token(lambda: f"secret{next(numbers)}x")
        for version in range(8):
            await token.renew(refused=version)
        assert token.redacted(b"secret1x secret8x") == b"*** ***"

    def test_redaction_without_a_token_changes_nothing(self) -> None:
        assert Token(lambda: "later").redacted(b"as it is") == b"as it is"
