"""The HTML report in a browser: no requests, filters, links and sorting."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select

from dialler_async._text.escaping import escape_unprintable
from dialler_async.audit import RULES, AuditReport
from dialler_async.audit.story import tell

if TYPE_CHECKING:
    from tests.audit.conftest import Reports
    from tests.audit.html.conftest import Shown

pytestmark = pytest.mark.slow

RULES_BY_ID = {rule.info.id: rule.info for rule in RULES}

FINDINGS = ".topic li"

# Addresses of the page itself, and of the browser's own pages.
OWN = ("data:", "chrome:")


def evaluated(page: Chrome, script: str) -> Any:
    return page.execute_script(f"return {script}")


@pytest.mark.parametrize("report", ["hostile", "fleet"], indirect=True)
def test_page_makes_no_requests_and_logs_nothing(report: AuditReport, opened: Callable[..., Chrome]) -> None:
    page = opened(report)
    messages = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    requests = [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]
    assert [url for url in requests if not url.startswith(OWN)] == [page.current_url]
    assert page.get_log("browser") == []


def test_names_are_shown_as_text(opened: Callable[..., Chrome], reports: Reports) -> None:
    page = opened(reports.hostile())
    headings = [element.text for element in page.find_elements(By.CSS_SELECTOR, "h3 bdi")]
    assert sorted(headings) == sorted(" ".join(escape_unprintable(name).split()) for name in reports.names)
    assert evaluated(page, "document.scripts.length") == 1
    assert evaluated(page, "document.querySelectorAll('img, [onmouseover], [onerror]').length") == 0


def test_injected_script_does_not_run(opened: Callable[..., Chrome], reports: Reports) -> None:
    page = opened(reports.hostile())
    page.execute_script(
        "const evil = document.createElement('script'); evil.textContent = 'hit = 1'; document.body.append(evil);"
    )
    assert evaluated(page, "window.hit === undefined")
    assert "Content Security Policy" in page.get_log("browser")[0]["message"]


def choose(page: Chrome, text: str) -> None:
    """Search for a text, and leave the field."""
    field = page.find_element(By.ID, "text")
    field.clear()
    field.send_keys(text, Keys.TAB)


def test_filter_by_rule_severity_and_campaign(opened: Callable[..., Chrome], reports: Reports, shown: Shown) -> None:
    report = reports.real()
    page = opened(report)
    counter = page.find_element(By.ID, "count")
    everything = len(report.findings)
    assert (shown(page, FINDINGS), counter.text) == (everything, f"{everything} findings")
    assert counter.get_attribute("aria-live") == "polite"

    warning = page.find_element(By.CSS_SELECTOR, "input[value=warning]")
    warning.click()
    left = [finding for finding in report.findings if finding.severity != "warning"]
    assert shown(page, FINDINGS) == len(left) < everything
    assert counter.text.startswith(f"{len(left)} of {everything} findings")
    warning.click()

    Select(page.find_element(By.ID, "rule")).select_by_value("expired")
    left = [finding for finding in report.findings if finding.rule == "expired"]
    assert shown(page, FINDINGS) == len(left) < everything
    assert shown(page, "article") == len({finding.campaign_id for finding in left})

    page.find_element(By.CSS_SELECTOR, "button[type=reset]").send_keys(Keys.ENTER)
    page.execute_async_script("setTimeout(arguments[0])")
    assert shown(page, FINDINGS) == everything

    one = report.findings[-1]
    page.find_element(By.ID, "text").send_keys(str(one.campaign_name).upper(), Keys.ENTER)
    assert shown(page, FINDINGS) == sum(finding.campaign_id == one.campaign_id for finding in report.findings)
    assert shown(page, "li.r, li.o, li.a, li.i") <= 1

    page.find_element(By.ID, "text").send_keys("there is no such campaign")
    assert (shown(page, FINDINGS), shown(page, "#none")) == (0, 1)


def test_filter_by_account(opened: Callable[..., Chrome], reports: Reports, shown: Shown) -> None:
    names = ("north", "north-2", "far north", "Müller  & “Söhne”")
    report = reports.fleet(names)
    page = opened(report)
    suggested = evaluated(page, "[...document.getElementById('text').list.options].map((one) => one.value)")
    assert len(suggested) == len(report.accounts)
    field = page.find_element(By.ID, "text")
    for value, name in zip(suggested, names, strict=False):
        field.clear()
        field.send_keys(value)
        assert shown(page, FINDINGS) == sum(report.accounts[name].found.values())
        assert shown(page, ".periods > li") == 1


@pytest.mark.parametrize(
    "query", ["AbortOnNoTelNumberResultCodesID", "no such result code", "dangling-result-code", "#578"]
)
def test_search_covers_messages_subjects_rules_and_ids(
    query: str, opened: Callable[..., Chrome], reports: Reports, shown: Shown
) -> None:
    report = reports.real()
    page = opened(report)
    choose(page, query.upper())
    expected = [
        finding
        for finding in report.findings
        if query in f"#{finding.campaign_id} {finding.rule} {finding.message} {finding.subject}"
    ]
    assert shown(page, FINDINGS) == len(expected) > 0
    # The campaigns of these findings stay in the timeline as well.
    dated = {one.id for one in report.summaries if one.dt_from or one.dt_to}
    assert shown(page, ".periods > li") == len({finding.campaign_id for finding in expected} & dated)


def test_filter_counts_use_singular_and_plural(opened: Callable[..., Chrome], reports: Reports) -> None:
    report = reports.real()
    page = opened(report)
    Select(page.find_element(By.ID, "rule")).select_by_value("expired")
    assert page.find_element(By.ID, "count").text == f"1 of {len(report.findings)} findings, in 1 campaign"


def test_address_keeps_the_filters(opened: Callable[..., Chrome], reports: Reports, shown: Shown) -> None:
    page = opened(reports.real())
    everything = shown(page, FINDINGS)
    choose(page, "campaign 6")
    page.find_element(By.CSS_SELECTOR, "input[value=info]").click()
    page.find_element(By.ID, "differ").click()
    left = shown(page, FINDINGS)
    assert 0 < left < everything
    assert page.current_url.endswith("report.html?text=campaign+6&severity=error%2Cwarning&keys=all")

    page.get(page.current_url)
    assert shown(page, FINDINGS) == left
    assert page.find_element(By.ID, "text").get_attribute("value") == "campaign 6"
    assert not page.find_element(By.ID, "differ").is_selected()

    page.find_element(By.CSS_SELECTOR, "button[type=reset]").click()
    page.execute_async_script("setTimeout(arguments[0], 50)")
    assert shown(page, FINDINGS) == everything
    assert page.current_url.endswith("report.html?keys=all")


@pytest.mark.parametrize("topic", ["new", "gone", "unchecked", "known", "accepted"])
def test_filter_by_state(topic: str, opened: Callable[..., Chrome], reports: Reports, shown: Shown) -> None:
    report = reports.compared()
    page = opened(report)
    findings = {section.topic.name.lower(): list(section.findings) for section in tell(report).sections}
    assert shown(page, FINDINGS) == sum(map(len, findings.values()))
    Select(page.find_element(By.ID, "topic")).select_by_value(topic)
    assert shown(page, FINDINGS) == len(findings[topic]) > 0
    assert shown(page, ".topic") == shown(page, f"#{topic}") == 1
    assert page.current_url.endswith(f"?topic={topic}")


def test_tiles_filter_and_lead_to_their_findings(opened: Callable[..., Chrome], reports: Reports, shown: Shown) -> None:
    page = opened(reports.compared())
    tiles = len(page.find_elements(By.CSS_SELECTOR, ".tiles a"))
    assert tiles == 4 + 2
    for place in range(tiles):
        tile = page.find_elements(By.CSS_SELECTOR, ".tiles a")[place]
        number = int(tile.find_element(By.TAG_NAME, "b").text)
        topic, severity = tile.get_attribute("data-topic"), tile.get_attribute("data-severity")
        page.execute_script("arguments[0].click()", tile)
        page.execute_async_script("setTimeout(arguments[0], 50)")
        assert shown(page, FINDINGS) == number > 0
        assert f"topic={topic}" in page.current_url
        assert ("severity=" in page.current_url) == (severity is not None)


def test_filters_are_folded_on_a_narrow_screen(opened: Callable[..., Chrome], reports: Reports, shown: Shown) -> None:
    page = opened(reports.compared(), width=360)
    assert shown(page, "#filter") == 0
    page.find_element(By.CSS_SELECTOR, ".tiles .new").click()
    page.execute_async_script("setTimeout(arguments[0], 50)")
    assert shown(page, "#filter") == 1
    page.get(page.current_url.partition("#")[0])
    assert shown(page, "#filter") == 1


def test_address_with_unknown_filters_shows_everything(
    opened: Callable[..., Chrome], reports: Reports, shown: Shown
) -> None:
    page = opened(reports.real())
    page.get(f"{page.current_url}?rule=no-such-rule&other=1")
    assert shown(page, FINDINGS) == len(reports.real().findings)
    assert page.get_log("browser") == []


def test_links_of_a_campaign_show_targets_hidden_by_a_filter(
    opened: Callable[..., Chrome], reports: Reports, shown: Shown
) -> None:
    page = opened(reports.real())
    row = page.find_element(By.CSS_SELECTOR, ".periods a")
    target = str(row.get_attribute("href")).partition("#")[2]
    page.find_element(By.CSS_SELECTOR, "input[value=error]").click()
    page.find_element(By.CSS_SELECTOR, "input[value=info]").click()
    assert shown(page, f"#{target}") == 0
    page.execute_script("arguments[0].click()", row)
    assert shown(page, f"#{target}") == 1

    page.execute_script("arguments[0].click()", page.find_element(By.CSS_SELECTOR, "article a[href^='#k']"))
    target = page.current_url.partition("#")[2]
    assert shown(page, f"#{target}") == 1


def test_folded_findings_are_counted_and_open_for_a_link(
    opened: Callable[..., Chrome], reports: Reports, shown: Shown
) -> None:
    one = next(finding for finding in reports.real().findings if finding.rule == "expired")
    summaries = reports.real().summaries
    findings = tuple(attrs.evolve(one, campaign_id=it.id, campaign_name=it.name) for it in summaries)
    page = opened(attrs.evolve(reports.real(), findings=findings))
    assert shown(page, ".topic .kind") == 1
    assert evaluated(page, "document.querySelector('.topic li').checkVisibility()") is False
    choose(page, f"#{summaries[0].id}")
    assert page.find_element(By.CSS_SELECTOR, ".topic .kind summary").text == (
        f"info expired 1 finding: {RULES_BY_ID['expired'].title}"
    )
    page.find_element(By.CSS_SELECTOR, "button[type=reset]").click()
    page.execute_async_script("setTimeout(arguments[0], 50)")
    page.execute_script("arguments[0].click()", page.find_element(By.CSS_SELECTOR, ".periods a"))
    page.execute_async_script("requestAnimationFrame(() => setTimeout(arguments[0], 50))")
    assert evaluated(page, "document.querySelector('.topic .kind').open") is True


def test_tables_are_sorted_by_a_click_on_a_heading(opened: Callable[..., Chrome], reports: Reports) -> None:
    page = opened(reports.fleet(("north", "south", "east")))

    def column(number: int) -> list[str]:
        cells = page.find_elements(By.CSS_SELECTOR, f"#accounts tbody tr > :nth-child({number})")
        return [cell.text for cell in cells]

    before = column(1)
    account, errors = page.find_elements(By.CSS_SELECTOR, "#accounts thead button")[:2]
    account.click()
    assert column(1) == sorted(before) != before
    account.click()
    assert column(1) == sorted(before, reverse=True)
    errors.click()
    numbers = [int(number) for number in column(2)]
    assert numbers == sorted(numbers, reverse=True)
    heads = "[...document.querySelectorAll('#accounts th')].map((one) => one.ariaSort).join()"
    assert evaluated(page, heads).startswith(",descending,")


def test_cut_name_has_a_tooltip(opened: Callable[..., Chrome], reports: Reports) -> None:
    page = opened(reports.real())
    cut, whole = (
        page.execute_script(
            "const name = [...document.querySelectorAll('.periods b')].find("
            f"(one) => one.scrollWidth {comparison} one.clientWidth); name.scrollIntoView();"
            "name.dispatchEvent(new PointerEvent('pointerover', {bubbles: true}));"
            "return [name.title, name.textContent]"
        )
        for comparison in (">", "<=")
    )
    assert cut[0] == cut[1]
    assert whole[0] == ""


def test_matrix_shows_campaigns_that_lack_a_key_or_all(
    opened: Callable[..., Chrome], reports: Reports, shown: Shown
) -> None:
    page = opened(reports.real())
    lacking = shown(page, ".matrix .lacking")
    assert shown(page, ".matrix .rows > li") == lacking > 0
    page.find_element(By.ID, "differ").click()
    assert shown(page, ".matrix .rows > li") == 120


def processor_time(page: Chrome) -> float:
    """Return the processor time of the page's thread in seconds, because other tests run at the same time."""
    metrics = page.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return float({one["name"]: one["value"] for one in metrics}["TaskDuration"])


@pytest.fixture
def measured(opened: Callable[..., Chrome], reports: Reports) -> Iterator[Chrome]:
    """Return a page whose processor time is measured."""
    page = opened(reports.empty())
    page.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
    yield page
    page.execute_cdp_cmd("Performance.disable", {})


def test_page_of_10000_campaigns_takes_less_than_a_second(
    measured: Chrome, opened: Callable[..., Chrome], reports: Reports
) -> None:
    assert 0 < processor_time(opened(reports.large())) < 1


def test_filter_of_10000_campaigns_takes_less_than_half_a_second(
    measured: Chrome, opened: Callable[..., Chrome], reports: Reports, shown: Shown
) -> None:
    page = opened(reports.large())
    before = processor_time(page)
    page.execute_script("""
        const field = document.getElementById("text");
        field.value = "9";
        field.dispatchEvent(new Event("input", {bubbles: true}));
        document.body.getBoundingClientRect();
    """)
    took = processor_time(page) - before
    assert 0 < shown(page, ".periods > li") < 10_000
    assert 0 < took < 0.5
