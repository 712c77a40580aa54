"""What every log promises, whatever it is made of. Runs over each entry of ``event_log_fixtures.LOGS``."""

import asyncio
from collections import defaultdict
from datetime import timedelta

import pytest

from shared.clock import SimulatedClock
from shared.errors import LogBusyError
from shared.events.envelope import partition_for
from shared.log.port import EventLog, Lag, TopicPartition
from tests.conformance.event_log_fixtures import (
    FACTS,
    STATES,
    LogFactory,
    clock,
    log,
    open_log,
    outgoing,
    read_all,
)

__all__ = ["clock", "log", "open_log"]

KEYS = [f"key-{n}" for n in range(12)]


async def test_records_of_one_partition_key_are_read_in_the_order_they_were_published(log: EventLog) -> None:
    for turn in range(5):
        await log.publish([outgoing(key, str(turn).encode()) for key in KEYS])
    consumer = await log.consumer("readers", [STATES.name])
    seen = defaultdict(list)
    for record in await read_all(consumer, 60):
        seen[record.key].append(record.value)
    assert seen == {key: [b"0", b"1", b"2", b"3", b"4"] for key in KEYS}


async def test_a_record_stands_in_the_partition_of_its_partition_key_and_not_of_its_key(
    log: EventLog,
) -> None:
    positions = await log.publish([outgoing(key, partition_key="together") for key in KEYS])
    partitions = len(await log.end_offsets(STATES.name))
    assert {place.partition for place in positions} == {partition_for("together", partitions)}


async def test_offsets_rise_within_a_partition(log: EventLog) -> None:
    positions = [(await log.publish([outgoing(KEYS[n % 12])]))[0] for n in range(40)]
    by_partition = defaultdict(list)
    for place in positions:
        by_partition[place.partition].append(place.offset)
    assert all(offsets == sorted(set(offsets)) for offsets in by_partition.values())


async def test_positions_returned_by_publish_are_those_at_which_the_records_are_read(log: EventLog) -> None:
    positions = await log.publish([outgoing(key, key.encode()) for key in KEYS])
    for key, place in zip(KEYS, positions, strict=True):
        found = await log.read(
            TopicPartition(STATES.name, place.partition), from_offset=place.offset, records_max=1
        )
        assert [(record.key, record.value, record.offset) for record in found] == [
            (key, key.encode(), place.offset)
        ]


async def test_headers_and_values_come_back_byte_for_byte(log: EventLog) -> None:
    headers = [("ce_id", b"1"), ("binary", bytes(range(256))), ("empty", b""), ("ce_id", "é—".encode())]
    await log.publish([outgoing("k", bytes(range(256)), headers=headers)])
    consumer = await log.consumer("readers", [STATES.name])
    (record,) = await read_all(consumer, 1)
    assert (list(record.headers), record.value) == (headers, bytes(range(256)))


async def test_a_tombstone_is_read_as_none_and_an_empty_value_as_empty(log: EventLog) -> None:
    await log.publish([outgoing("k", None), outgoing("k", b"")])
    consumer = await log.consumer("readers", [STATES.name])
    assert [record.value for record in await read_all(consumer, 2)] == [None, b""]


async def test_a_key_may_hold_any_text(log: EventLog) -> None:
    keys = ["with space", "déjà/vu", "日本", "quote'\"", "x" * 2000]
    await log.publish([outgoing(key) for key in keys])
    consumer = await log.consumer("readers", [STATES.name])
    assert {record.key for record in await read_all(consumer, 5)} == set(keys)


async def test_a_record_as_large_as_a_dead_letter_may_be_comes_through(log: EventLog) -> None:
    value = b"x" * (900 + 64) * 1024
    await log.publish([outgoing("large", value)])
    consumer = await log.consumer("readers", [STATES.name])
    (record,) = await read_all(consumer, 1)
    assert record.value == value


async def test_published_at_is_the_time_of_the_log(log: EventLog, clock: SimulatedClock) -> None:
    before = clock.now() - timedelta(seconds=2)
    await log.publish([outgoing("k")])
    consumer = await log.consumer("readers", [STATES.name])
    (record,) = await read_all(consumer, 1)
    assert before <= record.published_at <= clock.now() + timedelta(seconds=2)


