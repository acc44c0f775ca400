"""The HTML report as text: one complete, small file, in which no name can run a script."""

from __future__ import annotations

import base64
import pickle
import re
import shutil
import subprocess
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

from dialler_async import ConfigurationError
from dialler_async._text.escaping import escape_unprintable
from dialler_async.audit import AuditReport, Change, CodeType, Severity, SortKey
from dialler_async.audit.story import tell
from dialler_async.audit.writers.html import TrendPoint, page_name, write_html, write_index

if TYPE_CHECKING:
    from tests.audit.conftest import Reports
    from tests.audit.html.conftest import Parse, ReportOf, Summarize

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)

MEGABYTE = 1_000_000


def test_names_of_campaigns_are_escaped(reports: Reports, parse: Parse) -> None:
    page = parse(reports.hostile())
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert not {tag for tag, _ in page.tags} & {"img", "iframe", "object", "base", "b>a"}
    assert not [key for _, attributes in page.tags for key in attributes if key.startswith("on") or key == "style"]
    for name in reports.names:
        # In the findings as a heading and in the message, in the matrix as a row, a column and a key.
        assert page.text.count(escape_unprintable(name)) >= 4
    page.source.encode()


def test_content_security_policy_allows_only_the_style_and_script_of_the_page(reports: Reports, parse: Parse) -> None:
    page = parse(reports.real())
    (policy,) = [attributes["content"] for tag, attributes in page.tags if "http-equiv" in attributes]
    style, script = (
        base64.b64encode(sha256(page.inner[tag].encode()).digest()).decode() for tag in ("style", "script")
    )
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def test_names_of_accounts_are_escaped(reports: Reports, parse: Parse) -> None:
    report = reports.fleet()
    page = parse(report)
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert not {tag for tag, _ in page.tags} & {"img", "iframe", "object", "base", "b>a"}
    assert not [key for _, attributes in page.tags for key in attributes if key.startswith("on") or key == "style"]
    for name in reports.names:
        # By account, as a heading of two campaigns, and in their rows of timeline and matrix.
        assert page.text.count(escape_unprintable(name)) >= 1 + 2 + 1 + 2
    suggested = [attributes["value"] for tag, attributes in page.tags if tag == "option" and attributes["value"]]
    assert [value for value in suggested if value.startswith("account ")] == [
        f"account {escape_unprintable(' '.join(name.split()))}:" for name in report.accounts
    ]


def test_report_of_one_account_has_no_accounts_section(reports: Reports, parse: Parse) -> None:
    page = parse(reports.hostile())
    assert "accounts" not in page.source
    assert "datalist" not in {tag for tag, _ in page.tags}


def test_same_campaign_in_two_accounts_counts_twice(reports: Reports, summary: Summarize, parse: Parse) -> None:
    one = summary(7, None, NOW, A=CodeType.DONE)
    finding = attrs.evolve(reports.real().findings[0], campaign_id=7, campaign_name=one.name)
    north = attrs.evolve(reports.empty(), campaign_count=1, summaries=(one,), findings=(finding,))
    south = attrs.evolve(north, findings=(attrs.evolve(finding, rule="own-rule"),))
    page = parse(reports.fleet_of({"north": north, "south": south}))
    text = " ".join(page.text.split())
    assert text.count("account north: Campaign 7") == text.count("account south: Campaign 7") == 3
    assert "2 campaigns, 0 without a finding" in text


def test_page_of_a_large_fleet_is_refused_and_that_of_a_large_account_is_not(
    reports: Reports, summary: Summarize, parse: Parse
) -> None:
    summaries = tuple(summary(id, None, NOW) for id in range(10_001))
    whole = attrs.evolve(reports.empty(), summaries=summaries, campaign_count=len(summaries))
    with pytest.raises(ConfigurationError, match="10,001 campaigns of a fleet are too many"):
        write_html(reports.fleet_of({"north": whole}))
    assert len(re.findall(r"<li[^>]*><i>#\d+</i>", parse(whole).source)) == 10_001


@pytest.mark.parametrize("report", ["hostile", "fleet", "empty"], indirect=True)
def test_page_has_no_external_resources(report: AuditReport, parse: Parse) -> None:
    page = parse(report)
    links = [
        value for _, found in page.tags for key, value in found.items() if key in ("src", "href", "srcset", "action")
    ]
    assert [link for link in links if link is None or not link.startswith(("#", "data:,"))] == []
    assert not re.search(r"url\(|@import", page.inner["style"])


