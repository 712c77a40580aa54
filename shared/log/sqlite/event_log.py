"""The embedded event log: one append-only SQLite file, owned by one process.

What a torn file costs
----------------------
SQLite's write-ahead log recovers to the last whole transaction, so the file is always a *prefix* of the
history that was committed. Three things live in it and revert together: records, the groups' offsets, and
the sequence that offsets are given from.

* The torn tail was not acknowledged: no outbox row was marked as published for it, so the relay sends it
  again. It costs nothing.
* The torn tail was acknowledged (the disk lied, or somebody put an older copy back): outbox rows say that
  they are published, and their records are gone. Each service's ``log_marks`` remember the highest
  acknowledged offset per partition; its relay compares them with :meth:`SQLiteEventLog.end_offsets` at
  start, before it publishes anything. Only a topic's owner publishes to it, so an end below the mark cannot
  have been made up for meanwhile. The relay then sends the last 24 h again and begins a new epoch.
* Offsets lost with the tail are given out again. No group can pass over a record because of that: a group's
  offset was committed after the records below it, so in any prefix it stands at or before the end, and what
  is appended next comes after it.
* Records and dead letters that a group handled twice because its offset went back are dropped by their
  version or their id, which stand in the service's own store.
* A dead letter lost with the tail is written again: its record's offset was moved after it, so is lost too.
"""

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from shared.clock import Clock
from shared.errors import TransientError
from shared.events.envelope import partition_for
from shared.events.topics import DEAD_LETTER_SUFFIX, Topic, dead_letter_topic
from shared.log.port import LogPosition, LogRecord, OutgoingRecord, StartAt, TopicPartition
from shared.log.sqlite.consumer import SQLiteLogConsumer, select_offsets, store_offsets
from shared.log.sqlite.file import (
    LogFile,
    Row,
    insert_epoch,
    microseconds,
    pack_headers,
    select_records,
)
from shared.log.sqlite.file_lock import FileLock
from shared.log.sqlite.retention import COMPACTION_LAG, prune
from shared.store.sqlite_integrity import damage_of

__all__ = ["SQLiteEventLog"]

FILE_NAME = "log.sqlite3"
PROBE_SECONDS = 10.0
"""A log that could be written so lately is not tried again."""
PROBE_BYTES = 20_000


