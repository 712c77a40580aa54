"""Marks that rise: where a log stood when a store last heard of it. Replicas may write them out of order."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Table, and_, case
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["raise_marks"]


async def raise_marks(
    connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]], offset: str
) -> None:
    """Write ``rows``; within one ``epoch``, the column ``offset`` of a row that is there never falls.

    Rows are written in the order of their keys, so that two transactions wait for one another.
    """
    if not rows:
        return
    key = [column.name for column in table.primary_key.columns]
    ordered = sorted(rows, key=lambda row: tuple(str(row[name]) for name in key))
    await connection.execute(_statement(table, connection.dialect.name, offset), ordered)


@lru_cache(maxsize=64)
def _statement(table: Table, dialect: str, offset: str) -> Any:
    statement: Any = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    kept, given = table.c[offset], statement.excluded[offset]
    is_ahead = and_(table.c.epoch == statement.excluded.epoch, kept > given)
    return statement.on_conflict_do_update(
        index_elements=[column.name for column in table.primary_key.columns],
        set_={"epoch": statement.excluded.epoch, offset: case((is_ahead, kept), else_=given)},
    )
