"""Is a dataset as fresh as it promises? One pure rule, in status, words and the time of the next look.

The rule: a dataset that promises an update every P is ``ok`` until 1.25 P after its last update, ``late``
until 2 P, then ``stale``. Short periods get a grace of at least two days, so that a weekend is no alarm.
Dates of the data count, never dates of its metadata.
"""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import pairwise
from typing import Literal

from services.quality.alerts.domain.findings import Finding, FindingEvidence, Severity
from shared.datasets.frequency import Cadence, describe

FreshnessStatus = Literal["ok", "late", "stale", "not-applicable", "not-known"]

LATE_FACTOR = 1.25
STALE_FACTOR = 2.0
GRACE_MIN = timedelta(days=2)
NEGLECTED_FACTOR = 4.0
"""A dataset older than so many periods is an error, no longer a warning."""

CLOCK_SKEW_MAX = timedelta(days=1)
"""An update dated further ahead than this is a mistake in the record, not a wrong clock or time zone."""

GAPS_LEARNT_FROM_MAX = 8
GAPS_LEARNT_FROM_MIN = 3
FIRST_NEXT_INSTANT = timedelta(seconds=1)
"""A limit itself still has the better status; the status can differ one second after it."""

_DAY = timedelta(days=1)
_LAST_INSTANT = datetime.max.replace(tzinfo=UTC) - timedelta(days=2)


@dataclass(frozen=True, slots=True)
class BusinessCalendar:
    """Days on which nothing is owed: weekend days (Monday is 0) and holidays, read in ``zone``."""

    holidays: frozenset[date] = frozenset()
    weekend: frozenset[int] = frozenset({5, 6})
    zone: tzinfo = field(default=UTC)

    def __post_init__(self) -> None:
        if not self.weekend < frozenset(range(7)):
            raise ValueError("weekend: give day numbers 0 (Monday) to 6 (Sunday), and leave a working day")

    def is_business_day(self, day: date) -> bool:
        """True when work is done on ``day``."""
        return day.weekday() not in self.weekend and day not in self.holidays

    def add(self, start: datetime, span: timedelta) -> datetime:
        """``start`` plus ``span`` of business time: weekends and holidays take no time at all."""
        at = start.astimezone(self.zone)
        left = span
        days_walked_max = int(span / _DAY) * 7 + 60 + 2 * len(self.holidays)
        for _ in range(days_walked_max):
            midnight = datetime.combine(at.date() + _DAY, time(), tzinfo=self.zone)
            if self.is_business_day(at.date()):
                available = midnight - at
                if left <= available:
                    return (at + left).astimezone(UTC)
                left -= available
            at = midnight
        return at.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class LearnedCadence:
    """How often updates really come: the median of the last gaps."""

    period: timedelta
    gap_count: int


@dataclass(frozen=True, slots=True)
class FreshnessJudgment:
    """The judgment on one dataset at one time.

    ``due_at`` is when the next update is promised; ``late_at`` and ``stale_at`` are the last instants of
    ``ok`` and ``late``, ``neglected_at`` the last one at which being stale is a warning and no error.
    ``next_check_at`` is the first instant at which status or severity can differ if no update comes.
    ``reason`` completes the sentence "This dataset was …".
    """

    status: FreshnessStatus
    reason: str
    age: timedelta | None = None
    due_at: datetime | None = None
    late_at: datetime | None = None
    stale_at: datetime | None = None
    neglected_at: datetime | None = None
    next_check_at: datetime | None = None
    learned: LearnedCadence | None = None
    claim_note: str | None = None


def judge_freshness(
    data_updated_at: datetime | None,
    cadence: Cadence | None,
    now: datetime,
    *,
    calendar: BusinessCalendar | None = None,
    learned: LearnedCadence | None = None,
) -> FreshnessJudgment:
    """Judge the age of the data against its promise. All times are aware; ``calendar`` serves weekday
    promises.

    Unknown is never bad: without a promise or a date the status is ``not-known``; data that promises nothing
    (irregular, historical) is ``not-applicable``.
    """
    if cadence is not None and cadence.kind in ("irregular", "historical"):
        age = _age(data_updated_at, now)
        return FreshnessJudgment("not-applicable", _unpromised_words(age, cadence), age=age, learned=learned)
    if data_updated_at is None:
        promise = "" if cadence is None else f"; promised {describe(cadence)}"
        return FreshnessJudgment(
            "not-known", f"updated at a time that is not known{promise}", learned=learned
        )
    age = _age(data_updated_at, now)
    if data_updated_at - now > CLOCK_SKEW_MAX:
        reason = f"marked as updated in the future, on {_day(data_updated_at)}; the date must be wrong"
        return FreshnessJudgment("not-known", reason, next_check_at=data_updated_at, learned=learned)
    if cadence is None:
        reason = f"updated {_ago(age)}; no update frequency is declared"
        return FreshnessJudgment("not-known", reason, age=age, learned=learned)
    due_at, late_at, stale_at = _limits(data_updated_at, cadence, calendar or BusinessCalendar())
    neglected_at = _plus(data_updated_at, max(NEGLECTED_FACTOR * (due_at - data_updated_at), 4 * GRACE_MIN))
    status: FreshnessStatus = "ok" if now <= late_at else "late" if now <= stale_at else "stale"
    limits = (late_at, stale_at, max(stale_at, neglected_at))
    next_limit = next((limit for limit in limits if now <= limit), None)
    return FreshnessJudgment(
        status=status,
        reason=f"updated {_ago(age)}; promised {describe(cadence)}",
        age=age,
        due_at=due_at,
        late_at=late_at,
        stale_at=stale_at,
        neglected_at=neglected_at,
        next_check_at=None if next_limit is None else next_limit + FIRST_NEXT_INSTANT,
        learned=learned,
        claim_note=claim_note(cadence, learned),
    )


