"""Makes SQLite forget for good: deleted rows also leave the write-ahead log.

``secure_delete`` overwrites them in the database file; the log would keep the old pages until it is reused.
"""

import asyncio

import structlog

from shared.store.engine import Store

__all__ = ["truncate_wal"]

ATTEMPTS_MAX = 10
WAIT_SECONDS = 0.1

_log = structlog.get_logger(__name__)


async def truncate_wal(store: Store) -> bool:
    """Empty the write-ahead log, and tell whether it is empty now. Nothing to do on PostgreSQL.

    A reader in the middle of its work holds the log up; then it is tried again for a second.
    """
    if store.is_shared:
        return True
    for _ in range(ATTEMPTS_MAX):
        async with store.read() as connection:
            row = (await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")).one()
        if not row[0]:
            return True
        await asyncio.sleep(WAIT_SECONDS)
    _log.warning(
        "deleted_rows_linger",
        service=store.service,
        detail="readers kept the write-ahead log; it empties as it is reused",
    )
    return False
