"""`Outcome`: a `Success` or a `Failure`, which type checkers can distinguish."""

import pickle
from typing import assert_type

import pytest

from dialler_async import Failure, NotFoundError, Outcome, Success


def outcomes() -> list[Outcome[int, str]]:
    return [Success(1, "one"), Failure(2, NotFoundError("no such campaign", status=404))]


def test_error_is_none_narrows_an_outcome() -> None:
    texts: list[str] = []
    for outcome in outcomes():
        if outcome.error is None:
            assert_type(outcome, Success[int, str])
            texts.append(outcome.value.upper())
        else:
            assert_type(outcome, Failure[int])
            texts.append(str(outcome.error))
    assert texts == ["ONE", "no such campaign"]


def test_match_narrows_an_outcome() -> None:
    texts: list[str] = []
    for outcome in outcomes():
        match outcome:
            case Success(value=value):
                assert_type(value, str)
                texts.append(value)
            case Failure(error=error):
                assert_type(error, Exception)
                texts.append(str(error))
    assert texts == ["one", "no such campaign"]


def test_comprehension_narrows_an_outcome() -> None:
    assert [outcome.value.upper() for outcome in outcomes() if outcome.error is None] == ["ONE"]


def test_result_returns_the_value_or_raises_the_error() -> None:
    success, failure = outcomes()
    assert_type(success.result(), str)
    assert success.result() == "one"
    with pytest.raises(NotFoundError) as caught:
        failure.result()
    assert caught.value is failure.error


def test_value_of_a_failure_and_error_of_a_success_are_none() -> None:
    success, failure = outcomes()
    assert success.error is None
    assert failure.value is None


def test_outcomes_are_frozen_values() -> None:
    success, failure = outcomes()
    assert success == Success(1, "one") != Success(1, "two")
    assert success != failure
    assert pickle.loads(pickle.dumps([success, failure])) == [success, failure]  # noqa: S301  trusted bytes
    for outcome, attribute in ((success, "value"), (failure, "error")):
        with pytest.raises(AttributeError):
            setattr(outcome, attribute, None)