@pytest.mark.parametrize("report", ["hostile", "fleet"], indirect=True)
def test_links_have_targets_and_ids_are_unique(report: AuditReport, parse: Parse) -> None:
    tags = parse(report).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = [
        attributes.get(key) for _, attributes in tags for key in ("for", "list", "aria-labelledby") if key in attributes
    ]
    wanted += [attributes["href"][1:] for tag, attributes in tags if tag == "a" and attributes["href"]]
    assert set(wanted) <= set(ids)


def test_page_has_every_finding_without_script(reports: Reports, parse: Parse) -> None:
    report = reports.real()
    page = parse(report)
    assert [tag for tag, _ in page.tags].count("p") > len(report.findings) > 0
    assert all(finding.message in page.text for finding in report.findings)
    (controls,) = [attributes for _, attributes in page.tags if attributes.get("id") == "controls"]
    assert "hidden" in controls


def test_rules_with_findings_are_listed_worst_first(reports: Reports, parse: Parse) -> None:
    report = reports.real()
    report = attrs.evolve(report, rules=(*report.rules[::-1],))
    page = parse(report)
    listed = [attributes["value"] for tag, attributes in page.tags if tag == "option" and attributes.get("value")]
    listed = [value for value in listed if value not in ("found", "known")]
    assert listed == [info.id for info in report.by_rule()]
    severities = {info.id: info.severity.rank for info in report.rules}
    ranks = [severities[id] for id in listed if id is not None]
    assert ranks == sorted(ranks)
    assert len(set(ranks)) == 3


def test_report_without_findings_says_so(reports: Reports, parse: Parse) -> None:
    assert parse(reports.empty()).text.count("Nothing found.") == 1


@pytest.mark.slow
def test_page_of_2000_campaigns_stays_below_its_size_limit(reports: Reports) -> None:
    report = reports.real(2000)
    assert len(report.summaries) == 2000
    assert len(pickle.dumps(report)) < 2 * MEGABYTE
    assert size(report) < 0.5 * MEGABYTE
    # If every campaign had eight findings.
    found = reports.real().findings[0]
    findings = tuple(attrs.evolve(found, campaign_id=one.id, campaign_name=one.name) for one in report.summaries * 8)
    assert (
        size(attrs.evolve(report, findings=tuple(sorted(findings, key=lambda one: one.campaign_id or 0))))
        < 6 * MEGABYTE
    )


@pytest.mark.slow
def test_ten_thousand_campaigns_with_900_findings_take_less_than_one_and_a_half_megabytes(reports: Reports) -> None:
    assert size(reports.large()) < 1.5 * MEGABYTE


class TestFindings:
    def of_rules(self, reports: Reports, *rules: str) -> AuditReport:
        """Return a report with a finding of each rule, each in a different campaign."""
        finding = reports.real().findings[0]
        found = [
            attrs.evolve(finding, campaign_id=id, campaign_name=f"C{id}", rule=rule, severity=SEVERITIES[rule])
            for id, rule in enumerate(rules)
        ]
        report = attrs.evolve(reports.real(), findings=tuple(found), summaries=())
        return report.sorted_by(SortKey.SEVERITY)

    def test_findings_are_ordered_by_severity(self, reports: Reports, parse: Parse) -> None:
        source = parse(self.of_rules(reports, "expired", "no-abort-code", "inverted-dates")).source
        assert re.findall(r"<bdi>(C\d)</bdi>", source) == ["C2", "C1", "C0"]

    def test_findings_of_one_campaign_stay_together(self, reports: Reports, parse: Parse) -> None:
        report = self.of_rules(reports, "expired", "no-abort-code", "inverted-dates")
        first, *others = report.findings
        same = attrs.evolve(others[-1], campaign_id=first.campaign_id, campaign_name=first.campaign_name)
        source = parse(attrs.evolve(report, findings=(first, others[0], same))).source
        assert re.findall(r"<bdi>(C\d)</bdi>", source) == ["C2", "C1"]

    def test_more_than_20_findings_of_one_rule_are_folded(self, reports: Reports, parse: Parse) -> None:
        few, many = (parse(self.of_rules(reports, *["expired"] * number, "inverted-dates")) for number in (20, 21))
        assert [tag for tag, _ in few.tags].count("article") == 21
        assert [tag for tag, _ in many.tags].count("article") == 1
        assert "expired 21 findings: A campaign that is over" in " ".join(many.text.split())
        # All of them are there, and the error comes first.
        assert many.source.count("data-severity=info") == 21
        assert many.source.index("<article") < many.source.index('<details class="kind"')

    def test_findings_link_to_the_dates_and_keys_of_their_campaign_and_back(
        self, reports: Reports, summary: Summarize, parse: Parse
    ) -> None:
        one = summary(7, None, NOW, A=CodeType.DONE)
        finding = attrs.evolve(reports.real().findings[0], campaign_id=7, campaign_name=one.name)
        page = parse(attrs.evolve(reports.empty(), campaign_count=1, summaries=(one,), findings=(finding,)))
        links = [attributes["href"] for tag, attributes in page.tags if tag == "a" and attributes["href"]]
        assert [link for link in links if re.fullmatch(r"#\w\d+", link)] == ["#c0", "#k0", "#f0", "#f0"]

    def test_finding_shows_a_subject_that_the_message_lacks(self, reports: Reports, parse: Parse) -> None:
        finding = attrs.evolve(reports.real().findings[0], subject="dtTo", message="is over")
        texts = [
            parse(attrs.evolve(reports.empty(), findings=(attrs.evolve(finding, message=message),))).text
            for message in ("is over", "dtTo is over")
        ]
        assert [" ".join(text.split()).count("dtTo") for text in texts] == [1, 1]


