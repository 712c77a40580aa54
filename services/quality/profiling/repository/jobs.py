"""Profile jobs with their leases, on SQLite and PostgreSQL alike."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, and_, delete, or_, select, update

from services.quality.migrations.tables import PROFILE_JOBS
from services.quality.profiling.domain.jobs import Hold, ProfileJob
from shared.store.chunks import chunks
from shared.store.due_times import is_due
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert


class ProfileJobRepository:
    """Keeps profile jobs. A lease makes sure that one run at a time works on a job, and none for ever.

    With ``retries_until`` a second try that becomes due later than that is left to another process.
    """

    def __init__(self, retries_until: datetime | None = None) -> None:
        self._retries_until = retries_until

    async def request(self, work: UnitOfWork, wanted: Mapping[UUID, tuple[str, str | None]]) -> None:
        """Ask for datasets' files to be looked at now: dataset id → (url, media type)."""
        known: dict[UUID, Row[Any]] = {}
        for keys in chunks(wanted.keys()):
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
        for keys in chunks(dataset_ids):
            await work.connection.execute(delete(PROFILE_JOBS).where(PROFILE_JOBS.c.dataset_id.in_(keys)))

    async def lease(
        self, work: UnitOfWork, now: datetime, *, until: datetime, count_max: int
    ) -> list[ProfileJob]:
        """Take due jobs that nobody holds, counting the attempt before it begins."""
        rows = await work.connection.execute(
            select(PROFILE_JOBS.c.dataset_id, PROFILE_JOBS.c.unended_attempts)
            .where(is_job_due(now, until - now, self._retries_until))
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
        return [job_of_row(row) for row in leased]

    async def release_leases(self, work: UnitOfWork) -> None:
        """Give up every lease: for the start of a process that knows itself to be the only worker."""
        await work.connection.execute(
            update(PROFILE_JOBS).where(PROFILE_JOBS.c.leased_until.is_not(None)).values(leased_until=None)
        )

    async def leased(self, work: UnitOfWork) -> Mapping[UUID, datetime]:
        """Return the jobs that are leased, and until when."""
        job = PROFILE_JOBS.c
        rows = await work.connection.execute(
            select(job.dataset_id, job.leased_until).where(job.leased_until.is_not(None))
        )
        return {row.dataset_id: row.leased_until for row in rows}

    async def free(self, work: UnitOfWork, leases: Mapping[UUID, datetime]) -> int:
        """End these leases, as far as they still are what they were; return how many. Their jobs are due."""
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
        """Lock the job, and tell how the run that leased ``job`` stands to it."""
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
        """Write the job's new state and give the lease back."""
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
        """Give the lease back after the request changed under way; it is due at once."""
        await self._write(work, job.dataset_id, leased_until=None, unended_attempts=0)

    async def uncount(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> None:
        """Take back that attempts began: their process lives, and could not end them."""
        job = PROFILE_JOBS.c
        for keys in chunks(dataset_ids):
            await work.connection.execute(
                update(PROFILE_JOBS)
                .where(job.dataset_id.in_(keys), job.unended_attempts > 0)
                .values(unended_attempts=job.unended_attempts - 1)
            )

    async def release(self, work: UnitOfWork, dataset_id: UUID) -> bool:
        """Make a parked job due, as if nobody had tried it; false if there is none."""
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


def is_job_due(now: datetime, lease: timedelta, retries_until: datetime | None) -> ColumnElement[bool]:
    """Tell in SQL whether a job is due, and held by nobody."""
    again = now if retries_until is None else min(now, retries_until)
    job = PROFILE_JOBS.c
    # A first try is due as soon as it is asked for, and a cut-off one was due: whatever the clock says since.
    is_new = and_(job.state == "waiting", job.attempts == 0)
    is_free = and_(job.leased_until.is_(None), or_(is_new, job.next_attempt_at <= again))
    return or_(is_free, is_due(job.leased_until, now, longest=lease))


def job_of_row(row: Row[Any]) -> ProfileJob:
    """Return the job in a row."""
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
