"""Records that wait for data on its way: they hold up nobody, lose nothing and end at their deadline.

Runs over every log and every database.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.clock import SimulatedClock
from shared.consuming.consumer_loop import ConsumerLoop
from shared.consuming.consumer_state import LoopState
from shared.consuming.dead_letter_record import DeadLetter, read_dead_letter
from shared.consuming.dead_letters import DeadLetters
from shared.consuming.replays import ReplayState
from shared.consuming.waiting_events import WaitingRecords, forget_waiting, wake_waiting
from shared.errors import NotReadyError
from shared.events.envelope import Event
from shared.events.topics import TOPICS
from shared.log.port import EventLog, TopicPartition
from shared.outbox.relay import OutboxRelay
from tests.conformance.event_log_fixtures import LogFactory, open_log
from tests.support.databases import Databases
from tests.support.ledger_service import COUNTING, Ledger, dataset_id, open_ledger
from tests.support.log_bench import QUICK, RecordingMetrics, until
from tests.support.stepped_clock import SteppedClock, set_back

__all__ = ["open_log"]

PATIENCE = timedelta(minutes=10)
SETTINGS = replace(QUICK, waiting_interval_seconds=0.05, waiting_seconds_min=0.02)
UNWOKEN = replace(QUICK, waiting_interval_seconds=3600.0, waiting_seconds_min=3600.0)


@dataclass
class Table:
    """A log, a ledger whose data may be missing, and its loop."""

    log: EventLog
    ledger: Ledger
    clock: SimulatedClock
    metrics: RecordingMetrics = field(default_factory=RecordingMetrics)
    missing: set[str] = field(default_factory=set)
    handled: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ledger.ports.before = self.before
        self.ledger.ports.missing = self.miss
        self.raises = False

    def before(self, event: Event) -> None:
        """States always raise; hits only where a test wants that."""
        error = self.error(event)
        is_state = event.type.startswith("nutmeg.usage.rollup")
        if error is not None and (is_state or self.raises):
            raise error

    def miss(self, event: Event, may_wait: bool) -> NotReadyError | None:
        return self.error(event)

    def error(self, event: Event) -> NotReadyError | None:
        text = event.data.model_dump_json() if event.data is not None else ""
        for name in self.missing:
            if str(dataset_id(name)) in text:
                return NotReadyError(f"dataset {name}", patience=PATIENCE)
        return None

    async def arrive(self, name: str) -> None:
        self.missing.discard(name)
        async with self.ledger.store.unit_of_work() as work:
            await wake_waiting(work, {f"dataset {name}"})

    def loop(self) -> ConsumerLoop:
        return ConsumerLoop(
            log=self.log,
            subscription=self.ledger.subscription,
            store=self.ledger.store,
            clock=self.clock,
            metrics=self.metrics,
            settings=SETTINGS,
        )

    @asynccontextmanager
    async def running(self, loop: ConsumerLoop | None = None) -> AsyncIterator[ConsumerLoop]:
        loop = loop or self.loop()
        stop = asyncio.Event()
        wakers = self.ledger.store.on_arrivals
        wakers.append(loop.wake_for_waiting)
        task = asyncio.create_task(loop.run(stop))
        try:
            yield loop
        finally:
            wakers.remove(loop.wake_for_waiting)
            stop.set()
            await asyncio.wait_for(task, 30)

    async def publish(self) -> None:
        await OutboxRelay(store=self.ledger.store, log=self.log, clock=self.clock).publish_all()

    async def lag_is_nothing(self, loop: ConsumerLoop) -> bool:
        lags = await loop.lag()
        return bool(lags) and not any(lag.records for lag in lags.values())

    async def read_to_the_end(self, loop: ConsumerLoop) -> None:
        await self.publish()
        await until(lambda: self.lag_is_nothing(loop), seconds=60)

    @property
    def waiting(self) -> WaitingRecords:
        return WaitingRecords(self.ledger.store, COUNTING.name)

    async def waits_for(self) -> list[str]:
        return [one.waits_for for one in await self.waiting.oldest(100)]

    async def nothing_waits(self) -> bool:
        return (await self.waiting.summary()).records == 0

    async def dead_letters(self, topic: str = "usage.hits") -> list[DeadLetter]:
        records = [
            record
            for place in await self.log.end_offsets(topic + ".dlq")
            for record in await self.log.read(place, from_offset=0, records_max=1_000)
        ]
        return [read_dead_letter(record) for record in records]


@pytest.fixture
def clock() -> SteppedClock:
    """Starts now, like the log's own machine, and stands still: a wait ends where a test says so.

    The first wait is one second. On a clock that runs, a slow log lets it end before the test has looked.
    """
    return SteppedClock(datetime.now(UTC))


@pytest.fixture
async def table(open_log: LogFactory, databases: Databases, clock: SimulatedClock) -> AsyncIterator[Table]:
    log = await open_log()
    await log.ensure_topics([TOPICS[name] for name in COUNTING.topics])
    try:
        async with open_ledger(await databases.url("ledger"), clock) as ledger:
            yield Table(log, ledger, clock)
    finally:
        await log.close()


@pytest.mark.parametrize("raises", [False, True])
async def test_a_record_that_waits_holds_up_nobody_and_shows_no_outage(table: Table, raises: bool) -> None:
    table.missing, table.raises = {"late"}, raises
    await table.ledger.emit_hits(["a"] * 20 + ["late"], bucket="01")
    await table.ledger.emit_hits(["b"] * 20, bucket="02")
    async with table.running() as loop:
        await table.read_to_the_end(loop)
        assert loop.status().state is LoopState.RUNNING
    assert await table.ledger.hits() == {str(dataset_id("a")): 20, str(dataset_id("b")): 20}
    assert await table.waits_for() == ["dataset late"]
    assert await table.dead_letters() == []
    assert table.metrics.results["waiting"] == 1


async def test_a_waiting_record_is_applied_once_what_it_waits_for_arrives(table: Table) -> None:
    table.missing = {"late"}
    await table.ledger.emit_hits(["late", "a"])
    async with table.running() as loop:
        await table.read_to_the_end(loop)
        await table.arrive("late")
        await until(table.nothing_waits)
    assert (await table.ledger.hits())[str(dataset_id("late"))] == 1


async def test_a_waiting_record_is_tried_again_though_nobody_tells_that_its_data_came(table: Table) -> None:
    table.missing = {"late"}
    await table.ledger.emit_hits(["late"])
    async with table.running() as loop:
        await table.read_to_the_end(loop)
        table.missing.clear()
        table.clock.advance(timedelta(seconds=2))
        await until(table.nothing_waits)
    assert await table.ledger.hits_total() == 1


async def test_a_clock_that_is_set_back_makes_nothing_wait_for_hours(table: Table) -> None:
    table.missing = {"late", "never"}
    await table.ledger.emit_hits(["late"], bucket="01")
    await table.ledger.emit_hits(["never"], bucket="02")
    async with table.running() as loop:
        await table.read_to_the_end(loop)
        set_back(table.clock, timedelta(hours=3))
        table.missing.discard("late")
        await until(lambda: loop_has(table, ["dataset never"]))
        table.clock.advance(PATIENCE)
        await until(table.nothing_waits)
    assert await table.ledger.hits_total() == 1
    assert [letter.reason for letter in await table.dead_letters()] == ["expired"]


async def loop_has(table: Table, waits_for: list[str]) -> bool:
    """Tell whether exactly these wait, each tried again by today's clock."""
    rows = await table.waiting.oldest(10)
    return [row.waits_for for row in rows] == waits_for and all(
        row.first_at <= table.clock.now() for row in rows
    )


