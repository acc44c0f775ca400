"""The bearer token: what can be one, where it comes from, and when it is asked for anew."""

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


class TestFixed:
    """A token given as text."""

    def test_it_is_there_at_once_and_never_asked_for(self) -> None:
        token = Token("abc-123")
        token.check()
        assert dict(token.headers) == {"Authorization": "Bearer abc-123"}
        assert (token.version, token.renewable) == (1, False)

    async def test_renewing_it_changes_nothing(self) -> None:
        token = Token("abc-123")
        await token.renew(refused=1)
        assert (bearer(token), token.version) == ("Bearer abc-123", 1)

    @given(text=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1))
    def test_whatever_a_header_can_carry_is_taken(self, text: str) -> None:
        token = Token(text)
        token.check()
        assert bearer(token) == f"Bearer {text}"

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("", "empty"),
            (" ", "space"),
            ("secret token", "space"),
            (" secret", "space"),
            ("secret\n", "line break"),
            ("secret\r\nX-Injected: 1", "line break"),
            ("secret\x00", "no header can carry"),
            ("secrét", "no header can carry"),
            ("secret\x7f", "no header can carry"),
        ],
    )
    def test_what_no_header_can_carry_is_refused_without_being_told(self, text: str, complaint: str) -> None:
        token = Token(text)
        with pytest.raises(ConfigurationError, match=complaint) as caught:
            token.check()
        assert "secr" not in str(caught.value)
        assert (dict(token.headers), token.version) == ({}, 0)

    @pytest.mark.parametrize("source", [None, 5, b"secret", ["secret"], object()])
    def test_what_is_neither_text_nor_callable_is_refused(self, source: Any) -> None:
        token = Token(source)
        with pytest.raises(ConfigurationError, match="a str, or a function that returns one") as caught:
            token.check()
        assert "secret" not in str(caught.value)
        assert token.version == 0


def at_once(tokens: Callable[[], object]) -> Callable[[], Any]:
    return tokens


def awaited(tokens: Callable[[], object]) -> Callable[[], Any]:
    async def source() -> object:
        await asyncio.sleep(0)
        return tokens()

    return source


def in_a_future(tokens: Callable[[], object]) -> Callable[[], Any]:
    def source() -> Awaitable[object]:
        future = asyncio.get_running_loop().create_future()
        future.set_result(tokens())
        return future

    return source


@pytest.mark.parametrize("form", [at_once, awaited, in_a_future])
class TestAsked:
    """A token given by a function, at once or awaited."""

    def counted(self) -> tuple[Callable[[], str], list[int]]:
        asked: list[int] = []
        numbers = itertools.count(1)

        def tokens() -> str:
            asked.append(next(numbers))
            return f"token-{asked[-1]}"

        return tokens, asked

    async def test_it_is_asked_when_it_is_needed_and_not_before(self, form: Callable[..., Any]) -> None:
        tokens, asked = self.counted()
        token = Token(form(tokens))
        token.check()
        assert (asked, token.version, token.renewable, dict(token.headers)) == ([], 0, True, {})
        await token.renew(refused=0)
        assert (asked, token.version, bearer(token)) == ([1], 1, "Bearer token-1")

    async def test_after_a_refusal_it_is_asked_anew(self, form: Callable[..., Any]) -> None:
        tokens, asked = self.counted()
        token = Token(form(tokens))
        await token.renew(refused=0)
        await token.renew(refused=1)
        assert (asked, token.version, bearer(token)) == ([1, 2], 2, "Bearer token-2")

    async def test_a_refusal_of_an_older_one_asks_nobody(self, form: Callable[..., Any]) -> None:
        tokens, asked = self.counted()
        token = Token(form(tokens))
        for refused in (0, 0, 1, 1, 0):
            await token.renew(refused=refused)
        assert (asked, bearer(token)) == ([1, 2], "Bearer token-2")

    async def test_many_refusals_at_once_ask_once(self, form: Callable[..., Any]) -> None:
        tokens, asked = self.counted()
        token = Token(form(tokens))
        await asyncio.gather(*(token.renew(refused=0) for _ in range(50)))
        assert asked == [1]
        await asyncio.gather(*(token.renew(refused=1) for _ in range(50)))
        assert (asked, token.version) == ([1, 2], 2)

    async def test_the_same_answer_again_is_a_new_version(self, form: Callable[..., Any]) -> None:
        token = Token(form(lambda: "same"))
        await token.renew(refused=0)
        await token.renew(refused=1)
        assert (token.version, bearer(token)) == (2, "Bearer same")

    @pytest.mark.parametrize("given", [None, 5, b"secret", "", "secret token", "secret\n"])
    async def test_an_answer_that_is_no_token_is_refused_and_asked_for_again_next_time(
        self, form: Callable[..., Any], given: object
    ) -> None:
        answers = iter([given, "good"])
        token = Token(form(lambda: next(answers)))
        with pytest.raises(ConfigurationError) as caught:
            await token.renew(refused=0)
        assert isinstance(caught.value, TokenSourceError)
        assert "secret" not in str(caught.value)
        assert token.version == 0
        await token.renew(refused=0)
        token.check()
        assert bearer(token) == "Bearer good"

    async def test_an_answer_that_is_no_token_leaves_the_old_one_in_use(self, form: Callable[..., Any]) -> None:
        answers = iter(["first", "", "second"])
        token = Token(form(lambda: next(answers)))
        await token.renew(refused=0)
        with pytest.raises(ConfigurationError):
            await token.renew(refused=1)
        assert (token.version, bearer(token)) == (1, "Bearer first")
        await token.renew(refused=1)
        assert (token.version, bearer(token)) == (2, "Bearer second")

    async def test_an_error_of_the_function_is_a_token_source_error_and_the_next_call_asks_again(
        self, form: Callable[..., Any]
    ) -> None:
        answers = iter([OSError("no vault for t0ken"), "good"])

        def tokens() -> object:
            answer = next(answers)
            if isinstance(answer, OSError):
                raise answer
            return answer

        token = Token(form(tokens))
        with pytest.raises(TokenSourceError, match=r"raised OSError at test_token\.py:\d+") as caught:
            await token.renew(refused=0)
        assert "t0ken" not in str(caught.value)
        assert (caught.value.__cause__, caught.value.__context__) == (None, None)
        await token.renew(refused=0)
        assert bearer(token) == "Bearer good"


