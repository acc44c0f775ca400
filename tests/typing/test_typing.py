"""The public types, checked by mypy and pyright in strict mode."""

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
GUIDES = [ROOT / "README.md", *sorted((ROOT / "dialler_async").rglob("README.md"))]
PYRIGHT = Path(sys.executable).with_name("basedpyright")


def refused_lines(checker: str, file: Path, directory: Path) -> dict[int, str]:
    """Return the numbers of the refused lines, each with its messages."""
    if checker == "mypy":
        command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--no-error-summary", f"{file}"]
        pattern = r"^.*\.py:(\d+): error: (.*)$"
    else:
        # The blocks of the guides assign names that they don't use.
        unused = {f"reportUnused{kind}": False for kind in ("Variable", "Function")}
        (directory / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "strict", **unused}))
        command = [f"{PYRIGHT}", "--project", f"{directory}", "--pythonpath", sys.executable, f"{file}"]
        pattern = r"^.*\.py:(\d+):\d+ - error: (.*)$"
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    refused: dict[int, str] = {}
    for number, message in re.findall(pattern, done.stdout, re.MULTILINE):
        refused[int(number)] = f"{refused.get(int(number), '')} {message}".strip()
    return refused


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_type_checker_accepts_valid_usage(checker: str, tmp_path: Path) -> None:
    assert refused_lines(checker, HERE / "accepted.py", tmp_path) == {}


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_type_checker_refuses_exactly_the_lines_of_misuse(checker: str, tmp_path: Path) -> None:
    lines = (HERE / "refused.py").read_text().splitlines()
    expected = {number for number, line in enumerate(lines, 1) if line.endswith("# refused")}
    refused = refused_lines(checker, HERE / "refused.py", tmp_path)
    accepted = [lines[number - 1].strip() for number in sorted(expected - set(refused))]
    assert (accepted, {number: refused[number] for number in set(refused) - expected}) == ([], {})


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_type_checker_accepts_the_python_blocks_of_the_guides(checker: str, tmp_path: Path) -> None:
    # All blocks of a guide are in one function, because later blocks use the names of earlier ones.
    source = "from dialler_async import DiallerClient\n"
    for number, guide in enumerate(GUIDES):
        blocks = re.findall(r"^```python\n(.*?)^```$", guide.read_text(), re.MULTILINE | re.DOTALL)
        source += f"\n\nasync def guide_{number}(dialler: DiallerClient) -> None:\n    pass\n"
        source += textwrap.indent("\n".join(blocks), "    ")
    file = tmp_path / "guides.py"
    file.write_text(source)
    lines = source.splitlines()
    refused = refused_lines(checker, file, tmp_path)
    assert [f"{lines[number - 1].strip()}  # {message}" for number, message in sorted(refused.items())] == []


def test_pyright_knows_the_type_of_every_public_name(tmp_path: Path) -> None:
    # pyright uses the `python` on PATH to find the package, but not if it runs in the directory of the package.
    path = os.pathsep.join([f"{PYRIGHT.parent}", os.environ["PATH"]])
    done = subprocess.run(
        [f"{PYRIGHT}", "--verifytypes", "dialler_async", "--ignoreexternal"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        check=False,
    )
    problems = [line.strip() for line in done.stdout.splitlines() if " - error: " in line]
    assert problems == []
    assert "Type completeness score: 100%" in done.stdout
