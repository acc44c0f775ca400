"""The snapshot of the public API in `public_api.txt`. `python tests/behaviour/test_public_api.py` updates it.

The update is refused if the section Unreleased of CHANGELOG.md has not changed since the last update.
"""

import difflib
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import griffe
import pytest

ROOT = Path(__file__).parents[2]
SNAPSHOT = Path(__file__).with_name("public_api.txt")
CHANGELOG = ROOT / "CHANGELOG.md"
MODULES = (
    "dialler_async",
    "dialler_async.audit",
    "dialler_async.config",
    "dialler_async.contrib.aiohttp_web",
    "dialler_async.contrib.fastapi",
    "dialler_async.contrib.opentelemetry",
    "dialler_async.errors",
    "dialler_async.export",
    "dialler_async.fleet",
    "dialler_async.models",
    "dialler_async.observer",
    "dialler_async.pytest_plugin",
    "dialler_async.sandbox",
    "dialler_async.sandbox.faults",
    "dialler_async.store",
    "dialler_async.testing",
)


class MissingChangelogLineError(Exception):
    """Raised if the public API changed but the changelog did not."""


def public_api() -> list[str]:
    """Return a line for each public object, with its signature or type."""
    package = griffe.load("dialler_async", search_paths=[ROOT], allow_inspection=False, resolve_aliases=True)
    lines: set[str] = set()
    for name in MODULES:
        module = package if name == "dialler_async" else package[name.removeprefix("dialler_async.")]
        for member in public_members(module):
            lines.update(describe(module.members[member], f"{name}.{member}"))
    return sorted(lines)


def public_members(module: griffe.Object | griffe.Alias) -> list[str]:
    if module.exports is not None:
        return [str(name) for name in module.exports if name != "__version__"]
    return [name for name, member in module.members.items() if not name.startswith("_") and not member.is_alias]


def describe(member: griffe.Object | griffe.Alias, path: str) -> Iterator[str]:
    """Yield the lines of an object and of its public members."""
    target = member.final_target if isinstance(member, griffe.Alias) else member
    match target:
        case griffe.Function():
            overloads = target.parent.overloads.get(target.name) if target.parent else None
            yield from (signature(overload, path) for overload in overloads or [target])
        case griffe.Attribute():
            annotation = f": {target.annotation}" if target.annotation else ""
            yield f"{path}{annotation}{'' if target.value is None else f' = {target.value}'}"
        case griffe.Class():
            yield f"class {path}({', '.join(map(str, target.bases))})"
            for name, inner in target.members.items():
                if name in ("__init__", "__call__", "__aenter__") or not name.startswith("_"):
                    yield from describe(inner, f"{path}.{name}")


def signature(function: griffe.Function, path: str) -> str:
    returns = f" -> {function.returns}" if function.returns else ""
    return (
        f"{'async ' if 'async' in function.labels else ''}{path}"
        f"({', '.join(map(parameter, function.parameters))}){returns}"
    )


def parameter(declared: griffe.Parameter) -> str:
    stars = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}
    keyword_only = "[keyword] " if declared.kind is griffe.ParameterKind.keyword_only else ""
    annotation = f": {declared.annotation}" if declared.annotation else ""
    default = "" if declared.default is None or declared.kind in stars else f" = {declared.default}"
    return f"{keyword_only}{stars.get(declared.kind, '')}{declared.name}{annotation}{default}"


def unreleased_digest(changelog: str) -> str:
    """Return a digest of the section Unreleased of the changelog."""
    section = changelog.partition("\n## [Unreleased]\n")[2].partition("\n## [")[0]
    return hashlib.sha256(section.encode()).hexdigest()[:16]


def snapshot(api: list[str], changelog: str, old: str) -> str:
    """Return the new content of the snapshot.

    Raises:
        MissingChangelogLineError: the API changed, but the section Unreleased did not.
    """
    head, _, lines = old.partition("\n")
    new = "".join(f"{line}\n" for line in api)
    if lines == new:
        return old
    if head == f"# {unreleased_digest(changelog)}":
        raise MissingChangelogLineError("the public API changed: add a line to the section Unreleased of CHANGELOG.md")
    return f"# {unreleased_digest(changelog)}\n{new}"


def test_public_api_equals_its_snapshot() -> None:
    recorded = SNAPSHOT.read_text().splitlines()[1:]
    changes = [line for line in difflib.unified_diff(recorded, public_api(), n=0, lineterm="") if line[0] in "+-"][2:]
    advice = "add a line to the section Unreleased of CHANGELOG.md, and run python tests/behaviour/test_public_api.py"
    assert not changes, "\n".join([f"the public API changed; {advice}", *changes])


def test_snapshot_update_of_a_changed_api_needs_a_changelog_line() -> None:
    before, after = "\n## [Unreleased]\n- `a`.\n## [1.0.0]\n", "\n## [Unreleased]\n- `a`, `b`.\n## [1.0.0]\n"
    old = snapshot(["a()"], before, "")
    assert snapshot(["a()"], before, old) == old
    with pytest.raises(MissingChangelogLineError):
        snapshot(["a()", "b()"], before, old)
    assert snapshot(["a()", "b()"], after, old).splitlines()[1:] == ["a()", "b()"]


def test_changelog_line_of_an_earlier_release_does_not_allow_an_update() -> None:
    assert unreleased_digest("\n## [Unreleased]\n\n## [1.0.0]\n- `a`.\n") == unreleased_digest(
        "\n## [Unreleased]\n\n## [1.0.0]\n"
    )


if __name__ == "__main__":
    try:
        SNAPSHOT.write_text(
            snapshot(public_api(), CHANGELOG.read_text(), SNAPSHOT.read_text() if SNAPSHOT.exists() else "")
        )
    except MissingChangelogLineError as error:
        sys.exit(str(error))
