"""Laws of the relay: whatever was committed is published, in id order, at least once."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Row, func, insert, select, update

from shared.clock import SimulatedClock
from shared.errors import TransientError
from shared.events.envelope import header
from shared.events.topics import TOPICS
from shared.log.port import OutgoingRecord
from shared.log.sqlite.event_log import SQLiteEventLog
from shared.outbox.relay import OutboxRelay, RelaySettings
from shared.store.delivery_tables import OUTBOX_SHARDS
from tests.support.ledger_service import COUNTING, dataset_id
from tests.support.log_bench import Bench, RecordingMetrics, until


async def outbox_rows(bench: Bench) -> Sequence[Row[Any]]:
    table = bench.ledger.store.tables.outbox
    async with bench.ledger.store.read() as connection:
        return (await connection.execute(select(table).order_by(table.c.id))).all()


async def published_ids(bench: Bench, topic: str = "usage.hits") -> list[str | None]:
    return [header(record.headers, "ce_id") for record in await bench.records(topic)]


class GivenShards:
    """Always the same shards."""

    def __init__(self, shards: Collection[int]) -> None:
        self._shards = shards

    async def owned(self) -> Collection[int]:
        return self._shards

    async def close(self) -> None:
        """Nothing is held."""


def quick_relay(bench: Bench, log: SQLiteEventLog | None = None) -> OutboxRelay:
    settings = RelaySettings(poll_seconds=60, pause_seconds_min=0.01, pause_seconds_max=0.02)
    return OutboxRelay(
        store=bench.ledger.store,
        log=log or bench.log,
        clock=bench.clock,
        metrics=bench.metrics,
        settings=settings,
    )


async def test_committed_events_are_published_in_order_and_marked(bench: Bench) -> None:
    ids = await bench.ledger.emit_hits(["a", "b", "c"])
    assert await bench.relay.depth() == 3
    assert await bench.relay.publish_all() == 3
    assert await published_ids(bench) == ids
    assert all(row.published_at is not None for row in await outbox_rows(bench))
    assert await bench.relay.drained()
    assert await bench.relay.publish_all() == 0


async def test_key_headers_value_and_partition_key_reach_the_log_unchanged(bench: Bench) -> None:
    await bench.ledger.emit_state("s", 1, 5)
    await bench.ledger.emit_end("s", 2)
    await bench.relay.publish_all()
    for row, record in zip(await outbox_rows(bench), await bench.records("usage.rollups"), strict=True):
        assert (record.key, record.value) == (row.key, row.value)
        assert [[name, raw.decode()] for name, raw in record.headers] == row.headers


async def test_more_rows_than_a_batch_holds_are_published_in_batches(bench: Bench) -> None:
    sizes: list[int] = []
    bench.log.before_publish = lambda records: sizes.append(len(records))
    ids = await bench.ledger.emit_hits(["a"] * 1_203)
    await bench.relay.publish_all()
    assert sizes == [500, 500, 203]
    assert await published_ids(bench) == ids


async def test_a_batch_of_large_events_ends_before_it_fills_the_memory(bench: Bench) -> None:
    sizes: list[int] = []
    bench.log.before_publish = lambda records: sizes.append(sum(len(each.value or b"") for each in records))
    await bench.ledger.emit_hits(["a"] * 40)
    table = bench.ledger.store.tables.outbox
    async with bench.ledger.store.unit_of_work() as unit_of_work:
        await unit_of_work.connection.execute(update(table).values(value=b"x" * 900_000))
    await bench.relay.publish_all()
    assert len(sizes) > 1
    assert max(sizes) <= 17 * 1024 * 1024
    assert sum(sizes) == 40 * 900_000


async def test_a_row_whose_id_became_visible_late_is_still_sent(bench: Bench) -> None:
    await bench.ledger.emit_hits(["a", "b"])
    first, second = await outbox_rows(bench)
    table = bench.ledger.store.tables.outbox
    async with bench.ledger.store.unit_of_work() as unit_of_work:
        await unit_of_work.connection.execute(table.delete().where(table.c.id == first.id))
    await bench.relay.publish_all()
    # Its transaction began first, and commits only now.
    async with bench.ledger.store.unit_of_work() as unit_of_work:
        await unit_of_work.connection.execute(insert(table), [dict(first._mapping)])
    await bench.relay.publish_all()
    assert len(await published_ids(bench)) == 2
    assert first.id < second.id


async def test_a_crash_between_publishing_and_marking_repeats_what_consumers_drop(bench: Bench) -> None:
    def crash(_records: Sequence[OutgoingRecord]) -> None:
        raise TransientError("killed here")

    await bench.ledger.emit_hits(["a"] * 10)
    bench.log.after_publish = crash
    outcomes = await asyncio.gather(bench.relay.publish_all(), return_exceptions=True)
    assert isinstance(outcomes[0], TransientError)
    assert await bench.relay.depth() == 10
    bench.log.after_publish = lambda _records: None
    await bench.consume()
    assert len(await published_ids(bench)) == 20
    assert await bench.ledger.hits_total() == 10
    assert bench.metrics.results == {"applied": 10, "duplicate": 10}


async def test_the_relay_is_woken_by_the_transaction_and_not_only_by_its_poll(bench: Bench) -> None:
    stop = asyncio.Event()
    task = asyncio.create_task(bench.relay.run(stop))
    await asyncio.sleep(0.05)
    await bench.ledger.emit_hits(["a"])
    await until(bench.relay.drained, unless=task)
    stop.set()
    await task
    assert len(await published_ids(bench)) == 1
    assert bench.ledger.store.on_emitted == []


async def test_the_relay_waits_while_the_log_is_away_and_then_goes_on(bench: Bench) -> None:
    away = [True]

    def refuse(_records: Sequence[OutgoingRecord]) -> None:
        if away[0]:
            raise TransientError("the log is away")

    bench.log.before_publish = refuse
    stop = asyncio.Event()
    task = asyncio.create_task(bench.relay.run(stop))
    ids = await bench.ledger.emit_hits(["a", "b"])
    await until(lambda: bench.relay.cause is not None, unless=task)
    away[0] = False
    await until(bench.relay.drained, unless=task)
    await until(lambda: bench.relay.cause is None, unless=task)
    stop.set()
    await task
    assert await published_ids(bench) == ids


async def test_a_stopping_relay_first_publishes_what_was_committed(bench: Bench) -> None:
    stop = asyncio.Event()
    stop.set()
    await bench.ledger.emit_hits(["a"])
    await bench.relay.run(stop)
    assert len(await published_ids(bench)) == 1


async def test_relays_of_different_shards_share_the_outbox_without_overlap(bench: Bench) -> None:
    async with bench.ledger.store.unit_of_work() as unit_of_work:
        for bucket in range(64):
            bench.ledger.emit_hit(unit_of_work, "a", f"{bucket:02}")
    halves = [
        OutboxRelay(store=bench.ledger.store, log=bench.log, clock=bench.clock, shards=GivenShards(shards))
        for shards in (range(8), range(8, OUTBOX_SHARDS))
    ]
    published = [await relay.publish_all() for relay in halves]
    assert sum(published) == 64
    assert min(published) > 0
    assert len(set(await published_ids(bench))) == 64
    assert await bench.relay.drained()


async def test_the_age_of_the_oldest_unpublished_event_is_told(bench: Bench, clock: SimulatedClock) -> None:
    assert await bench.relay.oldest_age_seconds() == 0
    await bench.ledger.emit_hits(["a"])
    clock.advance(timedelta(minutes=1))
    assert 60 <= await bench.relay.oldest_age_seconds() < 120


async def test_published_rows_are_kept_a_day_and_unpublished_ones_for_ever(
    bench: Bench, clock: SimulatedClock
) -> None:
    await bench.ledger.emit_hits(["a"])
    await bench.relay.publish_all()
    await bench.ledger.emit_hits(["b"])
    clock.advance(timedelta(hours=23))
    assert await bench.relay.prune() == 0
    clock.advance(timedelta(hours=2))
    assert await bench.relay.prune() == 1
    assert await bench.relay.depth() == 1


async def test_inbox_rows_are_kept_a_week_longer_than_the_topic(bench: Bench, clock: SimulatedClock) -> None:
    inbox = bench.ledger.store.tables.inbox
    await bench.ledger.emit_hits(["a", "b"])
    await bench.consume()
    for days, left in ((TOPICS["usage.hits"].inbox_days - 1, 2), (2, 0)):
        clock.advance(timedelta(days=days))
        await bench.relay.prune()
        async with bench.ledger.store.read() as connection:
            count = (await connection.execute(select(func.count()).select_from(inbox))).scalar_one()
        assert count == left


async def test_a_log_with_its_whole_history_makes_nothing_be_sent_again(bench: Bench) -> None:
    assert await bench.relay.check_history() == 0
    await bench.ledger.emit_hits(["a"])
    await bench.relay.publish_all()
    assert await quick_relay(bench).check_history() == 0
    assert await bench.relay.drained()


async def test_pruning_the_log_is_no_loss_of_history(bench: Bench, clock: SimulatedClock) -> None:
    await bench.ledger.emit_hits(["a"] * 3)
    await bench.relay.publish_all()
    clock.advance(timedelta(days=8))
    assert await bench.real_log.prune() == 3
    assert await quick_relay(bench).check_history() == 0


async def test_another_log_is_noticed_and_the_last_day_is_sent_to_it(
    bench: Bench, tmp_path: Path, clock: SimulatedClock
) -> None:
    await bench.ledger.emit_hits(["old"])
    await bench.relay.publish_all()
    clock.advance(timedelta(hours=25))
    ids = await bench.ledger.emit_hits(["a", "b"])
    await bench.relay.publish_all()
    other = SQLiteEventLog(tmp_path / "other", clock=clock)
    await other.open()
    await other.ensure_topics([TOPICS[name] for name in COUNTING.topics])
    relay = quick_relay(bench, other)
    assert await relay.check_history() == 2
    assert await relay.publish_all() == 2
    assert bench.metrics.resent_count == 2
    (place,) = await other.end_offsets("usage.hits")
    records = await other.read(place, from_offset=0, records_max=10)
    assert [header(record.headers, "ce_id") for record in records] == ids
    assert await quick_relay(bench, other).check_history() == 0
    await other.close()


async def test_only_topics_that_lost_records_are_sent_again(bench: Bench) -> None:
    await bench.ledger.emit_hits(["a"])
    await bench.ledger.emit_state("s", 1, 1)
    await bench.relay.publish_all()
    marks = bench.ledger.store.tables.log_marks
    async with bench.ledger.store.unit_of_work() as unit_of_work:
        await unit_of_work.connection.execute(
            update(marks).where(marks.c.topic == "usage.hits").values(acknowledged_offset=999)
        )
    epochs = await bench.log.epochs()
    assert await bench.relay.check_history() == 1
    assert (await bench.log.epochs())[0] not in epochs
    await bench.consume()
    assert bench.metrics.results == {"applied": 2, "duplicate": 1}
    assert await bench.ledger.hits() == {str(dataset_id("a")): 1}


async def test_a_transaction_that_emits_nothing_wakes_nobody(bench: Bench) -> None:
    woken: list[bool] = []
    bench.ledger.store.on_emitted.append(lambda: woken.append(True))
    async with bench.ledger.store.unit_of_work():
        pass
    assert woken == []
    await bench.ledger.emit_hits(["a"] * 3)
    assert woken == [True]


class ToldBacklogs(RecordingMetrics):
    """Remembers each size of the backlog that was told."""

    def __init__(self) -> None:
        super().__init__()
        self.backlogs: list[int] = []

    def outbox(self, service: str, records: int, oldest_age_seconds: float) -> None:
        self.backlogs.append(records)


async def test_a_relay_with_a_backlog_tells_how_much_is_left_and_that_it_no_longer_waits(
    bench: Bench,
) -> None:
    metrics, causes = ToldBacklogs(), list[str | None]()
    settings = RelaySettings(rows_max=10, report_seconds=0)
    relay = OutboxRelay(
        store=bench.ledger.store, log=bench.log, clock=bench.clock, metrics=metrics, settings=settings
    )
    relay.cause = "the log was away"
    await bench.ledger.emit_hits(["a"] * 25)
    bench.log.before_publish = lambda _records: causes.append(relay.cause)
    await relay.publish_all()
    assert metrics.backlogs == [15, 5, 0]
    assert causes == ["the log was away", None, None]


async def test_a_relay_tells_what_waits_while_the_log_is_away(bench: Bench) -> None:
    metrics, tries = ToldBacklogs(), list[int]()
    settings = RelaySettings(pause_seconds_min=0.01, pause_seconds_max=0.02, report_seconds=0)
    relay = OutboxRelay(
        store=bench.ledger.store, log=bench.log, clock=bench.clock, metrics=metrics, settings=settings
    )

    def refuse(records: Sequence[OutgoingRecord]) -> None:
        tries.append(len(records))
        raise TransientError("the log is away")

    await bench.ledger.emit_hits(["a"] * 4)
    bench.log.before_publish = refuse
    stop = asyncio.Event()
    task = asyncio.create_task(relay.run(stop))
    await until(lambda: len(tries) > 2, unless=task)
    assert set(metrics.backlogs) == {4}
    stop.set()
    await asyncio.wait_for(task, 30)


async def test_what_is_emitted_right_after_a_publishing_goes_together_and_stopping_does_not_wait(
    bench: Bench,
) -> None:
    sizes: list[int] = []
    bench.log.before_publish = lambda records: sizes.append(len(records))
    relay = OutboxRelay(
        store=bench.ledger.store,
        log=bench.log,
        clock=bench.clock,
        settings=RelaySettings(poll_seconds=60, gather_seconds=60),
    )
    stop = asyncio.Event()
    task = asyncio.create_task(relay.run(stop))
    await bench.ledger.emit_hits(["a"])
    await until(lambda: relay.published_count == 1, unless=task)
    for name in ("b", "c"):
        await bench.ledger.emit_hits([name])
        await asyncio.sleep(0.05)
    stop.set()
    await asyncio.wait_for(task, 30)
    assert sizes == [1, 2]
