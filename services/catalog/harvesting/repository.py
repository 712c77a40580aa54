"""Sources, harvest jobs and dictionaries to fetch, on SQLAlchemy: SQLite and PostgreSQL alike."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, false, func, insert, or_, select, update

from services.catalog.harvesting.domain.jobs import OPEN_STATUSES, HarvestCounts, HarvestJob, HarvestSource
from services.catalog.harvesting.domain.source_choice import SourceMatch
from services.catalog.migrations.tables import (
    DATASET_ALIASES,
    DATASETS,
    HARVEST_REJECTIONS,
    HARVESTS,
    SOURCES,
)
from shared.events.catalog import RejectedRecord
from shared.store.chunks import chunks
from shared.store.due_times import is_due
from shared.store.engine import Store
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert

__all__ = ["HarvestRepository", "job_of"]

LEASE_MAX = timedelta(hours=1)
"""As long as the settings let a worker that was cut off keep its job."""

_COUNTS = HarvestCounts.__slots__


class HarvestRepository:
    """Keeps sources and harvest jobs."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def source(self, work: UnitOfWork, source_id: str) -> HarvestSource | None:
        """A source by its id."""
        row = (
            (
                await work.connection.execute(
                    select(SOURCES).where(SOURCES.c.source_id == source_id).with_for_update()
                )
            )
            .mappings()
            .one_or_none()
        )
        return None if row is None else HarvestSource(**row)

    async def put_source(self, work: UnitOfWork, source: HarvestSource) -> None:
        """Write a source."""
        row = {name: getattr(source, name) for name in HarvestSource.__slots__}
        await upsert(work.connection, SOURCES, [row])

    async def source_at(self, work: UnitOfWork, url: str) -> str | None:
        """The source that was harvested from this address last."""
        source_id: str | None = await work.connection.scalar(
            select(HARVESTS.c.source_id)
            .where(HARVESTS.c.url == url)
            .order_by(HARVESTS.c.requested_at.desc())
            .limit(1)
        )
        return source_id

    async def sources_with(self, work: UnitOfWork, titles: Mapping[str, str]) -> list[SourceMatch]:
        """Sources that know some of these identifiers, given with their titles."""
        identifiers: Counter[str] = Counter()
        records: Counter[str] = Counter()
        known = select(DATASET_ALIASES.c.source_id, DATASET_ALIASES.c.identifier, DATASETS.c.title).join(
            DATASETS, DATASETS.c.dataset_id == DATASET_ALIASES.c.dataset_id
        )
        for chunk in chunks(titles):
            for row in await work.connection.execute(known.where(DATASET_ALIASES.c.identifier.in_(chunk))):
                identifiers[row.source_id] += 1
                records[row.source_id] += row.title == titles[row.identifier]
        return [
            SourceMatch(source_id, number, records[source_id], await self.live_count(work, source_id))
            for source_id, number in identifiers.items()
        ]

    async def live_count(self, work: UnitOfWork, source_id: str) -> int:
        """How many datasets of a source are not retired."""
        counted = await work.connection.scalar(
            select(func.count())
            .select_from(DATASETS)
            .where(DATASETS.c.source_id == source_id, DATASETS.c.retired == false())
        )
        return counted or 0

    async def job(self, work: UnitOfWork, harvest_id: UUID) -> HarvestJob | None:
        """A job, under a row lock."""
        row = (
            await work.connection.execute(
                select(HARVESTS).where(HARVESTS.c.harvest_id == harvest_id).with_for_update()
            )
        ).one_or_none()
        return None if row is None else job_of(row)

    async def put_job(
        self, work: UnitOfWork, job: HarvestJob, rejections: Sequence[RejectedRecord] = ()
    ) -> None:
        """Write a job, and add rejections to those that it has."""
        await upsert(work.connection, HARVESTS, [_row(job)])
        if rejections:
            rows = [
                {"harvest_id": job.harvest_id, "record": record.model_dump(exclude_none=True)}
                for record in rejections
            ]
            await work.connection.execute(insert(HARVEST_REJECTIONS), rows)

    async def next_job(self, work: UnitOfWork, now: datetime) -> HarvestJob | None:
        """The oldest queued job, or a running one whose lease is over, under a row lock."""
        is_over = is_due(HARVESTS.c.lease_until, now, longest=LEASE_MAX)
        is_free = or_(HARVESTS.c.lease_until.is_(None), is_over)
        row = (
            await work.connection.execute(
                select(HARVESTS)
                .where(or_(HARVESTS.c.status == "queued", (HARVESTS.c.status == "running") & is_free))
                .order_by(HARVESTS.c.requested_at, HARVESTS.c.harvest_id)
                .limit(1)
                .with_for_update(skip_locked=True)
            )
        ).one_or_none()
        return None if row is None else job_of(row)

    async def rejections(self, work: UnitOfWork, harvest_id: UUID, limit: int) -> list[RejectedRecord]:
        """The first rejections of a job, in the order of the feed."""
        rows = await work.connection.scalars(
            select(HARVEST_REJECTIONS.c.record)
            .where(HARVEST_REJECTIONS.c.harvest_id == harvest_id)
            .order_by(HARVEST_REJECTIONS.c.rejection_id)
            .limit(limit)
        )
        return [RejectedRecord.model_validate(record) for record in rows]

    async def has_completed(self, work: UnitOfWork, source_id: str) -> bool:
        """Whether a harvest of this source was ever completed."""
        done = await work.connection.scalar(
            select(HARVESTS.c.harvest_id)
            .where(HARVESTS.c.source_id == source_id, HARVESTS.c.status == "completed")
            .limit(1)
        )
        return done is not None

    async def is_superseded(self, work: UnitOfWork, job: HarvestJob) -> bool:
        """Whether the same source was asked for again after this job."""
        later = await work.connection.scalar(
            select(HARVESTS.c.harvest_id)
            .where(
                HARVESTS.c.source_id == job.source_id,
                HARVESTS.c.requested_at > job.requested_at,
                HARVESTS.c.status != "failed",
            )
            .limit(1)
        )
        return later is not None

    async def open_count(self) -> int:
        """Jobs that are queued or running."""
        async with self._store.read() as connection:
            counted = await connection.scalar(
                select(func.count()).select_from(HARVESTS).where(HARVESTS.c.status.in_(OPEN_STATUSES))
            )
        return counted or 0

    async def parked(self, limit: int) -> list[HarvestJob]:
        """The jobs that were parked last and are not superseded."""
        async with self._store.read() as connection:
            rows = await connection.execute(
                select(HARVESTS)
                .where(HARVESTS.c.status == "parked", ~_is_superseded())
                .order_by(HARVESTS.c.completed_at.desc(), HARVESTS.c.harvest_id)
                .limit(limit)
            )
            return [job_of(row) for row in rows]

    async def parked_count(self) -> int:
        """How many are parked and not superseded."""
        async with self._store.read() as connection:
            counted = await connection.scalar(
                select(func.count())
                .select_from(HARVESTS)
                .where(HARVESTS.c.status == "parked", ~_is_superseded())
            )
        return counted or 0

    async def release_leases(self) -> None:
        """Give up every lease: for the start of a process that knows itself to be the only worker."""
        async with self._store.unit_of_work() as work:
            await work.connection.execute(
                update(HARVESTS).where(HARVESTS.c.status == "running").values(lease_until=None)
            )

    async def awaited(self) -> set[UUID]:
        """Jobs whose feed is still needed: queued, running, or held or parked and not superseded."""
        is_held = HARVESTS.c.status.in_(("held", "parked")) & ~_is_superseded()
        async with self._store.read() as connection:
            rows = await connection.scalars(
                select(HARVESTS.c.harvest_id).where(or_(HARVESTS.c.status.in_(OPEN_STATUSES), is_held))
            )
            return set(rows)


def _is_superseded() -> ColumnElement[bool]:
    """Whether the same source was asked for again after a harvest."""
    later = HARVESTS.alias()
    return (
        select(later.c.harvest_id)
        .where(
            later.c.source_id == HARVESTS.c.source_id,
            later.c.requested_at > HARVESTS.c.requested_at,
            later.c.status != "failed",
        )
        .exists()
    )


def job_of(row: Any) -> HarvestJob:
    """The job in a row of ``harvests``."""
    values = {name: getattr(row, name) for name in HarvestJob.__slots__ if name != "counts"}
    return HarvestJob(**values, counts=HarvestCounts(**{name: getattr(row, name) for name in _COUNTS}))


def _row(job: HarvestJob) -> dict[str, Any]:
    row = {name: getattr(job, name) for name in HarvestJob.__slots__ if name != "counts"}
    return row | {name: getattr(job.counts, name) for name in _COUNTS}
