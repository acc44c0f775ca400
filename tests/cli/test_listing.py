"""`dialler campaigns list`: sorting, filters, columns, CSV and the width of the terminal."""

from __future__ import annotations

import csv
import json
import re
from io import StringIO
from typing import TYPE_CHECKING

import pytest

from dialler_async import Campaign, Records
from dialler_async.cli.output import print_table, text
from dialler_async.cli.records import show_campaigns
from dialler_async.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.cli.conftest import Run


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def varied(sandbox: Sandbox) -> Sandbox:
    """Return a server with four campaigns: 1 and 2 have an end, and 4 has a key that the others lack."""
    sandbox.change(1, dtTo="2026-03-02T00:00:00", nMaxParallelLines=10, bCallerIDActive=True)
    sandbox.change(2, dtTo="2026-03-01T00:00:00", nMaxParallelLines=9, bCallerIDActive=False)
    return sandbox


def ids(out: str) -> list[str]:
    return [line.split()[0] for line in out.splitlines()[1:]]


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        (["--sort", "dtTo"], "2134"),
        (["--sort", "-dtTo"], "1234"),
        (["--sort", "dtto"], "2134"),
        (["--sort", "nMaxParallelLines"], "2134"),
        (["--sort", "-ID"], "4321"),
        (["--sort", "bCallerIDActive"], "2134"),
    ],
    ids=" ".join,
)
def test_sort_orders_by_key_with_missing_values_last(run: Run, varied: Sandbox, sort: list[str], order: str) -> None:
    assert ids(run("campaigns", "list", *sort).out) == list(order)


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        (["Name=spring*"], "12"),
        (["name=twin"], "34"),
        (["Name=spring*", "dtTo=2026-03-01*"], "2"),
        (["bCallerIDActive=true"], "1"),
        (["nMaxParallelLines=1?"], "1"),
        (["dtTo="], "34"),
        (["Name=nobody"], ""),
    ],
    ids=" ".join,
)
def test_filter_keeps_campaigns_that_match_every_pattern(
    run: Run, varied: Sandbox, filters: list[str], left: str
) -> None:
    options = [word for pattern in filters for word in ("--filter", pattern)]
    assert ids(run("campaigns", "list", *options).out) == list(left)
    printed = json.loads(run("campaigns", "list", "--json", *options).out)
    assert ([str(record["ID"]) for record in printed["records"]], printed["count"]) == (list(left), len(left))


def test_columns_option_shows_the_keys_in_the_given_order(run: Run, varied: Sandbox) -> None:
    lines = run("campaigns", "list", "--columns", "dtto,ID,Extra").out.splitlines()
    assert [re.split(r" {2,}", line.strip()) for line in lines] == [
        ["dtTo", "ID", "Extra"],
        ["2026-03-02T00:00:00", "1"],
        ["2026-03-01T00:00:00", "2"],
        ["3"],
        ["4", "1"],
    ]


def test_csv_has_every_key_and_escapes_formulas(run: Run, varied: Sandbox) -> None:
    varied.change(3, Name='=HYPERLINK("x")')
    result = run("campaigns", "list", "--csv")
    rows = list(csv.DictReader(StringIO(result.out)))
    assert (result.exit, result.err) == (0, "")
    assert set(rows[0]) == {key for record in varied.campaigns.values() for key in record}
    by_id = {row["ID"]: row for row in rows}
    assert (by_id["1"]["bCallerIDActive"], by_id["1"]["nMaxParallelLines"]) == ("true", "10")
    assert (by_id["3"]["Name"], by_id["4"]["Extra"]) == ('\'=HYPERLINK("x")', "1")


def test_csv_with_columns_has_only_these_columns(run: Run, varied: Sandbox) -> None:
    assert run("campaigns", "list", "--csv", "--columns", "ID,Name", "--filter", "ID=1").out == "ID,Name\n1,Spring\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--columns", "dtT"], "no campaign has the key “dtT”: did you mean dtTo?"),
        (["--sort", "zzz"], "no campaign has the key “zzz”: the keys are ID, Name"),
        (["--filter", "nam=x"], "did you mean Name?"),
        (["--filter", "Name"], "--filter needs KEY=PATTERN, such as 'Name=VIP*', but “Name” has no ="),
        (["--json", "--csv"], "--json prints whole records"),
        (["--json", "--columns", "ID"], "--json prints whole records"),
    ],
    ids=" ".join,
)
def test_wrong_list_options_are_usage_errors(run: Run, varied: Sandbox, options: list[str], message: str) -> None:
    result = run("campaigns", "list", *options)
    assert (result.exit, result.out, result.err.count("\n")) == (2, "", 1)
    assert message in result.err


def test_empty_list_accepts_any_key(run: Run, sandbox: Sandbox) -> None:
    for id in list(sandbox.campaigns):
        sandbox.remove(id)
    assert run("campaigns", "list", "--sort", "dtTo", "--filter", "Name=x", "--columns", "ID").exit == 0


def test_pipe_gets_one_line_per_row_regardless_of_width(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    print_table(["Name", "Other"], [[text("x" * 300), text("y" * 300)], [text("a"), text("b")]])
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.parametrize(("width", "headings"), [("45", "To"), ("60", "User data"), ("100", "Caller ID")])
def test_wide_terminal_shows_more_columns(width: str, headings: str, monkeypatch: pytest.MonkeyPatch) -> None:
    output = Terminal()
    monkeypatch.setattr("sys.stdout", output)
    monkeypatch.setenv("COLUMNS", width)
    monkeypatch.setenv("TERM", "xterm")
    show_campaigns(Records([Campaign(id=1, name="N" * 20, user_data="crm-7-of-nine")], total=1), as_json=False)
    lines = [re.sub(r"\x1b\[\d*m", "", line) for line in output.getvalue().splitlines()]
    assert lines[0].rstrip().endswith(headings)
    assert (len(lines), max(map(len, lines)) <= int(width)) == (2, True)


@pytest.mark.parametrize(
    ("begin", "end", "exit"),
    [
        ("2026-03-03", "2026-03-02", 2),
        ("2026-03-02", "2026-03-02", 0),
        ("2026-03-03T00:00:00+00:00", "2026-03-02T00:00:00+00:00", 2),
        ("2026-03-03T00:00:00+00:00", "2026-03-02", 2),
        ("2026-03-03T00:00:00+00:00", "2026-03-02T12:00:00", 0),
    ],
)
def test_clone_refuses_a_period_that_ends_before_it_begins(
    run: Run, sandbox: Sandbox, begin: str, end: str, exit: int
) -> None:
    result = run("campaigns", "clone", "Spring", "Monday", "--from", begin, "--to", end)
    assert result.exit == exit
    if exit:
        assert "swap the dates" in result.err
        assert sandbox.journal == []
