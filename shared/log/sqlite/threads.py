"""Blocking SQLite kept off the event loop: one writing thread with group commit, a few reading threads."""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from shared.errors import TransientError

__all__ = ["Operation", "ReaderThreads", "WriterThread", "connect"]

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], T]

BUSY_TIMEOUT_MS = 10_000
OPERATIONS_PER_TRANSACTION_MAX = 256


def connect(path: Path, *, writes: bool) -> sqlite3.Connection:
    """Open the file with our pragmas. The driver opens no transaction by itself."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        f"busy_timeout={BUSY_TIMEOUT_MS}",
        "secure_delete=ON",
        f"query_only={'OFF' if writes else 'ON'}",
    ):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    return connection


@dataclass(frozen=True, slots=True)
class _Waiting:
    operation: Operation[Any]
    result: asyncio.Future[Any]


class WriterThread:
    """Runs write operations in one thread; all that wait share one transaction and one fsync.

    A failing operation does not take the others of its transaction along: they are then run one by one.
    """

    def __init__(self, connection: sqlite3.Connection, *, name: str) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._stopped = False
        self._thread.start()

    async def run(self, operation: Operation[T]) -> T:
        """Run ``operation`` inside a transaction and return once it is durable.

        Raises ``TransientError`` when SQLite fails (disk full, I/O error) or the log is closed.
        """
        if self._stopped:
            raise TransientError("the log is closed")
        result: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(_Waiting(operation, result))
        try:
            return await result
        except sqlite3.Error as error:
            raise TransientError(f"the log cannot be written: {error}") from error

    async def stop(self) -> None:
        """Finish what waits, then close the connection. Idempotent."""
        if not self._stopped:
            self._stopped = True
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        stopping = False
        while not stopping:
            first = self._queue.get()
            waiting = [first] if first is not None else []
            stopping = first is None
            while not stopping and len(waiting) < OPERATIONS_PER_TRANSACTION_MAX:
                try:
                    following = self._queue.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    stopping = True
                else:
                    waiting.append(following)
            if waiting:
                self._transact(waiting)
        self._connection.close()

    def _transact(self, waiting: Sequence[_Waiting]) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            results = [each.operation(self._connection) for each in waiting]
            self._connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - handed to the caller, whatever it is
            if self._connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
            if len(waiting) == 1:
                self._settle(waiting, [error])
                return
            for each in waiting:
                self._transact([each])
        else:
            self._settle(waiting, results)

    def _settle(self, waiting: Sequence[_Waiting], results: Sequence[Any]) -> None:
        def settle() -> None:
            for each, result in zip(waiting, results, strict=True):
                if each.result.done():
                    continue
                if isinstance(result, Exception):
                    each.result.set_exception(result)
                else:
                    each.result.set_result(result)

        # A closed loop has nobody waiting on it any more.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(settle)


class ReaderThreads:
    """Runs read operations in a few threads, each with a connection of its own."""

    def __init__(self, path: Path, *, threads: int, name: str) -> None:
        self._path = path
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._stopped = False

    async def run(self, operation: Operation[T]) -> T:
        """Run ``operation`` off the event loop. Raises ``TransientError`` when SQLite fails."""
        if self._stopped:
            raise TransientError("the log is closed")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, self._call, operation)
        except sqlite3.Error as error:
            raise TransientError(f"the log cannot be read: {error}") from error

    async def stop(self) -> None:
        """Finish what runs and close the connections. Idempotent."""
        self._stopped = True
        await asyncio.to_thread(self._executor.shutdown)
        while self._connections:
            self._connections.pop().close()

    def _call(self, operation: Operation[T]) -> T:
        connection = cast("sqlite3.Connection | None", getattr(self._local, "connection", None))
        if connection is None:
            connection = connect(self._path, writes=False)
            self._local.connection = connection
            self._connections.append(connection)
        return operation(connection)
