"""The agent raises nothing, passes over nothing, and acknowledges what is done, in order."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, cast
from uuid import UUID

import pytest
from sqlalchemy import select

from services.usage.anomalies.domain.windows import DayRow, row_key
from services.usage.anomalies.faust import rollup_stream
from services.usage.anomalies.faust.rollup_stream import RollupStream, StreamPatience
from services.usage.anomalies.faust.windows import RollupWindows
from services.usage.anomalies.repository import AnomalyMonitor
from services.usage.migrations.tables import WATCHED_DATASETS
from shared.consuming.consumer_state import LoopState
from shared.consuming.dead_letter_record import read_dead_letter
from shared.consuming.replays import ReplayQueue, ReplayState
from shared.errors import TransientError
from shared.events.envelope import encode, new_event
from shared.events.registry import ROLLUP_UPDATED
from shared.events.topics import GROUPS
from shared.events.usage import Rollup, RollupUpdated
from shared.log.port import EventLog, Lag, LogPosition, LogRecord, OutgoingRecord, TopicPartition
from shared.telemetry.delivery_metrics import PrometheusDeliveryMetrics
from shared.telemetry.metrics import Metrics
from tests.services.usage.usage_system import UsageSystem, dataset_id
from tests.support.log_bench import until

GROUP = GROUPS["usage.signals"]
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
PATIENCE = StreamPatience(10, 0.0, pause_seconds_min=0.001, pause_seconds_max=0.002, unwritable_seconds=0.01)


@dataclass
class Message:
    """A record as Faust hands it over."""

    partition: int
    offset: int
    key: bytes
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    timestamp: float = NOON.timestamp()


@dataclass
class Event:
    """A record to be acknowledged."""

    message: Message
    acknowledged: list[int]

    def ack(self) -> None:
        self.acknowledged.append(self.message.offset)


@dataclass
class Windows:
    """What stands in Faust's table, without Faust. ``failures`` are raised first."""

    topic: str = "usage.rollups"
    owned: frozenset[int] = frozenset({0})
    is_settled: bool = True
    rows: dict[str, DayRow] = field(default_factory=dict)
    next: dict[int, int] = field(default_factory=dict)
    failures: list[Exception] = field(default_factory=list)

    def row(self, key: str) -> DayRow | None:
        return self.rows.get(key)

    def ours(self, events: Sequence["Event"]) -> list["Event"]:
        return [event for event in events if event.message.partition in self.owned]

    async def measure(self) -> Mapping[TopicPartition, Lag]:
        return {}

    async def assign(self, rows: Mapping[str, tuple[int, DayRow]]) -> None:
        if self.failures:
            raise self.failures.pop()
        self.rows.update({key: row for key, (_, row) in rows.items()})

    async def move_on(self, offsets: Mapping[int, int]) -> None:
        self.next.update(offsets)


class App:
    """Takes an agent in."""

    def agent(self, topic: str, *, name: str) -> Callable[[Any], Any]:
        assert (topic, name) == ("usage.rollups", GROUP.name)
        return lambda function: function


@dataclass
class Letters:
    """A log that takes dead letters. ``failures`` are raised first."""

    taken: list[OutgoingRecord] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)

    async def publish(self, records: Sequence[OutgoingRecord]) -> list[LogPosition]:
        if self.failures:
            raise self.failures.pop()
        self.taken += records
        return [LogPosition(0, 0)]

    async def read(self, position: Any, *, from_offset: int, records_max: int) -> list[LogRecord]:
        sent = self.taken[from_offset]
        return [LogRecord(sent.topic, 0, from_offset, sent.key, sent.headers, sent.value, NOON)]


@dataclass
class Bench:
    """A stream with everything around it that it would have, but Faust and Kafka."""

    system: UsageSystem
    stream: RollupStream
    windows: Windows
    log: Letters
    metrics: Metrics
    acknowledged: list[int] = field(default_factory=list)

    async def finish(self, *messages: Message) -> None:
        await self.stream._finish(cast("Any", [Event(message, self.acknowledged) for message in messages]))

    def uses(self, name: str) -> int:
        row = self.windows.rows.get(row_key(dataset_id(name), NOON.date()))
        return sum(count for count, _ in row["hours"].values()) if row else 0

    async def due(self) -> set[UUID]:
        async with self.system.usage.service.store.read() as connection:
            return set((await connection.execute(select(WATCHED_DATASETS.c.dataset_id))).scalars())

    async def stopped(self) -> bool:
        return self.stream.standing.state is LoopState.STOPPED

    def consumed(self, result: str) -> float | None:
        return self.metrics.value(
            "nutmeg_events_consumed_total", topic="usage.rollups", group=GROUP.name, result=result
        )


