"""`dialler audit`: formats, output files, and errors about them."""

from __future__ import annotations

import codecs
import csv
import errno
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from junitparser import JUnitXml

from dialler_async._text.files import whole_file
from dialler_async.audit import WRITERS, AuditReport
from dialler_async.cli import main

if TYPE_CHECKING:
    from tests.conftest import Command


def audit(*argv: object) -> int:
    return main(["audit", "--sandbox", *map(str, argv)])


@pytest.mark.slow
def test_every_format_is_written_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for format in ("table", *WRITERS):
        assert audit("--format", format, "--output", tmp_path / format) == 0
        shown = capsys.readouterr()
        assert shown.out == ""
        verdict = "account 1 on sandbox: 9 errors, 15 warnings, 4 infos; the worst is an error"
        assert shown.err == f"dialler: wrote {tmp_path / format}: {verdict}\n"
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(("table", *WRITERS))
    assert json.loads((tmp_path / "json").read_text())["campaigns"] == 500
    assert JUnitXml.fromfile(str(tmp_path / "junit")).failures > 0
    assert "By rule" in (tmp_path / "table").read_text()
    assert b"\r\r\n" not in (tmp_path / "csv").read_bytes()


def test_json_option_equals_format_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert audit("--json") == 0
    assert json.loads(capsys.readouterr().out)["schema"] == 2


def test_html_is_written_in_addition_to_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit("--html", tmp_path / "report.html", "--fail-on", "error") == 1
    assert "What next" in capsys.readouterr().out
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")


