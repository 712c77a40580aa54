"""What measuring the lag of a group on Kafka costs: one that is far behind has no time to lose with it."""

from datetime import timedelta
from typing import cast

import pytest

from shared.clock import SimulatedClock
from shared.events.topics import TOPICS
from shared.log.kafka.lag import READS_PER_LOOK_MAX, Backlogs, Oldest
from shared.log.port import EventLog, LogRecord, TopicPartition

TOPIC = TOPICS["usage.hits"].name
PLACES = [TopicPartition(TOPIC, number) for number in range(12)]
PLACE = PLACES[0]
END = 100


class CountingLog:
    """Every partition has records, and each reading is counted."""

    def __init__(self, clock: SimulatedClock) -> None:
        self.published_at = clock.now() - timedelta(seconds=30)
        self.is_empty = False
        self.reads = 0

    async def read(self, place: TopicPartition, *, from_offset: int, records_max: int) -> list[LogRecord]:
        self.reads += 1
        return [] if self.is_empty else [record_at(place, from_offset, self)]


def record_at(place: TopicPartition, offset: int, log: CountingLog) -> LogRecord:
    return LogRecord(place.topic, place.partition, offset, "key", [], b"{}", log.published_at)


@pytest.fixture
def log(clock: SimulatedClock) -> CountingLog:
    return CountingLog(clock)


@pytest.fixture
def backlogs(clock: SimulatedClock, log: CountingLog) -> Backlogs:
    return Backlogs(clock, cast("EventLog", log))


async def lag_of(backlogs: Backlogs, committed: int, end: int = END) -> tuple[int, int]:
    """Records of one partition, and their age in whole seconds."""
    lag = (await backlogs.measure({PLACE: committed}, {PLACE: end}, {}))[PLACE]
    return lag.records, int(lag.seconds)


async def test_the_oldest_record_of_a_partition_that_stands_still_is_read_once_and_its_age_goes_on(
    clock: SimulatedClock, log: CountingLog, backlogs: Backlogs
) -> None:
    assert await lag_of(backlogs, 0) == (END, 30)
    clock.advance(timedelta(hours=1))
    assert await lag_of(backlogs, 0) == (END, 3630)
    assert log.reads == 1


async def test_nothing_is_read_of_what_was_fetched_already(
    clock: SimulatedClock, log: CountingLog, backlogs: Backlogs
) -> None:
    oldest = {PLACE: Oldest(7, clock.now() - timedelta(seconds=9))}
    lag = (await backlogs.measure({PLACE: 5}, {PLACE: END}, oldest))[PLACE]
    assert (lag.records, int(lag.seconds), log.reads) == (END - 7, 9, 0)


async def test_a_group_that_works_off_a_backlog_reads_nothing_to_tell_how_old_it_is(
    log: CountingLog, backlogs: Backlogs
) -> None:
    await lag_of(backlogs, 0)
    log.published_at += timedelta(seconds=20)
    backlogs.handled([record_at(PLACE, 39, log), record_at(PLACE, 40, log)], {PLACE: 40})
    assert await lag_of(backlogs, 40) == (END - 40, 10)
    assert log.reads == 1


async def test_a_backlog_is_no_older_than_the_last_moment_without_one(
    clock: SimulatedClock, log: CountingLog, backlogs: Backlogs
) -> None:
    log.published_at -= timedelta(days=1)
    backlogs.handled([record_at(PLACE, 39, log)], {PLACE: 40})
    assert await lag_of(backlogs, 40, end=40) == (0, 0)
    assert await lag_of(backlogs, 41) == (END - 41, 0)
    assert log.reads == 0


async def test_few_partitions_are_read_at_a_time_and_all_of_them_in_the_end(
    log: CountingLog, backlogs: Backlogs
) -> None:
    committed, ends = dict.fromkeys(PLACES, 0), dict.fromkeys(PLACES, END)
    lags = await backlogs.measure(committed, ends, {})
    assert {lag.records for lag in lags.values()} == {END}
    assert log.reads == READS_PER_LOOK_MAX < len(PLACES)
    for _ in PLACES:
        lags = await backlogs.measure(committed, ends, {})
    assert {int(lag.seconds) for lag in lags.values()} == {30}
    assert log.reads == len(PLACES)


async def test_a_record_that_is_deleted_while_it_waits_is_lag_no_longer(
    log: CountingLog, backlogs: Backlogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.log.kafka.lag.BELIEVED_SECONDS", -1.0)
    await lag_of(backlogs, 0)
    log.is_empty = True
    assert await lag_of(backlogs, 0) == (0, 0)


async def test_a_gap_is_looked_at_once_and_a_record_behind_it_is_lag_as_soon_as_it_is_there(
    log: CountingLog, backlogs: Backlogs
) -> None:
    log.is_empty = True
    assert [await lag_of(backlogs, 0), await lag_of(backlogs, 0)] == [(0, 0), (0, 0)]
    assert log.reads == 1
    log.is_empty = False
    assert await lag_of(backlogs, 0, end=END + 1) == (END + 1, 30)
