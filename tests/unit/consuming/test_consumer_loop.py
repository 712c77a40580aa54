"""Laws of the consumer loop: nothing lost, nothing twice, nothing passed over in silence."""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest
from sqlalchemy import func, select

from shared.consuming.budget import BudgetLimits, DeadLetterBudget
from shared.consuming.consumer_loop import LoopSettings
from shared.consuming.consumer_state import LoopState
from shared.errors import (
    DeadLetterBudgetError,
    InvalidEventError,
    LogBusyError,
    TransientError,
)
from shared.events.envelope import Event, header
from shared.log.port import OutgoingRecord, TopicPartition
from tests.support.ledger_service import COUNTING, dataset_id
from tests.support.log_bench import PATIENT, QUICK, Bench, until

GARBAGE = OutgoingRecord("usage.hits", "00", "00", [("ce_type", b"nutmeg.usage.hit.recorded.v1")], b"{")


def raising(error: Exception, *names: str, times: int = 1_000_000) -> Callable[[Event], None]:
    """A hook that raises for hits on the named datasets, or states of the named keys, some times."""
    left = dict.fromkeys(names, times)

    def before(event: Event) -> None:
        for name in names:
            is_hit = event.data is not None and str(dataset_id(name)) in event.data.model_dump_json()
            if is_hit and left[name] > 0:
                left[name] -= 1
                raise error

    return before


async def offset_of(bench: Bench, topic: str = "usage.hits") -> int:
    return (await bench.real_log.committed(COUNTING.name)).get(TopicPartition(topic, 0), 0)


async def test_every_event_is_applied_once_and_its_offset_is_committed(bench: Bench) -> None:
    await bench.ledger.emit_hits(["a"] * 700 + ["b"] * 300)
    await bench.consume()
    assert await bench.ledger.hits() == {str(dataset_id("a")): 700, str(dataset_id("b")): 300}
    assert await bench.lag_records() == 0
    assert bench.metrics.results == {"applied": 1000}


async def test_a_batch_reaches_its_handler_as_one_run(bench: Bench) -> None:
    await bench.ledger.emit_hits(["a"] * 100)
    await bench.consume()
    assert [len(batch) for batch in bench.ledger.ports.batches] == [100]


async def test_a_batch_that_was_applied_but_not_committed_is_dropped_when_it_comes_again(
    bench: Bench,
) -> None:
    failures = iter([TransientError("the log is away")])

    def fail_once(_offsets: Mapping[TopicPartition, int]) -> None:
        for error in failures:
            raise error

    await bench.ledger.emit_hits(["a"] * 20)
    await bench.ledger.emit_state("s", 1, 10)
    await bench.relay.publish_all()
    bench.log.before_commit = fail_once
    stopped = bench.loop()
    stop = asyncio.Event()
    task = asyncio.create_task(stopped.run(stop))
    await until(lambda: stopped.status().handled_count == 21, unless=task)
    stop.set()
    await task
    bench.metrics.results.clear()
    # The process dies before its offset is written: the group stands where it stood.
    consumer = await bench.real_log.consumer(COUNTING.name, COUNTING.topics)
    await consumer.commit({TopicPartition("usage.hits", 0): 0, TopicPartition("usage.rollups", 0): 0})
    await consumer.close()
    await bench.consume()
    assert await bench.ledger.hits_total() == 20
    assert bench.metrics.results == {"duplicate": 20, "stale": 1}
    assert await bench.lag_records() == 0


async def test_an_offset_that_could_not_be_written_is_written_later_without_new_records(
    bench: Bench,
) -> None:
    failures = iter([TransientError("away"), TransientError("still away")])

    def fail_twice(_offsets: Mapping[TopicPartition, int]) -> None:
        for error in failures:
            raise error

    bench.log.before_commit = fail_twice
    await bench.ledger.emit_hits(["a"] * 5)
    await bench.consume()
    assert await bench.lag_records() == 0
    assert await bench.ledger.hits_total() == 5


async def test_a_copy_of_an_event_is_dropped_also_within_one_batch(bench: Bench) -> None:
    await bench.ledger.emit_hits(["a", "b"])
    await bench.relay.publish_all()
    copies = [
        OutgoingRecord(record.topic, record.key, "00", record.headers, record.value)
        for record in await bench.records("usage.hits")
    ]
    await bench.publish(*copies, *copies)
    await bench.consume()
    assert await bench.ledger.hits_total() == 2
    assert bench.metrics.results == {"applied": 2, "duplicate": 4}


