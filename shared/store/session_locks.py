"""Locks between the replicas of a service, on PostgreSQL: they end with the session that holds them.

``pg_try_advisory_lock`` belongs to a connection, so the server frees it when its holder dies, also by
``kill -9``. A holder that lost its connection learns so the next time it asks.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from zlib import crc32

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.errors import TransientError
from shared.store.engine import Store

__all__ = ["SIGNED_32_BITS_MAX", "SessionLocks"]

SIGNED_32_BITS_MAX = 0x7FFF_FFFF

_TRY = text("SELECT pg_try_advisory_lock(:space, :key)")
_TRY_SHARED = text("SELECT pg_try_advisory_lock_shared(:space, :key)")
_UNLOCK = text("SELECT pg_advisory_unlock(:space, :key)")
_HOLDERS = text(
    "SELECT count(DISTINCT pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2 "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND classid = CAST(:space AS oid) AND objid = CAST(:key AS oid)"
)
_LOOK = text("SELECT 1")


class SessionLocks:
    """One connection of its own and the locks taken on it. Keys lie in a space that ``purpose`` names.

    Every method raises ``TransientError`` where the connection is lost. Then every lock is gone; the next
    call begins with a new connection and none of them.
    """

    def __init__(self, store: Store, purpose: str) -> None:
        self._store = store
        self._space = crc32(purpose.encode()) & SIGNED_32_BITS_MAX
        self._one_at_a_time = asyncio.Lock()
        self._closing = AsyncExitStack()
        self._connection: AsyncConnection | None = None
        self.session = 0
        """A number that changes whenever all locks were lost."""

    async def try_lock(self, key: int, *, is_shared: bool = False) -> bool:
        """Take a lock, and tell whether that worked. Taken twice, it has to be given back twice."""
        return bool(await self._ask(_TRY_SHARED if is_shared else _TRY, key))

    async def unlock(self, key: int) -> None:
        """Give an exclusive lock back."""
        await self._ask(_UNLOCK, key)

    async def holders(self, key: int) -> int:
        """Count the sessions that hold a lock, shared ones too."""
        return await self._ask(_HOLDERS, key)

    async def check(self) -> None:
        """Return if the connection stands, so that everything taken on it is still held."""
        await self._ask(_LOOK, 0)

    async def close(self) -> None:
        """Give everything back. Idempotent."""
        async with self._one_at_a_time:
            await self._forget()

    async def _ask(self, statement: TextClause, key: int) -> int:
        async with self._one_at_a_time, self._open() as connection:
            parameters = {} if statement is _LOOK else {"space": self._space, "key": key}
            return int((await connection.execute(statement, parameters)).scalar_one())

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[AsyncConnection]:
        try:
            if self._connection is None:
                self.session += 1
                self._connection = await self._closing.enter_async_context(self._store.dedicated())
            async with self._store.translating():
                yield self._connection
        except BaseException:
            # Also where the task was cancelled mid-statement: the connection's state is not known then.
            await self._forget()
            raise

    async def _forget(self) -> None:
        closing, self._closing, self._connection = self._closing, AsyncExitStack(), None
        try:
            await closing.aclose()
        except (TransientError, OSError):
            return  # it is gone already
