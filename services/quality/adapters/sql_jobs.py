"""Profile jobs with their leases, and first harvests until they are summarised."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, and_, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.quality.adapters.chunks import chunked
from services.quality.migrations.tables import FIRST_HARVESTS, PROFILE_JOBS, STANDINGS
from services.quality.ports import FirstHarvest, Hold, ProfileJob
from shared.jobs.recurring_work import Postponed
from shared.store.due_times import is_due
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert


class SqlJobBook:
    """Implements :class:`services.quality.ports.JobBook`.

    With ``retries_until`` a second try that becomes due later than that is left to another process.
    """

    def __init__(self, retries_until: datetime | None = None) -> None:
        self._retries_until = retries_until

    async def request(self, work: UnitOfWork, wanted: Mapping[UUID, tuple[str, str | None]]) -> None:
        known: dict[UUID, Row[Any]] = {}
        for keys in chunked(wanted.keys()):
            found = await work.connection.execute(
                select(PROFILE_JOBS).where(PROFILE_JOBS.c.dataset_id.in_(keys)).with_for_update()
            )
            known |= {row.dataset_id: row for row in found}
        now = work.clock.now()
        rows = []
        for dataset_id, (url, media_type) in wanted.items():
            before = known.get(dataset_id)
            is_same = before is not None and before.url == url
            if before is not None and is_same and before.state == "parked":
                # Only an operator lets it go. What is asked of it anew changes nothing in the file it reads.
                rows.append(before._asdict() | {"media_type": media_type, "revision": before.revision + 1})
                continue
            rows.append(
                {
                    "dataset_id": dataset_id,
                    "url": url,
                    "media_type": media_type,
                    "revision": before.revision + 1 if before else 1,
                    "state": "waiting",
                    "attempts": 0,
                    "unended_attempts": before.unended_attempts if before is not None and is_same else 0,
                    "link_failures": 0,
                    "requested_at": now,
                    "next_attempt_at": now,
                    "leased_until": before.leased_until if before else None,
                    "reason": None,
                    "finished_at": None,
                }
            )
        await upsert(work.connection, PROFILE_JOBS, rows)

    async def cancel(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> None:
        for keys in chunked(dataset_ids):
            await work.connection.execute(delete(PROFILE_JOBS).where(PROFILE_JOBS.c.dataset_id.in_(keys)))

    async def lease(
        self, work: UnitOfWork, now: datetime, *, until: datetime, count_max: int
    ) -> list[ProfileJob]:
        rows = await work.connection.execute(
            select(PROFILE_JOBS.c.dataset_id, PROFILE_JOBS.c.unended_attempts)
            .where(_is_due(now, until - now, self._retries_until))
            .order_by(PROFILE_JOBS.c.next_attempt_at)
            .limit(count_max)
            .with_for_update(skip_locked=True)
        )
        found = rows.all()
        # One on which a process died is tried alone: its neighbors must not be counted with it.
        suspects = [row.dataset_id for row in found if row.unended_attempts]
        keys = suspects[:1] or [row.dataset_id for row in found]
        if not keys:
            return []
        leased = await work.connection.execute(
            update(PROFILE_JOBS)
            .where(PROFILE_JOBS.c.dataset_id.in_(keys))
            .values(
                leased_until=until,
                attempts=PROFILE_JOBS.c.attempts + 1,
                unended_attempts=PROFILE_JOBS.c.unended_attempts + 1,
            )
            .returning(*PROFILE_JOBS.c)
        )
        return [_job(row) for row in leased]

    async def release_leases(self, work: UnitOfWork) -> None:
        await work.connection.execute(
            update(PROFILE_JOBS).where(PROFILE_JOBS.c.leased_until.is_not(None)).values(leased_until=None)
        )

    async def leased(self, work: UnitOfWork) -> Mapping[UUID, datetime]:
        job = PROFILE_JOBS.c
        rows = await work.connection.execute(
            select(job.dataset_id, job.leased_until).where(job.leased_until.is_not(None))
        )
        return {row.dataset_id: row.leased_until for row in rows}

    async def free(self, work: UnitOfWork, leases: Mapping[UUID, datetime]) -> int:
        job, count = PROFILE_JOBS.c, 0
        for dataset_id, until in leases.items():
            freed = await work.connection.execute(
                update(PROFILE_JOBS)
                .where(job.dataset_id == dataset_id, job.leased_until == until)
                .values(leased_until=None)
                .returning(job.dataset_id)
            )
            count += len(freed.all())
        return count

    async def hold(self, work: UnitOfWork, job: ProfileJob) -> Hold:
        row = (
            await work.connection.execute(
                select(PROFILE_JOBS.c.revision, PROFILE_JOBS.c.leased_until)
                .where(PROFILE_JOBS.c.dataset_id == job.dataset_id)
                .with_for_update()
            )
        ).one_or_none()
        if row is None or row.leased_until != job.leased_until:
            return "lost"
        return "held" if row.revision == job.revision else "asked-again"

    async def finish(self, work: UnitOfWork, job: ProfileJob) -> None:
        await self._write(
            work,
            job.dataset_id,
            state=job.state,
            attempts=job.attempts,
            link_failures=job.link_failures,
            next_attempt_at=job.next_attempt_at,
            leased_until=None,
            reason=job.reason,
            finished_at=job.finished_at,
            unended_attempts=0,
        )

    async def give_back(self, work: UnitOfWork, job: ProfileJob) -> None:
        await self._write(work, job.dataset_id, leased_until=None, unended_attempts=0)

    async def uncount(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> None:
        job = PROFILE_JOBS.c
        for keys in chunked(dataset_ids):
            await work.connection.execute(
                update(PROFILE_JOBS)
                .where(job.dataset_id.in_(keys), job.unended_attempts > 0)
                .values(unended_attempts=job.unended_attempts - 1)
            )

    async def release(self, work: UnitOfWork, dataset_id: UUID) -> bool:
        job = PROFILE_JOBS.c
        released = await work.connection.execute(
            update(PROFILE_JOBS)
            .where(job.dataset_id == dataset_id, job.state == "parked")
            .values(
                state="waiting",
                attempts=0,
                next_attempt_at=work.clock.now(),
                reason=None,
                finished_at=None,
            )
            .returning(job.dataset_id)
        )
        return bool(released.all())

    async def _write(self, work: UnitOfWork, dataset_id: UUID, **values: Any) -> None:
        await work.connection.execute(
            update(PROFILE_JOBS).where(PROFILE_JOBS.c.dataset_id == dataset_id).values(**values)
        )


class SqlHarvestBook:
    """Implements :class:`services.quality.ports.HarvestBook`."""

    async def note_completed(self, work: UnitOfWork, harvests: Sequence[FirstHarvest]) -> None:
        rows = [
            {
                "harvest_id": one.harvest_id,
                "datasets": one.datasets,
                "completed_at": one.completed_at,
                "summarised_at": None,
            }
            for one in harvests
        ]
        await upsert(work.connection, FIRST_HARVESTS, rows, update=[])

    async def ready(self, work: UnitOfWork, *, waited_since: datetime) -> list[FirstHarvest]:
        rows = await work.connection.execute(select(FIRST_HARVESTS).where(_is_ready(waited_since)))
        return [FirstHarvest(row.harvest_id, row.datasets, row.completed_at) for row in rows]

    async def dataset_ids(self, work: UnitOfWork, harvest_id: UUID) -> list[UUID]:
        return list(
            await work.connection.scalars(
                select(STANDINGS.c.dataset_id)
                .where(STANDINGS.c.harvest_id == harvest_id, STANDINGS.c.is_retired.is_(False))
                .order_by(STANDINGS.c.dataset_id)
            )
        )

    async def mark_summarised(self, work: UnitOfWork, harvest_id: UUID) -> None:
        await work.connection.execute(
            update(FIRST_HARVESTS)
            .where(FIRST_HARVESTS.c.harvest_id == harvest_id)
            .values(summarised_at=work.clock.now())
        )


async def count_due_jobs(
    connection: AsyncConnection, now: datetime, *, lease: timedelta, retries_until: datetime | None = None
) -> int:
    """Return how many jobs are due and held by nobody. ``lease``: how long they are taken for."""
    return await _count(connection, PROFILE_JOBS.c.dataset_id, _is_due(now, lease, retries_until))


async def postponed_jobs(connection: AsyncConnection) -> Postponed | None:
    """Return how many files could not be had and are tried again, and when the first is; None if none is."""
    job = PROFILE_JOBS.c
    row = (
        await connection.execute(
            select(func.count(job.dataset_id), func.min(job.next_attempt_at)).where(
                job.state == "waiting", job.attempts > 0, job.leased_until.is_(None)
            )
        )
    ).one()
    return Postponed(row[0], "Data files that could not be fetched", row[1]) if row[0] else None


async def parked_jobs(connection: AsyncConnection, limit: int) -> list[ProfileJob]:
    """Return the jobs that were parked last."""
    job = PROFILE_JOBS.c
    rows = await connection.execute(
        select(PROFILE_JOBS)
        .where(job.state == "parked")
        .order_by(job.finished_at.desc(), job.dataset_id)
        .limit(limit)
    )
    return [_job(row) for row in rows]


async def count_parked_jobs(connection: AsyncConnection) -> int:
    """Return how many jobs are parked."""
    return await _count(connection, PROFILE_JOBS.c.dataset_id, PROFILE_JOBS.c.state == "parked")


async def count_due_checks(connection: AsyncConnection, now: datetime) -> int:
    """Return how many datasets' freshness is to be judged again."""
    due = and_(STANDINGS.c.next_check_at <= now, STANDINGS.c.is_retired.is_(False))
    return await _count(connection, STANDINGS.c.dataset_id, due)


