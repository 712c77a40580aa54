"""A log that fails where a test says so, and is the real one everywhere else."""

from collections.abc import Callable, Mapping, Sequence

from shared.log.forwarding import ForwardingConsumer, ForwardingLog
from shared.log.port import (
    EventLog,
    LogConsumer,
    LogPosition,
    LogRecord,
    OutgoingRecord,
    StartAt,
    TopicPartition,
)

__all__ = ["FaultyLog"]


class FaultyLog(ForwardingLog):
    """Each hook is called before the real operation and may raise; ``after_publish`` is called after it."""

    def __init__(self, log: EventLog) -> None:
        super().__init__(log)
        self.before_publish: Callable[[Sequence[OutgoingRecord]], None] = lambda _records: None
        self.after_publish: Callable[[Sequence[OutgoingRecord]], None] = lambda _records: None
        self.before_commit: Callable[[Mapping[TopicPartition, int]], None] = lambda _offsets: None
        self.before_poll: Callable[[], None] = lambda: None

    async def publish(self, records: Sequence[OutgoingRecord]) -> list[LogPosition]:
        self.before_publish(records)
        positions = await super().publish(records)
        self.after_publish(records)
        return positions

    async def consumer(
        self, group: str, topics: Sequence[str], *, start: StartAt = "beginning"
    ) -> LogConsumer:
        return FaultyConsumer(self, await super().consumer(group, topics, start=start))


class FaultyConsumer(ForwardingConsumer):
    """The consumer of a faulty log."""

    def __init__(self, log: FaultyLog, consumer: LogConsumer) -> None:
        super().__init__(consumer)
        self._log = log

    async def poll(self, *, records_max: int = 500, timeout_seconds: float = 1.0) -> list[LogRecord]:
        self._log.before_poll()
        return await super().poll(records_max=records_max, timeout_seconds=timeout_seconds)

    async def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        self._log.before_commit(next_offsets)
        await super().commit(next_offsets)
