"""A service's database: one writer at a time, readers beside it, migrations at start.

SQLite: WAL, ``synchronous=FULL``, every write transaction opened with ``BEGIN IMMEDIATE`` and behind one
in-process lock (the default deferred BEGIN lost four of five concurrent read-modify-writes without an
error, design section 3), and a separate engine for reads.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import MetaData, event
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from shared.clock import Clock
from shared.errors import TransientError
from shared.store.bus_tables import BusTables
from shared.store.migrations import upgrade
from shared.store.unit_of_work import UnitOfWork

__all__ = ["Store", "sqlite_url"]

BUSY_TIMEOUT_MS = 10_000
READ_CONNECTIONS_MAX = 4
PRIMARY_CODE_MASK = 0xFF
"""SQLite's extended result codes carry the primary one in their lowest byte."""

PASSING_CODES = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)


def sqlite_url(path: Path) -> str:
    """Return the address of a SQLite file."""
    return f"sqlite+aiosqlite:///{path}"


class Store:
    """One service's state. :meth:`open` migrates it; :meth:`unit_of_work` writes; :meth:`read` reads."""

    def __init__(
        self,
        url: str,
        *,
        service: str,
        metadata: MetaData,
        tables: BusTables,
        migrations: Path,
        clock: Clock,
    ) -> None:
        self.url = url
        self.service = service
        self.metadata = metadata
        self.tables = tables
        self.clock = clock
        self.on_emitted: list[Callable[[], None]] = []
        self._migrations = migrations
        self._is_sqlite = url.startswith("sqlite")
        self._write_lock = asyncio.Lock()
        self._writer: AsyncEngine | None = None
        self._reader: AsyncEngine | None = None

    async def open(self) -> None:
        """Connect and bring the schema up to date."""
        if self._is_sqlite:
            self._writer = _sqlite_engine(self.url, writes=True)
            self._reader = _sqlite_engine(self.url, writes=False)
        else:
            self._writer = self._reader = create_async_engine(self.url, pool_size=10, pool_pre_ping=True)
        await upgrade(self._writer, self._migrations)

    async def close(self) -> None:
        """Release the connections. Idempotent."""
        for engine in {self._writer, self._reader} - {None}:
            if engine is not None:
                await engine.dispose()
        self._writer = self._reader = None

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncIterator[UnitOfWork]:
        """Open a write transaction; commit at the end of the block, roll back if it raises.

        Raises ``TransientError`` when the database cannot be reached or is locked.
        """
        if self._writer is None:
            raise TransientError(f"the store of {self.service} is not open")
        async with self._write_gate():
            try:
                async with self._writer.begin() as connection:
                    work = UnitOfWork(connection, self.tables, self.clock)
                    yield work
                    await work.flush_outbox()
            except DBAPIError as error:
                if _is_passing(error):
                    raise TransientError(f"the store of {self.service} is away: {error.orig}") from error
                raise
        work.committed()
        if work.emitted_count:
            for wake in self.on_emitted:
                wake()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection for reading a consistent state. Raises ``TransientError`` if it can't."""
        if self._reader is None:
            raise TransientError(f"the store of {self.service} is not open")
        try:
            async with self._reader.connect() as connection:
                yield connection
        except DBAPIError as error:
            if _is_passing(error):
                raise TransientError(f"the store of {self.service} is away: {error.orig}") from error
            raise

    @asynccontextmanager
    async def _write_gate(self) -> AsyncIterator[None]:
        # PostgreSQL locks rows by itself. A SQLite file takes one writer: waiting here is cheaper than there.
        if not self._is_sqlite:
            yield
            return
        async with self._write_lock:
            yield


def _is_passing(error: DBAPIError) -> bool:
    """Tell an absent or busy database from a wrong statement, which no waiting cures."""
    if error.connection_invalidated:
        return True
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return code & PRIMARY_CODE_MASK in PASSING_CODES
    return isinstance(error, OperationalError)


def _sqlite_engine(url: str, *, writes: bool) -> AsyncEngine:
    if writes:
        engine = create_async_engine(url, pool_size=1, max_overflow=0)
    elif ":memory:" in url:
        engine = create_async_engine(url, poolclass=NullPool)
    else:
        engine = create_async_engine(url, pool_size=READ_CONNECTIONS_MAX, max_overflow=0)

    @event.listens_for(engine.sync_engine, "connect")
    def set_pragmas(connection: Any, _record: Any) -> None:
        # The driver must not open transactions by itself: BEGIN is ours, see below.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            "foreign_keys=ON",
            "secure_delete=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        if not writes:
            cursor.execute("PRAGMA query_only=ON")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
