"""Recurring work that only one replica at a time may do.

The lock is taken for one portion and given back, so any replica does the next. Should a replica lose its
session within a portion, another may begin: such work has to bear that now and then, as it bears a crash.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from zlib import crc32

from shared.errors import TransientError
from shared.jobs.recurring_work import RecurringWork
from shared.store.session_locks import SessionLocks

__all__ = ["exclusive_lock"]

SIGNED_32_BITS_MAX = 0x7FFF_FFFF


def exclusive_lock(work: RecurringWork, locks: SessionLocks) -> RecurringWork:
    """Return ``work`` so that a portion is left out while another replica does one."""
    return replace(
        work, run_once=_in_turn(work.run_once, locks, crc32(work.name.encode()) & SIGNED_32_BITS_MAX)
    )


def _in_turn(
    run_once: Callable[[], Awaitable[int]], locks: SessionLocks, key: int
) -> Callable[[], Awaitable[int]]:
    async def run_in_turn() -> int:
        if not await locks.try_lock(key):
            return 0
        session = locks.session
        try:
            return await run_once()
        finally:
            if locks.session == session:
                await _give_back(locks, key)

    return run_in_turn


async def _give_back(locks: SessionLocks, key: int) -> None:
    try:
        await locks.unlock(key)
    except TransientError:
        return  # the session is gone, and the lock with it