class TestOneOfManyReports:
    """A page names its account, and shows the changes since a baseline."""

    def test_page_names_account_server_and_version(self, reports: Reports, parse: Parse) -> None:
        report = reports.hostile()
        page = parse(report)
        assert f"<h1>Audit of {report.identity}</h1>" in page.source
        assert report.tool in page.text

    def test_page_names_the_server_of_each_account(self, reports: Reports, parse: Parse) -> None:
        text = " ".join(parse(reports.fleet(("north",))).text.split())
        assert f"north {reports.identity}" in text

    def test_page_says_that_only_a_part_was_audited(self, reports: Reports, parse: Parse) -> None:
        report = reports.compared()
        text = " ".join(parse(report).text.split())
        assert escape_unprintable(str(report.scope_note))[1:] in text
        assert "only part" not in parse(reports.hostile()).text.lower()

    def test_page_has_the_sections_of_the_story_in_order(self, reports: Reports, parse: Parse) -> None:
        report = reports.compared()
        page = parse(report)
        story = tell(report)
        text = " ".join(page.text.split())
        assert text.index(f"{story.result}.") < text.index(story.sections[0].title)
        topics = [attributes["id"] for tag, attributes in page.tags if tag == "section"]
        assert topics[: len(story.sections)] == [section.topic.name.lower() for section in story.sections]
        assert topics[0] == "new"
        assert topics[len(story.sections)] == "ending"
        for section in story.sections:
            assert section.title in text
            assert all(
                " ".join(escape_unprintable(note).split()) in text for note in map(section.note, section.findings)
            )
        assert f"known: {' '.join(escape_unprintable(reports.names[1]).split())} (Mia), until 2026-03-02" in text

    def test_new_findings_say_what_to_do(self, reports: Reports, parse: Parse) -> None:
        page = parse(reports.compared())
        meanings = [attributes for tag, attributes in page.tags if attributes.get("class") == "meaning"]
        assert {"open" in attributes for attributes in meanings} == {True, False}
        assert "A fix." in page.text

    def test_page_shows_changed_values_by_campaign(self, reports: Reports, parse: Parse) -> None:
        report = reports.compared()
        assert report.comparison is not None
        changes = [
            Change(campaign_id=1, campaign_name=reports.names[0], what="dtTo", before=None, after="2026-01-01"),
            Change(campaign_id=1, campaign_name=reports.names[0], what="name", before="<a>", after="<b>"),
            Change(campaign_id=2, campaign_name="other", what="campaign", before=None, after={}),
        ]
        page = parse(attrs.evolve(report, comparison=attrs.evolve(report.comparison, changes=tuple(changes))))
        sections = [attributes["id"] for tag, attributes in page.tags if tag == "section"]
        assert sections.index("unchecked") < sections.index("changes") < sections.index("known")
        for change in changes:
            assert change.in_words in page.text

    def test_page_links_campaigns_to_the_portal(self, reports: Reports, parse: Parse) -> None:
        report = attrs.evolve(reports.hostile(), portal_url="https://portal.example.com/campaigns/{id}?a&b")
        links = [attributes["href"] for tag, attributes in parse(report).tags if tag == "a"]
        assert "https://portal.example.com/campaigns/1?a&b" in links
        assert not [link for link in links if link is None or "{" in link or "None" in link]

    def test_page_links_campaigns_of_a_fleet_to_the_portal_of_their_account(
        self, reports: Reports, parse: Parse
    ) -> None:
        report = attrs.evolve(reports.fleet(), portal_url="https://portal.example.com/{clients_id}/{id}")
        assert 'href="https://portal.example.com/1/2"' in parse(report).source
        ambiguous = attrs.evolve(report, portal_url="https://portal.example.com/{id}")
        assert "portal.example.com" not in parse(ambiguous).source

    def test_page_without_a_baseline_has_no_comparison(self, reports: Reports, parse: Parse) -> None:
        page = parse(reports.hostile())
        assert "unchanged" not in page.text
        assert not [attributes for _, attributes in page.tags if attributes.get("id") in ("new", "gone", "unchecked")]


