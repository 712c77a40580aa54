"""Click sessions and counts, on SQLite and PostgreSQL alike."""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from operator import itemgetter
from uuid import UUID

from sqlalchemy import and_, bindparam, case, delete, func, or_, select, update

from services.usage.counts.domain.clients import AccessMethod
from services.usage.counts.domain.counter import (
    COUNT_NAMES,
    ClickSession,
    ClickSessionKey,
    CountedWindow,
    Counts,
    HitKind,
    Recount,
    Run,
    counts_of,
    day_start,
)
from services.usage.migrations.tables import CLICK_SESSIONS, COUNTED_DAYS, ROLLUPS
from shared.store.in_list import in_list
from shared.store.merge import merge
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert

__all__ = ["CountRepository"]


class CountRepository:
    """Keeps click sessions and counts."""

    async def sessions(
        self, work: UnitOfWork, keys: Collection[ClickSessionKey]
    ) -> dict[ClickSessionKey, ClickSession]:
        """Return the click sessions that there are."""
        wanted = {_text(key): key for key in keys}
        is_wanted = in_list(CLICK_SESSIONS.c.session_key, list(wanted), work.connection.dialect.name)
        rows = await work.connection.execute(
            select(CLICK_SESSIONS.c.session_key, CLICK_SESSIONS.c.runs).where(is_wanted)
        )
        return {wanted[row.session_key]: _session(row.runs) for row in rows}

    async def apply(self, work: UnitOfWork, recount: Recount, *, now: datetime, until: datetime) -> None:
        """Write the sessions and add the changes to hours and days; ``until``: the newest hit."""
        await upsert(
            work.connection,
            CLICK_SESSIONS,
            [
                {"session_key": _text(key), "runs": _document(session), "touched_at": now}
                for key, session in sorted(recount.sessions.items(), key=itemgetter(0))
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
        """Keep that the installation counts on this day, so that no use of it is zero and not unknown."""
        row = {"day": day, "uses": 0, "counted_until": None}
        await upsert(work.connection, COUNTED_DAYS, [row], update=[])

    async def resting(
        self, work: UnitOfWork, *, unchanged_since: datetime, waiting_since: datetime, rows_max: int
    ) -> list[CountedWindow]:
        """Return windows to publish: unchanged since the one moment, or waiting since the other."""
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
        """Keep that these revisions were published."""
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
                {"dataset": window.dataset_id, "step": window.granularity, "start": window.window_start}
                for window in windows
            ],
        )

    async def forget(self, work: UnitOfWork, *, sessions_before: datetime, hours_before: datetime) -> int:
        """Delete sessions not touched since, and hourly counts older than; return how many rows."""
        sessions = await work.connection.execute(
            delete(CLICK_SESSIONS).where(CLICK_SESSIONS.c.touched_at < sessions_before)
        )
        is_old = and_(ROLLUPS.c.granularity == "hour", ROLLUPS.c.window_start < hours_before)
        hours = await work.connection.execute(delete(ROLLUPS).where(is_old))
        return sessions.rowcount + hours.rowcount

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


def _text(key: ClickSessionKey) -> str:
    return f"{key.visitor_hash}/{key.dataset_id}"


def _document(session: ClickSession) -> dict[str, list[list[int]]]:
    return {f"{kind}/{method}": [list(run) for run in runs] for (kind, method), runs in session.items()}


def _session(document: dict[str, list[list[int]]]) -> ClickSession:
    session = {}
    for place, runs in document.items():
        kind, _, method = place.partition("/")
        session[HitKind(kind), AccessMethod(method)] = tuple(Run(first, last) for first, last in runs)
    return session
