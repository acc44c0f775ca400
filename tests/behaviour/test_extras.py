"""The message about a missing extra: its command works for the way the package was installed."""

import importlib
import json
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

from dialler_async._extras import needs_extra

EDITABLE = {"url": "file:///src/my%20project", "dir_info": {"editable": True}}
LOCAL = {"url": "file:///src/dialler", "dir_info": {}}
WHEEL = {"url": "file:///wheels/dialler_async-1-py3-none-any.whl", "archive_info": {}}
GIT = {"url": "https://git.example.com/dialler.git", "vcs_info": {"vcs": "git", "commit_id": "a"}}


class Installed:
    """The metadata of an installed package."""

    def __init__(self, origin: dict[str, Any] | None, installer: str) -> None:
        self._files = {"direct_url.json": origin and json.dumps(origin), "INSTALLER": installer}

    def read_text(self, filename: str) -> str | None:
        return self._files[filename]


@pytest.mark.parametrize(
    ("origin", "installer", "command"),
    [
        (EDITABLE, "pip\n", "pip install -e '/src/my project[cli]'"),
        (LOCAL, "pip\n", "pip install '/src/dialler[cli]'"),
        (LOCAL, "uv", "uv pip install '/src/dialler[cli]'"),
        (WHEEL, "pip\n", f"pip install 'dialler-async[cli] @ {WHEEL['url']}'"),
        (GIT, "pip\n", f"pip install 'dialler-async[cli] @ git+{GIT['url']}'"),
        (None, "pip\n", "pip install 'dialler-async[cli]'"),
    ],
    ids=["editable", "folder", "uv", "wheel", "git", "index"],
)
def test_command_repeats_how_the_package_was_installed(
    monkeypatch: pytest.MonkeyPatch, origin: dict[str, Any] | None, installer: str, command: str
) -> None:
    monkeypatch.setattr("importlib.metadata.distribution", lambda name: Installed(origin, installer))
    assert needs_extra("this command", "cli") == f"this command needs the extra “cli”: {command}"


def test_command_names_the_package_if_there_is_no_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.distribution", missing)
    assert needs_extra("x", "otel").endswith("pip install 'dialler-async[otel]'")


def test_command_of_this_installation_names_a_place_with_the_project() -> None:
    place = shlex.split(needs_extra("x", "cli").partition(": ")[2])[-1]
    folder = Path(place.removesuffix("[cli]"))
    assert place.startswith("dialler-async[cli]") or (folder / "pyproject.toml").exists()


@pytest.mark.parametrize(("module", "extra"), [("fastapi", "fastapi"), ("opentelemetry", "otel")])
def test_integration_without_its_extra_names_it(monkeypatch: pytest.MonkeyPatch, module: str, extra: str) -> None:
    name = f"dialler_async.contrib.{module}"
    for loaded in [loaded for loaded in sys.modules if loaded == name or loaded.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModuleNotFoundError, match=f"{name} needs the extra “{extra}”: .*install"):
        importlib.import_module(name)


def test_message_imports_nothing_before_it_is_needed() -> None:
    code = "import sys, dialler_async._extras; print('importlib.metadata' in sys.modules)"
    run = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout.split() == ["False"], run.stderr
