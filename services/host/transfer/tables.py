"""A service's tables as JSON lines, one file per table, and back into an empty database."""

import asyncio
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Column, Date, Integer, LargeBinary, Table, Uuid, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.bounded_json import JSONLimits, read_lines
from shared.errors import NutmegError
from shared.store.chunks import chunks
from shared.store.engine import Store
from shared.store.types import UTCDateTime

__all__ = ["MOVED_LIMITS", "carried_tables", "dump_store", "load_store"]

ROWS_PER_BATCH = 500
MOVED_LIMITS = JSONLimits(bytes_max=64 * 1024 * 1024, elements_max=5_000_000)
"""Of one row or record: far more than any service writes."""
LEFT_BEHIND = frozenset({"outbox", "log_marks", "handled_offsets"})
"""They speak of the old log; the outbox is empty of all that is unpublished."""


def carried_tables(store: Store) -> list[Table]:
    """Return a service's tables in the order in which rows may be inserted."""
    return [table for table in store.metadata.sorted_tables if table.name not in LEFT_BEHIND]


async def dump_store(store: Store, folder: Path) -> dict[str, int]:
    """Write every table, at one moment of the database; return the number of rows by table."""
    await asyncio.to_thread(folder.mkdir, parents=True)
    counts = {}
    async with store.read() as connection:
        for table in carried_tables(store):
            name = str(table.name)
            with (folder / f"{name}.jsonl").open("wb") as file:
                counts[name] = 0
                async for row in _rows(connection, table):
                    file.write(orjson.dumps(row, default=_plain, option=orjson.OPT_APPEND_NEWLINE))
                    counts[name] += 1
    return counts


async def load_store(store: Store, folder: Path, counts: Mapping[str, int]) -> None:
    """Insert what was written, in one transaction.

    Raises ``NutmegError`` for a table that is not empty, or a file that is not whole.
    """
    async with store.unit_of_work() as work:
        for table in carried_tables(store):
            found = (await work.connection.execute(select(func.count()).select_from(table))).scalar_one()
            if found:
                raise NutmegError(
                    f"{store.service}.{table.name} has {found} rows; import goes into new databases only"
                )
            read = 0
            for rows in _read(folder / f"{table.name}.jsonl", table):
                await work.connection.execute(insert(table), list(rows))
                read += len(rows)
            if read != counts.get(table.name, 0):
                raise NutmegError(
                    f"{folder.name}/{table.name}.jsonl has {read} rows, the manifest says "
                    f"{counts.get(table.name, 0)}; export again"
                )
            await _go_on_numbering(work.connection, table)


async def _rows(connection: AsyncConnection, table: Table) -> AsyncIterator[dict[str, Any]]:
    result = await connection.stream(select(table).order_by(*table.primary_key.columns))
    async for rows in result.mappings().partitions(ROWS_PER_BATCH):
        for row in rows:
            yield {str(name): value for name, value in row.items()}


def _read(path: Path, table: Table) -> Iterator[Sequence[dict[str, Any]]]:
    readers = {column.name: reader for column in table.columns if (reader := _reader(column)) is not None}
    with path.open("rb") as file:
        lines = read_lines(file, MOVED_LIMITS)
        for rows in chunks(lines, ROWS_PER_BATCH):
            for row in rows:
                for name, read in readers.items():
                    if row[name] is not None:
                        row[name] = read(row[name])
            yield rows


def _reader(column: Column[Any]) -> Callable[[str], Any] | None:
    """Return what makes a column's value of its JSON text; ``None`` where JSON has the type."""
    kind = column.type
    if isinstance(kind, UTCDateTime):
        return datetime.fromisoformat
    if isinstance(kind, LargeBinary):
        return b64decode
    if isinstance(kind, Uuid):
        return UUID
    if isinstance(kind, Date):
        return date.fromisoformat
    return None


def _plain(value: object) -> str:
    if isinstance(value, bytes):
        return b64encode(value).decode()
    raise TypeError(f"cannot export a {type(value).__name__}")


async def _go_on_numbering(connection: AsyncConnection, table: Table) -> None:
    """Let PostgreSQL number new rows after those that came with a number."""
    if connection.dialect.name != "postgresql":
        return
    for column in table.primary_key.columns:
        if isinstance(column.type, Integer):
            await connection.execute(
                text(
                    f"SELECT setval(pg_get_serial_sequence('{table.name}', '{column.name}'), "
                    f"(SELECT max({column.name}) FROM {table.name}))"
                )
            )
