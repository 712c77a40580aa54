"""The event log with a memory: which records were published when, and when each group had handled them.

An operator who asks where an event has been needs times that the log does not keep. They are noted here, in
passing and in memory, for the latest records only; what is older is read from the log itself, without the
times of handling (:mod:`services.host.operations.reader.paths`).
"""

from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from shared.clock import Clock
from shared.consuming.dead_letter_record import PREFIX as DEAD_LETTER_PREFIX
from shared.events.envelope import Headers, header
from shared.log.forwarding import ForwardingConsumer, ForwardingLog
from shared.log.port import (
    EventLog,
    LogConsumer,
    LogPosition,
    OutgoingRecord,
    StartAt,
    TopicPartition,
)

__all__ = ["ObservedLog", "PublishedRecord", "describe_record"]

FAILED_GROUP_HEADER = f"{DEAD_LETTER_PREFIX}group"
RECORDS_KEPT_MAX = 20_000
COMMITS_KEPT_MAX = 20_000


@dataclass(frozen=True, slots=True)
class PublishedRecord:
    """What an event's path needs to know of a record. Times are the log's, in UTC."""

    place: TopicPartition
    offset: int
    event_id: str
    event_type: str
    subject: str
    partition_key: str
    correlation_id: str
    causation_id: str | None
    event_time: datetime
    published_at: datetime
    failed_group: str | None
    """On a dead-letter topic: the group that could not handle the record."""


def describe_record(
    place: TopicPartition, offset: int, key: str, headers: Headers, published_at: datetime
) -> PublishedRecord:
    """Return what a record's headers say. A record that is no event has blanks."""
    event_id = header(headers, "ce_id") or ""
    return PublishedRecord(
        place=place,
        offset=offset,
        event_id=event_id,
        event_type=header(headers, "ce_type") or "",
        subject=key,
        partition_key=header(headers, "ce_partitionkey") or key,
        correlation_id=header(headers, "ce_correlationid") or event_id,
        causation_id=header(headers, "ce_causationid"),
        event_time=_moment(header(headers, "ce_time")) or published_at,
        published_at=published_at,
        failed_group=header(headers, FAILED_GROUP_HEADER),
    )


def _moment(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC) if text else None
    except ValueError:
        return None


class ObservedLog(ForwardingLog):
    """An :class:`~shared.log.port.EventLog` that passes everything on and takes note of it."""

    def __init__(self, log: EventLog, clock: Clock) -> None:
        super().__init__(log)
        self._clock = clock
        self._records: deque[PublishedRecord] = deque(maxlen=RECORDS_KEPT_MAX)
        self._commits: defaultdict[tuple[str, TopicPartition], deque[tuple[int, datetime]]] = defaultdict(
            lambda: deque(maxlen=COMMITS_KEPT_MAX)
        )

    @property
    def records(self) -> Iterable[PublishedRecord]:
        """The latest records, oldest first."""
        return tuple(self._records)

    def handled_at(self, group: str, place: TopicPartition, offset: int) -> datetime | None:
        """Return when a group had finished with a record; ``None`` if it has not, or before this start."""
        commits = self._commits.get((group, place))
        if not commits:
            return None
        first = bisect_left(commits, offset + 1, key=lambda commit: commit[0])
        return commits[first][1] if first < len(commits) else None

    def note_commit(self, group: str, next_offsets: Mapping[TopicPartition, int]) -> None:
        """Remember that a group has moved on."""
        now = self._clock.now()
        for place, offset in next_offsets.items():
            self._commits[group, place].append((offset, now))

    async def publish(self, records: Sequence[OutgoingRecord]) -> list[LogPosition]:
        """See :class:`~shared.log.port.EventLog`."""
        positions = await super().publish(records)
        now = self._clock.now()
        for record, (partition, offset) in zip(records, positions, strict=True):
            place = TopicPartition(record.topic, partition)
            self._records.append(describe_record(place, offset, record.key, record.headers, now))
        return positions

    async def consumer(
        self, group: str, topics: Sequence[str], *, start: StartAt = "beginning"
    ) -> LogConsumer:
        """See :class:`~shared.log.port.EventLog`."""
        return _ObservedConsumer(await super().consumer(group, topics, start=start), group, self)


class _ObservedConsumer(ForwardingConsumer):
    """Notes what is committed."""

    def __init__(self, consumer: LogConsumer, group: str, log: ObservedLog) -> None:
        super().__init__(consumer)
        self._group = group
        self._observed = log

    async def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        await super().commit(next_offsets)
        self._observed.note_commit(self._group, next_offsets)
