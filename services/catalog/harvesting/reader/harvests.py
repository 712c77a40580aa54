"""Harvests as operators see them."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import select

from services.catalog.harvesting.domain.jobs import HarvestJob
from services.catalog.harvesting.domain.views import HarvestView
from services.catalog.harvesting.repository import job_of
from services.catalog.migrations.tables import HARVEST_REJECTIONS, HARVESTS
from shared.events.catalog import RejectedRecord
from shared.store.engine import Store

__all__ = ["HarvestReader"]

REJECTIONS_MAX = 1_000


class HarvestReader:
    """Reads harvests. The caller checks the right to see them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def harvests(self, limit: int = 50) -> tuple[HarvestView, ...]:
        """The latest harvests, newest first, without rejections. The caller checks the right to see them."""
        newest = select(HARVESTS).order_by(HARVESTS.c.requested_at.desc()).limit(limit)
        async with self._store.read() as connection:
            return tuple(_harvest(job_of(row), ()) for row in await connection.execute(newest))

    async def harvest(self, harvest_id: UUID) -> HarvestView | None:
        """One harvest with its rejections. The caller checks the right to see it."""
        async with self._store.read() as connection:
            row = (
                await connection.execute(select(HARVESTS).where(HARVESTS.c.harvest_id == harvest_id))
            ).one_or_none()
            if row is None:
                return None
            records = await connection.scalars(
                select(HARVEST_REJECTIONS.c.record)
                .where(HARVEST_REJECTIONS.c.harvest_id == harvest_id)
                .order_by(HARVEST_REJECTIONS.c.rejection_id)
                .limit(REJECTIONS_MAX)
            )
            rejections = [RejectedRecord.model_validate(record) for record in records]
        return _harvest(job_of(row), rejections)


def _harvest(job: HarvestJob, rejections: Iterable[RejectedRecord]) -> HarvestView:
    counts = job.counts
    return HarvestView(
        harvest_id=job.harvest_id,
        source_id=job.source_id,
        url=job.url,
        status=job.status,
        first_harvest=job.first_harvest,
        processed=job.processed,
        total=job.total,
        created=counts.created,
        changed=counts.changed,
        unchanged=counts.unchanged,
        retired=counts.retired,
        rejected=counts.rejected,
        known=job.known,
        missing=job.missing,
        message=job.message,
        rejections=tuple(rejections),
        requested_at=job.requested_at,
        started_at=job.started_at,
        completed_at=job.completed_at,
    )
