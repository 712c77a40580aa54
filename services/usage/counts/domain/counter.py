"""Counting use by COUNTER R5.1 (sections 3.3 and 7), as functions of *sets* of hits.

* A double click counts once: hits of one visitor on one dataset, of one kind, at most 30 seconds apart
  (inclusive), chained from click to click; the last one is kept (section 7.2).
* A view is an investigation; a download or an API call is a request, and so also an investigation.
* A session is a visitor within one hour (section 7.5: date, hour slice, address and agent). Unique metrics
  count a dataset once per session, so a client that pages through an API makes one unique request.
* Programs (TDM) are kept apart; robots are dropped.

A visitor's hits on a dataset are kept as *runs*: maximal chains of clicks. The runs of a set of hits do not
depend on the order in which the hits came, nor on how often, so neither do the counts.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from operator import add, attrgetter, sub
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

from services.usage.counts.domain.clients import AccessMethod

__all__ = [
    "COUNT_NAMES",
    "ClickSession",
    "ClickSessionKey",
    "CountedHit",
    "CountedWindow",
    "Counts",
    "HitKind",
    "Recount",
    "Run",
    "count_session",
    "counts_of",
    "day_start",
    "hour_of",
    "recount",
    "with_click",
]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
DOUBLE_CLICK_MICROSECONDS = 30_000_000
HOUR = timedelta(hours=1)


class HitKind(StrEnum):
    """What somebody did with a dataset."""

    VIEW = "view"
    DOWNLOAD = "download"
    API_CALL = "api-call"

    @property
    def is_request(self) -> bool:
        """Data was retrieved, not only its description."""
        return self is not HitKind.VIEW


class Run(NamedTuple):
    """A chain of clicks that counts once, at its last click. Microseconds since 1970, UTC."""

    first: int
    last: int


ClickSession: TypeAlias = Mapping[tuple[HitKind, AccessMethod], tuple[Run, ...]]
"""All runs of one visitor on one dataset, in order of time."""


class ClickSessionKey(NamedTuple):
    """Whose session, and where."""

    visitor_hash: str
    dataset_id: UUID


@dataclass(frozen=True, slots=True)
class CountedHit:
    """A hit as far as counting goes."""

    key: ClickSessionKey
    kind: HitKind
    access_method: AccessMethod
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Counts:
    """How often, in one window. The first three count people and programs, COUNTER's people only."""

    views: int = 0
    downloads: int = 0
    api_calls: int = 0
    total_item_investigations: int = 0
    total_item_requests: int = 0
    unique_item_investigations: int = 0
    unique_item_requests: int = 0
    tdm_item_requests: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*map(add, _values(self), _values(other)))

    def __sub__(self, other: "Counts") -> "Counts":
        return Counts(*map(sub, _values(self), _values(other)))

    @property
    def uses(self) -> int:
        """Uses of any kind, by people and programs."""
        return self.views + self.downloads + self.api_calls


COUNT_NAMES = tuple(field.name for field in fields(Counts))
_values = attrgetter(*COUNT_NAMES)
_NONE = Counts()


@dataclass(frozen=True, slots=True)
class CountedWindow:
    """The counts of one dataset in one hour or day. ``granularity`` is ``hour`` or ``day``."""

    dataset_id: UUID
    granularity: str
    window_start: datetime
    counts: Counts
    revision: int


@dataclass(frozen=True, slots=True)
class Recount:
    """What new hits change: the sessions after them, and what to add per dataset and hour, or take away."""

    sessions: Mapping[ClickSessionKey, ClickSession]
    changes: Mapping[tuple[UUID, datetime], Counts]


def with_click(runs: tuple[Run, ...], at: int) -> tuple[Run, ...]:
    """Return the runs with a click at ``at``: it begins a run, extends one, or joins two."""
    low = bisect_left(runs, at - DOUBLE_CLICK_MICROSECONDS, key=lambda run: run.last)
    high = bisect_right(runs, at + DOUBLE_CLICK_MICROSECONDS, key=lambda run: run.first)
    touched = runs[low:high]
    joined = Run(min(at, touched[0].first), max(at, touched[-1].last)) if touched else Run(at, at)
    return (*runs[:low], joined, *runs[high:])


def count_session(session: ClickSession) -> dict[datetime, Counts]:
    """Return the counts of one visitor on one dataset, per hour."""
    per_hour: dict[int, dict[str, int]] = {}
    for (kind, method), runs in session.items():
        for run in runs:
            hour = per_hour.setdefault(run.last // 3_600_000_000, dict.fromkeys(COUNT_NAMES, 0))
            hour[_NAME_OF_KIND[kind]] += 1
            if method is AccessMethod.REGULAR:
                hour["total_item_investigations"] += 1
                hour["unique_item_investigations"] = 1
                if kind.is_request:
                    hour["total_item_requests"] += 1
                    hour["unique_item_requests"] = 1
            elif kind.is_request:
                hour["tdm_item_requests"] += 1
    return {EPOCH + hour * HOUR: Counts(**counts) for hour, counts in per_hour.items()}


def recount(sessions: Mapping[ClickSessionKey, ClickSession], hits: Iterable[CountedHit]) -> Recount:
    """Return what ``hits`` change, given their visitors' sessions so far. Crawlers' hits change nothing."""
    after: dict[ClickSessionKey, dict[tuple[HitKind, AccessMethod], tuple[Run, ...]]] = {}
    for hit in hits:
        if hit.access_method is AccessMethod.CRAWLER:
            continue
        session = after.setdefault(hit.key, dict(sessions.get(hit.key, {})))
        place = (hit.kind, hit.access_method)
        session[place] = with_click(session.get(place, ()), (hit.occurred_at - EPOCH) // MICROSECOND)
    changes: dict[tuple[UUID, datetime], Counts] = {}
    for key, session in after.items():
        old, new = count_session(sessions.get(key, {})), count_session(session)
        for hour in old.keys() | new.keys():
            change = new.get(hour, _NONE) - old.get(hour, _NONE)
            if change != _NONE:
                place_of = (key.dataset_id, hour)
                changes[place_of] = changes.get(place_of, _NONE) + change
    return Recount(after, {place: change for place, change in changes.items() if change != _NONE})


def hour_of(moment: datetime) -> datetime:
    """Return the start of the UTC hour of ``moment``."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def day_start(day: date) -> datetime:
    """Return midnight UTC of ``day``."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


_NAME_OF_KIND = {HitKind.VIEW: "views", HitKind.DOWNLOAD: "downloads", HitKind.API_CALL: "api_calls"}


def counts_of(row: Any) -> Counts:
    """Return the counts that stand in a row under their names."""
    return Counts(*(getattr(row, name) for name in COUNT_NAMES))
