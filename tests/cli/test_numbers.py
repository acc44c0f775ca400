"""Numbers on the command line: anything except plain digits is refused before a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dialler_async.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.cli.conftest import Run

INVALID_IDS = [
    "1.4",
    "0x1",
    "1_0",
    "1e0",
    "01",
    "+1",
    " 1",
    "1 ",
    "1\n",
    "\u0663",
    "\uff11",
    "-1",
    "0",
    "",
    "1.",
    "one",
    "[red]1",
]
COMMANDS_WITH_ID = [["campaigns", "get"], ["campaigns", "delete", "--yes"], ["result-codes"]]


@pytest.mark.parametrize("number", INVALID_IDS)
@pytest.mark.parametrize("command", COMMANDS_WITH_ID, ids=" ".join)
def test_id_that_is_not_plain_digits_is_refused_before_a_request(
    run: Run, sandbox: Sandbox, command: list[str], number: str
) -> None:
    result = run(*command, number)
    assert (result.exit, result.out, result.err.count("\n")) == (2, "", 1)
    assert "an ID must be a positive whole number in digits, such as 534" in result.err
    assert sandbox.journal == []


@pytest.mark.parametrize("command", COMMANDS_WITH_ID, ids=" ".join)
def test_id_beyond_float_precision_reaches_the_server_unchanged(run: Run, sandbox: Sandbox, command: list[str]) -> None:
    id = 2**53 + 1
    assert run(*command, id).exit == 3
    assert str(id) in sandbox.journal[0].path


@pytest.mark.parametrize("number", ["1.4", "0x10", "1_0", "1e2", "08", "-1", "\u0663"])
@pytest.mark.parametrize(
    "option",
    [
        ["audit", "--sandbox", "--concurrency"],
        ["history", "--limit"],
        *(["sandbox", f"--{name}"] for name in ("port", "campaigns", "accounts", "seed", "filler-keys")),
    ],
    ids=" ".join,
)
def test_number_option_that_is_not_plain_digits_is_refused(run: Run, option: list[str], number: str) -> None:
    result = run(*option, number)
    assert (result.exit, result.out, result.err.count("\n")) == (2, "", 1)
    assert result.err.startswith(f"dialler: Invalid value for {option[-1]}: it must be a whole number in digits, ")


@pytest.mark.parametrize("option", [["audit", "--concurrency"], ["sandbox", "--accounts"]], ids=" ".join)
def test_zero_is_refused_by_positive_options(run: Run, option: list[str]) -> None:
    assert "it must be a whole number in digits, 1 or more" in run(*option, "0").err
