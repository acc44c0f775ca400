"""The bearer token: which tokens are valid, and when the token is renewed."""

import asyncio
import copy
import itertools
import pickle
from collections.abc import Awaitable, Callable
from enum import Enum, StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialler_async import ConfigurationError, InvalidTokenError, TokenSourceError
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

    async def test_same_token_again_is_not_a_new_version(self, source_kind: Callable[..., Any]) -> None:
        calls: list[str] = []
        token = Token(source_kind(lambda: calls.append("same") or "same"))
        assert await token.renew(refused=0)
        assert not await token.renew(refused=1)
        assert (token.version, bearer(token), len(calls)) == (1, "Bearer same", 2)

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
    assert await second
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


@pytest.mark.parametrize("is_awaited", [False, True])
async def test_cancelled_error_of_the_function_is_a_token_source_error(is_awaited: bool) -> None:
    def source() -> Any:
        if is_awaited:
            cancelled = asyncio.get_running_loop().create_future()
            cancelled.cancel()
            return cancelled
        raise asyncio.CancelledError

    # A task that ends with a CancelledError would vanish from a TaskGroup without an error.
    with pytest.raises(TokenSourceError, match="raised CancelledError"):
        await Token(source).renew(refused=0)


async def test_cancelled_caller_of_the_function_is_cancelled() -> None:
    token = Token(lambda: asyncio.get_running_loop().create_future())
    caller = asyncio.create_task(token.renew(refused=0))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller


async def test_failing_function_is_called_once_for_all_waiting_callers() -> None:
    calls = 0

    async def source() -> str:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        raise OSError

    token = Token(source)
    errors = await asyncio.gather(*(token.renew(refused=0) for _ in range(25)), return_exceptions=True)
    assert {type(error) for error in errors} == {TokenSourceError}
    assert len({id(error) for error in errors}) == 25
    assert calls == 1
    with pytest.raises(TokenSourceError):
        await token.renew(refused=0)
    assert calls == 2


async def test_invalid_token_is_requested_once_for_all_waiting_callers() -> None:
    calls = 0

    async def source() -> str:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        return ""

    token = Token(source)
    errors = await asyncio.gather(*(token.renew(refused=0) for _ in range(25)), return_exceptions=True)
    assert {type(error) for error in errors} == {InvalidTokenError}
    assert calls == 1


class NamedToken(StrEnum):
    OLD = "t0ken"


class NamedTokenOfTwoBases(str, Enum):  # noqa: UP042  its `str()` is another than that of StrEnum
    OLD = "t0ken"


@pytest.mark.parametrize("member", [NamedToken.OLD, NamedTokenOfTwoBases.OLD])
async def test_token_that_is_a_member_of_an_enum_is_sent_by_its_value(member: str) -> None:
    renewable = Token(lambda: member)
    await renewable.renew(refused=0)
    assert [bearer(Token(member)), bearer(renewable)] == ["Bearer t0ken"] * 2
    assert renewable.secrets.clean("not t0ken") == "not ***"


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
