"""The rules about the dates of a campaign."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialler_async.audit import RULES, CampaignFacts, Rule
from dialler_async.models import Campaign

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=ZoneInfo("Europe/Berlin"))
BY_ID = {rule.info.id: rule for rule in RULES if isinstance(rule, Rule)}


def facts(now: datetime = NOW, **dates: datetime | None) -> CampaignFacts:
    """Return facts of a campaign with these dates, and without result codes."""
    return CampaignFacts(campaign=Campaign(id=7, name="Spring", **dates), codes={}, failures={}, now=now)


def found(rule: str, given: CampaignFacts) -> list[tuple[str, str]]:
    return [(finding.subject, finding.message) for finding in BY_ID[rule].apply(given)]


NAIVE_NOON = datetime(2026, 3, 2, 12, 0)  # noqa: DTZ001  the server's dates have no zone


class TestDates:
    def test_campaign_that_ends_before_it_begins_is_reported(self) -> None:
        given = facts(dt_from=NAIVE_NOON, dt_to=NAIVE_NOON - timedelta(days=1))
        assert found("inverted-dates", given) == [
            ("dtFrom", "begins 2026-03-02 12:00 (local time), after it ends 2026-03-01 12:00 (local time)")
        ]

    def test_equal_or_missing_dates_are_not_inverted(self) -> None:
        assert found("inverted-dates", facts(dt_from=NAIVE_NOON, dt_to=NAIVE_NOON)) == []
        assert found("inverted-dates", facts(dt_from=NAIVE_NOON)) == []
        assert found("inverted-dates", facts(dt_to=NAIVE_NOON)) == []

    def test_campaign_that_has_ended_is_reported(self) -> None:
        given = facts(dt_to=datetime(2026, 3, 2, 10, 59, tzinfo=UTC))
        assert found("expired", given) == [("dtTo", "ended 2026-03-02 10:59+00:00")]

    def test_naive_dates_have_the_zone_of_now(self) -> None:
        # It is noon in Berlin, so eleven o'clock in UTC.
        assert found("expired", facts(dt_to=NAIVE_NOON)) == []
        assert len(found("expired", facts(dt_to=NAIVE_NOON - timedelta(minutes=1)))) == 1
        assert found("expired", facts(dt_to=datetime(2026, 3, 2, 11, 0, tzinfo=UTC))) == []
        assert found("expired", facts()) == []

    def test_naive_and_aware_dates_can_be_compared(self) -> None:
        eleven_utc = datetime(2026, 3, 2, 11, 0, tzinfo=UTC)
        assert found("inverted-dates", facts(dt_from=NAIVE_NOON, dt_to=eleven_utc)) == []
        assert len(found("inverted-dates", facts(dt_from=NAIVE_NOON + timedelta(minutes=1), dt_to=eleven_utc))) == 1

    @given(
        st.none() | st.datetimes(timezones=st.none() | st.timezones() | st.just(timezone(timedelta(hours=14)))),
        st.none() | st.datetimes(timezones=st.none() | st.timezones() | st.just(timezone(-timedelta(hours=12)))),
        st.datetimes(timezones=st.timezones()),
    )
    def test_date_rules_accept_any_dates(self, begins: datetime | None, ends: datetime | None, now: datetime) -> None:
        given = facts(dt_from=begins, dt_to=ends, now=now)
        for rule in ("inverted-dates", "expired", "expiring-soon", "not-started"):
            assert len(found(rule, given)) <= 1


class TestExpiringSoonAndNotStarted:
    @pytest.mark.parametrize(
        ("hours", "soon"), [(-1, False), (0, True), (1, True), (7 * 24, True), (7 * 24 + 1, False)]
    )
    def test_campaign_that_ends_within_seven_days_is_reported(self, hours: int, soon: bool) -> None:
        assert bool(found("expiring-soon", facts(dt_to=NAIVE_NOON + timedelta(hours=hours)))) is soon

    def test_campaign_that_has_not_begun_is_reported(self) -> None:
        assert found("not-started", facts(dt_from=NAIVE_NOON)) == []
        assert found("not-started", facts(dt_from=NAIVE_NOON + timedelta(minutes=1))) == [
            ("dtFrom", "begins 2026-03-02 12:01 (local time)")
        ]


class TestInvertedDates:
    @pytest.mark.parametrize("ends", [NAIVE_NOON - timedelta(days=9), NAIVE_NOON + timedelta(days=1)])
    def test_campaign_with_inverted_dates_has_one_finding(self, ends: datetime) -> None:
        given = facts(dt_from=NAIVE_NOON + timedelta(days=90), dt_to=ends)
        rules = ("inverted-dates", "expired", "expiring-soon", "not-started")
        assert [rule for rule in rules if found(rule, given)] == ["inverted-dates"]
