import csv
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.quality.evaluation.domain.freshness import (
    BusinessCalendar,
    LearnedCadence,
    claim_note,
    freshness_findings,
    judge_freshness,
    learn_cadence,
    next_check,
)
from shared.datasets.frequency import Cadence, parse_periodicity

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
DAY = timedelta(days=1)
WEEKLY = Cadence(timedelta(days=7), "periodic")
MONTHLY = Cadence(timedelta(days=30), "periodic")
DAILY = Cadence(DAY, "periodic")
WEEKDAYS = Cadence(DAY, "periodic", business_days=True)


def judged(age_days: float, cadence: Cadence | None) -> str:
    return judge_freshness(NOW - age_days * DAY, cadence, NOW).status


@pytest.mark.parametrize(
    ("age_days", "status"),
    [(0, "ok"), (37.5, "ok"), (37.6, "late"), (60, "late"), (60.1, "stale"), (4000, "stale")],
)
def test_monthly_data_is_ok_to_one_and_a_quarter_periods_and_late_to_two(
    age_days: float, status: str
) -> None:
    assert judged(age_days, MONTHLY) == status


@pytest.mark.parametrize(("age_days", "status"), [(2.9, "ok"), (3.1, "late"), (5, "late"), (5.1, "stale")])
def test_daily_data_has_two_days_of_grace(age_days: float, status: str) -> None:
    assert judged(age_days, DAILY) == status


def test_the_reason_says_age_and_promise_in_words() -> None:
    freshness = judge_freshness(NOW - 40 * DAY, WEEKLY, NOW)
    assert freshness.reason == "updated 40 days ago; promised every week"
    assert freshness.status == "stale"
    assert freshness.due_at == NOW - 33 * DAY
    assert freshness.next_check_at is None


@pytest.mark.parametrize("kind", ["irregular", "historical"])
def test_data_without_a_promise_never_grows_stale(kind: str) -> None:
    cadence = Cadence(None, kind)  # type: ignore[arg-type]
    assert judged(9000, cadence) == "not-applicable"
    assert judge_freshness(None, cadence, NOW).status == "not-applicable"


def test_a_missing_date_or_frequency_is_not_known_and_never_stale() -> None:
    assert judge_freshness(None, WEEKLY, NOW).status == "not-known"
    assert judge_freshness(None, None, NOW).status == "not-known"
    assert judged(900, None) == "not-known"


def test_a_date_in_the_future_is_not_known_but_a_wrong_clock_is_forgiven() -> None:
    future = judge_freshness(NOW + 30 * DAY, WEEKLY, NOW)
    assert (future.status, future.next_check_at) == ("not-known", NOW + 30 * DAY)
    assert judge_freshness(NOW + timedelta(hours=3), WEEKLY, NOW).status == "ok"


def test_a_stream_is_stale_after_days_of_silence() -> None:
    stream = parse_periodicity("R/PT1S")
    assert judged(0.5, stream) == "ok"
    assert judged(10, stream) == "stale"


def test_weekend_and_holidays_take_no_time_for_weekday_data() -> None:
    calendar = BusinessCalendar(holidays=frozenset({date(2026, 1, 19)}))
    friday = datetime(2026, 1, 16, 9, tzinfo=UTC)
    freshness = judge_freshness(friday, WEEKDAYS, friday, calendar=calendar)
    assert freshness.due_at == datetime(2026, 1, 20, 9, tzinfo=UTC)
    assert freshness.late_at == datetime(2026, 1, 22, 9, tzinfo=UTC)
    assert freshness.stale_at == datetime(2026, 1, 26, 9, tzinfo=UTC)


def test_business_days_are_those_of_the_calendars_own_zone() -> None:
    calendar = BusinessCalendar(zone=ZoneInfo("America/New_York"))
    friday_evening_in_new_york = datetime(2026, 1, 17, 3, tzinfo=UTC)
    due = calendar.add(friday_evening_in_new_york, timedelta(hours=4))
    assert due == datetime(2026, 1, 19, 7, tzinfo=UTC)


def test_a_calendar_without_a_working_day_is_refused() -> None:
    with pytest.raises(ValueError, match="working day"):
        BusinessCalendar(weekend=frozenset(range(7)))


def test_the_next_check_is_the_first_instant_of_another_status() -> None:
    updated_at = NOW - 3 * DAY
    first = judge_freshness(updated_at, WEEKLY, NOW)
    assert first.next_check_at is not None
    assert judge_freshness(updated_at, WEEKLY, first.next_check_at).status == "late"
    assert judge_freshness(updated_at, WEEKLY, first.next_check_at - timedelta(seconds=1)).status == "ok"
    other = judge_freshness(NOW, MONTHLY, NOW)
    assert next_check([other, first]) == first.next_check_at
    assert next_check([judge_freshness(None, None, NOW)]) is None


