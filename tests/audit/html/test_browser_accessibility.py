"""The HTML report in a browser: small screens, the dark scheme, print, the keyboard and screen readers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By

from dialler_async.audit import Acceptance, AuditReport
from dialler_async.audit.story import tell

if TYPE_CHECKING:
    from tests.audit.conftest import Reports
    from tests.audit.html.conftest import Shown

pytestmark = pytest.mark.slow

NODE_MODULES = Path(__file__).parents[3] / ".ci" / "node_modules"
AXE = NODE_MODULES / "axe-core" / "axe.min.js"


def evaluated(page: Chrome, script: str) -> Any:
    return page.execute_script(f"return {script}")


@pytest.mark.skipif(not AXE.exists(), reason="needs axe-core: npm install --prefix .ci")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_axe_finds_no_accessibility_violations(
    report: AuditReport, width: int, scheme: str, opened: Callable[..., Chrome]
) -> None:
    page = opened(report, width=width, scheme=scheme)
    page.execute_script("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    page.execute_script(AXE.read_text(encoding="utf-8"))
    found = page.execute_async_script("axe.run().then(arguments[0])")
    assert [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == []
    assert len(found["passes"]) > 20


@pytest.mark.parametrize("report", ["hostile", "real", "fleet"], indirect=True)
def test_narrow_page_does_not_scroll_sideways(report: AuditReport, opened: Callable[..., Chrome]) -> None:
    page = opened(report, width=360)
    page.execute_script("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert evaluated(page, "document.documentElement.scrollWidth") == 360


def test_dark_scheme_has_a_dark_background(opened: Callable[..., Chrome], reports: Reports) -> None:
    grounds = set()
    for scheme in ("light", "dark"):
        page = opened(reports.hostile(), scheme=scheme)
        colour = evaluated(page, "getComputedStyle(document.body).backgroundColor")
        grounds.add(sum(map(int, re.findall(r"\d+", colour))) > 3 * 128)
    assert grounds == {True, False}


def test_print_has_all_findings_and_no_controls(opened: Callable[..., Chrome], reports: Reports, shown: Shown) -> None:
    report = reports.real()
    page = opened(report, media="print")
    assert shown(page, ".topic li") == len(report.findings)
    assert shown(page, ".periods > li") == 60
    assert shown(page, "input, select, form button, .meaning summary") == 0
    assert evaluated(page, "getComputedStyle(document.querySelector('.scroll')).overflow") == "visible"


@pytest.mark.parametrize("media", ["screen", "print"])
def test_gone_unchecked_and_accepted_findings_are_in_sight(
    media: str, opened: Callable[..., Chrome], reports: Reports, shown: Shown
) -> None:
    report = reports.compared()
    sections = {section.topic.name.lower(): list(section.findings) for section in tell(report).sections}
    page = opened(report, media=media)
    for topic in ("gone", "unchecked", "accepted"):
        assert shown(page, f"#{topic} li") == len(sections[topic]) > 0


def test_long_list_of_accepted_findings_is_folded_on_screen_and_printed(
    opened: Callable[..., Chrome], reports: Reports, shown: Shown
) -> None:
    accepted = tuple(
        attrs.evolve(found, acceptance=Acceptance(reason="known")) for found in reports.real().findings[:21]
    )
    report = attrs.evolve(reports.empty(), accepted=accepted)
    assert shown(opened(report), "#accepted li") == 0
    assert shown(opened(report, media="print"), "#accepted li") == 21


def test_keyboard_reaches_every_control(opened: Callable[..., Chrome], reports: Reports) -> None:
    page = opened(reports.real())
    page.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    assert page.switch_to.active_element.text == "Skip to the findings"
    assert evaluated(page, "getComputedStyle(document.activeElement).outlineStyle") == "solid"
    reached = set()
    for _ in range(120):
        page.switch_to.active_element.send_keys(Keys.TAB)
        element = page.switch_to.active_element
        reached.add(element.get_attribute("id") or element.get_attribute("role") or element.tag_name)
    assert {"text", "rule", "button", "region", "summary", "differ"} <= reached


@pytest.mark.parametrize(("report", "field"), [("real", "searchbox"), ("fleet", "combobox")], indirect=["report"])
def test_controls_have_accessible_names(report: AuditReport, field: str, opened: Callable[..., Chrome]) -> None:
    page = opened(report)
    tree = page.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    named: dict[str, list[str]] = {}
    for node in tree:
        if not node.get("ignored"):
            named.setdefault(node["role"]["value"], []).append(node.get("name", {}).get("value", ""))
    assert {"banner", "navigation", "main", "contentinfo", "search", "status"} <= set(named)
    for role in ("region", "search", "navigation", field, "combobox", "checkbox", "button", "link", "heading"):
        assert named[role], role
        assert all(named[role]), role