async def test_each_try_in_vain_makes_the_next_wait_longer(table: Table) -> None:
    table.missing = {"late"}
    await table.ledger.emit_hits(["late"])
    waits = []
    async with table.running() as loop:
        await table.read_to_the_end(loop)
        for attempts in range(1, 9):
            (row,) = await table.waiting.oldest(1)
            table.clock.advance(row.next_try_at - table.clock.now())

            async def was_tried(attempts: int = attempts) -> bool:
                (row,) = await table.waiting.oldest(1)
                return row.attempts == attempts

            await until(was_tried)
            (row,) = await table.waiting.oldest(1)
            waits.append(round((row.next_try_at - table.clock.now()).total_seconds()))
    assert waits == [2, 4, 8, 16, 32, 60, 60, 60]


async def test_at_its_deadline_a_record_is_a_dead_letter_that_says_how_long_it_waited_for_what(
    table: Table,
) -> None:
    table.missing = {"never"}
    await table.ledger.emit_hits(["never"], bucket="01")
    async with table.running() as loop:
        await table.read_to_the_end(loop)
        table.clock.advance(PATIENCE)
        await until(table.nothing_waits)
        await table.ledger.emit_hits(["a"], bucket="02")
        await table.read_to_the_end(loop)
    (letter,) = await table.dead_letters()
    assert (letter.reason, letter.error_type) == ("expired", "WaitExpiredError")
    assert letter.detail == "waited 10 minutes for dataset never"
    assert await table.ledger.hits() == {str(dataset_id("a")): 1}


