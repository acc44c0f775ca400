"""Rules of style that the linter can't check."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import dialler_async

PACKAGE = Path(dialler_async.__file__).parent
SECTION = re.compile(r"\s+(Args|Attributes|Raises|Returns|Yields):")


def modules() -> Iterator[tuple[str, str]]:
    """Yield the path and the source of each module of the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield f"{path.relative_to(PACKAGE)}", path.read_text()


def indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def test_imports_inside_the_package_are_relative() -> None:
    absolute = []
    for name, source in modules():
        for node in ast.walk(ast.parse(source)):
            imported = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                imported = [str(node.module)]
            absolute += [f"{name}: {module}" for module in imported if module.split(".")[0] == "dialler_async"]
    assert absolute == []


def test_sections_of_a_docstring_follow_each_other_without_a_blank_line() -> None:
    separated = []
    for name, source in modules():
        lines = source.splitlines()
        for number, line in enumerate(lines):
            if SECTION.fullmatch(line) and not lines[number - 1].strip():
                above = number - 1
                while not lines[above].strip() or indent(lines[above]) > indent(line):
                    above -= 1
                if SECTION.fullmatch(lines[above]):
                    separated.append(f"{name}:{number + 1}")
    assert separated == []


def test_since_says_when_and_because_says_why() -> None:
    texts = [*modules(), *((f"{path}", path.read_text()) for path in PACKAGE.rglob("README.md"))]
    assert [name for name, text in texts if re.search(r",\s+(# )?since\s", text)] == []
