"""How many datasets are to be looked at, without opening a write transaction."""

from datetime import datetime

from sqlalchemy import func, select

from services.usage.migrations.tables import WATCHED_DATASETS
from shared.store.engine import Store

__all__ = ["datasets_due"]


async def datasets_due(store: Store, by: datetime) -> int:
    """Return how many datasets are to be looked at by then."""
    is_due = WATCHED_DATASETS.c.due_at <= by
    async with store.read() as connection:
        counted = await connection.execute(select(func.count()).select_from(WATCHED_DATASETS).where(is_due))
        return counted.scalar_one()
