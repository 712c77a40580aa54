"""aiosqlite with fewer crossings to its thread: one per statement, its rows and its BEGIN included.

Each aiosqlite connection has a thread, and every call crosses to it and back: for a cursor, a statement, its
rows, the cursor's end. A crossing costs 0.1 ms of processor time, and while the event loop is busy some
milliseconds of waiting for the interpreter's lock, so that a busy process spent most of its time on them.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, TypeVar

import aiosqlite

__all__ = ["ThriftyConnection", "open_connection"]

T = TypeVar("T")

ROWS_AT_ONCE_MAX = 1_000
"""As many rows come along with their statement. A result that is streamed comes in such portions."""


class ThriftyConnection(aiosqlite.Connection):
    """A connection whose transactions begin with their first statement."""

    def __init__(self, connector: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connector, ROWS_AT_ONCE_MAX)
        # Its thread must not keep a process that ends without closing it.
        self._thread.daemon = True
        self._begin: str | None = None
        self._is_clean = True
        """Whether nothing was run since the last transaction ended, so that there is nothing to end."""

    def begin_with_next(self, statement: str) -> None:
        """Run ``statement`` (a BEGIN) right before the next one. It fails where that one would."""
        self._begin = statement

    async def run(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``operation`` in the connection's thread, inside the transaction."""
        begin, self._begin = self._begin, None
        self._is_clean = False

        def begun() -> T:
            if begin is not None:
                self._conn.execute(begin).close()
            return operation(self._conn)

        result: T = await self._execute(begun)  # type: ignore[no-untyped-call]
        return result

    def cursor(self) -> "_Cursor":  # type: ignore[override]  # has what SQLAlchemy uses of a cursor
        return _Cursor(self)

    async def commit(self) -> None:
        await self._end(super().commit)

    async def rollback(self) -> None:
        await self._end(super().rollback)

    async def _end(self, end: Callable[[], Any]) -> None:
        self._begin = None
        if not self._is_clean:
            await end()
            # Not after an error or a cancellation: then nobody knows here how the thread left it.
            self._is_clean = True


class _Cursor:
    """What SQLAlchemy uses of an aiosqlite cursor."""

    def __init__(self, connection: ThriftyConnection) -> None:
        self.arraysize = 1
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self._connection = connection
        self._rows: list[Any] = []
        self._rest: sqlite3.Cursor | None = None

    async def __aenter__(self) -> "_Cursor":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def execute(self, sql: str, parameters: Any = ()) -> "_Cursor":
        await self._run(lambda raw: raw.execute(sql, parameters))
        return self

    async def executemany(self, sql: str, parameters: Iterable[Any]) -> "_Cursor":
        await self._run(lambda raw: raw.executemany(sql, parameters))
        return self

    async def fetchone(self) -> Any:
        rows = await self.fetchmany(1)
        return rows[0] if rows else None

    async def fetchmany(self, size: int | None = None) -> Sequence[Any]:
        wanted = self.arraysize if size is None else size
        if self._rest is not None and len(self._rows) < wanted:
            await self._fetch(self._rest, max(wanted - len(self._rows), ROWS_AT_ONCE_MAX))
        taken, self._rows = self._rows[:wanted], self._rows[wanted:]
        return taken

    async def fetchall(self) -> Sequence[Any]:
        if self._rest is not None:
            await self._fetch(self._rest, None)
        taken, self._rows = self._rows, []
        return taken

    async def close(self) -> None:
        rest, self._rest = self._rest, None
        self._rows = []
        if rest is not None:
            await self._connection.run(lambda _connection: rest.close())

    async def _run(self, statement: Callable[[sqlite3.Cursor], Any]) -> None:
        def execute(connection: sqlite3.Connection) -> tuple[sqlite3.Cursor, list[Any]]:
            raw = connection.cursor()
            statement(raw)
            return raw, _take(raw, ROWS_AT_ONCE_MAX)

        raw, self._rows = await self._connection.run(execute)
        self.description, self.rowcount, self.lastrowid = raw.description, raw.rowcount, raw.lastrowid
        self._rest = raw if len(self._rows) == ROWS_AT_ONCE_MAX else None

    async def _fetch(self, rest: sqlite3.Cursor, rows_max: int | None) -> None:
        rows = await self._connection.run(lambda _connection: _take(rest, rows_max))
        self._rows += rows
        if rows_max is None or len(rows) < rows_max:
            self._rest = None


def _take(cursor: sqlite3.Cursor, rows_max: int | None) -> list[Any]:
    """Return the next rows; a cursor that has no more is closed here, in its own thread."""
    if cursor.description is None:
        cursor.close()
        return []
    rows = cursor.fetchall() if rows_max is None else cursor.fetchmany(rows_max)
    if rows_max is None or len(rows) < rows_max:
        cursor.close()
    return rows


async def open_connection(*arguments: Any, **options: Any) -> ThriftyConnection:
    """Open a connection with the arguments of ``sqlite3.connect``."""
    connection = ThriftyConnection(lambda: sqlite3.connect(*arguments, **options))
    await connection
    return connection
