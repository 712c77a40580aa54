"""How far each group got, kept in the store that its handlers write to, in the same transaction.

The log keeps the groups' offsets too, and moves them only after the store has committed. So a store that
stands *before* an offset of the log is not the one that the log has known: it is new, or an older copy.
"""

from collections.abc import Collection, Mapping

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.log.port import TopicPartition
from shared.store.delivery_tables import DeliveryTables
from shared.store.high_marks import raise_marks
from shared.store.unit_of_work import UnitOfWork

__all__ = ["handled_offsets", "note_handled"]


async def note_handled(
    work: UnitOfWork, group: str, epoch: str, next_offsets: Mapping[TopicPartition, int]
) -> None:
    """Write that everything below ``next_offsets`` is handled. A late writer does not take that back."""
    rows = [
        {
            "group_name": group,
            "topic": place.topic,
            "partition": place.partition,
            "epoch": epoch,
            "next_offset": offset,
        }
        for place, offset in next_offsets.items()
    ]
    await raise_marks(work.connection, work.tables.handled_offsets, rows, "next_offset")


async def handled_offsets(
    connection: AsyncConnection, tables: DeliveryTables, group: str, epochs: Collection[str]
) -> dict[TopicPartition, int]:
    """Return the group's offsets as the store knows them, in a log that has one of these epochs."""
    table = tables.handled_offsets
    found = await connection.execute(
        select(table.c.topic, table.c.partition, table.c.next_offset).where(
            table.c.group_name == group, table.c.epoch.in_(list(epochs))
        )
    )
    return {TopicPartition(row.topic, row.partition): row.next_offset for row in found}