def refused(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    """Return the one line with which a command is refused before any request."""
    assert main(["audit", "--base-url", "http://127.0.0.1:1/rest/v1.0/1", *map(str, argv)]) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    return shown.err


def test_output_to_a_dash_is_stdout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert audit("--format", "json", "--output", "-") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["campaigns"] == 500
    assert shown.err == ""
    assert list(tmp_path.iterdir()) == []


def test_option_as_the_output_file_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--output needs a file, not the option --json" in refused(capsys, "--output", "--json")


@pytest.mark.parametrize("option", ["--output", "--html"])
def test_output_file_without_permission_is_refused_before_any_request(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("dialler_async._text.files.mkstemp", denied)
    assert f"report: {os.strerror(errno.EACCES)}" in refused(capsys, option, tmp_path / "report")


class TestOneOutputFails:
    @pytest.fixture(
        params=[OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), RuntimeError("a bug")], ids=["full", "bug"]
    )
    def broken_html(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
        def write_html(report: AuditReport) -> Iterator[str]:
            yield "half"
            raise request.param

        monkeypatch.setattr("dialler_async.audit.writers.html.write_html", write_html)
        return os.strerror(errno.ENOSPC) if isinstance(request.param, OSError) else "RuntimeError: a bug"

    def test_other_output_is_written_when_one_fails(
        self, broken_html: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        html = tmp_path / "report.html"
        html.write_text("before")
        assert audit("--json", "--output", tmp_path / "report.json", "--html", html) == 5
        assert json.loads((tmp_path / "report.json").read_text())["campaigns"] == 500
        assert html.read_text() == "before"
        assert len(list(tmp_path.iterdir())) == 2
        wrote, failed = capsys.readouterr().err.splitlines()
        assert wrote.startswith(f"dialler: wrote {tmp_path / 'report.json'}: ")
        assert failed == f"dialler: can't write {html}: {broken_html}"

    def test_table_is_printed_when_a_file_can_not_be_written(
        self, broken_html: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert audit("--html", tmp_path / "report.html") == 5
        assert "What next" in capsys.readouterr().out

    def test_files_are_written_even_if_stdout_is_full(self, tmp_path: Path, command: Command) -> None:
        argv = [*command.argv, "audit", "--sandbox", "--html", str(tmp_path / "report.html")]
        with Path("/dev/full").open("w") as full:
            ran = subprocess.run(
                argv, env=command.environment(), stdout=full, stderr=subprocess.PIPE, text=True, check=False
            )
        assert (ran.returncode, "can't write to stdout" in ran.stderr) == (5, True)
        assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")


def test_failed_audit_leaves_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = tmp_path / "old"
    old.write_text("before")
    command = ["audit", "--base-url", "http://127.0.0.1:1/rest/v1.0/1", "--attempts", "1"]
    assert main([*command, "--output", str(old), "--html", str(tmp_path / "new")]) == 4
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("old", "before")]


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIALLER_TOKEN", "a-token")


@pytest.mark.parametrize("option", ["--output", "--html"])
def test_output_to_a_directory_or_a_missing_directory_is_refused(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "there is no such directory" in refused(capsys, option, tmp_path / "none" / "report")
    assert "it is a directory" in refused(capsys, option, tmp_path)


class TestSameFile:
    """Two names of one file are recognised."""

    @pytest.fixture
    def linked(self, tmp_path: Path) -> Path:
        """Return a symbolic link to `report`, which exists."""
        (tmp_path / "report").write_text("before")
        (tmp_path / "linked").symlink_to("report")
        return tmp_path / "linked"

    @pytest.mark.parametrize("other", ["report", "../{}/report", "linked"])
    def test_output_and_html_by_two_names_are_refused(
        self, other: str, linked: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        same = linked.parent / other.format(linked.parent.name)
        error = refused(capsys, "--output", linked, "--html", same)
        assert "--output and --html name the same file" in error
        assert linked.read_text() == "before"

    @pytest.mark.parametrize("option", ["--output", "--html"])
    def test_report_that_is_no_baseline_does_not_replace_the_baseline(
        self, option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        baseline = tmp_path / "baseline.json"
        assert audit("--format", "json", "--output", baseline) == 0
        before = baseline.read_bytes()
        capsys.readouterr()
        assert audit("--baseline", baseline, option, tmp_path / ".." / tmp_path.name / "baseline.json") == 2
        assert "only --format json may replace it" in capsys.readouterr().err
        assert baseline.read_bytes() == before

    def test_json_report_replaces_its_baseline(self, tmp_path: Path) -> None:
        baseline = tmp_path / "baseline.json"
        assert audit("--format", "json", "--output", baseline) == 0
        assert audit("--format", "json", "--output", baseline, "--baseline", baseline) == 0
        assert json.loads(baseline.read_text())["comparison"]

    def test_loop_of_links_as_output_is_refused(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "one").symlink_to("two")
        (tmp_path / "two").symlink_to("one")
        assert f"can't write {tmp_path / 'one'}: " in refused(capsys, "--output", tmp_path / "one")
        assert (tmp_path / "one").is_symlink()


def test_csv_for_excel_has_the_cells_of_the_plain_csv(tmp_path: Path) -> None:
    assert audit("--format", "csv", "--output", tmp_path / "plain.csv") == 0
    assert audit("--format", "csv", "--excel", "--output", tmp_path / "excel.csv") == 0
    for_excel = (tmp_path / "excel.csv").read_bytes()
    assert for_excel.startswith(codecs.BOM_UTF16_LE)
    cells = list(csv.reader(for_excel.decode("utf-16").splitlines(), delimiter="\t"))
    assert cells == list(csv.reader((tmp_path / "plain.csv").read_text().splitlines()))


@pytest.mark.parametrize("options", [["--format", "json", "--output", "x"], ["--format", "csv"], []])
def test_excel_without_csv_and_a_file_is_refused(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert "--excel needs --format csv and a file" in refused(capsys, "--excel", *options)


def test_contradicting_formats_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--format csv" in refused(capsys, "--json", "--format", "csv")
    refused(capsys, "--format", "pdf")


@pytest.mark.parametrize("missing", ["jinja2", "svg"])
def test_html_without_the_extra_is_refused(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("dialler_async.cli.report.find_spec", lambda name: None if name == missing else object())
    assert "the HTML report needs the extra “report”: " in refused(capsys, "--html", "report.html")


def test_report_extra_is_imported_only_for_html(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.split(".")[0] in ("jinja2", "svg") or ".writers.html" in name]:
        monkeypatch.delitem(sys.modules, module)
    assert audit("--output", tmp_path / "table") == 0
    assert not {"jinja2", "svg"} & set(sys.modules)


class TestWholeFile:
    def test_old_content_stays_when_the_with_block_raises(self, tmp_path: Path) -> None:
        file = tmp_path / "report"
        file.write_text("before")
        with suppress(ZeroDivisionError), whole_file(file) as beside:
            beside.write(b"half")
            1 / 0  # noqa: B018  # it fails
        assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]

    def test_output_to_a_symbolic_link_replaces_its_target(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "file")
        with whole_file(tmp_path / "link") as beside:
            beside.write(b"new")
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "file").read_text() == "new"

    def test_output_to_a_device_does_not_replace_the_device(self) -> None:
        with whole_file(Path("/dev/null")) as beside:
            assert beside.name == "/dev/null"
        assert Path("/dev/null").is_char_device()

    def test_temporary_file_is_created_exclusively_under_a_random_name(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened: list[tuple[str, int, int]] = []
        really_open = os.open

        def spy(path: str, flags: int, mode: int = 0o777) -> int:
            opened.append((path, flags, mode))
            return really_open(path, flags, mode)

        monkeypatch.setattr(os, "open", spy)
        for _ in range(2):
            with whole_file(tmp_path / "report") as file:
                file.write(b"new")
        (first, *flags), (second, *_) = opened
        assert first != second
        assert {Path(first).parent, Path(second).parent} == {tmp_path}
        needed = os.O_EXCL | os.O_CREAT | os.O_NOFOLLOW
        assert (flags[0] & needed, flags[1]) == (needed, 0o600)

    @pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
    def test_replaced_file_keeps_its_mode(self, tmp_path: Path, mode: int) -> None:
        report = tmp_path / "report"
        report.write_text("before")
        report.chmod(mode)
        with whole_file(report) as file:
            file.write(b"new")
        assert (report.read_text(), report.stat().st_mode & 0o777) == ("new", mode)

    @pytest.mark.parametrize("options", [["--output"], ["--html"]])
    def test_new_report_can_be_read_by_its_owner_only(self, tmp_path: Path, options: list[str]) -> None:
        assert audit(*options, tmp_path / "report") == 0
        assert (tmp_path / "report").stat().st_mode & 0o777 == 0o600

    def test_link_of_another_user_in_a_public_directory_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "victim").write_text("precious")
        public = tmp_path / "public"
        public.mkdir()
        public.chmod(0o1777)
        (public / "report").symlink_to(tmp_path / "victim")
        owner = os.getuid()
        really_stat = Path.stat

        def stat_as_seen_by_another(path: Path, **options: bool) -> os.stat_result:
            found = list(really_stat(path, **options))
            found[4] = 0 if path == public else found[4]
            return os.stat_result(found)

        monkeypatch.setattr(Path, "stat", stat_as_seen_by_another)
        monkeypatch.setattr(
            Path, "lstat", lambda path: os.stat_result([stat.S_IFLNK, 0, 0, 1, owner + 2, 0, 0, 0, 0, 0])
        )
        with pytest.raises(OSError, match="another user's link"), whole_file(public / "report") as file:
            file.write(b"evil")
        assert (tmp_path / "victim").read_text() == "precious"

    def test_pipe_behind_dev_stdout_is_written_to_directly(self) -> None:
        script = (
            "import sys\nfrom pathlib import Path\nfrom dialler_async._text.files import whole_file\n"
            "with whole_file(Path('/dev/stdout')) as file:\n    file.write(b'through the pipe')\n"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, timeout=60)
        assert done.stdout == b"through the pipe"