async def test_only_a_newer_version_of_a_key_is_applied(bench: Bench) -> None:
    for version in (3, 1, 2, 5, 4, 5):
        await bench.ledger.emit_state("s", version, version * 10)
        await bench.ledger.emit_state("t", version, version * 10)
    await bench.consume()
    assert await bench.ledger.states() == {"s": (5, 50), "t": (5, 50)}
    assert bench.metrics.results == {"applied": 4, "stale": 8}


async def test_versions_are_kept_over_a_restart(bench: Bench) -> None:
    await bench.ledger.emit_state("s", 7, 70)
    await bench.consume()
    await bench.ledger.emit_state("s", 6, 60)
    await bench.ledger.emit_state("s", 8, 80)
    await bench.consume()
    assert await bench.ledger.states() == {"s": (8, 80)}


async def test_tombstones_follow_versions_and_apply_where_they_have_none(bench: Bench) -> None:
    for name in ("late", "due", "bare"):
        await bench.ledger.emit_state(name, 5, 50)
    await bench.ledger.emit_end("late", 4)
    await bench.ledger.emit_end("due", 6)
    await bench.ledger.emit_end("bare", None)
    await bench.ledger.emit_state("due", 5, 51)
    await bench.consume()
    assert await bench.ledger.states() == {"late": (5, 50)}


@pytest.mark.parametrize("poison", ["first", "middle", "last"])
async def test_a_poison_record_blocks_no_other(bench: Bench, poison: str) -> None:
    names = ["first", *(["other"] * 30), "middle", *(["other"] * 30), "last"]
    bench.ledger.ports.before = raising(ValueError("bad luck"), poison)
    await bench.ledger.emit_hits(names)
    await bench.consume()
    hits = await bench.ledger.hits()
    assert sum(hits.values()) == 62
    assert str(dataset_id(poison)) not in hits
    assert [letter.reason for letter in await bench.dead_letters()] == ["failed"]
    assert await bench.lag_records() == 0


async def test_one_in_a_hundred_failing_loses_none_of_the_others(bench: Bench) -> None:
    names = [f"bad {n}" if n % 100 == 50 else f"good {n}" for n in range(1_000)]
    bench.ledger.ports.before = raising(ValueError("bad luck"), *[name for name in names if "bad" in name])
    await bench.ledger.emit_hits(names)
    await bench.consume()
    hits = await bench.ledger.hits()
    assert hits == {str(dataset_id(name)): 1 for name in names if "good" in name}
    assert len(await bench.dead_letters()) == 10
    assert bench.metrics.results == {"applied": 990, "dead_lettered": 10}


async def test_a_dead_letter_is_the_untouched_record_with_its_story(bench: Bench) -> None:
    bench.ledger.ports.before = raising(ValueError("bad luck"), "a")
    await bench.ledger.emit_hits(["a"], bucket="07")
    await bench.consume()
    (source,) = await bench.records("usage.hits")
    (kept,) = await bench.records("usage.hits.dlq")
    (letter,) = await bench.dead_letters()
    assert (kept.key, kept.value) == (source.key, source.value)
    assert list(kept.headers)[: len(source.headers)] == list(source.headers)
    assert (letter.source, letter.group) == (source, COUNTING.name)
    assert (letter.reason, letter.error_type, letter.detail) == ("failed", "ValueError", "bad luck")
    assert letter.attempts == 1 + QUICK.retries_max
    assert letter.first_at <= letter.last_at
    assert "test_consumer_loop.py" in letter.traceback
    assert letter.version
    assert header(kept.headers, "nutmeg_dlq_offset") == str(source.offset)


async def test_a_record_that_succeeds_on_a_later_try_is_no_dead_letter(bench: Bench) -> None:
    bench.ledger.ports.before = raising(ValueError("flaky"), "a", times=3)
    await bench.ledger.emit_hits(["b", "a", "b"])
    await bench.consume()
    assert await bench.ledger.hits_total() == 3
    assert await bench.dead_letters() == []


async def test_a_record_that_can_never_be_handled_is_tried_once_by_itself(bench: Bench) -> None:
    bench.ledger.ports.before = raising(InvalidEventError("no such dataset"), "a")
    await bench.ledger.emit_hits(["a"])
    await bench.consume()
    (letter,) = await bench.dead_letters()
    assert (letter.reason, letter.attempts, len(bench.ledger.ports.batches)) == ("invalid", 1, 1)


