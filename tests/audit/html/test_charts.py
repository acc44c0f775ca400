"""The charts of the HTML report: the timeline, the matrix of export keys, and the languages."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import attrs

from dialler_async import Language
from dialler_async.audit import CodeType

if TYPE_CHECKING:
    from tests.audit.conftest import Reports
    from tests.audit.html.conftest import Page, Parse, Summarize

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


class TestTimeline:
    def test_period_has_the_state_of_its_campaign(self, page_of: Callable[..., Page], summary: Summarize) -> None:
        day = timedelta(days=1)
        page = page_of(
            summary(1, NOW - day, NOW + day),
            summary(2, None, NOW - day),
            summary(3, NOW + day, None),
            summary(4, NOW + 2 * day, NOW + day),
            summary(5, None, None),
        )
        assert "1 over, 1 running, 1 inverted, 1 not begun, 1 always valid" in " ".join(page.text.split())
        states = dict(re.findall(r'\.(\w) { --state: "([^"]*)"', page.inner["style"]))
        rows = [(id, states[state]) for state, id in re.findall(r'<li class="(\w) [^>]*><i>#(\d)</i>', page.source)]
        assert rows == [("2", "over"), ("1", "running"), ("4", "inverted"), ("3", "not begun")]

    def test_inverted_period_is_drawn_from_end_to_beginning(
        self, page_of: Callable[..., Page], summary: Summarize
    ) -> None:
        day = timedelta(days=1)
        sound, inverted = (
            re.search(r'<li class="\w (b\d+) (e\d+)">', page_of(one).source)
            for one in (summary(1, NOW - 9 * day, NOW), summary(1, NOW, NOW - 9 * day))
        )
        assert sound is not None
        assert inverted is not None
        assert sound.groups() == inverted.groups()

    def test_campaigns_are_sorted_by_their_end(self, page_of: Callable[..., Page], summary: Summarize) -> None:
        days = [timedelta(days=days) for days in (3, 1, 2)]
        page = page_of(summary(9, NOW, None), *(summary(id, None, NOW + day) for id, day in enumerate(days)))
        timeline = page.source[page.source.index('class="rows periods"') :]
        assert re.findall(r"<i>#(\d)</i>", timeline)[:4] == ["1", "2", "0", "9"]

    def test_naive_aware_and_extreme_dates_are_drawn(self, page_of: Callable[..., Page], summary: Summarize) -> None:
        page = page_of(
            summary(1, datetime(2026, 1, 1), datetime(9999, 12, 31, 23, 59)),  # noqa: DTZ001  as the server sends it
            summary(2, datetime(1, 1, 1), datetime(2026, 5, 1, tzinfo=timezone(timedelta(hours=14)))),  # noqa: DTZ001  likewise
            summary(3, datetime(1, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)),
        )
        assert "3 running" in page.text
        assert "drawn at the edge" in page.text

    def test_timeline_counts_campaigns_without_dates(self, page_of: Callable[..., Page], summary: Summarize) -> None:
        assert "No campaign has a first or last day." in page_of(summary(1, None, None)).text


class TestMatrix:
    def test_matrix_rows_name_missing_usual_keys(self, page_of: Callable[..., Page], summary: Summarize) -> None:
        page = page_of(
            summary(1, None, None, A=CodeType.DONE, B=CodeType.ABORTED),
            summary(2, None, None, A=CodeType.DONE, B=CodeType.DONE, C=CodeType.DELAY),
            summary(3, None, None, A=CodeType.DONE),
        )
        notes = re.findall(r"#(\d)</i><b>[^<]*</b><span class=\"sr\">([^<]*)</span>", page.source)
        assert notes == [("3", "lacks B"), ("1", "has all usual keys"), ("2", "has all usual keys")]
        assert "1 campaign of 3 lacks one" in " ".join(page.text.split())
        assert "aborted 1, done 1" in page.text

    def test_campaign_without_fetched_codes_is_left_out(self, page_of: Callable[..., Page], summary: Summarize) -> None:
        unknown = attrs.evolve(summary(2, None, None), texts=())
        page = page_of(summary(1, None, None, A=CodeType.DONE), unknown)
        assert "lacks A" not in page.text
        assert "0 campaigns of 1" in " ".join(page.text.split())

    def test_rare_keys_are_in_the_table_but_not_in_the_matrix(
        self, page_of: Callable[..., Page], summary: Summarize
    ) -> None:
        keys = {f"K{number:02}": CodeType.DONE for number in range(60)}
        page = page_of(summary(1, None, None, **keys))
        assert "The 48 commonest of 60 keys are drawn" in " ".join(page.text.split())
        assert all(f'<th scope="row"><bdi>{key}</bdi></th>' in page.source for key in keys)

    def test_matrix_without_keys_says_so(self, page_of: Callable[..., Page], summary: Summarize) -> None:
        assert "No campaign has a result code with an export key." in page_of(summary(1, None, None)).text


def test_coverage_counts_codes_with_a_text_by_language(reports: Reports, summary: Summarize, parse: Parse) -> None:
    both = ((Language.ENGLISH, 4), (Language.GERMAN, 3))
    campaigns = [
        attrs.evolve(summary(id, None, None), codes=4, texts=texts) for id, texts in enumerate((both, both[:1]))
    ]
    report = attrs.evolve(reports.empty(), languages=tuple(Language), summaries=tuple(campaigns))
    rows = re.findall(r'<th scope="row">(English|German)</th>(.*?)</tr>', parse(report).source)
    assert {name: re.sub(r"<[^>]*>", " ", row).split() for name, row in rows} == {
        "English": ["8", "of", "8", "100", "%", "2", "0", "0"],
        "German": ["3", "of", "4", "75.0", "%", "0", "1", "1"],
    }