@pytest.fixture
async def bench(system: UsageSystem) -> Bench:
    windows, log, metrics = Windows(), Letters(), Metrics()
    store = system.usage.service.store
    async with store.unit_of_work() as work:
        await work.connection.execute(WATCHED_DATASETS.delete())
    stream = RollupStream(
        cast("Any", App()),
        cast("RollupWindows", windows),
        group=GROUP,
        store=store,
        monitor=system.usage.context.detection.monitor,
        log=cast("EventLog", log),
        clock=system.clock,
        metrics=PrometheusDeliveryMetrics(metrics),
        patience=PATIENCE,
    )
    return Bench(system, stream, windows, log, metrics)


def rollup(
    name: str, uses: int, offset: int, *, revision: int = 1, granularity: str = "hour", partition: int = 0
) -> Message:
    counts = Rollup(dataset_id=dataset_id(name), granularity=granularity, window_start=NOON, views=uses)
    event = new_event(
        ROLLUP_UPDATED,
        RollupUpdated(rollup=counts),
        subject=f"{name}/{granularity}",
        time=NOON,
        subjectversion=revision,
    )
    headers, value = encode(event)
    return Message(partition, offset, event.subject.encode(), value, headers)


def poison(offset: int) -> Message:
    return Message(0, offset, b"poison", b"{", [("ce_type", ROLLUP_UPDATED.name.encode())])


async def test_hours_are_assigned_their_datasets_are_due_and_records_acknowledged_in_order(
    bench: Bench,
) -> None:
    await bench.finish(
        rollup("roads", 3, 5),
        rollup("schools", 4, 6),
        rollup("roads", 7, 7, revision=2),
        rollup("roads", 9, 8, granularity="day"),
    )
    assert (bench.uses("roads"), bench.uses("schools")) == (7, 4)
    assert await bench.due() == {dataset_id("roads"), dataset_id("schools")}
    assert (bench.acknowledged, bench.windows.next) == ([5, 6, 7, 8], {0: 9})
    assert (bench.consumed("applied"), bench.consumed("ignored")) == (3, 1)
    assert bench.stream.standing.state is LoopState.RUNNING


async def test_a_repeat_changes_nothing_and_has_its_dataset_looked_at(bench: Bench) -> None:
    await bench.finish(rollup("roads", 3, 5))
    async with bench.system.usage.service.store.unit_of_work() as work:
        await work.connection.execute(WATCHED_DATASETS.delete())
    await bench.finish(rollup("roads", 3, 5))
    assert (bench.uses("roads"), bench.consumed("stale")) == (3, 1)
    assert await bench.due() == {dataset_id("roads")}


async def test_what_is_away_is_waited_for_and_nothing_is_acknowledged_before(bench: Bench) -> None:
    bench.windows.failures = [TransientError("Kafka is away"), RuntimeError("something else")]
    watch, states = bench.system.usage.context.detection.monitor, []

    class AwayOnce:
        async def begin(self, work: Any, since: Mapping[UUID, date], *, due_at: datetime) -> None:
            states.append((bench.stream.standing.state, list(bench.acknowledged)))
            if len(states) == 1:
                raise TransientError("the store is away")
            await watch.begin(work, since, due_at=due_at)

    bench.stream._monitor = cast("AnomalyMonitor", AwayOnce())
    await bench.finish(rollup("roads", 3, 5), rollup("schools", 4, 6))
    assert states == [(LoopState.PAUSED, []), (LoopState.PAUSED, [])]
    assert (bench.acknowledged, bench.uses("roads")) == ([5, 6], 3)
    assert bench.stream.cause_of_standing_still() is None


