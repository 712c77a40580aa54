"""The file below the embedded log: its schema, its threads, and what this process knows about its end.

One process owns the file (``flock``), so every append passes through here, and readers are woken in
memory; a datagram to other processes would find nobody listening. Beneath that, the file's end is looked
at four times a second: it finds an append whose publisher was cancelled between the commit and the wake-up.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import orjson

from shared.errors import SchemaError, TransientError
from shared.events.envelope import Headers
from shared.log.port import LogRecord, TopicPartition
from shared.log.sqlite.threads import Operation, ReaderThreads, WriterThread, connect
from shared.store.sqlite_integrity import require_whole

T = TypeVar("T")

__all__ = [
    "LogFile",
    "Partition",
    "Row",
    "insert_epoch",
    "microseconds",
    "moment",
    "pack_headers",
    "select_records",
]

WATCH_INTERVAL_SECONDS = 0.25
READER_THREADS = 4
FETCH_BYTES_MAX = 16 * 1024 * 1024
"""A poll of 500 records of 900 KiB would be 440 MiB; it ends early here."""

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

SCHEMA_VERSION = 1

SCHEMA = """
CREATE TABLE IF NOT EXISTS epochs (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  epoch TEXT NOT NULL,
  reason TEXT NOT NULL,
  began_at INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS topics (
  name TEXT PRIMARY KEY,
  compacted INTEGER NOT NULL,
  retention_days INTEGER,
  delete_retention_days INTEGER NOT NULL,
  personal_data INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS partitions (
  id INTEGER PRIMARY KEY,
  topic TEXT NOT NULL,
  number INTEGER NOT NULL,
  end_offset INTEGER NOT NULL DEFAULT 0,
  UNIQUE (topic, number)
) STRICT;
CREATE TABLE IF NOT EXISTS records (
  offset INTEGER PRIMARY KEY AUTOINCREMENT,
  partition_id INTEGER NOT NULL REFERENCES partitions (id),
  key TEXT NOT NULL,
  headers BLOB NOT NULL,
  value BLOB,
  published_at INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS ix_records_partition ON records (partition_id);
CREATE TABLE IF NOT EXISTS consumer_offsets (
  group_name TEXT NOT NULL,
  topic TEXT NOT NULL,
  partition INTEGER NOT NULL,
  next_offset INTEGER NOT NULL,
  committed_at INTEGER NOT NULL,
  PRIMARY KEY (group_name, topic, partition)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS write_probes (filler BLOB NOT NULL) STRICT;
"""

Row = tuple[int, str, bytes, bytes | None]
"""Partition id, key, packed headers, value."""


@dataclass(slots=True)
class Partition:
    """One ordered sequence in the file. ``end`` is the offset that its next record will at least have."""

    id: int
    topic: str
    number: int
    end: int

    @property
    def position(self) -> TopicPartition:
        return TopicPartition(self.topic, self.number)


def microseconds(when: datetime) -> int:
    """Return a moment as whole microseconds since 1970."""
    return (when - _BEGINNING) // _MICROSECOND


def moment(value: int) -> datetime:
    """Return the moment of :func:`microseconds`."""
    return _BEGINNING + timedelta(microseconds=value)


def pack_headers(headers: Headers) -> bytes:
    """Return headers as JSON. Latin-1 maps every byte to one character and back, so any value survives."""
    return orjson.dumps([text for name, raw in headers for text in (name, raw.decode("latin-1"))])


def _unpack_headers(packed: bytes) -> list[tuple[str, bytes]]:
    # Names and values take turns in one flat list: half the objects to make for each record.
    texts = iter(orjson.loads(packed))
    return [(name, text.encode("latin-1")) for name, text in zip(texts, texts, strict=True)]


def select_records(
    connection: sqlite3.Connection, partition: Partition, from_offset: int, records_max: int
) -> list[LogRecord]:
    """Return the records of one partition from ``from_offset`` on, at most ``FETCH_BYTES_MAX`` of them."""
    records: list[LogRecord] = []
    size_bytes = 0
    rows = connection.execute(
        "SELECT offset, key, headers, value, published_at FROM records "
        "WHERE partition_id = ? AND offset >= ? ORDER BY offset LIMIT ?",
        (partition.id, from_offset, records_max),
    )
    topic, number = partition.topic, partition.number
    for offset, key, headers, value, published_at in rows:
        records.append(
            LogRecord(topic, number, offset, key, _unpack_headers(headers), value, moment(published_at))
        )
        size_bytes += len(value) if value is not None else 0
        if size_bytes > FETCH_BYTES_MAX:
            rows.close()
            break
    return records


class LogFile:
    """Reads and writes the file for the log and its consumers. Open it with :meth:`open`."""

    def __init__(self, path: Path, writer: WriterThread, reader: ReaderThreads) -> None:
        self.path = path
        self.partitions: dict[TopicPartition, Partition] = {}
        self.partition_counts: dict[str, int] = {}
        self.epochs: list[str] = []
        self._writer = writer
        self._reader = reader
        self._wakers: dict[Callable[[], None], frozenset[str]] = {}
        self._watch: asyncio.Task[None] | None = None
        self._end_seen = -1

    @classmethod
    async def open(cls, path: Path, *, now: datetime) -> "LogFile":
        """Open or create the file. Raises ``DamagedFileError`` or ``SchemaError`` if it cannot be used."""
        connection = await asyncio.to_thread(_prepare, path, now)
        file = cls(
            path,
            WriterThread(connection, name="log-writer"),
            ReaderThreads(path, threads=READER_THREADS, name="log-reader"),
        )
        await file.refresh()
        file._watch = asyncio.create_task(file._watch_for_changes(), name="log-watch")
        return file

    async def close(self) -> None:
        """Stop the threads. Idempotent."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
            self._watch = None
        await self._reader.stop()
        await self._writer.stop()

    async def write(self, operation: Operation[T]) -> T:
        """Run a write; durable on return. Raises ``TransientError``."""
        return await self._writer.run(operation)

    async def read(self, operation: Operation[T]) -> T:
        """Run a read. Raises ``TransientError``."""
        return await self._reader.run(operation)

    async def append(self, rows: Sequence[Row], *, now: datetime) -> list[int]:
        """Append in order; return the offsets once they are durable."""
        by_id = {partition.id: partition for partition in self.partitions.values()}
        published_at = microseconds(now)
        offsets = await self._writer.run(lambda connection: _append(connection, rows, published_at))
        topics = set()
        for (partition_id, *_), offset in zip(rows, offsets, strict=True):
            partition = by_id[partition_id]
            partition.end = max(partition.end, offset + 1)
            topics.add(partition.topic)
        self._wake(topics)
        return offsets

    async def refresh(self) -> None:
        """Learn topics, ends and epochs from the file."""

        def select(connection: sqlite3.Connection) -> tuple[list[tuple[int, str, int, int]], list[str]]:
            return (
                connection.execute("SELECT id, topic, number, end_offset FROM partitions").fetchall(),
                [epoch for (epoch,) in connection.execute("SELECT epoch FROM epochs ORDER BY number DESC")],
            )

        rows, self.epochs = await self._reader.run(select)
        grown = set()
        for partition_id, topic, number, end in rows:
            known = self.partitions.setdefault(
                TopicPartition(topic, number), Partition(partition_id, topic, number, 0)
            )
            if end > known.end:
                known.end = end
                grown.add(topic)
            self.partition_counts[topic] = max(self.partition_counts.get(topic, 0), number + 1)
        self._wake(grown)

    async def checkpoint(self) -> None:
        """Move the write-ahead log into the file and empty it."""
        await asyncio.to_thread(_checkpoint, self.path)

    def of_topic(self, topic: str) -> list[Partition]:
        """Return a topic's partitions in order. Raises ``KeyError`` for an unknown topic."""
        if topic not in self.partition_counts:
            raise KeyError(f"the log has no topic {topic!r}; create it with ensure_topics()")
        return [self.partitions[TopicPartition(topic, n)] for n in range(self.partition_counts[topic])]

    def add_waker(self, waker: Callable[[], None], topics: Iterable[str]) -> None:
        """Call ``waker`` whenever one of ``topics`` has grown."""
        self._wakers[waker] = frozenset(topics)

    def remove_waker(self, waker: Callable[[], None]) -> None:
        self._wakers.pop(waker, None)

    def _wake(self, topics: set[str]) -> None:
        for waker, wanted in list(self._wakers.items()):
            if not wanted.isdisjoint(topics):
                waker()

    async def _watch_for_changes(self) -> None:
        while True:
            await asyncio.sleep(WATCH_INTERVAL_SECONDS)
            # A log that cannot be read just now tells its readers so itself.
            with contextlib.suppress(Exception):
                await self._look()

    async def _look(self) -> None:
        end = await self._reader.run(_end_of_file)
        if end != self._end_seen:
            self._end_seen = end
            await self.refresh()


def _end_of_file(connection: sqlite3.Connection) -> int:
    # Not PRAGMA data_version: that counts per connection, and these reads fall on any of several.
    row = connection.execute("SELECT coalesce(max(end_offset), 0) FROM partitions").fetchone()
    return int(row[0])


def _checkpoint(path: Path) -> None:
    # On a connection of its own: the writing thread's is always inside a transaction.
    with contextlib.closing(connect(path, writes=True)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _require_known_schema(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise SchemaError(
            f"{path} has schema {version}, and this version knows {SCHEMA_VERSION}: it was written by a "
            "newer Nutmeg; install that version, or put a backup back (nutmeg restore)"
        )


def _prepare(path: Path, now: datetime) -> sqlite3.Connection:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    require_whole(path)
    try:
        connection = connect(path, writes=True)
    except sqlite3.OperationalError as error:
        raise TransientError(f"the log {path} cannot be opened: {error}") from error
    try:
        _require_known_schema(connection, path)
        connection.executescript(SCHEMA)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        if connection.execute("SELECT 1 FROM epochs LIMIT 1").fetchone() is None:
            insert_epoch(connection, "created", now)
    except sqlite3.OperationalError as error:
        connection.close()
        raise TransientError(f"the log {path} cannot be opened: {error}") from error
    except BaseException:
        connection.close()
        raise
    return connection


def insert_epoch(connection: sqlite3.Connection, reason: str, now: datetime) -> str:
    """Begin a history. Its name is random, so that no two logs share one."""
    epoch = str(uuid4())
    connection.execute(
        "INSERT INTO epochs (epoch, reason, began_at) VALUES (?, ?, ?)", (epoch, reason, microseconds(now))
    )
    return epoch


def _append(connection: sqlite3.Connection, rows: Sequence[Row], published_at: int) -> list[int]:
    # Offsets are given out here, and not by SQLite, because executemany returns none. AUTOINCREMENT still
    # keeps the highest one ever used, so that an offset is not reused after its record was pruned.
    highest = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'records'").fetchone()
    first = (highest[0] if highest else 0) + 1
    offsets = list(range(first, first + len(rows)))
    connection.executemany(
        "INSERT INTO records (offset, partition_id, key, headers, value, published_at) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        [(offset, *row, published_at) for offset, row in zip(offsets, rows, strict=True)],
    )
    ends = {row[0]: offset + 1 for offset, row in zip(offsets, rows, strict=True)}
    connection.executemany(
        "UPDATE partitions SET end_offset = ? WHERE id = ?",
        [(end, partition_id) for partition_id, end in ends.items()],
    )
    return offsets