@pytest.mark.parametrize(
    ("headers", "value", "word"),
    [
        ([("ce_type", b"nutmeg.usage.hit.recorded.v1")], b"{}", "ce_"),
        ([], b"{}", "ce_type"),
        ([("ce_type", b"\xff")], b"{}", "UTF-8"),
    ],
)
async def test_what_is_no_event_becomes_a_dead_letter_at_once(
    bench: Bench, headers: list[tuple[str, bytes]], value: bytes, word: str
) -> None:
    await bench.publish(OutgoingRecord("usage.hits", "00", "00", headers, value))
    await bench.ledger.emit_hits(["a"])
    await bench.consume()
    (letter,) = await bench.dead_letters()
    assert letter.reason == "invalid"
    assert word in letter.detail
    assert await bench.ledger.hits_total() == 1


async def test_entity_state_without_a_version_is_a_dead_letter(bench: Bench) -> None:
    await bench.ledger.emit_state("s", 1, 1)
    await bench.relay.publish_all()
    (record,) = await bench.records("usage.rollups")
    bare = [pair for pair in record.headers if pair[0] != "ce_subjectversion"]
    await bench.publish(OutgoingRecord(record.topic, "u", "u", bare, record.value))
    await bench.consume()
    (letter,) = await bench.dead_letters("usage.rollups")
    assert "ce_subjectversion" in letter.detail
    assert await bench.ledger.states() == {"s": (1, 1)}


async def test_a_type_that_nobody_handles_is_skipped_and_counted(bench: Bench) -> None:
    unknown = [("ce_type", b"nutmeg.usage.hit.recorded.v9")]
    await bench.publish(OutgoingRecord("usage.hits", "00", "00", unknown, b"?"))
    await bench.consume()
    assert bench.metrics.results == {"unknown_type": 1}
    assert await bench.dead_letters() == []
    assert await bench.lag_records() == 0


async def test_transient_trouble_pauses_and_then_everything_is_applied_in_order(bench: Bench) -> None:
    away = [True]

    def before(_event: Event) -> None:
        if away[0]:
            raise TransientError("the index is away")

    bench.ledger.ports.before = before
    ids = await bench.ledger.emit_hits(["a"] * 5)
    await bench.relay.publish_all()
    loop = bench.loop()
    async with bench.running(loop) as task:
        await until(lambda: len(bench.ledger.ports.batches) >= 4, unless=task)
        await until(lambda: loop.status().state is LoopState.PAUSED, unless=task)
        assert "index is away" in (loop.status().cause or "")
        assert not await loop.drained()
        assert await offset_of(bench) == 0
        ids += await bench.ledger.emit_hits(["b"] * 5)
        await bench.relay.publish_all()
        away[0] = False
        await until(loop.drained, unless=task)
        assert loop.status().state is LoopState.RUNNING
    assert await bench.ledger.hits_total() == 10
    assert await bench.dead_letters() == []
    handled = [event_id for batch in bench.ledger.ports.batches for event_id in batch]
    assert handled[-10:] == ids


async def test_transient_trouble_in_the_middle_of_a_batch_repeats_nothing(bench: Bench) -> None:
    bad = raising(ValueError("poison"), "p")
    away = raising(TransientError("away"), "t", times=6)

    def before(event: Event) -> None:
        bad(event)
        away(event)

    bench.ledger.ports.before = before
    await bench.ledger.emit_hits(["a", "p", "b", "c", "t", "d"])
    await bench.consume()
    assert await bench.ledger.hits() == {str(dataset_id(name)): 1 for name in "abctd"}
    assert len({letter.id for letter in await bench.dead_letters()}) == 1


async def test_a_log_that_fails_to_poll_is_polled_again(bench: Bench) -> None:
    failures = iter([TransientError("away")] * 3)

    def fail() -> None:
        for error in failures:
            raise error

    bench.log.before_poll = fail
    await bench.ledger.emit_hits(["a"])
    await bench.consume()
    assert await bench.ledger.hits_total() == 1


async def test_dead_letters_that_cannot_be_written_stop_the_loop_until_they_can_and_lose_nothing(
    bench: Bench,
) -> None:
    tries: list[object] = []

    def refuse(records: Sequence[OutgoingRecord]) -> None:
        if any(record.topic.endswith(".dlq") for record in records):
            tries.append(records)
            raise TransientError("disk full")

    bench.ledger.ports.before = raising(ValueError("bad luck"), "p")
    await bench.ledger.emit_hits(["a", "p", "b"])
    await bench.relay.publish_all()
    bench.log.before_publish = refuse
    loop = bench.loop()
    async with bench.running(loop) as task:
        await until(lambda: loop.status().state is LoopState.STOPPED, unless=task)
        # However often it looks, and whatever comes behind: it has stopped, and says why.
        seen = len(tries)
        await bench.ledger.emit_hits(["a"])
        await bench.relay.publish_all()
        await until(lambda: len(tries) > seen + 120, unless=task)
        assert loop.status().state is LoopState.STOPPED
        assert re.search(r"usage\.hits\.dlq.*disk full", loop.status().cause or "")
        assert await offset_of(bench) <= 2
        assert not await loop.drained()
        bench.log.before_publish = lambda _records: None
        await until(loop.drained, unless=task)
        assert loop.status().cause is None
    assert await bench.ledger.hits() == {str(dataset_id("a")): 2, str(dataset_id("b")): 1}
    assert len(await bench.dead_letters()) == 1


