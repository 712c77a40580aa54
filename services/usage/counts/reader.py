"""Reading counts for people and programs: one dataset's use over time, the most used, the report.

Every query carries the viewer's visibility. A window that was not counted is unknown (``None``), never
zero: before a dataset's first counted day, on days on which the installation did not count, and to come.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal, TypeAlias
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.usage.counts.domain.counter import COUNT_NAMES, Counts, counts_of, day_start
from services.usage.migrations.tables import COUNTED_DAYS, KNOWN_DATASETS, ROLLUPS, WATCHED_DATASETS
from shared.datasets.read_model import visible_to
from shared.identity.viewer import Viewer
from shared.store.engine import Store

__all__ = [
    "CountedDays",
    "DatasetUse",
    "Granularity",
    "ReportRow",
    "Window",
    "counted_days",
    "dataset_use",
    "most_used",
    "report_rows",
    "reported_agencies",
    "rollups_unpublished",
]

Granularity: TypeAlias = Literal["hour", "day"]
_STEPS = {"hour": timedelta(hours=1), "day": timedelta(days=1)}


@dataclass(frozen=True, slots=True)
class CountedDays:
    """The days on which the installation counted, and up to when the hits taken in are counted."""

    days: Sequence[date]
    until: datetime | None

    def any_within(self, first: date, last: date) -> bool:
        """Tell whether any day of ``first`` to ``last`` was counted."""
        return bisect_left(self.days, first) < bisect_right(self.days, last)


@dataclass(frozen=True, slots=True)
class Window:
    """One hour or day; ``counts=None``: unknown."""

    start: datetime
    counts: Counts | None


@dataclass(frozen=True, slots=True)
class DatasetUse:
    """One dataset's use, window by window."""

    dataset_id: UUID
    title: str
    counted_since: date | None
    windows: Sequence[Window]

    @property
    def total(self) -> Counts | None:
        """The sum of what is known; ``None`` when nothing is."""
        known = [window.counts for window in self.windows if window.counts is not None]
        return sum(known, Counts()) if known else None


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One dataset in a report; ``counts=None``: not counted in these days."""

    dataset_id: UUID
    title: str
    agency_name: str | None
    publisher_name: str | None
    counted_since: date | None
    counts: Counts | None


async def rollups_unpublished(store: Store) -> int:
    """Return how many windows have counts that are not published, resting or not."""
    is_unpublished = ROLLUPS.c.unpublished_since.is_not(None)
    async with store.read() as connection:
        counted = await connection.execute(select(func.count()).select_from(ROLLUPS).where(is_unpublished))
        return counted.scalar_one()


async def counted_days(connection: AsyncConnection) -> CountedDays:
    """Return all counted days, in order."""
    rows = (await connection.execute(select(COUNTED_DAYS).order_by(COUNTED_DAYS.c.day))).all()
    moments = [row.counted_until for row in rows if row.counted_until is not None]
    return CountedDays([row.day for row in rows], max(moments, default=None))


async def dataset_use(
    connection: AsyncConnection,
    viewer: Viewer,
    dataset_id: UUID,
    *,
    granularity: Granularity,
    first: date,
    last: date,
    now: datetime,
) -> DatasetUse | None:
    """Return the use from ``first`` to ``last``, inclusive; ``None`` for a dataset not to be seen."""
    known, watched = KNOWN_DATASETS, WATCHED_DATASETS
    found = await connection.execute(
        select(known.c.title, watched.c.counted_since)
        .join(watched, watched.c.dataset_id == known.c.dataset_id, isouter=True)
        .where(known.c.dataset_id == dataset_id, visible_to(viewer, known))
    )
    row = found.one_or_none()
    if row is None:
        return None
    counted = set((await counted_days(connection)).days)
    rollups = await connection.execute(
        select(ROLLUPS).where(
            ROLLUPS.c.dataset_id == dataset_id,
            ROLLUPS.c.granularity == granularity,
            _within(first, last),
        )
    )
    counts = {rollup.window_start: counts_of(rollup) for rollup in rollups}
    windows, start = [], day_start(first)
    while start < day_start(last) + timedelta(days=1):
        day = start.date()
        since: date | None = row.counted_since
        is_known = day in counted and since is not None and since <= day and start <= now
        windows.append(Window(start, counts.get(start, Counts()) if is_known else None))
        start += _STEPS[granularity]
    return DatasetUse(dataset_id, row.title, row.counted_since, windows)


async def most_used(
    connection: AsyncConnection, viewer: Viewer, *, first: date, last: date, rows_max: int
) -> list[ReportRow]:
    """Return the datasets with the most uses in these days, the most used first."""
    uses = func.sum(ROLLUPS.c.views + ROLLUPS.c.downloads + ROLLUPS.c.api_calls)
    statement = (
        _per_dataset(viewer, first, last, is_outer=False)
        .having(uses > 0)
        .order_by(uses.desc(), KNOWN_DATASETS.c.title, KNOWN_DATASETS.c.dataset_id)
        .limit(rows_max)
    )
    return [_report_row(row, counts_of(row)) for row in await connection.execute(statement)]


async def report_rows(
    connection: AsyncConnection,
    viewer: Viewer,
    *,
    first: date,
    last: date,
    agency: str | None,
    after: tuple[str, UUID] | None,
    rows_max: int,
) -> list[ReportRow]:
    """Return datasets by title, those without use too. ``agency`` is an id or a name, in any case."""
    known = KNOWN_DATASETS.c
    statement = _per_dataset(viewer, first, last, is_outer=True)
    if agency is not None:
        statement = statement.where(_is_agency(agency))
    if after is not None:
        statement = statement.where(tuple_(known.title, known.dataset_id) > tuple_(*after))
    statement = statement.order_by(known.title, known.dataset_id).limit(rows_max)
    days = await counted_days(connection)
    rows = []
    for row in await connection.execute(statement):
        since = row.counted_since
        is_known = since is not None and days.any_within(max(first, since), last)
        rows.append(_report_row(row, counts_of(row) if is_known else None))
    return rows


async def reported_agencies(connection: AsyncConnection, viewer: Viewer) -> list[str]:
    """Return the names of agencies, else of publishers, whose datasets ``viewer`` may see."""
    known = KNOWN_DATASETS
    name = func.coalesce(known.c.agency_name, known.c.publisher_name)
    names = await connection.scalars(select(name).where(visible_to(viewer, known)).distinct().order_by(name))
    return [one for one in names if one]


def _per_dataset(viewer: Viewer, first: date, last: date, *, is_outer: bool) -> Select[Any]:
    known, watched = KNOWN_DATASETS, WATCHED_DATASETS
    facts = (
        known.c.dataset_id,
        known.c.title,
        known.c.agency_name,
        known.c.publisher_name,
        watched.c.counted_since,
    )
    in_range = and_(
        ROLLUPS.c.dataset_id == known.c.dataset_id,
        ROLLUPS.c.granularity == "day",
        _within(first, last),
    )
    return (
        select(*facts, *(func.coalesce(func.sum(ROLLUPS.c[name]), 0).label(name) for name in COUNT_NAMES))
        .select_from(known)
        .join(watched, watched.c.dataset_id == known.c.dataset_id, isouter=True)
        .join(ROLLUPS, in_range, isouter=is_outer)
        .where(visible_to(viewer, known))
        .group_by(*facts)
    )


def _within(first: date, last: date) -> ColumnElement[bool]:
    return and_(
        ROLLUPS.c.window_start >= day_start(first),
        ROLLUPS.c.window_start < day_start(last) + timedelta(days=1),
    )


def _is_agency(agency: str) -> ColumnElement[bool]:
    known = KNOWN_DATASETS.c
    name = agency.strip().lower()
    by_name = or_(func.lower(known.agency_name) == name, func.lower(known.publisher_name) == name)
    try:
        return known.agency_id == UUID(agency)
    except ValueError:
        return by_name


def _report_row(row: Any, counts: Counts | None) -> ReportRow:
    return ReportRow(
        row.dataset_id, row.title, row.agency_name, row.publisher_name, row.counted_since, counts
    )