def dated_reason(freshness: FreshnessJudgment, data_updated_at: datetime | None) -> str:
    """The reason with the day of the update in place of its age: words that stay true as time passes."""
    if data_updated_at is None or freshness.age is None:
        return freshness.reason
    return f"updated on {_day(data_updated_at)}; {freshness.reason.partition('; ')[2]}"


def learn_cadence(updated_at: Iterable[datetime]) -> LearnedCadence | None:
    """The median of the last eight gaps between distinct updates; None with fewer than three gaps."""
    times = sorted(set(updated_at))[-(GAPS_LEARNT_FROM_MAX + 1) :]
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
    if len(gaps) < GAPS_LEARNT_FROM_MIN:
        return None
    return LearnedCadence(period=timedelta(seconds=statistics.median(gaps)), gap_count=len(gaps))


def claim_note(declared: Cadence, learned: LearnedCadence | None) -> str | None:
    """A sentence for the steward when the declared frequency is plainly not the real one; else None."""
    if learned is None or declared.kind != "periodic" or declared.period is None:
        return None
    ratio = learned.period / declared.period
    if 0.5 <= ratio <= 1.5 or abs(learned.period - declared.period) < GRACE_MIN:
        return None
    pace = "more often" if ratio < 1 else "less often"
    real = describe(Cadence(_rounded(learned.period), "periodic"))
    return (
        f"Promised {describe(declared)}, but the last {learned.gap_count} updates came about {real}: "
        f"the data is updated {pace} than declared. Correct the declared frequency, or the schedule."
    )


def freshness_findings(freshness: FreshnessJudgment, now: datetime) -> tuple[Finding, ...]:
    """One finding when the dataset is stale: a warning, an error once it is four periods old."""
    if freshness.status != "stale" or freshness.due_at is None or freshness.age is None:
        return ()
    updated_at = now - freshness.age
    is_neglected = freshness.neglected_at is not None and now > freshness.neglected_at
    severity: Severity = "error" if is_neglected else "warning"
    promise = freshness.reason.rpartition("; ")[2]
    return (
        Finding(
            kind="freshness-stale",
            severity=severity,
            cause=(
                f"The data was last updated on {_day(updated_at)}; an update was due by "
                f"{_day(freshness.due_at)} ({promise})."
            ),
            next_act="Publish the update, or correct the declared update frequency of the dataset.",
            evidence=(FindingEvidence("last data update", f"by {_day(freshness.due_at)}", _day(updated_at)),),
        ),
    )


def next_check(freshness: Sequence[FreshnessJudgment]) -> datetime | None:
    """The earliest time at which any of these can change; None when time alone changes none of them."""
    return min((one.next_check_at for one in freshness if one.next_check_at is not None), default=None)


def _limits(
    updated_at: datetime, cadence: Cadence, calendar: BusinessCalendar
) -> tuple[datetime, datetime, datetime]:
    """When the next update is due, and the last instants of ``ok`` and of ``late``."""
    period = cadence.period or timedelta(0)
    grace = max((LATE_FACTOR - 1) * period, GRACE_MIN)
    patience = max((STALE_FACTOR - 1) * period, 2 * grace)
    spans = (period, period + grace, period + patience)
    if cadence.business_days:
        due_at, late_at, stale_at = (calendar.add(updated_at, span) for span in spans)
    else:
        due_at, late_at, stale_at = (_plus(updated_at, span) for span in spans)
    return due_at, late_at, stale_at


def _plus(start: datetime, span: timedelta) -> datetime:
    return start + span if _LAST_INSTANT - start > span else _LAST_INSTANT


def _age(updated_at: datetime | None, now: datetime) -> timedelta | None:
    return None if updated_at is None else max(now - updated_at, timedelta(0))


def _day(at: datetime) -> str:
    return f"{at.day} {at:%B} {at.year}"


def _ago(age: timedelta | None) -> str:
    if age is None:
        return "at a time that is not known"
    if age < timedelta(hours=2):
        return "less than two hours ago"
    if age < 2 * _DAY:
        return f"{int(age / timedelta(hours=1))} hours ago"
    return f"{age.days:,} days ago"


def _unpromised_words(age: timedelta | None, cadence: Cadence) -> str:
    if cadence.kind == "historical":
        return f"updated {_ago(age)}; it is historical and not updated any more"
    return f"updated {_ago(age)}; it is updated as needed, at no fixed interval"


def _rounded(period: timedelta) -> timedelta:
    """To whole days above two days, to whole hours below: a median is no exact promise."""
    unit = _DAY if period >= 2 * _DAY else timedelta(hours=1)
    return max(round(period / unit), 1) * unit
