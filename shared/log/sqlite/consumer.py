"""Reading the embedded log for one consumer group."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from shared.clock import Clock
from shared.log.port import Lag, LogRecord, TopicPartition
from shared.log.sqlite.file import LogFile, Partition, microseconds, moment, select_records
from shared.log.sqlite.file_lock import FileLock

__all__ = ["SQLiteLogConsumer", "select_offsets", "store_offsets"]


class SQLiteLogConsumer:
    """The only member of its group: the lock sees to that, so all partitions are always its own."""

    def __init__(
        self, file: LogFile, group: str, partitions: Sequence[Partition], lock: FileLock, clock: Clock
    ) -> None:
        self.group = group
        self._file = file
        self._partitions = {partition.position: partition for partition in partitions}
        self._lock = lock
        self._clock = clock
        self._positions: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._grown = asyncio.Event()
        self._handling = asyncio.Lock()
        self._turn = 0
        self._closed = False

    async def start(self, positions: Mapping[TopicPartition, int]) -> None:
        """Begin reading at ``positions``, the beginning where a partition has none."""
        self._committed = {place: positions.get(place, 0) for place in self._partitions}
        self._positions = dict(self._committed)
        self._file.add_waker(self._grown.set, {place.topic for place in self._partitions})

    async def poll(self, *, records_max: int = 500, timeout_seconds: float = 1.0) -> list[LogRecord]:
        """See :class:`~shared.log.port.LogConsumer`. Records come partition by partition."""
        try:
            async with asyncio.timeout(timeout_seconds):
                while True:
                    self._grown.clear()
                    records = await self._fetch(records_max)
                    if records:
                        return records
                    await self._grown.wait()
        except TimeoutError:
            return []

    @asynccontextmanager
    async def handling(self, records: Sequence[LogRecord]) -> AsyncIterator[Sequence[LogRecord]]:
        """See :class:`~shared.log.port.LogConsumer`; closing waits until the block ends."""
        async with self._handling:
            yield records

    async def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        """Move the group's offsets. Raises ``KeyError`` for a partition that the group does not read."""
        for place in next_offsets:
            if place not in self._partitions:
                raise KeyError(f"group {self.group} does not read {place.topic}/{place.partition}")
        if not next_offsets:
            return
        offsets = dict(next_offsets)
        now = microseconds(self._clock.now())
        await self._file.write(lambda connection: store_offsets(connection, self.group, offsets, now))
        self._committed.update(offsets)

    def seek(self, position: TopicPartition, offset: int) -> None:
        """Read from ``offset`` at the next poll."""
        self._positions[position] = offset
        self._grown.set()

    def pause(self, *positions: TopicPartition) -> None:
        """Stop delivering from these partitions."""
        self._paused.update(positions)

    def resume(self, *positions: TopicPartition) -> None:
        """Deliver from these partitions again."""
        self._paused.difference_update(positions)
        self._grown.set()

    async def lag(self) -> Mapping[TopicPartition, Lag]:
        """Return records and age of what the group has not committed, per partition."""
        places = dict(self._committed)
        now = self._clock.now()

        def measure(connection: sqlite3.Connection) -> dict[TopicPartition, Lag]:
            lags = {}
            for place, offset in places.items():
                count, oldest = connection.execute(
                    "SELECT count(*), min(published_at) FROM records WHERE partition_id = ? AND offset >= ?",
                    (self._partitions[place].id, offset),
                ).fetchone()
                seconds = (now - moment(oldest)).total_seconds() if count else 0.0
                lags[place] = Lag(count, max(seconds, 0.0))
            return lags

        behind = {place for place, offset in places.items() if self._partitions[place].end > offset}
        if not behind:
            return {place: Lag(0, 0.0) for place in places}
        return await self._file.read(measure)

    async def close(self) -> None:
        """Leave the group. Idempotent."""
        if self._closed:
            return
        async with self._handling:
            self._closed = True
            self._file.remove_waker(self._grown.set)
            self._lock.release()

    async def _fetch(self, records_max: int) -> list[LogRecord]:
        behind = [
            partition
            for place, partition in self._partitions.items()
            if partition.end > self._positions[place] and place not in self._paused
        ]
        if not behind:
            return []
        # Each partition gets its share, and the first turn goes round, so that a busy one starves no other.
        self._turn += 1
        start = self._turn % len(behind)
        wanted = [
            (partition, self._positions[partition.position])
            for partition in (*behind[start:], *behind[:start])
        ]
        share = -(-records_max // len(wanted))

        def select(connection: sqlite3.Connection) -> list[list[LogRecord]]:
            found: list[list[LogRecord]] = []
            room = records_max
            for partition, offset in wanted:
                if room == 0:
                    break
                found.append(select_records(connection, partition, offset, min(share, room)))
                room -= len(found[-1])
            return found

        ends = {partition.position: partition.end for partition, _ in wanted}
        found = await self._file.read(select)
        records: list[LogRecord] = []
        for (partition, offset), part in zip(wanted, found, strict=False):
            place = partition.position
            if self._positions[place] != offset or place in self._paused:
                continue  # somebody sought or paused meanwhile; what was read is not wanted any more
            if part:
                self._positions[place] = part[-1].offset + 1
                records.extend(part)
            else:
                # What stood here was pruned: pass over the gap.
                self._positions[place] = ends[place]
        return records


def select_offsets(connection: sqlite3.Connection, group: str) -> dict[TopicPartition, int]:
    """Return the committed offsets of a group."""
    rows = connection.execute(
        "SELECT topic, partition, next_offset FROM consumer_offsets WHERE group_name = ?", (group,)
    )
    return {TopicPartition(topic, number): offset for topic, number, offset in rows}


def store_offsets(
    connection: sqlite3.Connection, group: str, offsets: Mapping[TopicPartition, int], now: int
) -> None:
    """Write the offsets of a group."""
    connection.executemany(
        "INSERT INTO consumer_offsets (group_name, topic, partition, next_offset, committed_at) "
        "VALUES (?, ?, ?, ?, ?) ON CONFLICT (group_name, topic, partition) "
        "DO UPDATE SET next_offset = excluded.next_offset, committed_at = excluded.committed_at",
        [(group, place.topic, place.partition, offset, now) for place, offset in offsets.items()],
    )
