"""Insert-or-merge on SQLite and PostgreSQL: the new row is computed by the database from the old one.

Beside :func:`shared.store.upsert.upsert`, which replaces: counts are added, and two writers of one row (on
PostgreSQL) lose nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["merge"]


async def merge(
    connection: AsyncConnection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    merged: Callable[[Any], Mapping[str, ColumnElement[Any]]],
) -> None:
    """Insert ``rows``; where a key is there, set what ``merged`` makes of the old row and ``excluded``.

    Pass ``rows`` in the order of their keys, so that two writers cannot lock each other out.
    """
    if not rows:
        return
    statement: Any = (
        postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)
    )
    keys = [column.name for column in table.primary_key.columns]
    statement = statement.on_conflict_do_update(index_elements=keys, set_=merged(statement.excluded))
    await connection.execute(statement, list(rows))
