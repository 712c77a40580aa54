"""What is particular to the embedded log: retention, compaction, erasure, group commit, one owner."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from shared.clock import SimulatedClock
from shared.errors import DamagedFileError, LogBusyError, TransientError
from shared.events.topics import Deduplication, Topic
from shared.log.port import LogPosition, OutgoingRecord, TopicPartition
from shared.log.sqlite.event_log import FILE_NAME, SQLiteEventLog

STATES = Topic(
    "t.states", "t", "", Deduplication.VERSION, compacted=True, retention_days=None, personal_data=True
)
FACTS = Topic("t.facts", "t", "", Deduplication.INBOX, compacted=False, retention_days=7)
BOTH = Topic("t.rollups", "t", "", Deduplication.VERSION, compacted=True, retention_days=400)


@pytest.fixture
async def log(tmp_path: Path, clock: SimulatedClock) -> AsyncIterator[SQLiteEventLog]:
    opened = SQLiteEventLog(tmp_path, clock=clock)
    await opened.open()
    await opened.ensure_topics([STATES, FACTS, BOTH])
    yield opened
    await opened.close()


async def put(log: SQLiteEventLog, topic: str, key: str, value: bytes | None) -> LogPosition:
    return (await log.publish([OutgoingRecord(topic, key, key, [], value)]))[0]


async def contents(log: SQLiteEventLog, topic: str) -> list[tuple[str, bytes | None]]:
    records = await log.read(TopicPartition(topic, 0), from_offset=0, records_max=1000)
    return [(record.key, record.value) for record in records]


async def test_facts_leave_after_their_retention_whether_read_or_not(
    log: SQLiteEventLog, clock: SimulatedClock
) -> None:
    await put(log, "t.facts", "a", b"1")
    clock.advance(timedelta(days=6))
    await put(log, "t.facts", "a", b"2")
    assert await log.prune() == 0
    clock.advance(timedelta(days=2))
    assert await log.prune() == 1
    assert await contents(log, "t.facts") == [("a", b"2")]


async def test_compaction_keeps_the_newest_record_of_each_key(
    log: SQLiteEventLog, clock: SimulatedClock
) -> None:
    for value in (b"1", b"2", b"3"):
        await put(log, "t.states", "a", value)
        await put(log, "t.states", "b", value)
    assert await log.prune() == 0
    clock.advance(timedelta(hours=25))
    assert await log.prune() == 4
    clock.advance(timedelta(days=4000))
    assert await log.prune() == 0
    assert await contents(log, "t.states") == [("a", b"3"), ("b", b"3")]


async def test_a_topic_with_compaction_and_retention_obeys_both(
    log: SQLiteEventLog, clock: SimulatedClock
) -> None:
    await put(log, "t.rollups", "a", b"1")
    await put(log, "t.rollups", "a", b"2")
    clock.advance(timedelta(days=2))
    assert await log.prune() == 1
    clock.advance(timedelta(days=400))
    assert await log.prune() == 1
    assert await contents(log, "t.rollups") == []


async def test_a_tombstone_outlives_what_it_ends_and_then_goes_itself(
    log: SQLiteEventLog, clock: SimulatedClock
) -> None:
    await put(log, "t.states", "a", b"1")
    await put(log, "t.states", "a", None)
    clock.advance(timedelta(days=2))
    assert await log.prune() == 1
    assert await contents(log, "t.states") == [("a", None)]
    clock.advance(timedelta(days=6))
    assert await log.prune() == 1
    assert await contents(log, "t.states") == []


async def test_a_key_that_returns_after_its_tombstone_stays(
    log: SQLiteEventLog, clock: SimulatedClock
) -> None:
    await put(log, "t.states", "a", None)
    await put(log, "t.states", "a", b"back")
    clock.advance(timedelta(days=30))
    await log.prune()
    assert await contents(log, "t.states") == [("a", b"back")]


async def test_an_erased_person_is_in_no_byte_of_the_files(
    log: SQLiteEventLog, clock: SimulatedClock, tmp_path: Path
) -> None:
    await put(log, "t.states", "person", b"Ada Example ada@example.gov")
    await put(log, "t.states.dlq", "person", b"Ada Example ada@example.gov")
    await put(log, "t.states.dlq", "other", b"Bob Example")
    await put(log, "t.states", "person", None)
    await log.prune(compaction_lag=timedelta(0))
    assert await contents(log, "t.states") == [("person", None)]
    assert await contents(log, "t.states.dlq") == [("other", b"Bob Example")]
    left = b"".join(path.read_bytes() for path in tmp_path.glob(FILE_NAME + "*"))
    assert b"ada@example.gov" not in left
    assert b"Bob Example" in left


async def test_a_group_that_fails_on_an_erased_person_after_the_tombstone_keeps_nothing_of_them(
    log: SQLiteEventLog,
) -> None:
    await put(log, "t.states", "person", b"Ada Example")
    await put(log, "t.states", "person", None)
    await put(log, "t.states.dlq", "person", b"Ada Example")
    await put(log, "t.states", "back", None)
    await put(log, "t.states", "back", b"Bob Example")
    await put(log, "t.states.dlq", "back", b"Bob Example")
    await log.prune(compaction_lag=timedelta(0))
    assert await contents(log, "t.states.dlq") == [("back", b"Bob Example")]


async def test_the_dead_letter_of_a_tombstone_stays_until_it_was_handled_again(log: SQLiteEventLog) -> None:
    await put(log, "t.states", "person", None)
    await put(log, "t.states.dlq", "person", None)
    await log.prune(compaction_lag=timedelta(0))
    assert await contents(log, "t.states.dlq") == [("person", None)]


async def test_offsets_are_not_reused_after_pruning_and_ends_stay(
    log: SQLiteEventLog, clock: SimulatedClock
) -> None:
    before = await put(log, "t.facts", "a", b"1")
    ends = await log.end_offsets("t.facts")
    clock.advance(timedelta(days=8))
    await log.prune()
    assert await log.end_offsets("t.facts") == ends
    after = await put(log, "t.facts", "a", b"2")
    assert after.offset > before.offset


async def test_a_group_passes_over_the_gap_that_pruning_left(
    log: SQLiteEventLog, clock: SimulatedClock
) -> None:
    await put(log, "t.facts", "a", b"1")
    consumer = await log.consumer("g", ["t.facts"])
    clock.advance(timedelta(days=8))
    await log.prune()
    assert await consumer.poll(timeout_seconds=0.05) == []
    assert [lag.records for lag in (await consumer.lag()).values()] == [0]
    await put(log, "t.facts", "a", b"2")
    assert [record.value for record in await consumer.poll(timeout_seconds=5)] == [b"2"]


async def test_a_large_prune_lets_publishers_in_between(log: SQLiteEventLog, clock: SimulatedClock) -> None:
    await log.publish([OutgoingRecord("t.facts", "a", "a", [], b"x")] * 9_000)
    clock.advance(timedelta(days=8))
    pruning = asyncio.create_task(log.prune())
    while not pruning.done():
        await put(log, "t.states", "k", b"v")
    assert await pruning == 9_000


async def test_changed_retention_is_taken_over_and_the_partition_count_is_not(
    tmp_path: Path, clock: SimulatedClock
) -> None:
    log = SQLiteEventLog(tmp_path, clock=clock, partitions=2)
    await log.open()
    await log.ensure_topics([FACTS])
    await log.close()
    log = SQLiteEventLog(tmp_path, clock=clock, partitions=5)
    await log.open()
    await log.ensure_topics([replace(FACTS, retention_days=1), STATES])
    assert len(await log.end_offsets("t.facts")) == 2
    assert len(await log.end_offsets("t.states")) == 5
    await put(log, "t.facts", "a", b"1")
    clock.advance(timedelta(days=2))
    assert await log.prune() == 1
    await log.close()


async def test_publishers_that_wait_at_the_same_time_share_one_transaction(log: SQLiteEventLog) -> None:
    statements: list[str] = []
    log._file._writer._connection.set_trace_callback(statements.append)
    begun, gate = threading.Event(), threading.Event()

    def hold(_connection: sqlite3.Connection) -> bool:
        begun.set()
        return gate.wait(30)

    holding = asyncio.create_task(log._file.write(hold))
    await asyncio.to_thread(begun.wait, 30)
    publishing = [asyncio.create_task(put(log, "t.facts", str(n), b"x")) for n in range(100)]
    await asyncio.sleep(0.02)
    gate.set()
    await asyncio.gather(holding, *publishing)
    assert statements.count("COMMIT") == 2
    assert len(await contents(log, "t.facts")) == 100


async def test_a_failing_write_takes_no_other_of_its_transaction_along(log: SQLiteEventLog) -> None:
    consumer = await log.consumer("g", ["t.facts"])
    results = await asyncio.gather(
        put(log, "t.facts", "a", b"1"),
        consumer.commit({TopicPartition("t.facts", 0): 2**70}),
        put(log, "t.facts", "b", b"2"),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [LogPosition, OverflowError, LogPosition]
    assert await contents(log, "t.facts") == [("a", b"1"), ("b", b"2")]


async def test_records_of_a_cancelled_publisher_reach_waiting_readers(log: SQLiteEventLog) -> None:
    consumer = await log.consumer("g", ["t.facts"])
    waiting = asyncio.create_task(consumer.poll(timeout_seconds=30))
    await asyncio.sleep(0.02)
    publishing = asyncio.create_task(put(log, "t.facts", "a", b"1"))
    await asyncio.sleep(0)
    publishing.cancel()
    assert [record.value for record in await waiting] == [b"1"]


async def test_a_poll_of_large_records_ends_before_it_fills_the_memory(log: SQLiteEventLog) -> None:
    await log.publish([OutgoingRecord("t.facts", "a", "a", [], b"x" * 900_000)] * 40)
    consumer = await log.consumer("g", ["t.facts"])
    first = await consumer.poll()
    assert 0 < len(first) < 40
    rest = await consumer.poll() + await consumer.poll()
    assert len(first) + len(rest) == 40


async def test_the_log_has_one_owner(log: SQLiteEventLog, tmp_path: Path, clock: SimulatedClock) -> None:
    with pytest.raises(LogBusyError, match="in use by process"):
        await SQLiteEventLog(tmp_path, clock=clock).open()


async def test_groups_are_known_by_their_offsets(log: SQLiteEventLog) -> None:
    assert await log.groups() == []
    for group in ("z", "a"):
        consumer = await log.consumer(group, ["t.facts"])
        await consumer.commit({TopicPartition("t.facts", 0): 0})
    assert await log.groups() == ["a", "z"]


async def test_a_closed_log_is_away_and_names_the_cure(log: SQLiteEventLog) -> None:
    await log.close()
    with pytest.raises(TransientError, match="open"):
        await put(log, "t.facts", "a", b"1")


async def test_a_file_that_is_no_log_is_refused_and_left_alone(tmp_path: Path, clock: SimulatedClock) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"something else entirely " * 100)
    log = SQLiteEventLog(tmp_path, clock=clock)
    with pytest.raises(DamagedFileError, match="not a database"):
        await log.open()
    assert (tmp_path / FILE_NAME).read_bytes() == b"something else entirely " * 100


@pytest.mark.parametrize("partitions", [0, -1])
def test_a_topic_has_at_least_one_partition(tmp_path: Path, clock: SimulatedClock, partitions: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        SQLiteEventLog(tmp_path, clock=clock, partitions=partitions)


async def test_a_partition_that_does_not_exist_is_a_key_error(log: SQLiteEventLog) -> None:
    with pytest.raises(KeyError, match="1 partitions"):
        await log.read(TopicPartition("t.facts", 3), from_offset=0, records_max=1)
    consumer = await log.consumer("g", ["t.facts"])
    with pytest.raises(KeyError, match="does not read"):
        await consumer.commit({TopicPartition("t.states", 0): 1})
