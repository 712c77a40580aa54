"""Reading Kafka for one consumer group.

Records are handled and their offsets committed under one lock, which a rebalance takes before it gives the
partitions up: nobody else gets a partition while a batch of it is being handled. What was polled before a
rebalance and not handled yet is dropped, since whoever owns the partition now reads it again.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence, Set
from contextlib import asynccontextmanager
from typing import Any

import structlog
from aiokafka.errors import CommitFailedError, IllegalStateError

from shared.clock import Clock
from shared.errors import TransientError
from shared.log.kafka.client import reaching
from shared.log.kafka.lag import Backlogs, Oldest
from shared.log.kafka.membership import Membership
from shared.log.kafka.reader import log_record
from shared.log.kafka.settings import KafkaSettings
from shared.log.port import EventLog, Lag, LogRecord, StartAt, TopicPartition

__all__ = ["KafkaLogConsumer"]

logger = structlog.get_logger(__name__)

FETCH_MILLISECONDS = 500
FETCHED_RECORDS_MAX = 2_000
COMMIT_SECONDS_MAX = 10.0
LAG_SECONDS_MAX = 5.0


class KafkaLogConsumer:
    """A member of its group. Call :meth:`join` first."""

    def __init__(
        self,
        settings: KafkaSettings,
        group: str,
        topics: Sequence[str],
        *,
        start: StartAt,
        clock: Clock,
        log: EventLog,
    ) -> None:
        self.group = group
        self._topics = frozenset(topics)
        self._clock = clock
        self._log = log
        self._handling = asyncio.Lock()
        self._membership: Callable[[], Membership] = lambda: Membership(
            settings,
            group,
            topics,
            start=start,
            handling=self._handling,
            on_lost=self._forget,
            on_moved=self._drop,
            committed=lambda: log.committed(group),
        )
        self._member: Membership | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._buffers: dict[TopicPartition, list[Any]] = {}
        self._in_hand: list[LogRecord] = []
        self._void: list[LogRecord] = []
        self._committed: dict[TopicPartition, int] = {}
        self._backlogs = Backlogs(clock, log)
        self._is_closed = False

    async def join(self) -> Membership:
        """Join the group. Raises ``TransientError`` if it does not let us in."""
        member = self._membership()
        await member.join()
        self._member = member
        return member

    async def poll(self, *, records_max: int = 500, timeout_seconds: float = 1.0) -> list[LogRecord]:
        """See :class:`~shared.log.port.LogConsumer`.

        Raises ``ReplicaFencedError`` once another process has this member's name.
        """
        until = self._clock.monotonic_seconds() + timeout_seconds
        while True:
            member = await self._living_member()
            fetching = self._fetch_more(member)
            records = self._take(records_max, member.owned)
            left = until - self._clock.monotonic_seconds()
            if records or left <= 0:
                self._in_hand = records
                if not records and member.is_cut_off:
                    raise TransientError(f"the broker that coordinates group {self.group} is away")
                return records
            await asyncio.wait({fetching}, timeout=left)
            if fetching.done():
                await self._look_at(fetching, member)

    @asynccontextmanager
    async def handling(self, records: Sequence[LogRecord]) -> AsyncIterator[Sequence[LogRecord]]:
        """See :class:`~shared.log.port.LogConsumer`; a rebalance and closing wait until the block ends."""
        async with self._handling:
            if records is self._in_hand and self._void is not records and self._member is not None:
                yield records  # polled since the last rebalance, so all of it is ours
                return
            owned = self._member.owned if self._member is not None else frozenset()
            void = {id(record) for record in self._void}
            yield [each for each in records if each.topic_partition in owned and id(each) not in void]

    async def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        """Move the group's offsets; those of partitions that are somebody else's now stay where they are.

        Raises ``KeyError`` for a topic that the group does not read, ``TransientError`` if Kafka is away.
        """
        for place in next_offsets:
            if place.topic not in self._topics:
                raise KeyError(f"group {self.group} does not read {place.topic}/{place.partition}")
        member = self._member
        if member is None:
            return
        offsets = {place: offset for place, offset in next_offsets.items() if place in member.owned}
        if not offsets:
            return
        try:
            async with reaching("keep offsets", seconds_max=COMMIT_SECONDS_MAX):
                await member.client.commit({member.place(place): at for place, at in offsets.items()})
        except TransientError as error:
            if not isinstance(error.__cause__, CommitFailedError | IllegalStateError):
                raise
            # The group has gone on without us, so the next owner handles these again, and knows them.
            logger.warning("offsets of lost partitions are not kept", group=self.group, cause=str(error))
            return
        self._committed.update(offsets)
        self._backlogs.handled(self._in_hand, offsets)

    def seek(self, position: TopicPartition, offset: int) -> None:
        """Read from ``offset`` at the next poll."""
        self._drop(position)
        if self._member is not None and position in self._member.owned:
            self._member.client.seek(self._member.place(position), offset)

    def pause(self, *positions: TopicPartition) -> None:
        """Stop delivering from these partitions."""
        for position in positions:
            if self._member is not None and position in self._member.owned:
                if waiting := self._buffers.get(position):
                    self.seek(position, waiting[0].offset)
                self._member.client.pause(self._member.place(position))

    def resume(self, *positions: TopicPartition) -> None:
        """Deliver from these partitions again."""
        for position in positions:
            if self._member is not None and position in self._member.owned:
                self._member.client.resume(self._member.place(position))

    async def lag(self) -> Mapping[TopicPartition, Lag]:
        """Return records and age of what the group has not committed, per partition that we own."""
        member = self._member
        if member is None or not member.owned:
            return {}
        owned = member.owned
        if not owned <= self._committed.keys():
            known = await self._log.committed(self.group)
            self._committed = {place: self._committed.get(place, known.get(place, 0)) for place in owned}
        committed = dict(self._committed)
        async with reaching("tell the ends of topics", seconds_max=LAG_SECONDS_MAX):
            ends = await member.client.end_offsets([member.place(place) for place in owned])
        found = {place: ends[member.place(place)] for place in owned}
        return await self._backlogs.measure(committed, found, self._oldest_at_hand(committed))

    async def close(self) -> None:
        """Stop reading. The group keeps our place for the length of the session. Idempotent."""
        if self._is_closed:
            return
        async with self._handling:
            self._is_closed = True
            member, self._member = self._member, None
        await self._stop(member)

    def _oldest_at_hand(self, committed: Mapping[TopicPartition, int]) -> dict[TopicPartition, Oldest]:
        """Return the oldest unread record of each partition of which any was polled or fetched."""
        found: dict[TopicPartition, Oldest] = {}
        for record in self._in_hand:
            place = record.topic_partition
            if place not in found and record.offset >= committed.get(place, 0):
                found[place] = Oldest(record.offset, record.published_at)
        for place, waiting in self._buffers.items():
            if waiting and place not in found:
                record = log_record(place.topic, waiting[0])
                found[place] = Oldest(record.offset, record.published_at)
        return found

    async def _living_member(self) -> Membership:
        """Return the membership, a new one if the old one cannot go on."""
        if self._is_closed:
            raise TransientError(f"the consumer of group {self.group} is closed")
        member = self._member
        if member is not None and member.fenced is not None:
            raise member.fenced
        if member is not None and not member.is_dead:
            return member
        self._member = None
        await self._stop(member)
        self._forget()
        return await self.join()

    async def _stop(self, member: Membership | None) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)
            self._fetching = None
        if member is not None:
            await member.leave()

    def _fetch_more(self, member: Membership) -> "asyncio.Task[None]":
        """Let one fetch run beside the handling. It outlives a cancelled poll, so that it loses nothing."""
        if self._fetching is None:
            room = FETCHED_RECORDS_MAX - sum(len(waiting) for waiting in self._buffers.values())
            # At least one: a consumer that never asks is taken for dead.
            self._fetching = asyncio.create_task(self._fetch(member, max(1, room)))
        return self._fetching

    async def _fetch(self, member: Membership, records_max: int) -> None:
        fetched = await member.client.getmany(timeout_ms=FETCH_MILLISECONDS, max_records=records_max)
        for place, records in fetched.items():
            self._buffers.setdefault(member.position(place), []).extend(records)

    async def _look_at(self, fetching: "asyncio.Task[None]", member: Membership) -> None:
        self._fetching = None
        try:
            async with reaching(f"give records to group {self.group}"):
                await fetching
        except TransientError:
            with contextlib.suppress(TransientError):
                await member.look_whether_fenced()
            raise

    def _take(self, records_max: int, owned: Set[TopicPartition]) -> list[LogRecord]:
        """Return the next records, a share of each partition, so that a busy one starves no other.

        What is fetched while partitions are being taken over waits until they are owned.
        """
        records: list[LogRecord] = []
        places = [place for place in self._buffers if place in owned]
        while places and len(records) < records_max:
            share = max(1, (records_max - len(records)) // len(places))
            for place in places[: records_max - len(records)]:
                # Taken out and put back behind the others, who come first next time.
                waiting = self._buffers.pop(place)
                records += [log_record(place.topic, record) for record in waiting[:share]]
                if len(waiting) > share:
                    self._buffers[place] = waiting[share:]
            places = [place for place in places if place in self._buffers]
        return records

    def _drop(self, position: TopicPartition) -> None:
        self._buffers.pop(position, None)

    def _forget(self) -> None:
        """Drop everything polled: the partitions it is from may be somebody else's now."""
        self._buffers.clear()
        self._committed.clear()
        self._backlogs.forget()
        self._void = self._in_hand
