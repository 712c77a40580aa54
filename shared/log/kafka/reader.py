"""Reading Kafka without a group: for tailing, dead letters, replay, and the ends of topics."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as Place

from shared.log.kafka.client import client_options, reaching
from shared.log.kafka.settings import KafkaSettings
from shared.log.port import LogRecord, TopicPartition

__all__ = ["KafkaReader", "log_record"]

FETCH_MILLISECONDS = 500


def log_record(topic: str, record: Any) -> LogRecord:
    """Return aiokafka's record as ours; ``topic`` without the installation's prefix."""
    return LogRecord(
        topic,
        record.partition,
        record.offset,
        (record.key or b"").decode(errors="replace"),
        record.headers,
        record.value,
        _moment(record.timestamp),
    )


@lru_cache(maxsize=256)
def _moment(milliseconds: int) -> datetime:
    # The broker gives all records of a batch one time.
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


class KafkaReader:
    """One consumer without a group, used by one caller at a time; made anew after a failure."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._turn = asyncio.Lock()
        self._consumer: Any = None

    async def read(self, position: TopicPartition, *, from_offset: int, records_max: int) -> list[LogRecord]:
        """See :class:`~shared.log.port.EventLog`; the partition must exist. Raises ``TransientError``."""
        place = self._place(position)
        async with self._turn, reaching(f"give records of {place.topic}"):
            consumer = await self._started()
            try:
                end = (await consumer.end_offsets([place]))[place]
                begin = (await consumer.beginning_offsets([place]))[place]
                offset = max(from_offset, begin)
                if offset >= end:
                    return []
                consumer.assign([place])
                consumer.seek(place, offset)
                found: list[Any] = []
                while len(found) < records_max and await consumer.position(place) < end:
                    wanted = records_max - len(found)
                    polled = await consumer.getmany(place, timeout_ms=FETCH_MILLISECONDS, max_records=wanted)
                    found += polled.get(place, [])
                consumer.pause(place)
                return [log_record(position.topic, record) for record in found]
            except BaseException:
                await self._drop()
                raise

    async def ends(self, topic: str, partitions: int) -> Mapping[TopicPartition, int]:
        """Return the end offset of each partition. Raises ``TransientError``."""
        places = [self._place(TopicPartition(topic, number)) for number in range(partitions)]
        async with self._turn, reaching(f"tell the ends of {topic}"):
            consumer = await self._started()
            try:
                ends = await consumer.end_offsets(places)
            except BaseException:
                await self._drop()
                raise
        return {TopicPartition(topic, place.partition): end for place, end in ends.items()}

    async def close(self) -> None:
        """Close the connections. Idempotent."""
        async with self._turn:
            await self._drop()

    async def _started(self) -> Any:
        if self._consumer is None:
            self._consumer = AIOKafkaConsumer(
                **client_options(self._settings), enable_auto_commit=False, auto_offset_reset="earliest"
            )
            try:
                await self._consumer.start()
            except BaseException:
                await self._drop()
                raise
        return self._consumer

    async def _drop(self) -> None:
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            await consumer.stop()

    def _place(self, position: TopicPartition) -> Place:
        return Place(self._settings.prefixed(position.topic), position.partition)
