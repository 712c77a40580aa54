"""What a store remembers about itself: single values that belong to no service's tables."""

from typing import Any, Literal

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.store.delivery_tables import DeliveryTables
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert

__all__ = ["NoteName", "read_note", "remove_note", "write_note"]

NoteName = Literal["loss_accepted", "outbox_pruned_before", "refusal", "version_floor"]


async def read_note(connection: AsyncConnection, tables: DeliveryTables, name: NoteName) -> Any:
    """Return a note's value, ``None`` if there is none."""
    table = tables.store_notes
    return (await connection.execute(select(table.c.value).where(table.c.name == name))).scalar_one_or_none()


async def write_note(work: UnitOfWork, name: NoteName, value: Any) -> None:
    """Write a note, in place of the one of that name."""
    row = {"name": name, "value": value, "noted_at": work.clock.now()}
    await upsert(work.connection, work.tables.store_notes, [row])


async def remove_note(work: UnitOfWork, name: NoteName) -> None:
    """Remove a note. Idempotent."""
    table = work.tables.store_notes
    await work.connection.execute(delete(table).where(table.c.name == name))
