"""An event log that passes everything on: what only wants to note or disturb a part of it builds on this."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from shared.events.topics import Topic
from shared.log.port import (
    EventLog,
    Lag,
    LogConsumer,
    LogPosition,
    LogRecord,
    OutgoingRecord,
    StartAt,
    TopicPartition,
)

__all__ = ["ForwardingConsumer", "ForwardingLog"]


class ForwardingLog:
    """An :class:`~shared.log.port.EventLog` in front of another; see there for what each method does."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def ensure_topics(self, topics: Sequence[Topic]) -> None:
        await self._log.ensure_topics(topics)

    async def publish(self, records: Sequence[OutgoingRecord]) -> list[LogPosition]:
        return await self._log.publish(records)

    async def consumer(
        self, group: str, topics: Sequence[str], *, start: StartAt = "beginning"
    ) -> LogConsumer:
        return await self._log.consumer(group, topics, start=start)

    async def read(self, position: TopicPartition, *, from_offset: int, records_max: int) -> list[LogRecord]:
        return await self._log.read(position, from_offset=from_offset, records_max=records_max)

    async def end_offsets(self, topic: str) -> Mapping[TopicPartition, int]:
        return await self._log.end_offsets(topic)

    async def committed(self, group: str) -> Mapping[TopicPartition, int]:
        return await self._log.committed(group)

    async def epochs(self) -> Sequence[str]:
        return await self._log.epochs()

    async def begin_epoch(self, reason: str) -> str:
        return await self._log.begin_epoch(reason)

    async def close(self) -> None:
        await self._log.close()


class ForwardingConsumer:
    """A :class:`~shared.log.port.LogConsumer` in front of another."""

    def __init__(self, consumer: LogConsumer) -> None:
        self._consumer = consumer

    async def poll(self, *, records_max: int = 500, timeout_seconds: float = 1.0) -> list[LogRecord]:
        return await self._consumer.poll(records_max=records_max, timeout_seconds=timeout_seconds)

    def handling(self, records: Sequence[LogRecord]) -> AbstractAsyncContextManager[Sequence[LogRecord]]:
        return self._consumer.handling(records)

    async def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        await self._consumer.commit(next_offsets)

    def seek(self, position: TopicPartition, offset: int) -> None:
        self._consumer.seek(position, offset)

    def pause(self, *positions: TopicPartition) -> None:
        self._consumer.pause(*positions)

    def resume(self, *positions: TopicPartition) -> None:
        self._consumer.resume(*positions)

    async def lag(self) -> Mapping[TopicPartition, Lag]:
        return await self._consumer.lag()

    async def close(self) -> None:
        await self._consumer.close()
