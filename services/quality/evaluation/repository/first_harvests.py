"""First harvests until they are summarized, on SQLite and PostgreSQL alike."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, or_, select, update

from services.quality.evaluation.domain.baseline import FirstHarvest
from services.quality.migrations.tables import DATASET_QUALITY, FIRST_HARVESTS
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert

__all__ = ["FirstHarvestRepository", "is_ready"]


class FirstHarvestRepository:
    """Keeps first harvests until they are summarized."""

    async def note_completed(self, work: UnitOfWork, harvests: Sequence[FirstHarvest]) -> None:
        rows = [
            {
                "harvest_id": harvest.harvest_id,
                "datasets": harvest.datasets,
                "completed_at": harvest.completed_at,
                "summarized_at": None,
            }
            for harvest in harvests
        ]
        await upsert(work.connection, FIRST_HARVESTS, rows, update=[])

    async def ready(self, work: UnitOfWork, *, waited_since: datetime) -> list[FirstHarvest]:
        """Return those whose datasets are all measured, or that have waited since then."""
        rows = await work.connection.execute(select(FIRST_HARVESTS).where(is_ready(waited_since)))
        return [FirstHarvest(row.harvest_id, row.datasets, row.completed_at) for row in rows]

    async def dataset_ids(self, work: UnitOfWork, harvest_id: UUID) -> list[UUID]:
        """Return the measured datasets of a harvest that are not retired."""
        return list(
            await work.connection.scalars(
                select(DATASET_QUALITY.c.dataset_id)
                .where(DATASET_QUALITY.c.harvest_id == harvest_id, DATASET_QUALITY.c.is_retired.is_(False))
                .order_by(DATASET_QUALITY.c.dataset_id)
            )
        )

    async def mark_summarized(self, work: UnitOfWork, harvest_id: UUID) -> None:
        await work.connection.execute(
            update(FIRST_HARVESTS)
            .where(FIRST_HARVESTS.c.harvest_id == harvest_id)
            .values(summarized_at=work.clock.now())
        )


def is_ready(waited_since: datetime) -> ColumnElement[bool]:
    """Tell in SQL whether a first harvest is complete, or has waited long enough."""
    measured = (
        select(func.count(DATASET_QUALITY.c.dataset_id))
        .where(DATASET_QUALITY.c.harvest_id == FIRST_HARVESTS.c.harvest_id)
        .scalar_subquery()
    )
    complete = or_(measured >= FIRST_HARVESTS.c.datasets, FIRST_HARVESTS.c.completed_at <= waited_since)
    return and_(FIRST_HARVESTS.c.summarized_at.is_(None), complete)
