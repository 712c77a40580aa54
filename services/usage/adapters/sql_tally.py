"""Trails and counts on SQLAlchemy: SQLite and PostgreSQL alike."""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy import and_, bindparam, case, delete, func, or_, select, update

from services.usage.adapters.merging import merge
from services.usage.domain.clients import AccessMethod
from services.usage.domain.counter import (
    COUNT_NAMES,
    Counts,
    HitKind,
    Recount,
    Run,
    Trail,
    TrailKey,
    day_start,
)
from services.usage.migrations.tables import COUNTED_DAYS, ROLLUPS, TRAILS
from services.usage.ports import CountedWindow
from shared.store.in_list import in_list
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert

__all__ = ["SqlTally", "counts_of"]


class SqlTally:
    """Implements :class:`services.usage.ports.Tally`."""

    async def trails(self, work: UnitOfWork, keys: Collection[TrailKey]) -> dict[TrailKey, Trail]:
        wanted = {_text(key): key for key in keys}
        is_wanted = in_list(TRAILS.c.trail_key, list(wanted), work.connection.dialect.name)
        rows = await work.connection.execute(select(TRAILS.c.trail_key, TRAILS.c.runs).where(is_wanted))
        return {wanted[row.trail_key]: _trail(row.runs) for row in rows}

    async def apply(self, work: UnitOfWork, recount: Recount, *, now: datetime, until: datetime) -> None:
        await upsert(
            work.connection,
            TRAILS,
            [
                {"trail_key": _text(key), "runs": _document(trail), "touched_at": now}
                for key, trail in sorted(recount.trails.items(), key=itemgetter(0))
            ],
        )
        windows: dict[tuple[UUID, str, datetime], Counts] = {}
        uses_per_day: dict[date, int] = {}
        for (dataset_id, hour), change in recount.changes.items():
            windows[dataset_id, "hour", hour] = change
            day = (dataset_id, "day", day_start(hour.date()))
            windows[day] = windows.get(day, Counts()) + change
            uses_per_day[hour.date()] = uses_per_day.get(hour.date(), 0) + change.uses
        await self._add(work, windows, now)
        await self._add_to_days(work, uses_per_day, until)

    async def mark_day(self, work: UnitOfWork, day: date) -> None:
        row = {"day": day, "uses": 0, "counted_until": None}
        await upsert(work.connection, COUNTED_DAYS, [row], update=[])

    async def resting(
        self, work: UnitOfWork, *, unchanged_since: datetime, waiting_since: datetime, rows_max: int
    ) -> list[CountedWindow]:
        statement = (
            select(ROLLUPS)
            .where(
                ROLLUPS.c.unpublished_since.is_not(None),
                or_(
                    ROLLUPS.c.changed_at <= unchanged_since,
                    ROLLUPS.c.unpublished_since <= waiting_since,
                    # Never so with a sound clock: one that was set back must not hold counts up.
                    ROLLUPS.c.changed_at > work.clock.now(),
                ),
            )
            .order_by(ROLLUPS.c.unpublished_since, ROLLUPS.c.dataset_id, ROLLUPS.c.window_start)
            .limit(rows_max)
            .with_for_update(skip_locked=True)
        )
        rows = await work.connection.execute(statement)
        return [
            CountedWindow(row.dataset_id, row.granularity, row.window_start, counts_of(row), row.revision)
            for row in rows
        ]

    async def published(self, work: UnitOfWork, windows: Sequence[CountedWindow]) -> None:
        if not windows:
            return
        statement = (
            update(ROLLUPS)
            .where(
                ROLLUPS.c.dataset_id == bindparam("dataset"),
                ROLLUPS.c.granularity == bindparam("step"),
                ROLLUPS.c.window_start == bindparam("start"),
            )
            .values(unpublished_since=None)
        )
        await work.connection.execute(
            statement,
            [
                {"dataset": one.dataset_id, "step": one.granularity, "start": one.window_start}
                for one in windows
            ],
        )

    async def forget(self, work: UnitOfWork, *, trails_before: datetime, hours_before: datetime) -> int:
        trails = await work.connection.execute(delete(TRAILS).where(TRAILS.c.touched_at < trails_before))
        is_old = and_(ROLLUPS.c.granularity == "hour", ROLLUPS.c.window_start < hours_before)
        hours = await work.connection.execute(delete(ROLLUPS).where(is_old))
        return trails.rowcount + hours.rowcount

    async def _add(
        self, work: UnitOfWork, windows: dict[tuple[UUID, str, datetime], Counts], now: datetime
    ) -> None:
        rows = [
            {
                "dataset_id": dataset_id,
                "granularity": granularity,
                "window_start": start,
                **{name: getattr(change, name) for name in COUNT_NAMES},
                "revision": 1,
                "changed_at": now,
                "unpublished_since": now,
            }
            for (dataset_id, granularity, start), change in sorted(windows.items())
            if change != Counts()
        ]
        old = ROLLUPS.c
        await merge(
            work.connection,
            ROLLUPS,
            rows,
            lambda new: {
                **{name: old[name] + new[name] for name in COUNT_NAMES},
                "revision": old.revision + 1,
                "changed_at": new.changed_at,
                "unpublished_since": func.coalesce(old.unpublished_since, new.unpublished_since),
            },
        )

    async def _add_to_days(self, work: UnitOfWork, uses: dict[date, int], until: datetime) -> None:
        rows = [{"day": day, "uses": count, "counted_until": until} for day, count in sorted(uses.items())]
        old = COUNTED_DAYS.c
        await merge(
            work.connection,
            COUNTED_DAYS,
            rows,
            lambda new: {
                "uses": old.uses + new.uses,
                "counted_until": case(
                    (old.counted_until > new.counted_until, old.counted_until), else_=new.counted_until
                ),
            },
        )


def counts_of(row: Any) -> Counts:
    """Return the counts in a row of ``rollups``."""
    return Counts(*(getattr(row, name) for name in COUNT_NAMES))


def _text(key: TrailKey) -> str:
    return f"{key.visitor_hash}/{key.dataset_id}"


def _document(trail: Trail) -> dict[str, list[list[int]]]:
    return {f"{kind}/{method}": [list(run) for run in runs] for (kind, method), runs in trail.items()}


def _trail(document: dict[str, list[list[int]]]) -> Trail:
    trail = {}
    for place, runs in document.items():
        kind, _, method = place.partition("/")
        trail[HitKind(kind), AccessMethod(method)] = tuple(Run(first, last) for first, last in runs)
    return trail
