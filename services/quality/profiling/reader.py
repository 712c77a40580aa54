"""Profile jobs, for reading only: how many are due, postponed or parked, and the one of a dataset."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.quality.migrations.tables import PROFILE_JOBS
from services.quality.profiling.domain.jobs import ProfileJob
from services.quality.profiling.repository.jobs import is_job_due, job_of_row
from shared.jobs.recurring_work import Postponed

__all__ = ["count_due_jobs", "count_parked_jobs", "parked_jobs", "postponed_jobs", "read_job"]


async def count_due_jobs(
    connection: AsyncConnection, now: datetime, *, lease: timedelta, retries_until: datetime | None = None
) -> int:
    """Return how many jobs are due and held by nobody. ``lease``: how long they are taken for."""
    return await _count(connection, PROFILE_JOBS.c.dataset_id, is_job_due(now, lease, retries_until))


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
    return [job_of_row(row) for row in rows]


async def count_parked_jobs(connection: AsyncConnection) -> int:
    """Return how many jobs are parked."""
    return await _count(connection, PROFILE_JOBS.c.dataset_id, PROFILE_JOBS.c.state == "parked")


async def read_job(connection: AsyncConnection, dataset_id: UUID) -> ProfileJob | None:
    """Return the job of a dataset, for reading only."""
    row = (
        await connection.execute(select(PROFILE_JOBS).where(PROFILE_JOBS.c.dataset_id == dataset_id))
    ).one_or_none()
    return None if row is None else job_of_row(row)


async def _count(connection: AsyncConnection, key: ColumnElement[Any], which: ColumnElement[bool]) -> int:
    return int(await connection.scalar(select(func.count(key)).where(which)) or 0)
