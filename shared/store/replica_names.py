"""The name of a replica, held by one process at a time: a session lock on the service's PostgreSQL.

For members of a group whose client cannot find out that another one came under its name. The server frees
the name when its holder dies, also by ``kill -9``.
"""

import asyncio
from zlib import crc32

import structlog

from shared.clock import Clock
from shared.errors import ReplicaFencedError
from shared.store.engine import Store
from shared.store.session_locks import SIGNED_32_BITS_MAX, SessionLocks

__all__ = ["ReplicaName"]

logger = structlog.get_logger(__name__)

WAIT_SECONDS_MAX = 12.0
"""The server takes some ten seconds to notice that a holder's machine has vanished without a word."""
ASK_AGAIN_SECONDS = 0.5


class ReplicaName:
    """Holds one name in one group, once :meth:`hold` has returned and as long as it goes on to."""

    def __init__(
        self,
        store: Store,
        group: str,
        replica: str,
        *,
        clock: Clock,
        wait_seconds_max: float = WAIT_SECONDS_MAX,
    ) -> None:
        self._group = group
        self._replica = replica
        self._clock = clock
        self._wait_seconds_max = wait_seconds_max
        self._locks = SessionLocks(store, f"replica of {group}")
        self._key = crc32(replica.encode()) & SIGNED_32_BITS_MAX
        self._session = 0

    async def hold(self) -> None:
        """Take the name, or see that it is still ours; wait for one who may be on its way out.

        Raises ``ReplicaFencedError`` if another process has it and keeps it, and ``TransientError`` if
        nobody can tell just now.
        """
        await self._locks.check()
        if self._session == self._locks.session:
            return
        until = self._clock.monotonic_seconds() + self._wait_seconds_max
        while not await self._locks.try_lock(self._key):
            if self._clock.monotonic_seconds() >= until:
                raise ReplicaFencedError(
                    f"{self._replica} is already the name of another process in group {self._group}, so this "
                    "one has to end; give every process its own NUTMEG_KAFKA_REPLICA"
                )
            logger.warning("replica name is taken, waits", group=self._group, replica=self._replica)
            await asyncio.sleep(ASK_AGAIN_SECONDS)
        self._session = self._locks.session

    async def close(self) -> None:
        """Leave the name to others. Idempotent."""
        await self._locks.close()
