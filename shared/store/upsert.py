"""Insert-or-replace that reads the same on SQLite and PostgreSQL."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["upsert"]


async def upsert(
    connection: AsyncConnection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    update: Sequence[str] | None = None,
) -> None:
    """Insert ``rows``, replacing rows of the same primary key, in one statement execution.

    Rows are written in the order of their keys, so that two transactions with the same rows wait for one
    another and do not block each other for good. ``update`` names the columns to replace (default: all
    given but the key; an empty list keeps the old row).
    """
    if not rows:
        return
    key = [column.name for column in table.primary_key.columns]
    names = tuple(rows[0]) if update is None else tuple(update)
    statement = _statement(table, connection.dialect.name, tuple(name for name in names if name not in key))
    if len(rows) > 1:
        rows = sorted(rows, key=lambda row: tuple(str(row[name]) for name in key))
    await connection.execute(statement, rows)


@lru_cache(maxsize=512)
def _statement(table: Table, dialect: str, names: tuple[str, ...]) -> Any:
    """Return the statement that replaces the columns ``names``. Building it costs more than running it."""
    statement: Any = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    key = [column.name for column in table.primary_key.columns]
    if not names:
        return statement.on_conflict_do_nothing(index_elements=key)
    return statement.on_conflict_do_update(
        index_elements=key, set_={name: statement.excluded[name] for name in names}
    )
