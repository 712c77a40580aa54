"""A service's database: one writer at a time, readers beside it, migrations at start.

SQLite: WAL, ``synchronous=FULL``, every write transaction opened with ``BEGIN IMMEDIATE`` and behind one
in-process lock (the default deferred BEGIN lost four of five concurrent read-modify-writes without an
error, design section 3), and a separate engine for reads.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from socket import gaierror
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import MetaData, delete, event, insert, make_url, select, text
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from shared.clock import Clock
from shared.errors import DamagedFileError, SchemaError, TransientError
from shared.store.delivery_tables import DeliveryTables
from shared.store.migrations import upgrade
from shared.store.sqlite_driver import ThriftyConnection, open_connection
from shared.store.sqlite_integrity import damage_of, require_whole
from shared.store.transient_errors import is_transient
from shared.store.unit_of_work import UnitOfWork

__all__ = ["Store", "sqlite_url"]

BUSY_TIMEOUT_MS = 10_000
READ_CONNECTIONS_MAX = 4
CONNECTIONS_MAX = 10
CONNECT_SECONDS_MAX = 10.0
PROBE_SECONDS = 10.0
"""A store that could be written so lately is not tried again."""
PROBE_NAME = "write-probe"
PROBE_CHARACTERS = 20_000
"""More than fits into what is left of a page: it needs room that a full disk does not have."""
FRESH_SECONDS = 1.0
"""For so long after its use a connection counts as alive without being asked."""
_NOTICE_A_LOST_CLIENT = text(
    "SELECT set_config('tcp_keepalives_idle', '5', false), "
    "set_config('tcp_keepalives_interval', '2', false), "
    "set_config('tcp_keepalives_count', '3', false), "
    "set_config('tcp_user_timeout', '10000', false)"
)
"""By default the server asks after two hours whether a silent client is still there."""


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
        tables: DeliveryTables,
        migrations: Path,
        clock: Clock,
    ) -> None:
        self.url = url
        self.service = service
        self.metadata = metadata
        self.tables = tables
        self.clock = clock
        self.on_emitted: list[Callable[[], None]] = []
        self.on_arrivals: list[Callable[[], None]] = []
        """Called after a commit that brought what waiting records wait for."""
        self._migrations = migrations
        self._is_sqlite = url.startswith("sqlite")
        self._write_lock = asyncio.Lock()
        self._writer: AsyncEngine | None = None
        self._reader: AsyncEngine | None = None
        self._probed_at: float | None = None
        self.version_floor = 0
        """Added to every version that is told: above all that were told by rows which were lost."""
        self.damage: str | None = None
        """What the last check of the file found; ``None`` if it is whole."""
        self.checked_at: datetime | None = None
        """When the file was last checked; ``None`` for a database that is no file."""

    @property
    def is_shared(self) -> bool:
        """Tell whether other processes may work on this database at the same time."""
        return not self._is_sqlite

    @property
    def is_open(self) -> bool:
        """Tell whether it was opened and not closed again."""
        return self._writer is not None

    @property
    def path(self) -> Path | None:
        """The database's file; ``None`` where it has none of its own."""
        name = make_url(self.url).database
        return Path(name) if self._is_sqlite and name and name != ":memory:" else None

    async def open(self) -> None:
        """Connect and bring the schema up to date.

        Raises ``DamagedFileError``, ``SchemaError``, or ``TransientError`` if it cannot be reached.
        """
        if self.path is not None:
            await asyncio.to_thread(require_whole, self.path)
            self.damage, self.checked_at = None, self.clock.now()
        if self._is_sqlite:
            self._writer = _sqlite_engine(self.url, writes=True)
            self._reader = _sqlite_engine(self.url, writes=False)
        else:
            self._writer = _postgres_engine(self.url)
            # One snapshot for all that is read on a connection, and no writing there, as with SQLite.
            self._reader = self._writer.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
        try:
            async with self.translating():
                await self._migrate(self._writer)
        except BaseException:
            await self.close()
            raise

    async def _migrate(self, engine: AsyncEngine) -> None:
        name = self.path or f"the database of {self.service}"
        try:
            await upgrade(engine, self._migrations, tables=self.metadata.tables.keys())
            async with engine.connect() as connection:
                notes = self.tables.store_notes
                floor = select(notes.c.value).where(notes.c.name == "version_floor")
                self.version_floor = (await connection.execute(floor)).scalar_one_or_none() or 0
        except SchemaError as error:
            raise SchemaError(f"{name} cannot be used: {error}") from error
        except DBAPIError as error:
            if is_transient(error):
                raise
            raise DamagedFileError(
                f"{name} cannot be brought up to date ({error.orig}); put a backup back (nutmeg restore)"
            ) from error

    async def check(self) -> None:
        """Read the whole file, beside everything else, and keep what is found in ``damage``.

        Does nothing for a database that is no file: PostgreSQL looks after its own.
        """
        if self.path is None:
            return
        try:
            self.damage = await asyncio.to_thread(damage_of, self.path, thorough=True)
        except sqlite3.OperationalError as error:
            raise TransientError(f"the store of {self.service} is away: {error}") from error
        self.checked_at = self.clock.now()

    async def write_trouble(self) -> str | None:
        """Return why nothing can be written, in words; ``None`` if it can. Tries it, but not at every call.

        Whoever writes just now finds out by itself, so nobody waits behind them for an answer.
        """
        now = self.clock.monotonic_seconds()
        if self._write_lock.locked() or (
            self._probed_at is not None and now < self._probed_at + PROBE_SECONDS
        ):
            return None
        notes = self.tables.store_notes
        filler = {"name": PROBE_NAME, "value": "." * PROBE_CHARACTERS, "noted_at": self.clock.now()}
        try:
            async with self.unit_of_work() as work:
                await work.connection.execute(delete(notes).where(notes.c.name == PROBE_NAME))
                await work.connection.execute(insert(notes), [filler])
                await work.connection.execute(delete(notes).where(notes.c.name == PROBE_NAME))
        except TransientError as error:
            return str(error)
        self._probed_at = now
        return None

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
        async with self._write_gate(), self._reached(self._writer.begin()) as connection:
            work = UnitOfWork(connection, self.tables, self.clock, version_floor=self.version_floor)
            yield work
            await work.flush_outbox()
        work.committed()
        if work.emitted_count:
            for wake in self.on_emitted:
                wake()
        if work.has_arrivals:
            for wake in self.on_arrivals:
                wake()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection for reading a consistent state. Raises ``TransientError`` if it can't."""
        if self._reader is None:
            raise TransientError(f"the store of {self.service} is not open")
        async with self._reached(self._reader.connect()) as connection:
            yield connection

    @asynccontextmanager
    async def dedicated(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection outside the pool, in autocommit, for locks that last as long as it does.

        A machine that vanishes without a word loses it within some ten seconds, so that others can go on.
        PostgreSQL only. Raises ``TransientError`` if it can't, or is lost within the block.
        """
        engine = create_async_engine(
            self.url,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args={"timeout": CONNECT_SECONDS_MAX},
        )
        try:
            async with self.translating(), engine.connect() as connection:
                await connection.execute(_NOTICE_A_LOST_CLIENT)
                yield connection
        finally:
            await engine.dispose()

    @asynccontextmanager
    async def _reached(
        self, connecting: AbstractAsyncContextManager[AsyncConnection]
    ) -> AsyncIterator[AsyncConnection]:
        """Connect, and run the block. What a socket raises counts as an absent store while connecting only.

        A time-out inside the block may be the caller's own, and waiting would not cure it.
        """
        async with self.translating(is_connecting=False), AsyncExitStack() as stack:
            async with self.translating():
                connection = await stack.enter_async_context(connecting)
            yield connection

    @asynccontextmanager
    async def translating(self, *, is_connecting: bool = True) -> AsyncIterator[None]:
        """Turn what passes by itself into ``TransientError``; let everything else through."""
        try:
            yield
        except DBAPIError as error:
            if is_transient(error):
                raise TransientError(f"the store of {self.service} is away: {error.orig}") from error
            raise
        except (ConnectionError, TimeoutError, gaierror, PoolTimeoutError) as error:
            if not is_connecting and not isinstance(error, ConnectionError):
                raise
            # asyncpg raises what the socket raised where it cannot connect. A server in a container that is
            # stopped has no name either.
            raise TransientError(f"the store of {self.service} is away: {error}") from error

    @asynccontextmanager
    async def _write_gate(self) -> AsyncIterator[None]:
        # PostgreSQL locks rows by itself. A SQLite file takes one writer: waiting here is cheaper than there.
        if not self._is_sqlite:
            yield
            return
        async with self._write_lock:
            yield


def _postgres_engine(url: str) -> AsyncEngine:
    engine = create_async_engine(
        url,
        pool_size=CONNECTIONS_MAX,
        max_overflow=0,
        pool_timeout=CONNECT_SECONDS_MAX,
        connect_args={"timeout": CONNECT_SECONDS_MAX},
        # As for SQLite. The standard library takes several times as long.
        json_serializer=_json_text,
        json_deserializer=orjson.loads,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def read_plain_ids(connection: Any, _record: Any) -> None:
        # The driver's own ids are of a subclass, which orjson refuses to write.
        connection.run_async(
            lambda driver: driver.set_type_codec("uuid", schema="pg_catalog", encoder=str, decoder=UUID)
        )

    _replace_lost_connections(engine)
    return engine


def _replace_lost_connections(engine: AsyncEngine) -> None:
    """Ask a connection that rested whether it still lives, before it is used; else connect anew.

    SQLAlchemy's own ``pool_pre_ping`` asks at every use, by a transaction of its own: three round trips
    where the whole unit of work has about six. One that was used just now lives unless its socket closed.
    """
    dialect = engine.sync_engine.dialect

    @event.listens_for(engine.sync_engine, "checkin")
    def note_use(_connection: Any, record: Any) -> None:
        record.info["used_at"] = time.monotonic()

    @event.listens_for(engine.sync_engine, "checkout")
    def ask(connection: Any, record: Any, _proxy: Any) -> None:
        used_at = record.info.get("used_at")
        if used_at is None:
            return
        if connection.driver_connection.is_closed():
            raise InvalidatePoolError
        if time.monotonic() - used_at < FRESH_SECONDS:
            return
        try:
            dialect.do_ping(connection)
        except dialect.loaded_dbapi.Error as error:
            if dialect.is_disconnect(error, connection, None):
                raise InvalidatePoolError from error
            raise


def _json_text(value: Any) -> str:
    return orjson.dumps(value).decode()


def _sqlite_engine(url: str, *, writes: bool) -> AsyncEngine:
    async def connect() -> ThriftyConnection:
        arguments, options = engine.dialect.create_connect_args(engine.url)
        return await open_connection(*arguments, **options)

    if not writes and ":memory:" in url:
        engine = create_async_engine(url, poolclass=NullPool, async_creator=connect)
    else:
        size = 1 if writes else READ_CONNECTIONS_MAX
        engine = create_async_engine(url, pool_size=size, max_overflow=0, async_creator=connect)

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
        connection.connection.driver_connection.begin_with_next("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
