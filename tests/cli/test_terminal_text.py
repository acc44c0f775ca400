"""Output on the terminal: names from the server are escaped."""

import json
import re
from io import StringIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialler_async import Campaign, Records, ResultCode
from dialler_async._text.escaping import escape_unprintable, one_line
from dialler_async.cli.exits import print_error
from dialler_async.cli.output import Console, counted, print_table, text
from dialler_async.cli.records import envelope, show_campaign, show_campaigns, show_result_codes
from dialler_async.models import with_wire

HOSTILE_NAME = "\x1b]0;owned\x07\x1b[2J [red]Sale[/red] :smile:\r\n\u202e\x9b1m\ud800"


@given(st.text())
def test_escaped_text_is_printable(name: str) -> None:
    assert all(char.isprintable() for char in escape_unprintable(name))


@given(st.text(st.characters(categories=["L", "N", "P", "S"])))
def test_printable_text_is_not_changed(name: str) -> None:
    assert escape_unprintable(name) == name


def test_control_characters_become_backslash_escapes() -> None:
    assert escape_unprintable("a\x1b[31mb\n\u202e\x9b") == "a\\x1b[31mb\\n\\u202e\\x9b"


def test_message_becomes_one_line_and_keeps_double_blanks() -> None:
    assert one_line("first\nsecond  third\x1b") == "first second  third\\x1b"


def test_errors_and_tables_escape_names(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(f"no campaign {HOSTILE_NAME}")
    print_table(["Name"], [[text(HOSTILE_NAME)]])
    printed = capsys.readouterr()
    for output in (printed.err, printed.out):
        assert all(char.isprintable() or char == "\n" for char in output)
        assert "[red]Sale[/red] :smile:" in output
        assert "\\x1b]0;owned\\x07\\x1b[2J" in output
    assert printed.err.count("\n") == 1


def test_json_keeps_every_key_and_is_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    wire = {"Name": HOSTILE_NAME, "Unknown": [1, None, {"ü": 0.5}], "ID": 3}
    campaigns = Records(
        [with_wire(Campaign(name=HOSTILE_NAME, id=3), wire)], total=1, order_by="Name", ascending=True, filter=""
    )
    show_campaigns(campaigns, as_json=True)
    output = capsys.readouterr().out
    assert output.isascii()
    assert "\x1b" not in output
    printed = json.loads(output)
    assert printed == {"records": [wire], "count": 1, "filter": "", "orderBy": "Name", "ascending": True}
    assert list(printed["records"][0]) == list(wire)


def test_envelope_of_result_codes_has_records_and_count() -> None:
    assert envelope(Records([with_wire(ResultCode(id=1), {"ID": 1})], total=7)) == {"records": [{"ID": 1}], "count": 7}


def test_incomplete_list_prints_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    show_result_codes(Records([ResultCode(id=1)], total=7), as_json=False)
    assert capsys.readouterr().err == "dialler: the list is incomplete: the server counts 7 records, but sent 1\n"
    show_result_codes(Records([ResultCode(id=1)], total=1), as_json=False)
    assert capsys.readouterr().err == ""


def test_campaign_is_printed_with_id_and_name_first(capsys: pytest.CaptureFixture[str]) -> None:
    wire: dict[str, Any] = {"bSome": False, "Name": "A", "Nested": {"a": [1]}, "Nothing": None, "ID": 4}
    show_campaign(with_wire(Campaign(name="A", id=4), wire), as_json=False)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["Key", "Value"],
        ["ID", "4"],
        ["Name", "A"],
        ["bSome", "false"],
        ["Nested", '{"a":', "[1]}"],
        ["Nothing", "null"],
    ]


def test_unpublished_language_is_shown_by_number(capsys: pytest.CaptureFixture[str]) -> None:
    show_campaigns(
        Records([Campaign(name="A", languages_id=7), Campaign(name="B"), Campaign(name="C", languages_id=2)], total=3),
        as_json=False,
    )
    assert [line.split() for line in capsys.readouterr().out.splitlines()[1:]] == [["A", "7"], ["B"], ["C", "de"]]


def test_counted_uses_the_plural_except_for_one() -> None:
    assert [counted(number, "error") for number in (0, 1, 2, 1000)] == [
        "0 errors",
        "1 error",
        "2 errors",
        "1,000 errors",
    ]


def test_console_prints_markup_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    Console().print("[red]Sale[/red] :smile:")
    assert capsys.readouterr().out == "[red]Sale[/red] :smile:\n"


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_console_of_a_pipe_is_80_columns_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert Console().width == 80
    monkeypatch.setenv("COLUMNS", "132")
    assert Console().width == 132
    monkeypatch.delenv("COLUMNS")
    monkeypatch.setattr("sys.stderr", Terminal())
    assert Console(stderr=True).is_terminal


@pytest.mark.parametrize("variable", ["FORCE_COLOR", "TTY_COMPATIBLE"])
def test_console_of_a_file_has_no_colours(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "1")
    file = StringIO()
    Console(file=file).print(text("error", "bold red"))
    assert file.getvalue() == "error\n"


@pytest.mark.parametrize("columns", ["0", "", "-1", "wide"])
def test_console_ignores_columns_that_are_no_width(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert Console(file=StringIO()).width == 80


@pytest.mark.parametrize("variable", ["CI", "TF_BUILD", "TEAMCITY_VERSION"])
def test_name_is_no_command_of_a_ci_system(
    variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, "1")
    monkeypatch.setenv("COLUMNS", "20")
    for name in ("::error::x", "a long name, folded ::error::x", "##vso[task]", "##teamcity[x]"):
        show_campaigns(Records([Campaign(name=name)], total=1), as_json=False)
        assert not re.search(r"::|##", capsys.readouterr().out)


def test_name_is_not_changed_outside_a_ci_system(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("CI", "TF_BUILD", "TEAMCITY_VERSION"):
        monkeypatch.delenv(variable, raising=False)
    assert text("::a##").plain == "::a##"


def test_console_raises_broken_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr("sys.stdout", Closed())
    with pytest.raises(BrokenPipeError):
        Console().print("x")