class SQLiteEventLog:
    """An :class:`~shared.log.port.EventLog` in ``directory``. Call :meth:`open` first.

    ``partitions`` counts for topics that are still to be created; a topic keeps the count it has.
    """

    def __init__(self, directory: Path, *, clock: Clock, partitions: int = 1) -> None:
        if partitions < 1:
            raise ValueError(f"partitions is {partitions}; a topic has at least 1")
        self.path = directory / FILE_NAME
        self._directory = directory
        self._clock = clock
        self._partitions = partitions
        self._lock = FileLock(directory / "log.lock", what=f"the event log in {directory}")
        self._open_file: LogFile | None = None
        self._consumers: list[SQLiteLogConsumer] = []
        self._probed_at: float | None = None
        self.damage: str | None = None
        """What the last check of the file found; ``None`` if it is whole."""
        self.checked_at: datetime | None = None

    async def open(self) -> None:
        """Take and open the file.

        Raises ``LogBusyError`` if another process owns it, ``DamagedFileError`` or ``SchemaError`` if it
        cannot be used, and ``TransientError`` if it cannot be opened.
        """
        await asyncio.to_thread(self._lock.acquire)
        try:
            self._open_file = await LogFile.open(self.path, now=self._clock.now())
            self.damage, self.checked_at = None, self._clock.now()
        except BaseException:
            self._lock.release()
            raise

    async def close(self) -> None:
        """Release everything. Idempotent."""
        while self._consumers:
            await self._consumers.pop().close()
        if self._open_file is not None:
            await self._open_file.close()
            self._open_file = None
        self._lock.release()

    async def ensure_topics(self, topics: Sequence[Topic]) -> None:
        """Create what is missing, dead-letter topics included; take over changed retentions."""
        wanted = list(topics)
        wanted += [dead_letter_topic(each) for each in topics if not each.name.endswith(DEAD_LETTER_SUFFIX)]
        await self._file.write(lambda connection: _ensure(connection, wanted, self._partitions))
        await self._file.refresh()

    async def publish(self, records: Sequence[OutgoingRecord]) -> list[LogPosition]:
        """See :class:`~shared.log.port.EventLog`. Calls at the same time share one transaction."""
        if not records:
            return []
        file = self._file
        numbers: list[int] = []
        rows: list[Row] = []
        for record in records:
            partitions = file.of_topic(record.topic)
            partition = partitions[partition_for(record.partition_key, len(partitions))]
            numbers.append(partition.number)
            rows.append((partition.id, record.key, pack_headers(record.headers), record.value))
        offsets = await file.append(rows, now=self._clock.now())
        return [LogPosition(number, offset) for number, offset in zip(numbers, offsets, strict=True)]

    async def consumer(
        self, group: str, topics: Sequence[str], *, start: StartAt = "beginning"
    ) -> SQLiteLogConsumer:
        """See :class:`~shared.log.port.EventLog`. Raises ``KeyError`` for an unknown topic."""
        file = self._file
        partitions = [partition for topic in topics for partition in file.of_topic(topic)]
        lock = FileLock(self._directory / "groups" / f"{group}.lock", what=f"consumer group {group}")
        await asyncio.to_thread(lock.acquire)
        try:
            offsets = dict(await self.committed(group))
            fresh = {each.position: each.end for each in partitions if each.position not in offsets}
            if start == "end" and fresh:
                # Written down at once: a crash before the first commit must not move the start.
                now = microseconds(self._clock.now())
                await file.write(lambda connection: store_offsets(connection, group, fresh, now))
                offsets |= fresh
        except BaseException:
            lock.release()
            raise
        consumer = SQLiteLogConsumer(file, group, partitions, lock, self._clock)
        await consumer.start(offsets)
        self._consumers.append(consumer)
        return consumer

    async def read(self, position: TopicPartition, *, from_offset: int, records_max: int) -> list[LogRecord]:
        """See :class:`~shared.log.port.EventLog`."""
        partitions = self._file.of_topic(position.topic)
        if not 0 <= position.partition < len(partitions):
            raise KeyError(
                f"topic {position.topic} has {len(partitions)} partitions, not {position.partition}"
            )
        partition = partitions[position.partition]
        return await self._file.read(
            lambda connection: select_records(connection, partition, from_offset, records_max)
        )

    async def end_offsets(self, topic: str) -> Mapping[TopicPartition, int]:
        """See :class:`~shared.log.port.EventLog`. Pruning does not lower an end."""
        return {partition.position: partition.end for partition in self._file.of_topic(topic)}

    async def committed(self, group: str) -> Mapping[TopicPartition, int]:
        """See :class:`~shared.log.port.EventLog`."""
        return await self._file.read(lambda connection: select_offsets(connection, group))

    async def groups(self) -> list[str]:
        """Return every group that has committed here, by name."""

        def select(connection: sqlite3.Connection) -> list[str]:
            rows = connection.execute("SELECT DISTINCT group_name FROM consumer_offsets ORDER BY group_name")
            return [name for (name,) in rows]

        return await self._file.read(select)

    async def epochs(self) -> Sequence[str]:
        """See :class:`~shared.log.port.EventLog`."""
        return tuple(self._file.epochs)

    async def begin_epoch(self, reason: str) -> str:
        """See :class:`~shared.log.port.EventLog`. ``reason`` is kept in the file."""
        now = self._clock.now()
        epoch = await self._file.write(lambda connection: insert_epoch(connection, reason, now))
        await self._file.refresh()
        return epoch

    async def prune(self, now: datetime | None = None, *, compaction_lag: timedelta = COMPACTION_LAG) -> int:
        """Delete what retention and compaction let go, and return how many records that was.

        See :mod:`shared.log.sqlite.retention`. After an erasure, ``compaction_lag=timedelta(0)`` removes
        the erased person's earlier records at once.
        """
        return await prune(self._file, now or self._clock.now(), compaction_lag)

    async def check(self) -> None:
        """Read the whole file, beside everything else, and keep what is found in ``damage``."""
        try:
            self.damage = await asyncio.to_thread(damage_of, self.path, thorough=True)
        except sqlite3.OperationalError as error:
            raise TransientError(f"the log cannot be read: {error}") from error
        self.checked_at = self._clock.now()

    async def write_trouble(self) -> str | None:
        """Return why nothing can be written, in words; ``None`` if it can. Not every call tries it."""
        now = self._clock.monotonic_seconds()
        if self._probed_at is not None and now < self._probed_at + PROBE_SECONDS:
            return None
        try:
            await self._file.write(_probe)
        except TransientError as error:
            return str(error)
        self._probed_at = now
        return None

    async def verify(self) -> list[str]:
        """Check the file; return what is wrong with it, nothing if it is whole. Reads all of it."""
        return await self._file.read(_verify)

    @property
    def _file(self) -> LogFile:
        if self._open_file is None:
            raise TransientError("the log is not open; call open() first")
        return self._open_file


def _ensure(connection: sqlite3.Connection, topics: Sequence[Topic], partitions: int) -> None:
    for topic in topics:
        connection.execute(
            "INSERT INTO topics (name, compacted, retention_days, delete_retention_days, personal_data) "
            "VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET compacted = excluded.compacted, "
            "retention_days = excluded.retention_days, personal_data = excluded.personal_data, "
            "delete_retention_days = excluded.delete_retention_days",
            (
                topic.name,
                int(topic.compacted),
                topic.retention_days,
                topic.delete_retention_days,
                int(topic.personal_data),
            ),
        )
        if connection.execute("SELECT 1 FROM partitions WHERE topic = ?", (topic.name,)).fetchone() is None:
            connection.executemany(
                "INSERT INTO partitions (topic, number) VALUES (?, ?)",
                [(topic.name, number) for number in range(partitions)],
            )


def _probe(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM write_probes")
    connection.execute("INSERT INTO write_probes (filler) VALUES (zeroblob(?))", (PROBE_BYTES,))
    connection.execute("DELETE FROM write_probes")


def _verify(connection: sqlite3.Connection) -> list[str]:
    problems = [row[0] for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
    for topic, number, end, highest in connection.execute(
        "SELECT p.topic, p.number, p.end_offset, max(r.offset) FROM partitions p "
        "JOIN records r ON r.partition_id = p.id GROUP BY p.id HAVING max(r.offset) >= p.end_offset"
    ):
        problems.append(f"{topic}/{number} ends at {end}, but holds offset {highest}")
    for group, topic, number, offset, end in connection.execute(
        "SELECT c.group_name, c.topic, c.partition, c.next_offset, p.end_offset FROM consumer_offsets c "
        "JOIN partitions p ON p.topic = c.topic AND p.number = c.partition "
        "WHERE c.next_offset > p.end_offset"
    ):
        problems.append(f"group {group} stands at {offset} of {topic}/{number}, which ends at {end}")
    return problems
