"""`dialler audit`: formats, files, and what is said when they can't be."""

import json
import os
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from junitparser import JUnitXml

from dialler_async._text.files import whole_file
from dialler_async.audit import WRITERS
from dialler_async.cli import main


def audit(*argv: object) -> int:
    return main(["audit", "--sandbox", *map(str, argv)])


@pytest.mark.slow
def test_every_format_goes_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for format in ("table", *WRITERS):
        assert audit("--format", format, "--output", tmp_path / format) == 0
    assert capsys.readouterr().out == ""
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(("table", *WRITERS))
    assert json.loads((tmp_path / "json").read_text())["campaigns"] == 500
    assert JUnitXml.fromfile(str(tmp_path / "junit")).failures > 0
    assert "By rule" in (tmp_path / "table").read_text()
    assert b"\r\r\n" not in (tmp_path / "csv").read_bytes()


def test_json_is_short_for_its_format(capsys: pytest.CaptureFixture[str]) -> None:
    assert audit("--json") == 0
    assert json.loads(capsys.readouterr().out)["schema"] == 1


def test_html_besides_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit("--html", tmp_path / "report.html", "--fail-on", "error") == 1
    assert "By rule" in capsys.readouterr().out
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")


def refused(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    """The one line that such a command is refused with, before anything is fetched."""
    assert main(["audit", "--base-url", "http://127.0.0.1:1/rest/v1.0/1", *map(str, argv)]) == 2
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    return told.err


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIALLER_TOKEN", "a-token")


@pytest.mark.parametrize("option", ["--output", "--html"])
def test_a_place_where_nothing_can_be_written(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no such directory" in refused(capsys, option, tmp_path / "none" / "report")
    assert "it is a directory" in refused(capsys, option, tmp_path)


def test_formats_that_contradict_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--format csv" in refused(capsys, "--json", "--format", "csv")
    refused(capsys, "--format", "pdf")


@pytest.mark.parametrize("missing", ["jinja2", "svg"])
def test_without_the_extra(missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("dialler_async.cli.report.find_spec", lambda name: None if name == missing else object())
    assert "pip install 'dialler-async[report]'" in refused(capsys, "--html", "report.html")


def test_the_extra_is_loaded_only_when_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.split(".")[0] in ("jinja2", "svg") or ".writers.html" in name]:
        monkeypatch.delitem(sys.modules, module)
    assert audit("--output", tmp_path / "table") == 0
    assert not {"jinja2", "svg"} & set(sys.modules)


class TestWholeFile:
    def test_what_was_there_stays_when_the_body_fails(self, tmp_path: Path) -> None:
        file = tmp_path / "report"
        file.write_text("before")
        with suppress(ZeroDivisionError), whole_file(file) as beside:
            beside.write(b"half")
            1 / 0  # noqa: B018  # it fails
        assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]

    def test_a_link_stays_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "file")
        with whole_file(tmp_path / "link") as beside:
            beside.write(b"new")
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "file").read_text() == "new"

    def test_what_is_no_file_is_not_replaced(self) -> None:
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
        with pytest.raises(OSError, match="link of another user"), whole_file(public / "report") as file:
            file.write(b"evil")
        assert (tmp_path / "victim").read_text() == "precious"

    def test_pipe_behind_dev_stdout_is_written_to_directly(self) -> None:
        script = (
            "import sys\nfrom pathlib import Path\nfrom dialler_async._text.files import whole_file\n"
            "with whole_file(Path('/dev/stdout')) as file:\n    file.write(b'through the pipe')\n"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, timeout=60)
        assert done.stdout == b"through the pipe"
