"""A log that fails where a test says so, and is the real one everywhere else."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from shared.bus.ports import (
    EventLog,
    Lag,
    LogConsumer,
    LogPosition,
    LogRecord,
    OutgoingRecord,
    StartAt,
    TopicPartition,
)
from shared.events.topics import Topic

__all__ = ["FaultyLog"]


class FaultyLog:
    """Each hook is called before the real operation and may raise; ``after_publish`` is called after it."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self.before_publish: Callable[[Sequence[OutgoingRecord]], None] = lambda _records: None
        self.after_publish: Callable[[Sequence[OutgoingRecord]], None] = lambda _records: None
        self.before_commit: Callable[[Mapping[TopicPartition, int]], None] = lambda _offsets: None
        self.before_poll: Callable[[], None] = lambda: None

    async def ensure_topics(self, topics: Sequence[Topic]) -> None:
        await self._log.ensure_topics(topics)

    async def publish(self, records: Sequence[OutgoingRecord]) -> list[LogPosition]:
        self.before_publish(records)
        positions = await self._log.publish(records)
        self.after_publish(records)
        return positions

    async def consumer(
        self, group: str, topics: Sequence[str], *, start: StartAt = "beginning"
    ) -> LogConsumer:
        return FaultyConsumer(self, await self._log.consumer(group, topics, start=start))

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


class FaultyConsumer:
    """The consumer of a faulty log."""

    def __init__(self, log: FaultyLog, consumer: LogConsumer) -> None:
        self._log = log
        self._consumer = consumer

    async def poll(self, *, records_max: int = 500, timeout_seconds: float = 1.0) -> list[LogRecord]:
        self._log.before_poll()
        return await self._consumer.poll(records_max=records_max, timeout_seconds=timeout_seconds)

    def handling(self, records: Sequence[LogRecord]) -> AbstractAsyncContextManager[Sequence[LogRecord]]:
        return self._consumer.handling(records)

    async def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        self._log.before_commit(next_offsets)
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
