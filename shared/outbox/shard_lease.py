"""Which replica publishes which shards of an outbox.

A shard has one publisher at a time, so records of one partition key are sent one after the other. Replicas
share the shards evenly: each holds a shared lock that tells the others it is there, and takes no more than
its part. One that dies loses its session, and the others take its shards at their next look.

A replica cut off from the database, but not from the log, may still have one batch under way when another
takes its shard. That batch then arrives twice, each time in order; consumers know versions and ids.
"""

from collections.abc import Collection
from math import ceil
from typing import Protocol

from shared.clock import Clock
from shared.store.delivery_tables import OUTBOX_SHARDS
from shared.store.engine import Store
from shared.store.session_locks import SessionLocks

__all__ = ["AllShardsLease", "LockedShardLease", "ShardLease"]

PRESENCE = OUTBOX_SHARDS
"""Key of the lock that every replica shares; the keys below it are the shards."""

LOOK_SECONDS = 1.0


class ShardLease(Protocol):
    """Tells a relay what to publish."""

    async def owned(self) -> Collection[int]:
        """Return the shards that are this relay's until it asks again. Raises ``TransientError``."""
        ...

    async def close(self) -> None:
        """Leave them to others. Idempotent."""
        ...


class AllShardsLease:
    """For the only process that uses a database."""

    async def owned(self) -> Collection[int]:
        return range(OUTBOX_SHARDS)

    async def close(self) -> None:
        """There is nobody to leave them to."""


class LockedShardLease:
    """This replica's part of the shards, by session locks."""

    def __init__(self, store: Store, clock: Clock, *, look_seconds: float = LOOK_SECONDS) -> None:
        self._locks = SessionLocks(store, "outbox shards")
        self._clock = clock
        self._look_seconds = look_seconds
        self._owned: set[int] = set()
        self._session = 0
        self._next_look = 0.0

    async def owned(self) -> Collection[int]:
        """See :class:`ShardLease`. Called between batches, so a shard given up has nothing under way."""
        now = self._clock.monotonic_seconds()
        if self._session != self._locks.session or now >= self._next_look or not self._owned:
            await self._look()
            self._next_look = now + self._look_seconds
        else:
            await self._locks.check()
        return sorted(self._owned)

    async def close(self) -> None:
        self._owned.clear()
        await self._locks.close()

    async def _look(self) -> None:
        await self._locks.check()
        if self._session != self._locks.session:
            self._session = self._locks.session
            self._owned.clear()
            await self._locks.try_lock(PRESENCE, is_shared=True)
        part = ceil(OUTBOX_SHARDS / max(1, await self._locks.holders(PRESENCE)))
        for shard in sorted(self._owned)[part:]:
            await self._locks.unlock(shard)
            self._owned.discard(shard)
        for shard in range(OUTBOX_SHARDS):
            if len(self._owned) >= part:
                return
            if shard not in self._owned and await self._locks.try_lock(shard):
                self._owned.add(shard)
