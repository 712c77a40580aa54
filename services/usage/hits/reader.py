"""How many salts have outlived their day, without opening a write transaction."""

from datetime import datetime

from sqlalchemy import func, select

from services.usage.migrations.tables import VISITOR_SALTS
from shared.store.engine import Store

__all__ = ["salts_of_closed_days"]


async def salts_of_closed_days(store: Store, now: datetime) -> int:
    """Return how many salts have outlived their day."""
    is_over = VISITOR_SALTS.c.made_on < now.date()
    async with store.read() as connection:
        counted = await connection.execute(select(func.count()).select_from(VISITOR_SALTS).where(is_over))
        return counted.scalar_one()