async def count_ready_harvests(connection: AsyncConnection, waited_since: datetime) -> int:
    """Return how many first harvests are to be summarised now."""
    return await _count(connection, FIRST_HARVESTS.c.harvest_id, _is_ready(waited_since))


async def read_job(connection: AsyncConnection, dataset_id: UUID) -> ProfileJob | None:
    """Return the job of a dataset, for reading only."""
    row = (
        await connection.execute(select(PROFILE_JOBS).where(PROFILE_JOBS.c.dataset_id == dataset_id))
    ).one_or_none()
    return None if row is None else _job(row)


async def _count(connection: AsyncConnection, key: ColumnElement[Any], which: ColumnElement[bool]) -> int:
    return int(await connection.scalar(select(func.count(key)).where(which)) or 0)


def _is_due(now: datetime, lease: timedelta, retries_until: datetime | None) -> ColumnElement[bool]:
    again = now if retries_until is None else min(now, retries_until)
    job = PROFILE_JOBS.c
    # A first try is due as soon as it is asked for, and a cut-off one was due: whatever the clock says since.
    is_new = and_(job.state == "waiting", job.attempts == 0)
    is_free = and_(job.leased_until.is_(None), or_(is_new, job.next_attempt_at <= again))
    return or_(is_free, is_due(job.leased_until, now, longest=lease))


def _is_ready(waited_since: datetime) -> ColumnElement[bool]:
    measured = (
        select(func.count(STANDINGS.c.dataset_id))
        .where(STANDINGS.c.harvest_id == FIRST_HARVESTS.c.harvest_id)
        .scalar_subquery()
    )
    complete = or_(measured >= FIRST_HARVESTS.c.datasets, FIRST_HARVESTS.c.completed_at <= waited_since)
    return and_(FIRST_HARVESTS.c.summarised_at.is_(None), complete)


def _job(row: Row[Any]) -> ProfileJob:
    return ProfileJob(
        dataset_id=row.dataset_id,
        url=row.url,
        media_type=row.media_type,
        revision=row.revision,
        state=row.state,
        attempts=row.attempts,
        link_failures=row.link_failures,
        requested_at=row.requested_at,
        next_attempt_at=row.next_attempt_at,
        reason=row.reason,
        finished_at=row.finished_at,
        leased_until=row.leased_until,
        unended_attempts=row.unended_attempts,
    )
