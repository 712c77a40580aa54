"""The observed log passes everything on, and tells an event's path from what it noticed or from the log."""

from collections.abc import AsyncIterator, Collection
from datetime import timedelta
from pathlib import Path

import pytest

from services.host.operations.observed_log import ObservedLog
from services.host.operations.reader.paths import hops_of, path_of
from shared.clock import SimulatedClock
from shared.events.topics import GROUPS, TOPICS
from shared.log.port import OutgoingRecord, TopicPartition
from shared.log.sqlite.event_log import SQLiteEventLog

HITS = TOPICS["usage.hits"]
GROUP = GROUPS["usage.counting"].name
PLACE = TopicPartition(HITS.name, 0)
CORRELATION = "5f0f5a58-7a0c-4b2c-9b63-2d4a3f4e8a10"


@pytest.fixture
async def file_log(tmp_path: Path, clock: SimulatedClock) -> AsyncIterator[SQLiteEventLog]:
    log = SQLiteEventLog(tmp_path, clock=clock)
    await log.open()
    await log.ensure_topics([HITS])
    yield log
    await log.close()


def record(event_id: str, clock: SimulatedClock, *, correlation_id: str = CORRELATION) -> OutgoingRecord:
    headers = {
        "ce_id": event_id,
        "ce_type": "nutmeg.usage.hit.recorded.v1",
        "ce_time": clock.now().isoformat(),
        "ce_correlationid": correlation_id,
    }
    packed = [(name, text.encode()) for name, text in headers.items()]
    return OutgoingRecord(HITS.name, "00", "00", packed, b"{}")


async def states(log: ObservedLog, groups: Collection[str] = (GROUP,)) -> list[list[str]]:
    path = await path_of(log, CORRELATION, groups)
    assert path is not None
    return [[handling.state for handling in event.handlings] for event in path.events]


async def test_an_event_waits_until_its_group_has_committed(
    file_log: SQLiteEventLog, clock: SimulatedClock
) -> None:
    log = ObservedLog(file_log, clock)
    (position,) = await log.publish([record(CORRELATION, clock)])
    consumer = await log.consumer(GROUP, [HITS.name])
    assert await states(log) == [["waiting"]]
    assert log.handled_at(GROUP, PLACE, position.offset) is None
    clock.advance(timedelta(milliseconds=40))
    await consumer.commit({PLACE: position.offset + 1})
    assert await states(log) == [["done"]]
    path = await path_of(log, CORRELATION, [GROUP])
    assert path is not None
    assert path.is_finished
    hops, total = hops_of(path)
    assert [hop.name for hop in hops] == ["usage: hit recorded", GROUP]
    assert hops[1].milliseconds is not None
    assert total is not None
    assert hops[1].milliseconds >= 40


async def test_only_events_of_the_correlation_are_on_the_path(
    file_log: SQLiteEventLog, clock: SimulatedClock
) -> None:
    log = ObservedLog(file_log, clock)
    await log.publish([record(CORRELATION, clock), record("other", clock, correlation_id="other")])
    await log.publish([record("caused", clock)])
    path = await path_of(log, CORRELATION, [GROUP])
    assert path is not None
    assert [event.record.event_id for event in path.events] == [CORRELATION, "caused"]
    assert await path_of(log, "nobody", [GROUP]) is None


async def test_after_a_restart_the_path_is_read_from_the_log_without_times_of_handling(
    file_log: SQLiteEventLog, clock: SimulatedClock
) -> None:
    before = ObservedLog(file_log, clock)
    (position,) = await before.publish([record(CORRELATION, clock)])
    consumer = await before.consumer(GROUP, [HITS.name])
    await consumer.commit({PLACE: position.offset + 1})
    after = ObservedLog(file_log, clock)
    path = await path_of(after, CORRELATION, [GROUP])
    assert path is not None
    (handling,) = path.events[0].handlings
    assert (handling.state, handling.at) == ("done", None)
    hops, _ = hops_of(path)
    assert [hop.milliseconds is None for hop in hops] == [False, True]