async def test_a_record_that_is_no_event_becomes_a_dead_letter_once_and_the_others_go_on(
    bench: Bench,
) -> None:
    bench.log.failures = [TransientError("Kafka is away")]
    await bench.finish(rollup("roads", 3, 5), poison(6), rollup("schools", 4, 7))
    (letter,) = bench.log.taken
    found = read_dead_letter(LogRecord(letter.topic, 0, 0, letter.key, letter.headers, letter.value, NOON))
    assert (found.group, found.reason, found.source.offset) == (GROUP.name, "invalid", 6)
    assert bench.acknowledged == [5, 6, 7]
    assert bench.consumed("dead_lettered") == 1
    assert (
        bench.metrics.value(
            "nutmeg_dead_letters_total", topic="usage.rollups", group=GROUP.name, reason="invalid"
        )
        == 1
    )


@pytest.mark.parametrize(("failures", "uses", "letters"), [(3, 3, []), (4, 0, ["failed"])])
async def test_a_function_that_raises_is_called_again_before_its_record_is_put_aside(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, failures: int, uses: int, letters: list[str]
) -> None:
    left = failures

    def raising(*arguments: Any) -> Any:
        nonlocal left
        if left:
            left -= 1
            raise ZeroDivisionError("a bug")
        return assigned(*arguments)

    assigned = rollup_stream.__dict__["assigned"]
    monkeypatch.setattr(rollup_stream, "assigned", raising)
    await bench.finish(rollup("roads", 3, 5))
    headers = [dict(one.headers) for one in bench.log.taken]
    assert [one["nutmeg_dlq_reason"].decode() for one in headers] == letters
    assert (bench.uses("roads"), bench.acknowledged) == (uses, [5])


async def test_a_dead_letter_that_cannot_be_written_stops_it_until_it_can_and_nothing_is_acknowledged(
    bench: Bench,
) -> None:
    bench.log.failures = [KeyError("no such topic")] * 600
    running = asyncio.create_task(bench.finish(rollup("roads", 3, 5), poison(6)))
    await until(bench.stopped)
    assert "cannot be written" in (bench.stream.cause_of_standing_still() or "")
    assert (bench.acknowledged, bench.windows.next) == ([], {})
    # To look again costs nothing of the budget, however often it is done.
    await until(lambda: len(bench.log.failures) < 200)
    assert await bench.stopped()
    assert (bench.acknowledged, bench.windows.next) == ([], {})
    bench.log.failures.clear()
    await running
    assert (bench.acknowledged, bench.windows.next, len(bench.log.taken)) == ([5, 6], {0: 7}, 1)
    assert bench.stream.cause_of_standing_still() is None


async def test_more_dead_letters_than_the_budget_allows_stop_it(bench: Bench) -> None:
    running = asyncio.create_task(bench.finish(*(poison(number) for number in range(200))))
    await until(bench.stopped)
    assert len(bench.log.taken) < 200
    assert bench.acknowledged == []
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_what_a_rebalance_took_away_is_neither_handled_nor_acknowledged(bench: Bench) -> None:
    await bench.finish(rollup("roads", 3, 5, partition=1), rollup("schools", 4, 6))
    assert (bench.uses("roads"), bench.uses("schools"), bench.acknowledged) == (0, 4, [6])
    assert bench.windows.next == {0: 7}


async def test_a_dead_letter_is_handled_again_when_an_operator_asks_and_its_partition_is_here(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(rollup_stream, "assigned", lambda *_: 1 / 0)
        await bench.finish(rollup("roads", 3, 5))
    (letter,) = bench.log.taken
    found = read_dead_letter(LogRecord(letter.topic, 0, 0, letter.key, letter.headers, letter.value, NOON))
    queue = ReplayQueue(bench.system.usage.service.store, cast("EventLog", bench.log))
    await queue.request([found])
    bench.windows.owned = frozenset({1})
    assert (await bench.stream.replay_once(), await bench.stream.replays_waiting()) == (0, 1)
    bench.windows.owned = frozenset({0})
    assert (await bench.stream.replay_once(), await bench.stream.replays_waiting()) == (1, 0)
    assert (bench.uses("roads"), await bench.due()) == (3, {dataset_id("roads")})
    assert (await queue.states([found.id]))[found.id][0] is ReplayState.REPLAYED
