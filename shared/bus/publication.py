"""Waiting until what was committed is on the log, for those whose next step builds on its being heard."""

import asyncio

from sqlalchemy import func, select

from shared.errors import TransientError
from shared.store.engine import Store

__all__ = ["has_published"]

LOOK_SECONDS = 0.02


async def has_published(store: Store, *, seconds_max: float) -> bool:
    """Return whether all that is committed now is on the log, waiting for it ``seconds_max`` at most."""
    outbox = store.tables.outbox
    unpublished = select(func.min(outbox.c.id), func.max(outbox.c.id)).where(outbox.c.published_at.is_(None))
    last: int | None = None
    until = asyncio.get_running_loop().time() + seconds_max
    while True:
        try:
            async with store.read() as connection:
                first, newest = (await connection.execute(unpublished)).one()
        except TransientError:
            return False
        last = newest if last is None else last
        if first is None or last is None or first > last:
            return True
        if asyncio.get_running_loop().time() > until:
            return False
        await asyncio.sleep(LOOK_SECONDS)
