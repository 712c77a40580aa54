"""How much of usage's recurring work is to be done, without opening a write transaction."""

from datetime import datetime

from sqlalchemy import ColumnElement, Table, func, select

from services.usage.migrations.tables import ROLLUPS, VISITOR_SALTS, WATCHED_DATASETS
from shared.store.engine import Store

__all__ = ["datasets_due", "rollups_unpublished", "salts_of_closed_days"]


async def rollups_unpublished(store: Store) -> int:
    """Return how many windows have counts that are not published, resting or not."""
    return await _count(store, ROLLUPS, ROLLUPS.c.unpublished_since.is_not(None))


async def datasets_due(store: Store, by: datetime) -> int:
    """Return how many datasets are to be looked at by then."""
    return await _count(store, WATCHED_DATASETS, WATCHED_DATASETS.c.due_at <= by)


async def salts_of_closed_days(store: Store, now: datetime) -> int:
    """Return how many salts have outlived their day."""
    return await _count(store, VISITOR_SALTS, VISITOR_SALTS.c.made_on < now.date())


async def _count(store: Store, table: Table, condition: ColumnElement[bool]) -> int:
    async with store.read() as connection:
        found = await connection.execute(select(func.count()).select_from(table).where(condition))
        return found.scalar_one()
