"""The API reference, which `.ci/reference` builds from the docstrings and guides."""

import importlib
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

import dialler_async
from dialler_async import contrib

pytestmark = pytest.mark.slow

ROOT = Path(dialler_async.__file__).parents[1]
GUIDES = {
    "audit": "audit",
    "cli": "cli",
    "config": "",
    "contrib": "contrib",
    "fleet": "fleet",
    "sandbox": "sandbox",
}
"""The modules whose pages include a guide, and the folder of each guide in the package."""

WITHOUT_PAGE = {"campaigns", "client", "result_codes", "version", "__main__"}
"""Modules whose names are all documented on the page of the package, and a program."""


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the reference as its readers do. A warning of pdoc fails the build."""
    directory = tmp_path_factory.mktemp("reference")
    done = subprocess.run(
        [f"{ROOT}/.ci/reference", f"{directory}"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHON": sys.executable},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return directory


def public_modules() -> Iterator[str]:
    yield "dialler_async"
    for package in (dialler_async, contrib):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            name = module.name.rpartition(".")[2]
            if not name.startswith("_") and name not in WITHOUT_PAGE:
                yield module.name


def test_every_public_module_has_a_page_with_its_public_names(reference: Path) -> None:
    missing = []
    for name in public_modules():
        page = (reference / f"{name.replace('.', '/')}.html").read_text()
        names = getattr(importlib.import_module(name), "__all__", ())
        missing += [f"{name}.{one}" for one in names if one != "__version__" and f'id="{one}"' not in page]
    assert missing == []


@pytest.mark.parametrize("module", GUIDES)
def test_page_of_a_module_includes_its_guide(module: str, reference: Path) -> None:
    guide = (ROOT / "dialler_async" / GUIDES[module] / "README.md").read_text()
    text = re.sub(r"^```.*?^```$", "", guide, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    assert headings
    page = (reference / "dialler_async" / f"{module}.html").read_text()
    shown = [unescape(re.sub(r"<[^>]+>", "", heading)) for heading in re.findall(r"<h\d[^>]*>(.*?)</h\d>", page)]
    assert set(headings) - set(shown) == set()
    docstring = importlib.import_module(f"dialler_async.{module}").__doc__
    assert docstring is not None
    assert f"dialler_async/{GUIDES[module]}/README.md".replace("//", "/") in docstring


def test_links_between_guides_lead_to_pages_of_the_reference(reference: Path) -> None:
    for page in reference.rglob("*.html"):
        links = re.findall(r'href="([^"#:]+)[#"]', page.read_text().partition("<script>")[0])
        assert links or page.name == "index.html"
        assert [link for link in links if not page.parent.joinpath(link).exists()] == [], page


def test_every_guide_is_included_in_the_reference() -> None:
    guides = {path.parent.name for path in (ROOT / "dialler_async").rglob("README.md")}
    assert guides == {folder or "dialler_async" for folder in GUIDES.values()}
