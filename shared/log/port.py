"""The log: where services put events and read one another's.

Two implementations: an append-only SQLite file (embedded) and Apache Kafka (cluster). One conformance
suite, ``tests/conformance/test_event_log.py``, runs over both.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

from shared.events.envelope import Headers
from shared.events.topics import Topic

__all__ = [
    "EventLog",
    "Lag",
    "LogConsumer",
    "LogPosition",
    "LogRecord",
    "OutgoingRecord",
    "StartAt",
    "TopicPartition",
]

StartAt = Literal["beginning", "end"]


class TopicPartition(NamedTuple):
    """One ordered sequence of records."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class OutgoingRecord:
    """A record to publish. ``value=None`` is a tombstone. The log computes the partition."""

    topic: str
    key: str
    partition_key: str
    headers: Headers
    value: bytes | None


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A record as read. ``published_at`` is the log's own time, not the event's."""

    topic: str
    partition: int
    offset: int
    key: str
    headers: Headers
    value: bytes | None
    published_at: datetime

    @property
    def topic_partition(self) -> TopicPartition:
        return TopicPartition(self.topic, self.partition)


class LogPosition(NamedTuple):
    """Where a published record stands. Offsets rise within a partition, with gaps."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a group is behind on one partition: records, and the age in seconds of the oldest unread."""

    records: int
    seconds: float


class LogConsumer(Protocol):
    """Reads for one group. Offsets move only by :meth:`commit`."""

    async def poll(self, *, records_max: int = 500, timeout_seconds: float = 1.0) -> list[LogRecord]:
        """Return the next records, in offset order within each partition; empty after the timeout.

        Returns as soon as anything is there. May be cancelled: what was not returned is read again.
        Raises ``TransientError`` while the log is away.
        """
        ...

    def handling(self, records: Sequence[LogRecord]) -> AbstractAsyncContextManager[Sequence[LogRecord]]:
        """Hold the partitions while ``records`` are handled and committed.

        Yields the records whose partitions this consumer still owns; a rebalance waits until the block ends.
        """
        ...

    async def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        """Move the group's offsets: for each partition, the offset to read next. Durable on return."""
        ...

    def seek(self, position: TopicPartition, offset: int) -> None:
        """Read from ``offset`` at the next poll."""
        ...

    def pause(self, *positions: TopicPartition) -> None:
        """Stop delivering from these partitions; polling goes on, so the group is kept."""
        ...

    def resume(self, *positions: TopicPartition) -> None:
        """Deliver from these partitions again."""
        ...

    async def lag(self) -> Mapping[TopicPartition, Lag]:
        """Return the lag of every partition assigned to this consumer."""
        ...

    async def close(self) -> None:
        """Leave the group. Idempotent."""
        ...


class EventLog(Protocol):
    """Where events are kept and read."""

    async def ensure_topics(self, topics: Sequence[Topic]) -> None:
        """Create what is missing, dead-letter topics included. Never changes a partition count."""
        ...

    async def publish(self, records: Sequence[OutgoingRecord]) -> list[LogPosition]:
        """Append in order; return once they are durable, all or none acknowledged.

        Raises ``TransientError`` if the log is away; some records may then be there, unacknowledged.
        Raises ``KeyError`` for a topic that does not exist.
        """
        ...

    async def consumer(
        self, group: str, topics: Sequence[str], *, start: StartAt = "beginning"
    ) -> LogConsumer:
        """Join ``group``. ``start`` counts only where the group has no offset yet.

        Raises ``LogBusyError`` where the log allows one member per group and there is one.
        """
        ...

    async def read(self, position: TopicPartition, *, from_offset: int, records_max: int) -> list[LogRecord]:
        """Return records from ``from_offset`` on, without a group: for tailing, dead letters and replay."""
        ...

    async def end_offsets(self, topic: str) -> Mapping[TopicPartition, int]:
        """Return, for each partition, the offset that the next record will at least have."""
        ...

    async def committed(self, group: str) -> Mapping[TopicPartition, int]:
        """Return the group's offsets: what it will read next, per partition."""
        ...

    async def epochs(self) -> Sequence[str]:
        """Return the names of this log's histories, the present one first.

        Offsets mean something only within one log. A mark made under a name that is not listed here was made
        in another log; one made under a listed name can be compared with :meth:`end_offsets`.
        """
        ...

    async def begin_epoch(self, reason: str) -> str:
        """Begin a new history because acknowledged records are gone, and return its name.

        A log whose name is not ours to give (Kafka: the cluster id) returns the one it has.
        """
        ...

    async def close(self) -> None:
        """Release everything. Idempotent."""
        ...
