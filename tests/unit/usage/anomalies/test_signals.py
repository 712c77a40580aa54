"""Spikes and silences, on days made by hand."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from services.host.sample.catalog import sample_datasets
from services.host.sample.hits import (
    ROBOT_USER_AGENTS,
    SILENT_DAYS,
    SILENT_SLUG,
    SPIKE_SLUG,
    sample_hits,
)
from services.usage.anomalies.domain.alerts import AlertStep, KnownAlert, Subject, next_steps
from services.usage.anomalies.domain.signals import (
    Severity,
    Signal,
    SignalKind,
    SignalRules,
    alert_id,
    signals,
)

TODAY = date(2026, 3, 18)
NOW = datetime(2026, 3, 18, 9, tzinfo=UTC)
DATASET = UUID("17513ec7-2897-5be8-800a-ca9d2de2a563")
SUBJECT = Subject(DATASET, "Road closures", None)


def day(days_ago: int) -> date:
    return TODAY - timedelta(days=days_ago)


def steady(uses: int, days: int = 40, **changed: int) -> dict[date, int]:
    """``uses`` on each of the days before today, but for ``d<days ago>=…``."""
    counts = {day(days_ago): uses for days_ago in range(1, days + 1)}
    counts |= {day(int(name[1:])): count for name, count in changed.items()}
    return {one: count for one, count in counts.items() if count}


def found(
    uses: dict[date, int], *, observed_days: int = 60, counted_since: date = day(60), today: date = TODAY
) -> list[Signal]:
    days = [day(days_ago) for days_ago in range(observed_days, -1, -1)]
    return signals(uses, observed_days=days, counted_since=counted_since, today=today, rules=SignalRules())


def test_steady_use_is_not_remarkable() -> None:
    assert found(steady(10)) == []


def test_a_day_of_many_times_the_usual_use_is_a_spike() -> None:
    # Usual 10, no deviation, so sigma is √10: the bar is max(4·10, 10 + 6·3.16) = 40.
    assert found(steady(10, d1=39)) == []
    assert found(steady(10, d1=40)) == [
        Signal(SignalKind.SPIKE, Severity.INFO, day(1), days=1, usual=10, observed=40)
    ]


def test_the_running_day_spikes_as_soon_as_it_has_enough() -> None:
    (spike,) = found(steady(10, d0=55))
    assert (spike.first_day, spike.observed) == (TODAY, 55)


def test_a_spike_of_several_days_is_one_and_keeps_its_id() -> None:
    (first,) = found(steady(10, d1=60), today=TODAY)
    (both,) = found(steady(10, d1=60, d0=70), today=TODAY)
    assert (both.first_day, both.days, both.observed) == (day(1), 2, 70)
    assert alert_id(DATASET, first) == alert_id(DATASET, both)


def test_a_few_uses_are_never_a_spike() -> None:
    assert found(steady(1, d1=19)) == []
    assert len(found(steady(1, d1=20))) == 1


def test_use_that_always_varies_much_needs_more_to_spike() -> None:
    # 5 and 45 by turns: median 25, deviation 20, sigma 29.65: the bar is 25 + 6·29.65 = 202.9.
    wild = {day(days_ago): 5 if days_ago % 2 else 45 for days_ago in range(1, 41)}
    assert found(wild | {TODAY: 202}) == []
    assert len(found(wild | {TODAY: 203})) == 1


def test_days_without_use_where_enough_was_expected_are_a_silence() -> None:
    assert found(steady(10, d1=0, d2=0)) == []
    assert found(steady(10, d1=0, d2=0, d3=0)) == [
        Signal(SignalKind.SILENCE, Severity.WARNING, day(3), days=3, usual=10, observed=0)
    ]


def test_a_rarely_used_dataset_needs_longer_to_be_silent() -> None:
    # 2 uses a day: 10 are missing after 5 days.
    assert found(steady(2, d1=0, d2=0, d3=0, d4=0)) == []
    assert len(found(steady(2, d1=0, d2=0, d3=0, d4=0, d5=0))) == 1


def test_quiet_weekends_are_not_missed_uses() -> None:
    weekdays = {one: 6 for one in (day(n) for n in range(1, 41)) if one.weekday() < 5}
    monday = date(2026, 3, 16)
    without_friday = {one: count for one, count in weekdays.items() if one < date(2026, 3, 13)}
    days = [day(days_ago) for days_ago in range(60, 1, -1)]
    silent = signals(
        without_friday, observed_days=days, counted_since=day(60), today=monday, rules=SignalRules()
    )
    assert silent == []


def test_a_silence_of_two_weeks_is_an_error() -> None:
    quiet = {f"d{days_ago}": 0 for days_ago in range(1, 15)}
    (silence,) = found(steady(10, **quiet))
    assert (silence.severity, silence.days) == (Severity.ERROR, 14)


def test_use_today_ends_a_silence() -> None:
    assert found(steady(10, d1=0, d2=0, d3=0, d0=1)) == []


def test_days_on_which_nothing_at_all_was_counted_silence_nobody() -> None:
    uses = steady(10, d1=0, d2=0, d3=0)
    days = [day(days_ago) for days_ago in range(60, 3, -1)]
    assert signals(uses, observed_days=days, counted_since=day(60), today=TODAY, rules=SignalRules()) == []


def test_a_new_dataset_is_not_judged() -> None:
    assert found(steady(10, days=13, d1=200), counted_since=day(13)) == []
    assert len(found(steady(10, days=15, d1=200), counted_since=day(15))) == 1


@pytest.mark.parametrize("today", [TODAY + timedelta(days=shift) for shift in range(7)], ids=str)
def test_the_sample_shows_its_spike_and_its_silence_and_nothing_else(today: date) -> None:
    uses: dict[str, dict[date, int]] = {dataset.slug: {} for dataset in sample_datasets()}
    for hit in sample_hits(today, 40):
        if hit.user_agent not in ROBOT_USER_AGENTS:
            of = uses[hit.dataset_slug]
            of[hit.at.date()] = of.get(hit.at.date(), 0) + 1
    days = [today - timedelta(days=days_ago) for days_ago in range(40, 0, -1)]
    remarkable = {
        (slug, signal.kind, signal.first_day)
        for slug, own in uses.items()
        for signal in signals(
            own, observed_days=days, counted_since=days[0], today=today, rules=SignalRules()
        )
    }
    assert (SPIKE_SLUG, SignalKind.SPIKE, today - timedelta(days=1)) in remarkable
    assert {(slug, kind) for slug, kind, _ in remarkable} == {
        (SPIKE_SLUG, SignalKind.SPIKE),
        (SILENT_SLUG, SignalKind.SILENCE),
    }
    (silent,) = [first for slug, kind, first in remarkable if kind is SignalKind.SILENCE]
    assert silent <= today - timedelta(days=SILENT_DAYS)


# --- the life of an alert -------------------------------------------------------------------------------


def opened(uses: dict[date, int]) -> tuple[KnownAlert, AlertStep]:
    (step,) = next_steps(found(uses), [], uses, subject=SUBJECT, now=NOW)
    assert step.change == "opened"
    return KnownAlert(step.alert, step.first_day), step


def test_a_silence_is_told_with_its_numbers_and_what_to_do() -> None:
    _, step = opened(steady(10, d1=0, d2=0, d3=0))
    assert step.alert.cause == "No use for 3 days, after 10 uses on a usual day."
    assert step.alert.evidence[1].observed == day(3).isoformat()
    assert "download address" in step.alert.next_act


def test_an_alert_that_is_open_is_not_opened_again() -> None:
    uses = steady(10, d1=0, d2=0, d3=0)
    alert, _ = opened(uses)
    assert next_steps(found(uses), [alert], uses, subject=SUBJECT, now=NOW) == []


def test_a_silence_that_lasts_becomes_an_error_once() -> None:
    alert, _ = opened(steady(10, d1=0, d2=0, d3=0))
    uses = steady(10, **{f"d{days_ago}": 0 for days_ago in range(1, 15)})
    (step,) = next_steps(found(uses), [alert], uses, subject=SUBJECT, now=NOW)
    assert (step.change, step.alert.severity) == ("severity", "error")
    after = KnownAlert(step.alert, step.first_day)
    assert next_steps(found(uses), [after], uses, subject=SUBJECT, now=NOW) == []


def test_a_silence_ends_by_use_and_not_by_getting_old() -> None:
    alert, _ = opened(steady(10, d1=0, d2=0, d3=0))
    assert next_steps([], [alert], {}, subject=SUBJECT, now=NOW) == []
    (step,) = next_steps([], [alert], {TODAY: 1}, subject=SUBJECT, now=NOW)
    assert (step.change, step.alert.state, step.alert.resolved_at) == ("resolved", "resolved", NOW)


def test_a_spike_ends_with_its_days() -> None:
    alert, _ = opened(steady(10, d1=60))
    (step,) = next_steps([], [alert], {day(1): 60}, subject=SUBJECT, now=NOW)
    assert step.change == "resolved"


def test_alerts_of_a_dataset_that_is_gone_are_resolved() -> None:
    uses = steady(10, d1=0, d2=0, d3=0)
    alert, _ = opened(uses)
    (step,) = next_steps(found(uses), [alert], uses, subject=None, now=NOW)
    assert step.change == "resolved"