async def test_too_many_dead_letters_in_a_row_stop_the_loop_at_the_next_record(bench: Bench) -> None:
    bench.ledger.ports.before = raising(InvalidEventError("bad deploy"), "a")
    await bench.ledger.emit_hits(["a"] * 150)
    await bench.relay.publish_all()
    limits = BudgetLimits(in_a_row_max=100, dead_min=1_000)
    loop = bench.loop(budget=DeadLetterBudget(limits))
    with pytest.raises(DeadLetterBudgetError, match="100 records in a row"):
        await asyncio.wait_for(loop.run(asyncio.Event()), 60)
    assert len(await bench.dead_letters()) == 100
    assert await bench.lag_records() == 50
    bench.ledger.ports.before = lambda _event: None
    await bench.consume()
    assert await bench.ledger.hits_total() == 50


async def test_a_second_loop_of_a_group_is_refused(bench: Bench) -> None:
    loop = bench.loop()
    async with bench.running(loop) as task:
        await until(lambda: loop.status().state is LoopState.RUNNING, unless=task)
        with pytest.raises(LogBusyError, match=COUNTING.name):
            await bench.loop().run(asyncio.Event())


async def test_stopping_finishes_the_batch_that_was_begun(bench: Bench) -> None:
    begun = asyncio.Event()
    bench.ledger.ports.before = lambda _event: begun.set()
    await bench.ledger.emit_hits(["a"] * 50)
    await bench.relay.publish_all()
    loop = bench.loop()
    stop = asyncio.Event()
    task = asyncio.create_task(loop.run(stop))
    await begun.wait()
    stop.set()
    await task
    assert await bench.ledger.hits_total() == 50
    assert await bench.lag_records() == 0


async def test_an_idle_loop_stops_without_waiting_for_its_poll(bench: Bench) -> None:
    loop = bench.loop(PATIENT)
    stop = asyncio.Event()
    task = asyncio.create_task(loop.run(stop))
    await until(lambda: loop.status().state is LoopState.RUNNING, unless=task)
    stop.set()
    await asyncio.wait_for(task, 20)
    assert loop.status().state is LoopState.STOPPED
    assert loop.status().cause is None


async def test_what_follows_a_few_records_at_once_is_taken_together(bench: Bench) -> None:
    await bench.ledger.emit_hits(["a"])
    await bench.relay.publish_all()
    loop = bench.loop(replace(QUICK, gather_seconds=60))
    async with bench.running(loop) as task:
        await until(lambda: loop.status().handled_count == 1, unless=task)
        for name in ("b", "c"):
            await bench.ledger.emit_hits([name])
            await bench.relay.publish_all()
        # Ends without waiting for the minute, and leaves to the next what it has not begun.
    await bench.consume()
    assert [len(batch) for batch in bench.ledger.ports.batches] == [1, 2]


async def test_nothing_waits_behind_more_than_a_few_records(bench: Bench) -> None:
    loop = bench.loop(replace(QUICK, gather_seconds=60, few_records=1))
    async with bench.running(loop) as task:
        for count in (2, 4):
            await bench.ledger.emit_hits(["a", "b"])
            await bench.relay.publish_all()
            await until(lambda count=count: loop.status().handled_count == count, unless=task)  # type: ignore[misc]


async def test_polls_of_any_size_give_the_same_result(bench: Bench) -> None:
    bench.ledger.ports.before = raising(ValueError("bad luck"), "p")
    await bench.ledger.emit_hits(["a", "p", "b"] * 7)
    await bench.consume(LoopSettings(records_max=2, poll_timeout_seconds=0.05, retry_seconds=0.001))
    assert await bench.ledger.hits() == {str(dataset_id(name)): 7 for name in "ab"}
    assert len(await bench.dead_letters()) == 7


async def test_no_row_of_a_failed_transaction_is_left_in_the_inbox(bench: Bench) -> None:
    bench.ledger.ports.before = raising(ValueError("bad luck"), "p")
    await bench.ledger.emit_hits(["a", "p"])
    await bench.consume()
    inbox = bench.ledger.store.tables.inbox
    async with bench.ledger.store.read() as connection:
        assert (await connection.execute(select(func.count()).select_from(inbox))).scalar_one() == 1