SEVERITIES = {"expired": Severity.INFO, "no-abort-code": Severity.WARNING, "inverted-dates": Severity.ERROR}


def test_datetime_attributes_have_at_most_three_decimals(reports: Reports, parse: Parse) -> None:
    page = parse(attrs.evolve(reports.empty(), now=NOW.replace(microsecond=123_456)))
    (moment,) = [attributes["datetime"] for tag, attributes in page.tags if tag == "time"]
    assert moment == "2026-03-02T12:00:00.123+00:00"


def test_number_one_has_a_singular_noun(
    reports: Reports, summary: Summarize, report_of: ReportOf, parse: Parse
) -> None:
    finding = attrs.evolve(reports.real().findings[0], campaign_id=1, campaign_name="Campaign 1")
    one = attrs.evolve(report_of(summary(1, None, NOW, A=CodeType.DONE)), requests=1, code_count=1, findings=(finding,))
    text = " ".join(parse(one).text.split())
    for wrong in ("1 campaigns", "1 findings", "1 requests", "1 result codes", "All 1 export keys"):
        assert wrong not in text


def test_languages_without_codes_have_no_share(reports: Reports, parse: Parse) -> None:
    page = parse(attrs.evolve(reports.empty(), summaries=()))
    assert "100 %" not in page.text
    assert "no codes" in page.text


VNU = Path(__file__).parents[3] / ".ci" / "node_modules" / "vnu-jar" / "build" / "dist" / "vnu.jar"


@pytest.mark.skipif(
    not VNU.exists() or shutil.which("java") is None,
    reason="needs the W3C's checker: npm install --prefix .ci, and apt-get install default-jre-headless",
)
def test_pages_are_valid_html(tmp_path: Path, reports: Reports) -> None:
    pages = {
        "hostile": reports.hostile(),
        "fleet": reports.fleet(),
        "empty": reports.empty(),
        "real": reports.real(),
        "compared": reports.compared(),
    }
    for name, report in pages.items():
        (tmp_path / f"{name}.html").write_text("".join(write_html(report)), encoding="utf-8")
    point = TrendPoint(began=NOW, errors=1, warnings=2, infos=3, new=4)
    (tmp_path / "index.html").write_text("".join(write_index(reports.fleet(), [point, point])), encoding="utf-8")
    command = ["java", "-jar", str(VNU), "--Werror", *map(str, sorted(tmp_path.iterdir()))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def size(report: AuditReport) -> int:
    return sum(len(piece.encode()) for piece in write_html(report))


@pytest.mark.parametrize("theme", ["light", "dark", "print"])
def test_colours_have_enough_contrast(theme: str, reports: Reports, parse: Parse) -> None:
    css = parse(reports.empty()).inner["style"]
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    colours = dict(re.findall(r"--(\w+): (#\w+)", blocks[["light", "dark", "print"].index(theme)]))
    for text in ("ink", "soft", "error", "warning", "info", "link"):
        for ground in ("paper", "raised"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)  # WCAG AA
    for mark in ("done", "aborted", "delay", "appointment", "lacks"):
        assert contrast(colours[mark], colours["paper"]) >= 3, mark


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio as WCAG 2.2 defines it."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_index_allows_only_its_style_and_escapes_names(reports: Reports) -> None:
    report = reports.fleet()
    page = "".join(write_index(report, []))
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'; img-src" in page
    assert not re.search(r"<script|<img|<[^>]* on\w+=", page)
    assert {page_name(name) for name in report.accounts} == set(re.findall(r'<th scope="row"><a href="([^"]+)"', page))