async def test_groups_read_independently_of_one_another(log: EventLog) -> None:
    await log.publish([outgoing(key) for key in KEYS])
    first = await log.consumer("first", [STATES.name])
    second = await log.consumer("second", [STATES.name])
    records = await read_all(first, 12)
    await first.commit({r.topic_partition: r.offset + 1 for r in records})
    assert len(await read_all(second, 12)) == 12


async def test_a_group_reads_only_its_topics(log: EventLog) -> None:
    await log.publish([outgoing("a", topic=FACTS.name), outgoing("b")])
    consumer = await log.consumer("readers", [STATES.name])
    assert [record.key for record in await read_all(consumer, 1)] == ["b"]
    assert await consumer.poll(timeout_seconds=0.05) == []


async def test_several_topics_are_read_by_one_group(log: EventLog) -> None:
    await log.publish([outgoing("a", topic=FACTS.name), outgoing("b")])
    consumer = await log.consumer("readers", [STATES.name, FACTS.name])
    assert {record.topic for record in await read_all(consumer, 2)} == {STATES.name, FACTS.name}


async def test_no_partition_starves_while_another_is_far_behind(log: EventLog) -> None:
    await log.publish([outgoing(f"k{n}") for n in range(300)])
    await log.publish([outgoing("late", topic=FACTS.name)])
    consumer = await log.consumer("readers", [STATES.name, FACTS.name])
    polled = [await consumer.poll(records_max=10, timeout_seconds=5) for _ in range(6)]
    assert "late" in [record.key for records in polled for record in records]


async def test_every_record_comes_once_whatever_the_size_of_the_polls(log: EventLog) -> None:
    await log.publish([outgoing(f"k{n}") for n in range(100)])
    await log.publish([outgoing(f"f{n}", topic=FACTS.name) for n in range(50)])
    consumer = await log.consumer("readers", [STATES.name, FACTS.name])
    keys: list[str] = []
    while records := await consumer.poll(records_max=7, timeout_seconds=0.5):
        assert len(records) <= 7
        keys += [record.key for record in records]
    assert sorted(keys) == sorted([f"k{n}" for n in range(100)] + [f"f{n}" for n in range(50)])


async def test_what_was_committed_is_not_read_again_and_what_was_not_is(
    log: EventLog, open_log: LogFactory
) -> None:
    await log.publish([outgoing("same", str(n).encode()) for n in range(6)])
    consumer = await log.consumer("readers", [STATES.name])
    records = await read_all(consumer, 6)
    await consumer.commit({records[3].topic_partition: records[3].offset})
    await consumer.close()
    consumer = await log.consumer("readers", [STATES.name])
    assert [record.value for record in await read_all(consumer, 3)] == [b"3", b"4", b"5"]


async def test_a_log_opened_again_has_records_offsets_and_order(open_log: LogFactory) -> None:
    log = await open_log()
    await log.ensure_topics([STATES])
    await log.publish([outgoing("same", str(n).encode()) for n in range(4)])
    consumer = await log.consumer("readers", [STATES.name])
    records = await read_all(consumer, 4)
    await consumer.commit({records[0].topic_partition: records[2].offset})
    ends = await log.end_offsets(STATES.name)
    await log.close()

    log = await open_log()
    assert await log.end_offsets(STATES.name) == ends
    consumer = await log.consumer("readers", [STATES.name])
    assert [record.value for record in await read_all(consumer, 2)] == [b"2", b"3"]
    (place,) = await log.publish([outgoing("same", b"4")])
    assert place.offset > records[-1].offset
    await log.close()


async def test_committed_tells_what_the_group_will_read_next(log: EventLog) -> None:
    await log.publish([outgoing("k")])
    consumer = await log.consumer("readers", [STATES.name])
    (record,) = await read_all(consumer, 1)
    await consumer.commit({record.topic_partition: record.offset + 1})
    assert (await log.committed("readers"))[record.topic_partition] == record.offset + 1
    assert await log.committed("strangers") == {}