async def test_more_deadlines_than_the_budget_allows_dead_letters_stop_no_consumer(table: Table) -> None:
    table.missing = {"never"}
    async with table.ledger.store.unit_of_work() as work:
        for number in range(120):
            table.ledger.emit_hit(work, "never", f"{number:02}")
    async with table.running() as loop:
        await table.read_to_the_end(loop)
        table.clock.advance(PATIENCE)
        await until(table.nothing_waits, seconds=60)
        assert loop.status().state is LoopState.RUNNING
    assert len(await table.dead_letters()) == 120


async def test_a_handler_that_can_do_without_the_data_does_so_at_the_deadline(table: Table) -> None:
    def miss(event: Event, may_wait: bool) -> NotReadyError | None:
        return NotReadyError("dataset late", patience=PATIENCE) if may_wait else None

    table.ledger.ports.missing = miss
    await table.ledger.emit_hits(["late"])
    async with table.running() as loop:
        await table.read_to_the_end(loop)
        assert await table.ledger.hits_total() == 0
        table.clock.advance(PATIENCE)
        await until(table.nothing_waits)
    assert await table.ledger.hits_total() == 1
    assert await table.dead_letters() == []


async def test_a_newer_state_takes_the_place_of_one_that_waits(table: Table) -> None:
    table.missing = {"s"}
    await table.ledger.emit_state("s", 1, 10)
    async with table.running() as loop:
        await table.read_to_the_end(loop)
        assert [one.version for one in await table.waiting.oldest(10)] == [1]
        await table.ledger.emit_state("s", 2, 20)
        await table.read_to_the_end(loop)
        assert [one.version for one in await table.waiting.oldest(10)] == [2]
        table.missing.clear()
        await table.ledger.emit_state("s", 3, 30)
        await table.read_to_the_end(loop)
        assert await table.nothing_waits()
    assert await table.ledger.states() == {"s": (3, 30)}


async def test_a_newer_state_waits_no_longer_than_the_first_that_waited_for_the_same(table: Table) -> None:
    table.missing = {"s"}
    await table.ledger.emit_state("s", 1, 10)
    async with table.running() as loop:
        await table.read_to_the_end(loop)
        (first,) = await table.waiting.oldest(10)
        table.clock.advance(PATIENCE / 2)
        await table.ledger.emit_state("s", 2, 20)
        await table.read_to_the_end(loop)
        (second,) = await table.waiting.oldest(10)
    assert (second.first_at, second.deadline_at) == (first.first_at, first.deadline_at)


@pytest.mark.parametrize("version", [2, None])
async def test_the_end_of_a_key_takes_away_what_waits_for_it(table: Table, version: int | None) -> None:
    table.missing = {"s"}
    await table.ledger.emit_state("s", 1, 10)
    async with table.running() as loop:
        await table.read_to_the_end(loop)
        await table.ledger.emit_end("s", version)
        await table.read_to_the_end(loop)
        assert await table.nothing_waits()
        await table.arrive("s")
        await until(loop.drained)
    assert await table.ledger.states() == {}


