"""Fixtures for the tests of the HTML report: parsed pages, and pages in a browser."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from dialler_async import Language
from dialler_async.audit import AuditReport, CampaignSummary, CodeType, Report
from dialler_async.audit.writers.html import write_html

if TYPE_CHECKING:
    from tests.audit.conftest import Reports

OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Page(HTMLParser):
    """A parsed page: its tags, texts and scripts."""

    def __init__(self, report: Report) -> None:
        super().__init__()
        self.source = "".join(write_html(report))
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._texts: list[str] = []
        self.inner: dict[str, str] = {}
        self._within = ""
        self.feed(self.source)
        self.close()
        self.text = "".join(self._texts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._within = tag

    def handle_endtag(self, tag: str) -> None:
        self._within = ""

    def handle_data(self, data: str) -> None:
        self._texts.append(data)
        if self._within in ("style", "script"):
            self.inner[self._within] = self.inner.get(self._within, "") + data


Parse = Callable[[Report], Page]


@pytest.fixture
def parse() -> Parse:
    """Return a function that writes and parses the page of a report."""
    return Page


Summarize = Callable[..., CampaignSummary]


@pytest.fixture
def summary() -> Summarize:
    """Return a function that makes the summary of a campaign with these dates and export keys."""
    return _summary


def _summary(id: int, dt_from: datetime | None, dt_to: datetime | None, **keys: CodeType) -> CampaignSummary:
    return CampaignSummary(
        id=id,
        name=f"Campaign {id}",
        dt_from=dt_from,
        dt_to=dt_to,
        codes=len(keys),
        export_keys=tuple(keys.items()),
        texts=((Language.ENGLISH, len(keys)),),
    )


ReportOf = Callable[..., AuditReport]


@pytest.fixture
def report_of(reports: Reports) -> ReportOf:
    """Return a function that makes a report on campaigns with these summaries, without findings."""
    return lambda *summaries: attrs.evolve(reports.empty(), summaries=summaries, campaign_count=len(summaries))


@pytest.fixture
def page_of(report_of: ReportOf) -> Callable[..., Page]:
    """Return a function that writes and parses the page of a report on campaigns with these summaries."""
    return lambda *summaries: Page(report_of(*summaries))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """Return a browser; skip the test if there is none."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("needs chromium and chromedriver: apt-get install chromium chromium-driver")
    options = ChromeOptions()
    options.binary_location = chromium
    for option in (*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with Chrome(options, Service(driver)) as chrome:
        yield chrome


@pytest.fixture
def opened(browser: Chrome, tmp_path: Path) -> Callable[..., Chrome]:
    """Return a function that opens the page of a report in the browser."""

    def open_report(report: AuditReport, width: int = 1280, media: str = "screen", scheme: str = "light") -> Chrome:
        file = tmp_path / "report.html"
        file.write_text("".join(write_html(report)), encoding="utf-8")
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
        for log in ("browser", "performance"):
            browser.get_log(log)
        browser.get(file.as_uri())
        return browser

    return open_report


Shown = Callable[[Chrome, str], int]


@pytest.fixture
def shown() -> Shown:
    """Return a function that counts the visible elements of a selector, wherever they are on the page."""
    return _shown


def _shown(page: Chrome, selector: str) -> int:
    return int(
        page.execute_script(
            "return [...document.querySelectorAll(arguments[0])].filter("
            "(one) => one.checkVisibility() && getComputedStyle(one).display !== 'none').length",
            selector,
        )
    )
