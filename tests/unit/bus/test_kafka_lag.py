"""What measuring the lag of a group on Kafka costs: one that is far behind has no time to lose with it."""

from datetime import timedelta
from typing import Any, cast

import pytest

from shared.bus.kafka_consumer import KafkaLogConsumer
from shared.bus.kafka_settings import KafkaSettings
from shared.bus.ports import EventLog, LogRecord, TopicPartition
from shared.clock import SimulatedClock
from shared.events.topics import GROUPS

HITS = GROUPS["usage.counting"]
PLACE = TopicPartition(HITS.topics[0], 0)
BEHIND = 100


class CountingLog:
    """One partition with records, and how often one of them was read."""

    def __init__(self, clock: SimulatedClock) -> None:
        self.published_at = clock.now() - timedelta(seconds=30)
        self.is_empty = False
        self.reads = 0

    async def read(self, place: TopicPartition, *, from_offset: int, records_max: int) -> list[LogRecord]:
        self.reads += 1
        if self.is_empty:
            return []
        return [LogRecord(place.topic, place.partition, from_offset, "key", [], b"{}", self.published_at)]

    async def committed(self, group: str) -> dict[TopicPartition, int]:
        return {PLACE: 0}


class Member:
    """Owns the partition, which ends at a given offset; stands in for Kafka's client too."""

    def __init__(self) -> None:
        self.owned = frozenset({PLACE})
        self.client = self
        self.end = BEHIND

    def place(self, position: TopicPartition) -> TopicPartition:
        return position

    async def end_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, self.end)

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        return None


def consumer_of(log: CountingLog, clock: SimulatedClock) -> KafkaLogConsumer:
    consumer = KafkaLogConsumer(
        KafkaSettings(),
        HITS.name,
        HITS.topics,
        start="beginning",
        clock=clock,
        log=cast("EventLog", log),
    )
    consumer._member = cast("Any", Member())
    return consumer


async def lag_of(consumer: KafkaLogConsumer) -> tuple[int, int]:
    """Records, and their age in whole seconds."""
    lag = (await consumer.lag())[PLACE]
    return lag.records, int(lag.seconds)


async def test_the_oldest_record_of_a_partition_that_stands_still_is_read_once_and_its_age_goes_on(
    clock: SimulatedClock,
) -> None:
    log = CountingLog(clock)
    consumer = consumer_of(log, clock)
    assert await lag_of(consumer) == (BEHIND, 30)
    clock.advance(timedelta(hours=1))
    assert await lag_of(consumer) == (BEHIND, 3630)
    assert log.reads == 1


async def test_the_next_record_is_read_once_the_group_has_moved_on(clock: SimulatedClock) -> None:
    log = CountingLog(clock)
    consumer = consumer_of(log, clock)
    await consumer.lag()
    log.published_at += timedelta(seconds=20)
    await consumer.commit({PLACE: 40})
    assert await lag_of(consumer) == (BEHIND - 40, 10)
    assert log.reads == 2


async def test_a_record_that_is_deleted_while_it_waits_is_lag_no_longer(
    clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.bus.kafka_consumer.OLDEST_KNOWN_SECONDS", -1.0)  # believed no longer
    log = CountingLog(clock)
    consumer = consumer_of(log, clock)
    await consumer.lag()
    log.is_empty = True
    assert await lag_of(consumer) == (0, 0)
