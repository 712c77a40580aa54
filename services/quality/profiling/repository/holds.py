"""Whose runs are alive, where several processes share a PostgreSQL: a session lock for each job under way.

The server frees a process's locks when it dies, also by ``kill -9``, whatever the clocks of the hosts say.
"""

from collections.abc import Collection
from uuid import UUID

from shared.errors import TransientError
from shared.store.engine import Store
from shared.store.session_locks import SIGNED_32_BITS_MAX, SessionLocks

__all__ = ["AloneHolds", "LockedHolds"]


class AloneHolds:
    """Implements :class:`~services.quality.profiling.domain.jobs.JobHolds` for one process alone."""

    async def take(self, dataset_ids: Collection[UUID]) -> None:
        """There is nobody to tell."""

    async def let_go(self, dataset_ids: Collection[UUID]) -> None:
        """There is nobody to tell."""

    async def abandoned(self, dataset_ids: Collection[UUID]) -> list[UUID]:  # noqa: ARG002 - see the port
        return []

    async def close(self) -> None:
        """There is nobody to tell."""


class LockedHolds:
    """Implements :class:`~services.quality.profiling.domain.jobs.JobHolds` by session locks."""

    def __init__(self, store: Store) -> None:
        self._locks = SessionLocks(store, "profile jobs")
        self._sessions: dict[UUID, int] = {}
        """Jobs of ours, and the session that their lock was taken in."""

    async def take(self, dataset_ids: Collection[UUID]) -> None:
        for dataset_id in dataset_ids:
            if await self._locks.try_lock(_key(dataset_id)):
                self._sessions[dataset_id] = self._locks.session

    async def let_go(self, dataset_ids: Collection[UUID]) -> None:
        for dataset_id in dataset_ids:
            if self._sessions.pop(dataset_id, None) == self._locks.session:
                try:
                    await self._locks.unlock(_key(dataset_id))
                except TransientError:
                    continue  # the session is gone, and the lock with it

    async def abandoned(self, dataset_ids: Collection[UUID]) -> list[UUID]:
        found = []
        for dataset_id in dataset_ids:
            # Our own lock would be given to us again.
            if dataset_id not in self._sessions and await self._locks.try_lock(_key(dataset_id)):
                await self._locks.unlock(_key(dataset_id))
                found.append(dataset_id)
        return found

    async def close(self) -> None:
        await self._locks.close()


def _key(dataset_id: UUID) -> int:
    return dataset_id.int & SIGNED_32_BITS_MAX