async def test_seeking_back_delivers_again_and_seeking_on_passes_over(log: EventLog) -> None:
    positions = await log.publish([outgoing("same", str(n).encode()) for n in range(5)])
    place = TopicPartition(STATES.name, positions[0].partition)
    consumer = await log.consumer("readers", [STATES.name])
    await read_all(consumer, 5)
    consumer.seek(place, positions[3].offset)
    assert [record.value for record in await read_all(consumer, 2)] == [b"3", b"4"]
    consumer.seek(place, positions[0].offset)
    consumer.seek(place, positions[4].offset)
    assert [record.value for record in await read_all(consumer, 1)] == [b"4"]


async def test_a_paused_partition_delivers_nothing_until_it_is_resumed(log: EventLog) -> None:
    positions = await log.publish([outgoing("k"), outgoing("other", topic=FACTS.name)])
    paused = TopicPartition(STATES.name, positions[0].partition)
    consumer = await log.consumer("readers", [STATES.name, FACTS.name])
    consumer.pause(paused)
    assert [record.key for record in await read_all(consumer, 1)] == ["other"]
    assert await consumer.poll(timeout_seconds=0.1) == []
    consumer.resume(paused)
    assert [record.key for record in await read_all(consumer, 1)] == ["k"]


async def test_a_new_group_that_starts_at_the_end_reads_only_what_comes_after(log: EventLog) -> None:
    await log.publish([outgoing(key, b"before") for key in KEYS])
    consumer = await log.consumer("readers", [STATES.name], start="end")
    await log.publish([outgoing(key, b"after") for key in KEYS])
    assert {record.value for record in await read_all(consumer, 12)} == {b"after"}


async def test_start_at_the_end_counts_only_for_a_group_without_offsets(log: EventLog) -> None:
    (place,) = await log.publish([outgoing("k", b"0")])
    consumer = await log.consumer("readers", [STATES.name])
    await consumer.commit({TopicPartition(STATES.name, place.partition): place.offset})
    await consumer.close()
    consumer = await log.consumer("readers", [STATES.name], start="end")
    assert [record.value for record in await read_all(consumer, 1)] == [b"0"]


async def test_a_group_that_started_at_the_end_keeps_its_start_over_a_crash(log: EventLog) -> None:
    await log.publish([outgoing("k", b"before")])
    consumer = await log.consumer("readers", [STATES.name], start="end")
    await log.publish([outgoing("k", b"after")])
    await consumer.close()  # without having polled or committed anything
    consumer = await log.consumer("readers", [STATES.name], start="end")
    assert [record.value for record in await read_all(consumer, 1)] == [b"after"]


async def test_a_waiting_poll_returns_when_a_record_is_published(log: EventLog) -> None:
    consumer = await log.consumer("readers", [STATES.name])
    waiting = asyncio.create_task(consumer.poll(timeout_seconds=60))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await log.publish([outgoing("k")])
    assert [record.key for record in await asyncio.wait_for(waiting, 10)] == ["k"]


async def test_a_cancelled_poll_loses_nothing(log: EventLog) -> None:
    consumer = await log.consumer("readers", [STATES.name])
    for _ in range(20):
        waiting = asyncio.create_task(consumer.poll(timeout_seconds=60))
        await asyncio.sleep(0)
        await log.publish([outgoing("k")])
        waiting.cancel()
        results = await asyncio.gather(waiting, return_exceptions=True)
        if isinstance(results[0], list):
            consumer.seek(results[0][0].topic_partition, results[0][0].offset)
    assert len(await read_all(consumer, 20)) == 20


async def test_publishers_at_the_same_time_lose_nothing_and_keep_their_own_order(log: EventLog) -> None:
    async def publish(name: str) -> None:
        for n in range(25):
            await log.publish([outgoing(name, str(n).encode())])

    await asyncio.gather(*(publish(key) for key in KEYS))
    consumer = await log.consumer("readers", [STATES.name])
    seen = defaultdict(list)
    for record in await read_all(consumer, 300):
        seen[record.key].append(int(record.value or b"-1"))
    assert seen == {key: list(range(25)) for key in KEYS}