async def test_a_caller_that_gives_up_while_the_function_is_asked_leaves_it_to_the_next() -> None:
    asked = 0
    vault = asyncio.Event()

    async def source() -> str:
        nonlocal asked
        asked += 1
        await vault.wait()
        return f"token-{asked}"

    token = Token(source)
    first = asyncio.create_task(token.renew(refused=0))
    second = asyncio.create_task(token.renew(refused=0))
    await asyncio.sleep(0)
    first.cancel()
    vault.set()
    await asyncio.wait([first, second])
    assert first.cancelled()
    assert await second is None
    assert (asked, bearer(token)) == (2, "Bearer token-2")


async def test_the_text_of_an_error_that_this_package_raises_is_kept() -> None:
    token = Token(lambda: Token("").check())  # type: ignore[arg-type, return-value]  it raises
    with pytest.raises(TokenSourceError, match="raised ConfigurationError: the token is empty"):
        await token.renew(refused=0)


async def test_the_text_of_such_an_error_that_the_function_raises_is_left_out() -> None:
    def source() -> str:
        raise ConfigurationError("t0ken is wrong")

    with pytest.raises(TokenSourceError, match=r"raised ConfigurationError at test_token\.py:\d+$"):
        await Token(source).renew(refused=0)


async def test_a_cancellation_of_the_function_is_passed_on_as_it_is() -> None:
    def source() -> str:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await Token(source).renew(refused=0)


def test_a_token_of_a_token_is_a_fresh_one_of_the_same_source() -> None:
    fixed, asked = Token("abc"), Token(lambda: "asked")
    assert bearer(Token(fixed)) == "Bearer abc"
    assert Token(asked).renewable
    assert Token(asked).version == 0


@pytest.mark.parametrize("again", [pickle.dumps, copy.copy, copy.deepcopy])
def test_it_is_neither_pickled_nor_copied(again: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match="not pickled or copied"):
        again(Token("abc"))


def test_its_repr_does_not_tell_it() -> None:
    assert "secret" not in repr(Token("secret")) + str(Token("secret"))


class TestRedacted:
    """Servers that send a request's headers back in their error pages."""

    @pytest.mark.parametrize(
        ("body", "told"),
        [
            (b"", b""),
            (b"nothing of it", b"nothing of it"),
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
    def test_the_token_is_taken_out_however_it_is_spelled(self, body: bytes, told: bytes) -> None:
        assert Token("a/b+c=").redacted(body) == told

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
    def test_redaction_of_a_large_body_finds_the_token_wherever_it_stands(self, before: int, length: int) -> None:
        secret = ("t0ken~value" * 100)[:length]
        body = b"x" * before + secret.encode() + b"y" * 300_000
        assert Token(secret).redacted(bytearray(body)) == b"x" * before + b"***" + b"y" * 300_000

    @pytest.mark.parametrize("hostile", ["t", "\\", "&#0", "t\0\0\0", "t0ken~valu", "%74", "\\u0074", "&#x00000"])
    def test_redaction_of_hostile_text_takes_time_in_proportion_to_its_length(self, hostile: str) -> None:
        token = Token("t0ken~value")
        body = (hostile * 64 * 1024)[: 64 * 1024].encode()
        times = []
        for repeated in (1, 8):
            begun = time.process_time()
            assert token.redacted(body * repeated) == body * repeated
            times.append(time.process_time() - begun)
        assert times[1] < 0.5, "linear: 512 KiB take some 15 ms"

    def test_redaction_compiles_the_pattern_of_a_token_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        spelling = Mock(wraps=token_module._spelling)
        monkeypatch.setattr(token_module, "_spelling", spelling)
        token = Token("t0ken~value")
        for _ in range(3):
            assert token.redacted_text("Bearer t0ken~value") == "Bearer ***"
        assert spelling.call_count == len("t0ken~value")

    def test_a_token_is_no_pattern(self) -> None:
        assert Token(".*[a]$").redacted(b"all of this .*[a]$") == b"all of this ***"

    @given(text=st.text(max_size=40))
    def test_the_text_of_a_header_is_left_alone_but_for_the_token(self, text: str) -> None:
        odd = text.encode(errors="surrogatepass").decode(errors="surrogateescape")
        assert Token("t0ken~value").redacted_text(f"{odd}t0ken~value{odd}") == f"{odd}***{odd}"

    async def test_one_that_was_in_use_a_moment_ago_is_taken_out_too(self) -> None:
        numbers = itertools.count(1)
        token = Token(lambda: f"secret{next(numbers)}x")
        for version in range(8):
            await token.renew(refused=version)
        assert token.redacted(b"secret1x secret8x") == b"*** ***"

    def test_without_a_token_there_is_nothing_to_take_out(self) -> None:
        assert Token(lambda: "later").redacted(b"as it is") == b"as it is"
