"""Insert-or-replace that reads the same on SQLite and PostgreSQL."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["upsert"]


async def upsert(
    connection: AsyncConnection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    only_if: ColumnElement[bool] | None = None,
    update: Sequence[str] | None = None,
) -> None:
    """Insert ``rows``, replacing rows of the same primary key, in one statement execution.

    Rows are written in the order of their keys, so that two transactions with the same rows wait for one
    another and do not block each other for good. ``update`` names the columns to replace (default: all
    given but the key; an empty list keeps the old row). ``only_if`` may refer to ``table`` (the old row).
    """
    if not rows:
        return
    statement: Any
    if connection.dialect.name == "postgresql":
        statement = postgresql.insert(table)
    else:
        statement = sqlite.insert(table)
    key = [column.name for column in table.primary_key.columns]
    names = [name for name in rows[0] if name not in key] if update is None else list(update)
    if names:
        statement = statement.on_conflict_do_update(
            index_elements=key, set_={name: statement.excluded[name] for name in names}, where=only_if
        )
    else:
        statement = statement.on_conflict_do_nothing(index_elements=key)
    await connection.execute(statement, sorted(rows, key=lambda row: tuple(str(row[name]) for name in key)))