def said(updated_at: datetime, cadence: Cadence, at: datetime) -> tuple[str, str | None]:
    """The status, and the severity of what is found."""
    freshness = judge_freshness(updated_at, cadence, at)
    found = freshness_findings(freshness, at)
    return freshness.status, found[0].severity if found else None


@given(
    age=st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=4000)),
    period=st.timedeltas(min_value=timedelta(minutes=1), max_value=timedelta(days=3650)),
    business_days=st.booleans(),
)
def test_neither_status_nor_severity_changes_before_its_next_check(
    age: timedelta, period: timedelta, business_days: bool
) -> None:
    cadence = Cadence(min(period, 30 * DAY) if business_days else period, "periodic", business_days)
    freshness = judge_freshness(NOW - age, cadence, NOW)
    now_said = said(NOW - age, cadence, NOW)
    if freshness.next_check_at is None:
        assert now_said == ("stale", "error")
        return
    assert freshness.next_check_at > NOW
    assert said(NOW - age, cadence, freshness.next_check_at - timedelta(seconds=1)) == now_said
    assert said(NOW - age, cadence, freshness.next_check_at) != now_said


def test_the_learnt_cadence_is_the_median_of_the_last_eight_gaps() -> None:
    old = [NOW - 2000 * DAY, NOW - 1000 * DAY]
    weekly = [NOW - 7 * week * DAY for week in range(9)]
    assert learn_cadence(old + weekly) == LearnedCadence(7 * DAY, gap_count=8)
    assert learn_cadence(weekly[:3]) is None
    assert learn_cadence([NOW] * 10) is None


def test_a_wrong_frequency_claim_is_told_and_a_right_one_is_not() -> None:
    yearly = LearnedCadence(365 * DAY, 5)
    note = claim_note(MONTHLY, yearly)
    assert note is not None
    assert "less often than declared" in note
    assert claim_note(MONTHLY, LearnedCadence(33 * DAY, 5)) is None
    assert claim_note(DAILY, LearnedCadence(timedelta(hours=30), 5)) is None
    assert claim_note(Cadence(None, "irregular"), yearly) is None


def test_only_stale_data_is_a_finding_and_its_words_stay_the_same_tomorrow() -> None:
    updated_at = NOW - 20 * DAY
    assert freshness_findings(judge_freshness(NOW - 10 * DAY, WEEKLY, NOW), NOW) == ()
    (today,) = freshness_findings(judge_freshness(updated_at, WEEKLY, NOW), NOW)
    tomorrow = freshness_findings(judge_freshness(updated_at, WEEKLY, NOW + DAY), NOW + DAY)
    assert tomorrow == (today,)
    assert today.severity == "warning"
    assert "26 December 2025" in today.cause
    assert "promised every week" in today.cause


def test_data_four_periods_old_is_an_error() -> None:
    (finding,) = freshness_findings(judge_freshness(NOW - 40 * DAY, WEEKLY, NOW), NOW)
    assert finding.severity == "error"
    stale = judge_freshness(NOW - 20 * DAY, WEEKLY, NOW)
    assert stale.next_check_at == NOW + 8 * DAY + timedelta(seconds=1)
    assert said(NOW - 20 * DAY, WEEKLY, stale.next_check_at) == ("stale", "error")


def test_the_real_catalogue_is_judged_as_the_plain_rule_judges_it(real_data: Path) -> None:
    """Where a quarter of the period exceeds the grace, the rule is 1.25 and 2 periods alone."""
    days = {"Annually": 365.25, "Quarterly": 365.25 / 4, "Monthly": 365.25 / 12}
    judged_count = 0
    with (real_data / "ct" / "overlay.csv").open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            now = datetime.fromisoformat(row["as_of"]).replace(tzinfo=UTC)
            updated_at = datetime.fromisoformat(row["data_updated_on"]).replace(tzinfo=UTC)
            status = judge_freshness(updated_at, parse_periodicity(row["update_frequency"]), now).status
            period = days.get(row["update_frequency"])
            if period is None:
                never = row["update_frequency"] in ("As needed", "Not updated (historical only)")
                assert (status == "not-applicable") == never
                continue
            ratio = (now - updated_at) / timedelta(days=period)
            expected = "ok" if ratio <= 1.25 else "late" if ratio <= 2 else "stale"
            assert status == expected, row["identifier"]
            judged_count += 1
    assert judged_count == 197
