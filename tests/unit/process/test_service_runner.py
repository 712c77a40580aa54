"""Running whole services: supervision, idleness, status."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from shared.clock import SimulatedClock
from shared.consuming.consumer_state import LoopState
from shared.consuming.handling import Subscription
from shared.errors import InvalidEventError, NotReadyError, NutmegError, TransientError
from shared.events.envelope import Event
from shared.jobs import job_loop
from shared.jobs.recurring_work import RecurringWork
from shared.log.sqlite.event_log import SQLiteEventLog
from shared.outbox.relay import RelaySettings
from shared.process.service import Service
from shared.process.service_runner import ServiceRunner, wait_until_idle
from shared.store.unit_of_work import UnitOfWork
from tests.support.ledger_service import COUNTING, Ledger, ledger_store
from tests.support.log_bench import QUICK, RecordingMetrics, until


class Queue:
    """Recurring work over a list; fails as often as told."""

    def __init__(self) -> None:
        self.items: list[str] = []
        self.done: list[str] = []
        self.failures_left = 0
        self.error: Exception = OSError("no route")
        self.wake: Callable[[], None] = lambda: None

    async def run_once(self) -> int:
        if self.failures_left:
            self.failures_left -= 1
            raise self.error
        if not self.items:
            return 0
        self.done.append(self.items.pop(0))
        return 1

    async def pending(self) -> int:
        return len(self.items)

    def remember(self, wake: Callable[[], None]) -> None:
        self.wake = wake


@pytest.fixture
async def log(tmp_path: Path, clock: SimulatedClock) -> AsyncIterator[SQLiteEventLog]:
    opened = SQLiteEventLog(tmp_path / "log", clock=clock)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def metrics() -> RecordingMetrics:
    return RecordingMetrics()


@asynccontextmanager
async def running(
    service: Service, log: SQLiteEventLog, clock: SimulatedClock, metrics: RecordingMetrics
) -> AsyncIterator[ServiceRunner]:
    runner = ServiceRunner(
        service,
        log=log,
        clock=clock,
        metrics=metrics,
        loop_settings=QUICK,
        relay_settings=RelaySettings(poll_seconds=60),
    )
    await runner.start()
    try:
        yield runner
    finally:
        await runner.stop()


@pytest.fixture
def ledger(tmp_path: Path, clock: SimulatedClock) -> Ledger:
    return Ledger(ledger_store(tmp_path / "ledger.sqlite3", clock))


async def test_what_is_emitted_is_consumed_and_then_all_is_idle(
    ledger: Ledger, log: SQLiteEventLog, clock: SimulatedClock, metrics: RecordingMetrics
) -> None:
    async with running(ledger.service, log, clock, metrics) as runner:
        await ledger.emit_hits(["a"] * 50)
        await wait_until_idle([runner], timeout_seconds=30)
        assert await ledger.hits_total() == 50
        assert runner.not_working() == []
        assert [word async for word in runner.busy()] == []


async def test_the_status_tells_outbox_lag_and_state(
    ledger: Ledger, log: SQLiteEventLog, clock: SimulatedClock, metrics: RecordingMetrics
) -> None:
    async with running(ledger.service, log, clock, metrics) as runner:
        await ledger.emit_hits(["a"])
        await wait_until_idle([runner], timeout_seconds=30)
        status = await runner.status()
        assert (status.service, status.outbox_records, status.outbox_oldest_age_seconds) == ("ledger", 0, 0)
        (subscription,) = status.subscriptions
        assert (subscription.loop.group, subscription.loop.state) == (COUNTING.name, LoopState.RUNNING)
        assert (subscription.lag_records, subscription.lag_seconds) == (0, 0.0)
        assert {work.name for work in status.works} == {"pruning"}


async def test_a_stopped_service_is_not_ready_and_can_be_started_again(
    ledger: Ledger, log: SQLiteEventLog, clock: SimulatedClock, metrics: RecordingMetrics
) -> None:
    async with running(ledger.service, log, clock, metrics) as runner:
        await ledger.emit_hits(["a"])
        await runner.stop()
        await runner.stop()
        assert runner.not_working() == await runner.not_serving() == ["ledger is not started"]
        await runner.start()
        await ledger.emit_hits(["a"])
        await wait_until_idle([runner], timeout_seconds=30)
        assert await ledger.hits_total() == 2


async def test_a_consumer_that_spent_its_budget_stays_stopped_until_it_is_started_again(
    ledger: Ledger, log: SQLiteEventLog, clock: SimulatedClock, metrics: RecordingMetrics
) -> None:
    other = replace(COUNTING, name="ledger.other")
    seen: list[str] = []

    async def see(batch: Sequence[Event], _unit_of_work: UnitOfWork) -> None:
        seen.extend(event.id for event in batch)

    def refuse(_event: Event) -> None:
        raise InvalidEventError("bad deploy")

    ledger.ports.before = refuse
    service = replace(
        ledger.service,
        subscriptions=[
            ledger.subscription,
            Subscription(other, dict.fromkeys(ledger.subscription.handlers, see)),
        ],
    )
    async with running(service, log, clock, metrics) as runner:
        await ledger.emit_hits(["a"] * 150)
        await until(lambda: COUNTING.name in runner.stopped_consumers())
        await until(lambda: len(seen) == 150)
        assert "could not be handled" in runner.stopped_consumers()[COUNTING.name]
        assert any(COUNTING.name in cause for cause in runner.not_working())
        assert await runner.not_serving() == []
        with pytest.raises(NutmegError, match="has stopped"):
            await wait_until_idle([runner], timeout_seconds=30)
        ledger.ports.before = lambda _event: None
        runner.restart_consumer(COUNTING.name)
        await wait_until_idle([runner], timeout_seconds=30)
        assert runner.stopped_consumers() == {}
        assert await ledger.hits_total() == 150 - metrics.dead["invalid"]
        with pytest.raises(KeyError, match="no group"):
            runner.restart_consumer("ledger.none")


async def test_recurring_work_runs_until_nothing_is_due_and_when_woken(
    ledger: Ledger, log: SQLiteEventLog, clock: SimulatedClock, metrics: RecordingMetrics
) -> None:
    queue = Queue()
    queue.items = ["1", "2", "3"]
    work = RecurringWork("queue", 3_600, queue.run_once, queue.pending, queue.remember)
    async with running(replace(ledger.service, works=[work]), log, clock, metrics) as runner:
        await wait_until_idle([runner], timeout_seconds=30)
        assert queue.done == ["1", "2", "3"]
        queue.items = ["4"]
        queue.wake()
        await wait_until_idle([runner], timeout_seconds=30)
        assert queue.done == ["1", "2", "3", "4"]


async def test_recurring_work_that_raises_is_counted_and_tried_again(
    ledger: Ledger, log: SQLiteEventLog, clock: SimulatedClock, metrics: RecordingMetrics
) -> None:
    queue = Queue()
    queue.items, queue.failures_left = ["1"], 1
    work = RecurringWork("queue", 3_600, queue.run_once, queue.pending)
    async with running(replace(ledger.service, works=[work]), log, clock, metrics) as runner:
        await until(lambda: metrics.works["queue", True] == 1)
        status = next(each for each in (await runner.status()).works if each.name == "queue")
        assert (status.failures, status.last_error, status.pending) == (1, "OSError: no route", 1)
        await wait_until_idle([runner], timeout_seconds=30)
        assert queue.done == ["1"]


async def test_work_that_met_an_outage_is_tried_again_soon_after_it_however_long_it_was(
    ledger: Ledger,
    log: SQLiteEventLog,
    clock: SimulatedClock,
    metrics: RecordingMetrics,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Any pause but that of an outage would last longer than this test may.
    monkeypatch.setattr(job_loop, "PAUSE_SECONDS_MIN", 3_600.0)
    monkeypatch.setattr(job_loop, "PAUSE_SECONDS_MAX", 3_600.0)
    monkeypatch.setattr(job_loop, "OUTAGE_PAUSE_SECONDS_MAX", 0.01)
    queue = Queue()
    queue.items, queue.failures_left, queue.error = ["1"], 12, TransientError("the index is away")
    work = RecurringWork("queue", 3_600, queue.run_once, queue.pending)
    async with running(replace(ledger.service, works=[work]), log, clock, metrics) as runner:
        await wait_until_idle([runner], timeout_seconds=60)
        assert queue.done == ["1"]


async def test_work_whose_data_is_on_its_way_waits_and_has_not_failed(
    ledger: Ledger,
    log: SQLiteEventLog,
    clock: SimulatedClock,
    metrics: RecordingMetrics,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Its own interval would last longer than this test may.
    monkeypatch.setattr(job_loop, "WAITING_PAUSE_SECONDS", 0.01)
    queue = Queue()
    queue.items, queue.failures_left = ["1"], 5
    queue.error = NotReadyError("the directory", patience=None)
    work = RecurringWork("queue", 3_600, queue.run_once, queue.pending)
    async with running(replace(ledger.service, works=[work]), log, clock, metrics) as runner:
        await wait_until_idle([runner], timeout_seconds=60)
        assert queue.done == ["1"]
        (status,) = [one for one in (await runner.status()).works if one.name == "queue"]
    assert (status.failures, status.last_error) == (0, None)
    assert not metrics.works["queue", True]


async def test_waiting_too_long_names_what_is_still_busy(
    ledger: Ledger, log: SQLiteEventLog, clock: SimulatedClock, metrics: RecordingMetrics
) -> None:
    async def stuck() -> int:
        return 0

    async def always_one() -> int:
        return 1

    work = RecurringWork("stuck", 3_600, stuck, always_one)
    async with running(replace(ledger.service, works=[work]), log, clock, metrics) as runner:
        with pytest.raises(TimeoutError, match="ledger: stuck is due"):
            await wait_until_idle([runner], timeout_seconds=0.2)


async def test_a_service_that_cannot_open_leaves_nothing_running(
    ledger: Ledger, log: SQLiteEventLog, clock: SimulatedClock, metrics: RecordingMetrics
) -> None:
    async def fail() -> None:
        raise OSError("no index")

    before = asyncio.all_tasks()
    with pytest.raises(OSError, match="no index"):
        async with running(replace(ledger.service, open=fail), log, clock, metrics):
            pass
    assert asyncio.all_tasks() == before


async def test_the_loops_of_two_services_wait_for_one_another(
    tmp_path: Path, log: SQLiteEventLog, clock: SimulatedClock, metrics: RecordingMetrics
) -> None:
    producer = Ledger(ledger_store(tmp_path / "producer.sqlite3", clock))
    consumer = Ledger(ledger_store(tmp_path / "consumer.sqlite3", clock))
    silent = replace(producer.service, subscriptions=[])
    async with (
        running(silent, log, clock, metrics) as first,
        running(consumer.service, log, clock, metrics) as second,
    ):
        for _ in range(5):
            await producer.emit_hits(["a"] * 20)
            await wait_until_idle([first, second], timeout_seconds=30)
        assert await consumer.hits_total() == 100
