"""Feeds that one process receives and another reads: they go through the database, in chunks.

A file system that all replicas write to would be one more server to run. A feed is read once and then
forgotten, so the database holds it for minutes; only one that waits for a person's confirmation stays longer.
"""

import asyncio
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import IO
from uuid import UUID, uuid4

from sqlalchemy import delete, func, insert, select

from services.catalog.harvesting.files.storage import LEFT_OVER_AFTER, FileFeedStorage
from services.catalog.migrations.tables import FEED_CHUNKS
from shared.store.engine import Store

__all__ = ["PostgreSQLFeedStorage"]

CHUNK_BYTES = 1024 * 1024


class PostgreSQLFeedStorage(FileFeedStorage):
    """Implements :class:`FeedStorage` for replicas over one database.

    What was kept is complete: its harvest is queued after the last chunk. Files in the folder are this
    process's own copies.
    """

    def __init__(self, folder: Path, store: Store, *, chunk_bytes: int = CHUNK_BYTES) -> None:
        super().__init__(folder)
        self._store = store
        self._chunk_bytes = chunk_bytes

    async def keep(self, harvest_id: UUID) -> None:
        """Copy the feed to the database, a transaction per chunk, and forget the file."""
        await self._forget(harvest_id)
        path = self.path_of(harvest_id)
        with await asyncio.to_thread(path.open, "rb") as file:
            number = 0
            while content := await asyncio.to_thread(file.read, self._chunk_bytes):
                async with self._store.unit_of_work() as work:
                    row = {
                        "harvest_id": harvest_id,
                        "number": number,
                        "received_at": work.clock.now(),
                        "content": content,
                    }
                    await work.connection.execute(insert(FEED_CHUNKS), [row])
                number += 1
        await asyncio.to_thread(path.unlink, missing_ok=True)

    async def bring(self, harvest_id: UUID) -> None:
        """Copy the feed from the database to its file, unless it is there or was never kept."""
        path = self.path_of(harvest_id)
        if await asyncio.to_thread(path.exists):
            return
        partial = path.with_name(f"{path.name}.{uuid4()}.part")
        try:
            with await asyncio.to_thread(partial.open, "wb") as file:
                size_bytes = await self._write(harvest_id, file)
            if size_bytes:
                await asyncio.to_thread(partial.replace, path)
        finally:
            await asyncio.to_thread(partial.unlink, missing_ok=True)

    async def remove(self, harvest_id: UUID) -> None:
        await super().remove(harvest_id)
        await self._forget(harvest_id)

    async def prune(self, awaited: Collection[UUID]) -> None:
        """Forget what no harvest waits for: feeds that were cut off, or overtaken by a later one."""
        async with self._store.read() as connection:
            latest = func.max(FEED_CHUNKS.c.received_at)
            found = select(FEED_CHUNKS.c.harvest_id).group_by(FEED_CHUNKS.c.harvest_id)
            due = found.having(latest < self._store.clock.now() - LEFT_OVER_AFTER)
            old = set((await connection.scalars(due)).all())
        for harvest_id in old.difference(awaited):
            await self._forget(harvest_id)
        await super().prune(awaited)

    async def _write(self, harvest_id: UUID, file: IO[bytes]) -> int:
        size_bytes = 0
        async for content in self._chunks(harvest_id):
            size_bytes += await asyncio.to_thread(file.write, content)
        return size_bytes

    async def _chunks(self, harvest_id: UUID) -> AsyncIterator[bytes]:
        number = 0
        while True:
            chunk = select(FEED_CHUNKS.c.content).where(
                FEED_CHUNKS.c.harvest_id == harvest_id, FEED_CHUNKS.c.number == number
            )
            async with self._store.read() as connection:
                content = await connection.scalar(chunk)
            if content is None:
                return
            yield content
            number += 1

    async def _forget(self, harvest_id: UUID) -> None:
        async with self._store.unit_of_work() as work:
            await work.connection.execute(delete(FEED_CHUNKS).where(FEED_CHUNKS.c.harvest_id == harvest_id))