async def test_facts_of_one_key_keep_their_order_and_other_keys_pass_them(table: Table) -> None:
    table.missing = {"late"}
    order: list[str] = []
    names = {str(dataset_id(name)): name for name in ("late", "next", "other")}

    def note(event: Event) -> None:
        text = event.data.model_dump_json() if event.data is not None else ""
        name = next(name for identity, name in names.items() if identity in text)
        if name not in table.missing:
            order.append(name)

    table.ledger.ports.before = note
    await table.ledger.emit_hits(["late", "next"], bucket="01")
    await table.ledger.emit_hits(["other"], bucket="02")
    async with table.running() as loop:
        await table.read_to_the_end(loop)
        assert await table.ledger.hits() == {str(dataset_id("other")): 1}
        assert await table.waits_for() == ["dataset late", "dataset late"]
        order.clear()
        await table.arrive("late")
        await until(table.nothing_waits)
    assert order == ["late", "next"]
    assert await table.ledger.hits_total() == 3


async def test_a_copy_of_a_waiting_fact_is_counted_once(table: Table) -> None:
    table.missing = {"late"}
    await table.ledger.emit_hits(["late"])
    async with table.running() as loop:
        await table.read_to_the_end(loop)
    # The process died before its offset was written: the group stands where it stood.
    consumer = await table.log.consumer(COUNTING.name, COUNTING.topics)
    for place, lag in (await consumer.lag()).items():
        assert lag.records == 0
        await consumer.commit({place: 0})
    await consumer.close()
    async with table.running() as loop:
        await until(lambda: table.lag_is_nothing(loop), seconds=60)
        assert await table.waits_for() == ["dataset late"]
        await table.arrive("late")
        await until(table.nothing_waits)
    assert await table.ledger.hits_total() == 1


async def test_what_names_an_erased_person_does_not_wait_any_longer(table: Table) -> None:
    table.missing = {"late", "kept"}
    await table.ledger.emit_hits(["late"], bucket="01")
    await table.ledger.emit_hits(["kept"], bucket="02")
    async with table.running() as loop:
        await table.read_to_the_end(loop)
    async with table.ledger.store.unit_of_work() as work:
        assert await forget_waiting(work, "usage.hits", [str(dataset_id("late"))]) == 1
    assert await table.waits_for() == ["dataset kept"]


@pytest.mark.parametrize("arrives", [True, False])
async def test_a_dead_letter_that_has_to_wait_again_says_so_and_then_what_became_of_it(
    table: Table, arrives: bool
) -> None:
    table.missing = {"late"}
    letters = DeadLetters(log=table.log, stores={"ledger": table.ledger.store})
    await table.ledger.emit_hits(["late"])
    async with table.running() as loop:
        await table.read_to_the_end(loop)
        table.clock.advance(PATIENCE)
        await until(table.nothing_waits)
        (letter,) = await table.dead_letters()

        async def state_is(wanted: ReplayState) -> bool:
            return (await letters.show(letter.id)).state is wanted

        await letters.replay(ids=[letter.id])
        loop.wake_for_replays()
        await until(lambda: state_is(ReplayState.WAITING))
        if arrives:
            await table.arrive("late")
        else:
            table.clock.advance(PATIENCE)
        await until(lambda: state_is(ReplayState.REPLAYED if arrives else ReplayState.FAILED))
        assert await table.nothing_waits()
    assert await table.ledger.hits_total() == (1 if arrives else 0)


async def test_a_loop_is_idle_though_a_record_waits_for_what_nobody_is_bringing(table: Table) -> None:
    table.missing = {"never"}
    await table.ledger.emit_hits(["never"])
    async with table.running() as loop:
        await table.read_to_the_end(loop)
        assert not await loop.drained()
        table.clock.advance(timedelta(seconds=1))
        await until(loop.drained)
        assert await table.waits_for() == ["dataset never"]


async def test_another_groups_waiting_records_are_left_alone(table: Table) -> None:
    table.missing = {"late"}
    await table.ledger.emit_hits(["late"])
    async with table.running() as loop:
        await table.read_to_the_end(loop)
    others = WaitingRecords(table.ledger.store, "ledger.other")
    assert (await others.summary()).records == 0
    assert await others.due(table.clock.now() + PATIENCE) == []
    place = TopicPartition("usage.hits", (await table.waiting.oldest(1))[0].record.partition)
    assert place in await table.log.end_offsets("usage.hits")
