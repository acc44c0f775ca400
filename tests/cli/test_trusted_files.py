"""Settings and rule modules that another user may have written are refused, and their code does not run."""

from __future__ import annotations

import os
import py_compile
import sys
from collections.abc import Callable
from importlib.util import cache_from_source
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dialler_async import ConfigurationError
from dialler_async._text.trusted_files import require_trusted
from dialler_async.audit import load_rules
from dialler_async.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.cli.conftest import Run

pytestmark = pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs POSIX owners and modes")

GiveAway = Callable[[Path], None]


@pytest.fixture
def give_away(monkeypatch: pytest.MonkeyPatch) -> GiveAway:
    """Return a function that makes a file belong to another user."""

    def give(path: Path) -> None:
        if os.getuid() == 0:
            os.chown(path, 12_345, -1)
        else:
            another = os.getuid() + 1
            monkeypatch.setattr(os, "getuid", lambda: another)

    return give


@pytest.fixture
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the parent of the current directory."""
    directory = tmp_path / "shared"
    (directory / "here").mkdir(parents=True)
    directory.chmod(0o755)
    monkeypatch.chdir(directory / "here")
    return directory


def write(path: Path, content: str) -> Path:
    path.write_text(content)
    path.chmod(0o644)
    return path


WriteModule = Callable[[Path], Path]


@pytest.fixture
def write_hostile_module(own_rule: str) -> WriteModule:
    """Return a function that writes a rule module, which creates a file when it runs."""
    return lambda path: write(path, f"open({str(path.with_suffix('.result'))!r}, 'w').close()\n{own_rule}")


SETTINGS = ("[audit]\nselect = ['expired']\n", "[tool.dialler.audit]\nselect = ['expired']\n")


@pytest.mark.parametrize(("name", "content"), [("dialler.toml", SETTINGS[0]), ("pyproject.toml", SETTINGS[1])])
def test_settings_of_another_user_are_refused(
    run: Run, sandbox: Sandbox, parent: Path, give_away: GiveAway, name: str, content: str
) -> None:
    give_away(write(parent / name, content))
    result = run("audit")
    assert (result.exit, result.out, result.err.count("\n")) == (2, "", 1)
    assert result.err.startswith(f"dialler: {parent / name} is not used: it belongs to another user")
    assert "chown" in result.err
    assert sandbox.journal == []


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_settings_that_other_users_can_write_are_refused(run: Run, sandbox: Sandbox, parent: Path, mode: int) -> None:
    write(parent / "dialler.toml", SETTINGS[0]).chmod(mode)
    result = run("audit")
    assert (result.exit, sandbox.journal) == (2, [])
    assert "other users can write it" in result.err
    assert f"run chmod go-w {parent / 'dialler.toml'}; otherwise remove it" in result.err


def test_config_option_refuses_settings_that_other_users_can_write(run: Run, sandbox: Sandbox, parent: Path) -> None:
    write(parent / "other.toml", SETTINGS[0]).chmod(0o666)
    assert "is not used" in run("audit", "--config", "../other.toml").err


@pytest.mark.parametrize(("mode", "exit"), [(0o777, 2), (0o1777, 0), (0o775, 0)])
def test_settings_in_a_directory_are_refused_if_other_users_can_write_it(
    run: Run, sandbox: Sandbox, parent: Path, mode: int, exit: int
) -> None:
    write(parent / "dialler.toml", SETTINGS[0])
    parent.chmod(mode)
    result = run("audit")
    assert result.exit == exit
    assert ("other users can write its directory" in result.err) == (exit == 2)


def test_settings_in_a_directory_of_another_user_are_refused(
    run: Run, sandbox: Sandbox, parent: Path, give_away: GiveAway
) -> None:
    write(parent / "dialler.toml", SETTINGS[0])
    give_away(parent)
    assert "belongs to another user" in run("audit").err


def test_project_file_of_another_user_without_settings_is_ignored(
    run: Run, sandbox: Sandbox, parent: Path, give_away: GiveAway
) -> None:
    give_away(write(parent / "pyproject.toml", "[project]\nname = 'x'\n"))
    assert run("audit").exit == 0


def test_settings_of_root_are_accepted_for_other_users(parent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(parent / "dialler.toml", SETTINGS[0])
    original_stat = Path.stat

    def owned_by_root(path: Path, **options: bool) -> os.stat_result:
        status = list(original_stat(path, **options))
        status[4] = 0
        return os.stat_result(status)

    monkeypatch.setattr(Path, "stat", owned_by_root)
    monkeypatch.setattr(os, "getuid", lambda: 4321)
    require_trusted(path)
    monkeypatch.undo()
    assert path.exists()


@pytest.mark.parametrize("problem", ["owner", "mode"])
def test_rule_module_that_another_user_may_have_written_does_not_run(
    run: Run, sandbox: Sandbox, parent: Path, give_away: GiveAway, problem: str, write_hostile_module: WriteModule
) -> None:
    module = f"evil_{problem}"
    write(parent / "dialler.toml", f"[audit]\nrules = ['{module}:twin']\n")
    file = write_hostile_module(parent / f"{module}.py")
    if problem == "owner":
        give_away(file)
    else:
        file.chmod(0o666)
    result = run("audit")
    assert (result.exit, result.out, sandbox.journal) == (2, "", [])
    assert "is not used" in result.err
    assert not file.with_suffix(".result").exists()


def test_rule_module_of_the_rules_option_is_refused_if_other_users_can_write_it(
    parent: Path, write_hostile_module: WriteModule
) -> None:
    file = write_hostile_module(parent / "evil_option.py")
    file.chmod(0o666)
    with pytest.raises(ConfigurationError, match="other users can write it"):
        load_rules(["evil_option:twin"], parent)
    assert not file.with_suffix(".result").exists()


def test_rule_file_and_what_it_imports_are_refused_if_other_users_can_write_them(
    parent: Path, own_rule: str, write_hostile_module: WriteModule
) -> None:
    file = write_hostile_module(parent / "evil_file.py")
    file.chmod(0o666)
    write(parent / "imports_file.py", f"import evil_file\n{own_rule}")
    for reference in ("evil_file.py:twin", "imports_file.py:twin", f"{file}:twin"):
        with pytest.raises(ConfigurationError, match=r"evil_file\.py is not used"):
            load_rules([reference], parent)
    assert not file.with_suffix(".result").exists()


def test_bytecode_of_a_rule_file_that_other_users_can_write_does_not_run(parent: Path, own_rule: str) -> None:
    file = write(parent / "file_with_bytecode.py", own_rule)
    bytecode = Path(cache_from_source(str(file)))
    py_compile.compile(str(file), cfile=str(bytecode))
    bytecode.chmod(0o666)
    with pytest.raises(ConfigurationError, match=r"file_with_bytecode.*pyc is not used"):
        load_rules(["file_with_bytecode.py:twin"], parent)


def test_module_imported_by_a_rule_module_is_refused_if_other_users_can_write_it(
    parent: Path, own_rule: str, write_hostile_module: WriteModule
) -> None:
    file = write_hostile_module(parent / "evil_helper.py")
    file.chmod(0o666)
    write(parent / "imports_helper.py", f"import evil_helper\n{own_rule}")
    with pytest.raises(ConfigurationError, match=r"evil_helper\.py is not used"):
        load_rules(["imports_helper:twin"], parent)
    assert not file.with_suffix(".result").exists()


def test_submodule_of_a_rule_package_is_refused_if_other_users_can_write_it(
    parent: Path, write_hostile_module: WriteModule
) -> None:
    (parent / "evil_package").mkdir(mode=0o755)
    write(parent / "evil_package" / "__init__.py", "")
    file = write_hostile_module(parent / "evil_package" / "rules.py")
    file.chmod(0o666)
    with pytest.raises(ConfigurationError, match="other users can write it"):
        load_rules(["evil_package.rules:twin"], parent)
    assert not file.with_suffix(".result").exists()


def test_bytecode_that_other_users_can_write_does_not_run(parent: Path, own_rule: str) -> None:
    file = write(parent / "with_bytecode.py", own_rule)
    bytecode = Path(cache_from_source(str(file)))
    py_compile.compile(str(file), cfile=str(bytecode))
    bytecode.chmod(0o666)
    with pytest.raises(ConfigurationError, match=r"with_bytecode.*pyc is not used"):
        load_rules(["with_bytecode:twin"], parent)
    assert "with_bytecode" not in sys.modules


def test_directory_of_another_user_does_not_shadow_installed_modules(parent: Path, give_away: GiveAway) -> None:
    before = list(sys.path), list(sys.meta_path)
    give_away(parent)
    (rule,) = load_rules(["dialler_async.audit.rules.names:duplicate_name"], parent)
    assert rule.info.id == "duplicate-name"
    assert (sys.path, sys.meta_path) == before


def test_no_file_is_refused_on_systems_without_owners(parent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(parent / "dialler.toml", SETTINGS[0])
    path.chmod(0o666)
    with pytest.raises(ConfigurationError):
        require_trusted(path)
    monkeypatch.delattr(os, "getuid")
    require_trusted(path)
