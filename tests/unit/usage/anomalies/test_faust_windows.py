"""The table begins where it ends, judges only what it has, and notices that its changelog was lost."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast
from uuid import UUID, uuid4

import pytest

from services.usage.anomalies.domain.windows import DayRow, row_key
from services.usage.anomalies.faust.windows import RollupWindows
from shared.clock import SimulatedClock
from shared.errors import TransientError
from shared.events.envelope import partition_for
from shared.log.port import EventLog, Lag, LogRecord, TopicPartition
from shared.store.unit_of_work import UnitOfWork

PREFIX, TOPIC = "here.", "usage.rollups"
PARTITIONS = 3
NO_WORK = cast("UnitOfWork", None)


class Assigned(NamedTuple):
    """A partition as Faust names it."""

    topic: str
    partition: int


@dataclass
class Table:
    """A Faust table that writes its changelog at once, or refuses."""

    data: dict[str, Any] = field(default_factory=dict)
    sent: list[tuple[int, str, Any]] = field(default_factory=list)
    refusal: Exception | None = None

    def send_changelog(self, partition: int, key: str, value: Any) -> "asyncio.Future[None]":
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.refusal is not None:
            future.set_exception(self.refusal)
        else:
            self.sent.append((partition, key, value))
            future.set_result(None)
        return future


@dataclass
class Message:
    """A record that Faust hands over."""

    partition: int
    offset: int
    generation_id: int = 1


@dataclass
class Event:
    """What an agent gets of it."""

    message: Message


class Named:
    """A Faust topic."""

    def __init__(self, name: str) -> None:
        self.topics = [name]


@dataclass
class Faust:
    """What the windows use of a Faust app and its consumer."""

    table: Table = field(default_factory=Table)
    assigned: set[Assigned] = field(default_factory=set)
    committed: dict[int, int] = field(default_factory=dict)
    consumer_generation_id: int = 1
    is_overtaken: bool = False
    crashes: list[Exception] = field(default_factory=list)
    sought: list[dict[int, int]] = field(default_factory=list)
    recovered: Any = None
    revoked: Any = None

    @property
    def consumer(self) -> "Faust":
        return self

    @property
    def on_partitions_revoked(self) -> "Faust":
        return self

    def connect(self, function: Any) -> None:
        self.revoked = function

    def topic(self, name: str, **_: Any) -> Named:
        return Named(name)

    def Table(self, name: str, *, changelog_topic: Named, on_recover: Any) -> Table:  # noqa: N802 - Faust's
        assert (name, changelog_topic.topics) == ("windows", [f"{PREFIX}usage.signals.windows"])
        self.recovered = on_recover
        return self.table

    def assignment(self) -> set[Assigned]:
        return self.assigned

    async def _commit(self, offsets: Mapping[Assigned, int]) -> bool:
        if self.is_overtaken:
            return False
        self.committed.update({place.partition: offset for place, offset in offsets.items()})
        return True

    async def seek_wait(self, places: Mapping[Assigned, int]) -> None:
        self.sought.append({place.partition: offset for place, offset in places.items()})

    async def crash(self, error: Exception) -> None:
        self.crashes.append(error)

    async def rebalance(self, *partitions: int) -> None:
        await self.revoked(self, self.assigned)
        self.assigned = {Assigned(PREFIX + TOPIC, number) for number in partitions}
        self.assigned |= {Assigned(f"{PREFIX}usage.signals.windows", number) for number in partitions}
        await self.recovered()


@dataclass
class Log:
    """The ends of the topic, and when its records were published."""

    clock: SimulatedClock
    ends: dict[int, int] = field(default_factory=lambda: dict.fromkeys(range(PARTITIONS), 0))
    published_at: dict[tuple[int, int], datetime] = field(default_factory=dict)
    is_away: bool = False

    def publish(self, partition: int) -> None:
        self.published_at[partition, self.ends[partition]] = self.clock.now()
        self.ends[partition] += 1

    async def end_offsets(self, topic: str) -> Mapping[TopicPartition, int]:
        if self.is_away:
            raise TransientError("Kafka is away")
        return {TopicPartition(topic, number): end for number, end in self.ends.items()}

    async def read(self, place: TopicPartition, *, from_offset: int, records_max: int) -> Sequence[LogRecord]:
        found = [
            LogRecord(TOPIC, number, offset, "", [], b"", moment)
            for (number, offset), moment in sorted(self.published_at.items())
            if number == place.partition and offset >= from_offset
        ]
        return found[:records_max]


@dataclass
class Bench:
    faust: Faust
    log: Log
    windows: RollupWindows

    async def judged(self) -> set[int]:
        await self.windows.measure()
        wanted = self.windows.at_hand()
        return {number for number in range(PARTITIONS) if wanted(in_partition(number))}


def in_partition(number: int) -> UUID:
    """A dataset whose rollups are in this partition."""
    while True:
        dataset_id = uuid4()
        if partition_for(str(dataset_id), PARTITIONS) == number:
            return dataset_id


def rows_of(dataset_id: UUID, partition: int, uses: int, day: datetime) -> dict[str, tuple[int, DayRow]]:
    row: DayRow = {"day": day.date().isoformat(), "hours": {"1": [uses, 1]}}
    return {row_key(dataset_id, day.date()): (partition, row)}


@pytest.fixture
async def bench(clock: SimulatedClock) -> Bench:
    faust, log = Faust(), Log(clock)
    windows = RollupWindows(
        cast("Any", faust),
        rollups=TOPIC,
        table="usage.signals.windows",
        prefix=PREFIX,
        log=cast("EventLog", log),
        clock=clock,
        fresh_seconds=60.0,
        send_seconds_max=0.5,
    )
    await windows.open()
    return Bench(faust, log, windows)


async def test_a_new_table_reads_from_the_beginning_and_says_so_in_its_changelog(bench: Bench) -> None:
    bench.faust.committed = {0: 70, 1: 80}
    await bench.faust.rebalance(0, 1)
    assert bench.faust.committed == {0: 0, 1: 0}
    assert sorted(bench.faust.table.sent[:2]) == [(0, "next/0", 0), (1, "next/1", 0)]
    assert sorted(bench.faust.table.sent[2:]) == [(0, "begun/0", True), (1, "begun/1", True)]
    assert bench.windows.owned == {0, 1}
    assert bench.windows.is_settled


async def test_a_table_from_its_changelog_goes_on_where_it_ends_whatever_was_committed(bench: Bench) -> None:
    bench.faust.table.data = {"next/0": 40, "begun/0": True, "next/1": 9}
    bench.faust.committed = {0: 43, 1: 80}
    await bench.faust.rebalance(0, 1)
    assert bench.faust.committed == {0: 40, 1: 0}
    assert [key for _, key, _ in bench.faust.table.sent] == ["next/1", "begun/1"]


async def test_rows_of_partitions_that_went_elsewhere_are_dropped_and_others_stay(
    bench: Bench, clock: SimulatedClock
) -> None:
    await bench.faust.rebalance(0, 1)
    here, gone = in_partition(0), in_partition(1)
    for dataset_id, partition in ((here, 0), (gone, 1)):
        await bench.windows.assign(rows_of(dataset_id, partition, 5, clock.now()))
    await bench.faust.rebalance(0, 2)
    uses = await bench.windows.daily_uses(NO_WORK, [here, gone], since=clock.now().date())
    assert uses == {here: {clock.now().date(): 5}}
    noted = {key for key in bench.faust.table.data if key.startswith(("next/", "begun/"))}
    assert noted == {"next/0", "begun/0", "next/2", "begun/2"}


async def test_nobody_is_judged_by_a_table_that_is_being_filled(bench: Bench) -> None:
    bench.log.publish(0)
    bench.log.publish(0)
    await bench.faust.rebalance(0, 1)
    assert await bench.judged() == {1}
    await bench.windows.move_on({0: 1})
    assert await bench.judged() == {1}
    await bench.windows.move_on({0: 2})
    assert await bench.judged() == {0, 1}


async def test_nobody_is_judged_while_an_old_record_waits_and_a_new_one_holds_nobody_up(
    bench: Bench, clock: SimulatedClock
) -> None:
    await bench.faust.rebalance(0, 1)
    assert await bench.judged() == {0, 1}
    bench.log.publish(0)
    clock.advance(timedelta(seconds=40))
    assert await bench.judged() == {0, 1}
    clock.advance(timedelta(seconds=40))
    assert await bench.judged() == {1}
    lags = await bench.windows.measure()
    assert lags[TopicPartition(TOPIC, 1)] == Lag(0, 0.0)
    assert lags[TopicPartition(TOPIC, 0)].records == 1
    assert lags[TopicPartition(TOPIC, 0)].seconds >= 80


async def test_nobody_is_judged_while_it_is_not_known_what_waits(bench: Bench) -> None:
    await bench.faust.rebalance(0, 1)
    assert await bench.judged() == {0, 1}
    bench.log.is_away = True
    with pytest.raises(TransientError):
        await bench.windows.measure()
    wanted = bench.windows.at_hand()
    assert not any(wanted(in_partition(number)) for number in range(PARTITIONS))


async def test_a_gap_at_the_end_of_a_partition_is_no_backlog(bench: Bench, clock: SimulatedClock) -> None:
    bench.log.ends[0] = 7
    await bench.faust.rebalance(0)
    assert await bench.judged() == {0}


async def test_what_a_rebalance_takes_is_not_ours_before_the_next_recovery_has_ended(bench: Bench) -> None:
    await bench.faust.rebalance(0)
    events = [Event(Message(0, 0)), Event(Message(1, 0)), Event(Message(0, 0, generation_id=0))]
    assert bench.windows.ours(events) == events[:1]
    bench.faust.is_overtaken = True
    await bench.faust.rebalance(0, 1)
    assert not bench.windows.owned
    assert not bench.windows.is_settled
    assert bench.windows.ours(events) == []


async def test_what_comes_before_the_record_that_is_due_is_not_taken(bench: Bench) -> None:
    for _ in range(4):
        bench.log.publish(0)
    bench.faust.table.data = {"next/0": 1, "begun/0": True}
    await bench.faust.rebalance(0)
    cut, again = [Event(Message(0, 2)), Event(Message(0, 3))], [Event(Message(0, n)) for n in (1, 2, 3)]
    assert bench.windows.ours(cut) == []
    assert bench.windows.ours([*cut, *again]) == again
    await bench.windows.move_on({0: 4})
    assert bench.windows.ours([Event(Message(0, 4))]) != []


async def test_a_record_that_does_not_come_is_asked_for_again_and_not_too_often(bench: Bench) -> None:
    await bench.faust.rebalance(0, 1)
    bench.log.publish(0)
    asked = []
    for _ in range(20):
        await bench.windows.measure()
        await bench.windows.ask_again(looks_min=2)
        asked.append(len(bench.faust.sought))
    assert bench.faust.sought == [{0: 0}, {0: 0}]
    assert asked[:3] == [0, 0, 1]
    await bench.windows.move_on({0: 1})
    await bench.windows.measure()
    await bench.windows.ask_again(looks_min=0)
    assert len(bench.faust.sought) == 2


async def test_a_row_that_the_changelog_did_not_take_is_not_in_the_table(
    bench: Bench, clock: SimulatedClock
) -> None:
    await bench.faust.rebalance(0)
    bench.faust.table.refusal = RuntimeError("no leader")
    dataset_id = in_partition(0)
    with pytest.raises(TransientError, match="no leader"):
        await bench.windows.assign(rows_of(dataset_id, 0, 5, clock.now()))
    assert await bench.windows.daily_uses(NO_WORK, [dataset_id], since=clock.now().date()) == {}


async def test_a_recovery_that_cannot_be_taken_over_ends_the_app_aloud(bench: Bench) -> None:
    bench.faust.table.refusal = RuntimeError("no leader")
    await bench.faust.rebalance(0)
    (error,) = bench.faust.crashes
    assert isinstance(error, TransientError)
    assert not bench.windows.is_settled
