"""The commands, run in this process against a server in a thread."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import socket
import sys
from collections.abc import Awaitable
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dialler_async import DiallerClient, ResultCodes, ServerError
from dialler_async._extras import needs_extra
from dialler_async.cli import main
from dialler_async.cli.delete import _confirmed
from dialler_async.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.cli.conftest import Run

TOKEN = "a-secret-that-nobody-may-see"


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def type_line(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(line))


class TestReading:
    def test_list_prints_one_campaign_per_line(self, run: Run, sandbox: Sandbox) -> None:
        result = run("campaigns", "list")
        assert [line.split()[:2] for line in result.out.splitlines()] == [
            ["ID", "Name"],
            ["1", "Spring"],
            ["2", "Spring"],
            ["3", "Twin"],
            ["4", "Twin"],
        ]
        assert (result.exit, result.err) == (0, "")

    def test_list_json_keeps_every_key(self, run: Run, sandbox: Sandbox) -> None:
        printed = json.loads(run("campaigns", "list", "--json").out)
        assert printed["records"] == list(sandbox.campaigns.values())
        assert printed["count"] == 4
        assert {"filter", "limitStart", "limitPageSize", "orderBy", "ascending"} <= set(printed)

    def test_get_prints_all_keys(self, run: Run, sandbox: Sandbox) -> None:
        assert "Extra  1" in run("campaigns", "get", 4).out
        assert json.loads(run("campaigns", "get", 4, "--json").out) == {"records": [sandbox.campaigns[4]], "count": 1}

    def test_find_prints_matching_campaigns(self, run: Run, sandbox: Sandbox) -> None:
        assert [line.split()[0] for line in run("campaigns", "find", "spring").out.splitlines()] == ["ID", "1", "2"]
        assert json.loads(run("campaigns", "find", "spring", "--json").out)["count"] == 2

    def test_find_without_match_exits_with_0_and_a_notice(self, run: Run, sandbox: Sandbox) -> None:
        assert run("campaigns", "find", "x\u202e") == (0, "", "dialler: no campaign has “x\\u202e” in its name\n")
        result = run("campaigns", "find", "x", "--json")
        assert (result.exit, json.loads(result.out)) == (0, {"records": [], "count": 0})

    def test_text_after_two_dashes_is_not_an_option(self, run: Run, sandbox: Sandbox) -> None:
        assert run("campaigns", "find", "--", "--token").exit == 0
        assert sandbox.journal[-1].query == {"name": "--token"}

    def test_result_codes_are_in_the_chosen_language(self, run: Run, no_settings: None) -> None:
        english = run("result-codes", 665, "--sandbox")
        german = run("result-codes", 665, "--sandbox", "--language", "de")
        assert "Closed" in english.out or "Completed" in english.out
        assert "Abgeschlossen" in german.out
        codes = json.loads(run("result-codes", 665, "--sandbox", "--language", "de", "--json").out)
        assert codes["count"] == len(codes["records"]) > 1
        assert {code["DiallerCampaignsID"] for code in codes["records"]} == {665}


class TestWriting:
    def test_clone_sends_user_data_and_dates(self, run: Run, sandbox: Sandbox) -> None:
        result = run(
            "campaigns", "clone", "Spring", "Monday", "--user-data", "crm", "--from", "2026-03-02", "--to",
            "2026-03-03T10:30:00",
        )  # fmt: skip
        assert result == (0, "cloned: campaign 5 “Monday”\n", "")
        assert json.loads(sandbox.journal[-1].body) == {
            "source": "Spring",
            "destination": "Monday",
            "userData": "crm",
            "dtFrom": "2026-03-02T00:00:00",
            "dtTo": "2026-03-03T10:30:00",
        }

    def test_clone_to_an_existing_name_needs_exist_ok(self, run: Run, sandbox: Sandbox) -> None:
        result = run("campaigns", "clone", "Spring", "Spring 2")
        assert (result.exit, result.out) == (3, "")
        assert result.err.count("\n") == 1
        assert run("campaigns", "clone", "Spring", "Spring 2", "--exist-ok") == (
            0,
            "there is campaign 2 “Spring 2”\n",
            "",
        )

    def test_delete_shows_the_campaign_and_asks_for_confirmation(
        self, run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        type_line(monkeypatch, "y\n")
        result = run("campaigns", "delete", 1)
        assert result == (
            0,
            "deleted campaign 1 “Spring”\n",
            "dialler: going to delete campaign 1 “Spring” with its 0 result codes "
            "and all other related data permanently\n"
            "Delete it? [y/N] ",
        )
        assert set(sandbox.campaigns) == {2, 3, 4}

    @pytest.mark.parametrize("line", ["n\n", "\n", "", "yesterday\n"])
    def test_delete_without_yes_as_confirmation_deletes_nothing(
        self, run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, line: str
    ) -> None:
        type_line(monkeypatch, line)
        result = run("campaigns", "delete", 1)
        assert (result.exit, result.out) == (130, "")
        assert result.err.endswith("dialler: nothing was deleted\n")
        assert 1 in sandbox.campaigns

    def test_ctrl_c_at_the_confirmation_deletes_nothing(
        self, run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lines_after_interrupt: list[str] = []

        class Interrupted(Terminal):
            def readline(self, *_: object) -> str:
                signal.raise_signal(signal.SIGINT)
                lines_after_interrupt.append("read a line after Ctrl-C")
                return ""

        monkeypatch.setattr("sys.stdin", Interrupted())
        assert run("campaigns", "delete", 1).exit == 130
        assert lines_after_interrupt == []
        assert 1 in sandbox.campaigns

    def test_confirmation_restores_the_signal_handler(self, monkeypatch: pytest.MonkeyPatch) -> None:
        type_line(monkeypatch, "y\n")
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            assert _confirmed()
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        finally:
            signal.signal(signal.SIGINT, before)

    @pytest.mark.parametrize(("options", "exit"), [([], 3), (["--missing-ok"], 0)])
    def test_delete_of_a_campaign_deleted_before_confirmation_needs_missing_ok(
        self, run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, options: list[str], exit: int
    ) -> None:
        class DeletesBeforeConfirming(Terminal):
            def readline(self, *_: object) -> str:
                sandbox.remove(1)
                return "yes\n"

        monkeypatch.setattr("sys.stdin", DeletesBeforeConfirming())
        assert run("campaigns", "delete", 1, *options).exit == exit

    def test_delete_by_name_deletes_the_exact_name_only(self, run: Run, sandbox: Sandbox) -> None:
        assert run("campaigns", "delete", "--name", "Spring", "--yes").exit == 0
        assert set(sandbox.campaigns) == {2, 3, 4}
        # The command deletes by ID, because the API doesn't document which campaign a deletion by name deletes.
        assert sandbox.journal[-1].method == "DELETE"
        assert sandbox.journal[-1].query == {}

    def test_delete_by_ambiguous_name_deletes_nothing(self, run: Run, sandbox: Sandbox) -> None:
        result = run("campaigns", "delete", "--name", "Twin", "--yes")
        assert (result.exit, result.out, result.err.count("\n")) == (3, "", 1)
        assert len(sandbox.campaigns) == 4

    @pytest.mark.parametrize(
        ("which", "message"), [(["99"], "no campaign 99"), (["--name", "Spr"], "no campaign “Spr”")], ids=["ID", "name"]
    )
    def test_delete_of_a_missing_campaign_needs_missing_ok(
        self, run: Run, sandbox: Sandbox, which: list[str], message: str
    ) -> None:
        result = run("campaigns", "delete", *which, "--yes")
        assert (result.exit, result.out, result.err.count("\n")) == (3, "", 1)
        result = run("campaigns", "delete", *which, "--yes", "--missing-ok")
        assert result == (0, "", f"dialler: nothing to delete: there is {message}\n")

    def test_delete_works_if_the_lookup_of_codes_fails(
        self, run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def fail(*_: object, **__: object) -> None:
            raise ServerError("500")

        monkeypatch.setattr(ResultCodes, "list", fail)
        result = run("campaigns", "delete", 1, "--yes")
        assert result.exit == 0
        assert "with its result codes and" in result.err
        assert 1 not in sandbox.campaigns

    def test_delete_of_a_record_without_id_uses_the_given_id(self, run: Run, sandbox: Sandbox) -> None:
        sandbox.change(1, ID=None)
        assert run("campaigns", "delete", "--name", "Spring", "--yes").exit == 2
        assert 1 in sandbox.campaigns
        assert run("campaigns", "delete", 1, "--yes").out == "deleted campaign 1 “Spring”\n"
        assert 1 not in sandbox.campaigns

    def test_delete_without_terminal_needs_yes_option(
        self, run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sys.stdin", StringIO("y\n"))
        assert run("campaigns", "delete", 1) == (
            2,
            "",
            "dialler: can't ask for confirmation, because stdin is not a terminal: "
            "give --yes to delete without confirmation\n",
        )
        assert sandbox.journal == []

    @pytest.mark.parametrize("which", [[], ["1", "--name", "Spring"]])
    def test_delete_needs_either_id_or_name(self, run: Run, sandbox: Sandbox, which: list[str]) -> None:
        assert run("campaigns", "delete", *which, "--yes") == (
            2,
            "",
            "dialler: give either the ID of the campaign or --name\n",
        )
        assert len(sandbox.campaigns) == 4

    def test_undecodable_answer_prints_one_line(
        self, run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stdin = TextIOWrapper(BytesIO(b"\xff\n"), encoding="utf-8")
        monkeypatch.setattr(stdin, "isatty", lambda: True)
        monkeypatch.setattr("sys.stdin", stdin)
        result = run("campaigns", "delete", "1")
        assert result.exit == 2
        assert result.err.endswith("the answer is not text in utf-8\n")
        assert 1 in sandbox.campaigns


class TestAudit:
    def test_audit_of_the_sandbox_prints_findings_at_80_columns(self, run: Run, no_settings: None) -> None:
        result = run("audit", "--sandbox", "--unfold")
        assert (result.exit, result.err) == (0, "")
        assert "\x1b" not in result.out
        assert max(map(len, result.out.splitlines())) <= 80
        for rule in ("dangling-result-code", "missing-translation", "duplicate-export-key", "contradictory-type"):
            assert f"  {rule}" in result.out
        *_, totals, verdict = result.out.splitlines()
        assert "500 campaigns" in totals
        assert "1,001 requests in " in totals
        assert verdict == result.out.splitlines()[0]

    def test_audit_json_has_findings_and_totals(self, run: Run, sandbox: Sandbox) -> None:
        sandbox.change(1, OwnResultCodesID=5)
        only = ("--select", "dangling-result-code")
        printed = json.loads(run("audit", "--json", "--language", "de", "--concurrency", 1, *only).out)
        assert [finding["rule"] for finding in printed["findings"]] == ["dangling-result-code"]
        assert (printed["campaigns"], printed["lookups"]) == (4, 4)
        assert sandbox.connections.peak == 1

    @pytest.mark.parametrize(("level", "exit"), [("never", 0), ("error", 0), ("warning", 0), ("info", 1)])
    def test_fail_on_exits_with_1_for_findings_of_that_severity(
        self, run: Run, sandbox: Sandbox, level: str, exit: int
    ) -> None:
        sandbox.change(1, dtTo="2020-01-01T00:00:00")
        assert run("audit", "--fail-on", level, "--select", "expired").exit == exit

    def test_fail_on_without_findings_exits_with_0(self, run: Run, sandbox: Sandbox) -> None:
        assert run("audit", "--fail-on", "info", "--select", "expired").exit == 0


class TestSettings:
    def test_options_override_the_environment(
        self, run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("DIALLER_BASE_URL", "http://127.0.0.1:1/rest/v1.0/1")
        monkeypatch.setenv("DIALLER_TOKEN", "wrong")
        file = tmp_path / "token"
        file.write_text(f"{TOKEN}\n")
        assert run("campaigns", "list", "--base-url", sandbox.base_url, "--token-file", file).exit == 0

    def test_wrong_token_exits_with_3_and_is_not_printed(
        self, run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DIALLER_TOKEN", "wrong-but-secret")
        result = run("campaigns", "list")
        assert (result.exit, result.out, result.err.count("\n")) == (3, "", 1)
        assert "401" in result.err
        assert "secret" not in result.err

    @pytest.mark.parametrize(("unset", "message"), [("DIALLER_BASE_URL", "no base URL"), ("DIALLER_TOKEN", "no token")])
    def test_missing_settings_are_usage_errors(
        self, run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, unset: str, message: str
    ) -> None:
        monkeypatch.delenv(unset)
        result = run("campaigns", "list")
        assert (result.exit, result.err.count("\n")) == (2, 1)
        assert result.err.startswith(f"dialler: {message}: set {unset}")

    @pytest.mark.parametrize(
        ("content", "message"),
        [(None, os.strerror(errno.ENOENT)), (b" \n", "is empty"), (b"\xff\xfe", "it is not text")],
    )
    def test_unusable_token_file_is_a_usage_error(
        self, run: Run, sandbox: Sandbox, tmp_path: Path, content: bytes | None, message: str
    ) -> None:
        file = tmp_path / "token"
        if content is not None:
            file.write_bytes(content)
        result = run("campaigns", "list", "--token-file", file)
        assert (result.exit, result.err.count("\n")) == (2, 1)
        assert message in result.err

    def test_sandbox_with_base_url_or_token_is_a_usage_error(self, run: Run, tmp_path: Path) -> None:
        for option in (["--base-url", "http://127.0.0.1:1/rest/v1.0/1"], ["--token-file", str(tmp_path)]):
            result = run("campaigns", "list", "--sandbox", *option)
            assert (result.exit, result.err.count("\n")) == (2, 1)

    def test_invalid_base_url_is_a_usage_error(self, run: Run, sandbox: Sandbox) -> None:
        result = run("campaigns", "list", "--base-url", f"http://{TOKEN}:{TOKEN}@127.0.0.1/rest/v1.0/1")
        assert (result.exit, result.err.count("\n")) == (2, 1)

    def test_token_over_plain_http_warns_in_one_line(self, run: Run, sandbox: Sandbox) -> None:
        result = run("campaigns", "find", "", "--base-url", "http://dialler.invalid/rest/v1.0/1")
        warning, error = result.err.splitlines()
        assert warning.startswith("dialler: warning: ")
        assert ".py" not in warning
        assert (result.exit, error.startswith("dialler: ")) == (2, True)

    @pytest.mark.parametrize("options", [["--token", TOKEN], [f"--token={TOKEN}"]])
    def test_token_as_an_argument_is_refused_and_not_printed(self, run: Run, options: list[str]) -> None:
        result = run("campaigns", "list", *options)
        assert (result.exit, result.out, result.err.count("\n")) == (2, "", 1)
        assert "--token-file" in result.err


class TestExitCodes:
    @pytest.mark.parametrize(
        "argv",
        [
            ["nope"],
            ["campaigns", "nope"],
            ["campaigns", "get"],
            ["campaigns", "get", "x"],
            ["campaigns", "get", "1", "2"],
            ["campaigns", "get", "0", "--sandbox"],
            ["campaigns", "list", "--nope"],
            ["campaigns", "list", "--no-json"],
            ["result-codes", "1", "--language", "fr"],
            ["audit", "--concurrency", "0"],
            ["audit", "--fail-on", "always"],
            ["sandbox", "--port", "65536"],
            ["sandbox", "--campaigns", "-1"],
            ["campaigns", "find", ""],
        ],
        ids=" ".join,
    )
    def test_wrong_arguments_are_usage_errors(self, run: Run, sandbox: Sandbox, argv: list[str]) -> None:
        result = run(*argv)
        assert (result.exit, result.out, result.err.count("\n")) == (2, "", 1)
        assert result.err.startswith("dialler: ")

    def test_refused_requests_exit_with_3(self, run: Run, sandbox: Sandbox) -> None:
        for argv in (["campaigns", "get", 99], ["result-codes", 99], ["campaigns", "clone", "nope", "new"]):
            result = run(*argv)
            assert (result.exit, result.out, result.err.count("\n")) == (3, "", 1)

    def test_invalid_response_exits_with_3(self, run: Run, sandbox: Sandbox) -> None:
        sandbox.change(1, nMaxParallelLines="many")
        result = run("campaigns", "get", 1)
        assert (result.exit, result.out, result.err.count("\n")) == (3, "", 1)
        assert "nMaxParallelLines" in result.err

    def test_refused_connection_exits_with_4(self, run: Run, sandbox: Sandbox) -> None:
        with socket.socket() as not_listening:
            not_listening.bind(("127.0.0.1", 0))
            port = not_listening.getsockname()[1]
            result = run("campaigns", "list", "--base-url", f"http://127.0.0.1:{port}/rest/v1.0/1")
        assert (result.exit, result.out, result.err.count("\n")) == (4, "", 1)

    @pytest.mark.parametrize(
        "argv", [[], ["--help"], ["campaigns"], ["audit", "--help"], ["campaigns", "delete", "-h"]]
    )
    def test_help_lists_the_exit_codes(self, run: Run, argv: list[str]) -> None:
        result = run(*argv)
        assert (result.exit, result.err) == (0, "")
        for line in (
            "0    success",
            "1    there are findings",
            "2    wrong",
            "3    the server refused",
            "4    the server sent no",
        ):
            assert f"  {line}" in result.out

    def test_version_prints_the_version(self, run: Run) -> None:
        import dialler_async

        assert run("--version") == (0, f"{dialler_async.__version__}\n", "")

    def test_ctrl_c_during_a_call_exits_with_130(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        open_client = DiallerClient.__aenter__

        async def interrupt(client: DiallerClient) -> DiallerClient:
            signal.raise_signal(signal.SIGINT)
            return await open_client(client)

        monkeypatch.setattr(DiallerClient, "__aenter__", interrupt)
        monkeypatch.setenv("DIALLER_TOKEN", TOKEN)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            base_url = f"http://127.0.0.1:{silent.getsockname()[1]}/rest/v1.0/1"
            assert run("campaigns", "list", "--base-url", base_url) == (130, "", "")

    def test_closed_pipe_exits_with_141(self, monkeypatch: pytest.MonkeyPatch) -> None:
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "w") as closed_pipe:
            monkeypatch.setattr("sys.stdout", closed_pipe)
            assert main(["--help"]) == 141
            # Later writes, such as at exit, are discarded and don't fail.
            print("more", file=closed_pipe, flush=True)

    def test_stdout_without_file_descriptor_works(self, monkeypatch: pytest.MonkeyPatch) -> None:
        output = StringIO()
        monkeypatch.setattr("sys.stdout", output)
        assert main(["--version"]) == 0
        assert output.getvalue()


def test_main_uses_the_arguments_of_the_process_by_default(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["dialler", "--version"])
    assert main() == 0
    assert capsys.readouterr().out


@pytest.mark.parametrize("missing", ["cyclopts", "rich.console"])
def test_missing_extra_is_a_usage_error_that_names_it(run: Run, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    for module in [name for name in sys.modules if name.startswith(("dialler_async.cli.", "cyclopts", "rich"))]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, missing, None)
    assert run("audit") == (2, "", f"dialler: {needs_extra('this command', 'cli')}\n")


def test_missing_module_of_the_package_itself_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith("dialler_async.cli.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "dialler_async.cli.app", None)
    with pytest.raises(ModuleNotFoundError):
        main(["audit"])


class TestSandboxCommand:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_sandbox_serves_until_a_signal(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
    ) -> None:
        before = signal.getsignal(number)
        wait = asyncio.Event.wait

        def stop_and_wait(event: asyncio.Event) -> Awaitable[bool]:
            signal.raise_signal(number)
            return wait(event)

        monkeypatch.setattr(asyncio.Event, "wait", stop_and_wait)
        result = run("sandbox", "--port", 0, "--campaigns", 1, "--seed", 3)
        base_url, token, key, curl = result.out.splitlines()
        assert (result.exit, result.err) == (0, "")
        assert base_url.startswith("DIALLER_BASE_URL=http://127.0.0.1:")
        assert token == f"DIALLER_TOKEN={Sandbox(campaigns=1, seed=3).token}"
        assert key.startswith("DIALLER_SANDBOX_KEY=")
        assert curl.startswith("curl -H 'Authorization: Bearer ")
        assert signal.getsignal(number) == before

    def test_occupied_port_is_a_usage_error(self, run: Run) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            result = run("sandbox", "--port", port, "--campaigns", 1)
        assert (result.exit, result.out, result.err.count("\n")) == (2, "", 1)
        assert f"can't listen on port {port}" in result.err
