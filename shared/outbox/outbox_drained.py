"""Waiting until what was committed is on the log, for those whose next step builds on its being heard."""

import asyncio
from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, func, select

from shared.errors import TransientError
from shared.store.engine import Store

__all__ = ["outbox_drained"]

LOOK_SECONDS = 0.02


async def outbox_drained(store: Store, *, seconds_max: float) -> bool:
    """Return whether all that is committed now is on the log, waiting for it ``seconds_max`` at most."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds_max
    try:
        last = await _unpublished(store, func.max)
        while last is not None:
            first = await _unpublished(store, func.min)
            if first is None or first > last:
                return True
            if loop.time() > until:
                return False
            await asyncio.sleep(LOOK_SECONDS)
    except TransientError:
        return False
    return True


async def _unpublished(store: Store, end: Callable[[Any], ColumnElement[int]]) -> int | None:
    """Return the first or last number of what is not on the log yet."""
    outbox = store.tables.outbox
    async with store.read() as connection:
        return await connection.scalar(select(end(outbox.c.id)).where(outbox.c.published_at.is_(None)))