async def test_lag_counts_what_is_not_committed_and_tells_its_age(
    log: EventLog, clock: SimulatedClock
) -> None:
    await log.publish([outgoing("same") for _ in range(3)])
    clock.advance(timedelta(minutes=5))
    consumer = await log.consumer("readers", [STATES.name])
    records = await read_all(consumer, 3)
    behind = [lag for lag in (await consumer.lag()).values() if lag.records]
    assert [lag.records for lag in behind] == [3]
    assert 295 <= behind[0].seconds <= 360
    await consumer.commit({records[-1].topic_partition: records[-1].offset + 1})
    assert set((await consumer.lag()).values()) == {Lag(0, 0.0)}


async def test_read_needs_no_group_and_moves_none(log: EventLog) -> None:
    positions = await log.publish([outgoing("same", str(n).encode()) for n in range(4)])
    place = TopicPartition(STATES.name, positions[0].partition)
    found = await log.read(place, from_offset=positions[1].offset, records_max=2)
    assert [record.value for record in found] == [b"1", b"2"]
    consumer = await log.consumer("readers", [STATES.name])
    assert len(await read_all(consumer, 4)) == 4


async def test_end_offsets_are_above_every_record_and_at_most_the_next_one(log: EventLog) -> None:
    (place,) = await log.publish([outgoing("same")])
    end = (await log.end_offsets(STATES.name))[TopicPartition(STATES.name, place.partition)]
    (following,) = await log.publish([outgoing("same")])
    assert place.offset < end <= following.offset


async def test_ensuring_topics_again_changes_nothing(log: EventLog) -> None:
    await log.publish([outgoing(key) for key in KEYS])
    before = await log.end_offsets(STATES.name)
    await log.ensure_topics([STATES, FACTS])
    assert await log.end_offsets(STATES.name) == before


async def test_every_topic_has_a_dead_letter_topic_with_as_many_partitions(log: EventLog) -> None:
    assert len(await log.end_offsets(STATES.name + ".dlq")) == len(await log.end_offsets(STATES.name))


async def test_an_unknown_topic_is_a_key_error_and_nothing_of_its_batch_is_published(log: EventLog) -> None:
    with pytest.raises(KeyError, match=r"no\.such"):
        await log.publish([outgoing("k"), outgoing("k", topic="no.such")])
    with pytest.raises(KeyError, match=r"no\.such"):
        await log.consumer("readers", ["no.such"])
    consumer = await log.consumer("readers", [STATES.name])
    assert await consumer.poll(timeout_seconds=0.1) == []


async def test_closing_waits_for_the_records_being_handled(log: EventLog) -> None:
    await log.publish([outgoing("k")])
    consumer = await log.consumer("readers", [STATES.name])
    records = await read_all(consumer, 1)
    async with consumer.handling(records) as owned:
        assert list(owned) == records
        closing = asyncio.create_task(consumer.close())
        await asyncio.sleep(0.02)
        assert not closing.done()
        await consumer.commit({records[0].topic_partition: records[0].offset + 1})
    await closing
    assert (await log.committed("readers"))[records[0].topic_partition] == records[0].offset + 1


async def test_a_history_keeps_its_name_until_a_new_one_begins(open_log: LogFactory) -> None:
    log = await open_log()
    before = await log.epochs()
    await log.close()
    log = await open_log()
    assert await log.epochs() == before
    begun = await log.begin_epoch("a test says so")
    assert (await log.epochs())[0] == begun
    assert set(before) <= set(await log.epochs())
    await log.close()


async def test_closing_twice_is_harmless(log: EventLog) -> None:
    consumer = await log.consumer("readers", [STATES.name])
    await consumer.close()
    await consumer.close()
    await log.close()
    await log.close()


async def test_a_group_of_one_member_names_itself_when_it_refuses_a_second(log: EventLog) -> None:
    first = await log.consumer("readers", [STATES.name])
    refusal = "readers"
    try:
        second = await log.consumer("readers", [STATES.name])
    except LogBusyError as error:
        refusal = str(error)
        await first.close()
        second = await log.consumer("readers", [STATES.name])
    assert "readers" in refusal
    await log.publish([outgoing("k")])
    await first.close()
    assert [record.key for record in await read_all(second, 1)] == ["k"]
