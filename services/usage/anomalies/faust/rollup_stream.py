"""The stream processor: reads ``usage.rollups`` into windows, and has what changed looked at.

Nothing is raised out of the agent, since Faust passes over what an agent raised on. A record that is none of
ours becomes a dead letter, which is awaited; whatever else goes wrong is tried again, for ever, in its place.
Records are acknowledged by hand, in order, after their rows, and the store's note that their datasets are
due. What is to be told of them is decided by :func:`services.usage.anomalies.commands.detect_anomalies`.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import faust
import structlog

from services.usage.anomalies.domain.windows import DayRow, assigned, row_key
from services.usage.anomalies.faust.windows import RollupWindows
from services.usage.anomalies.repository import AnomalyMonitor
from shared.clock import Clock
from shared.consuming.applying import Applier, Item, require_event
from shared.consuming.budget import DeadLetterBudget
from shared.consuming.consumer_state import ConsumerState, LoopState
from shared.consuming.dead_letter_writing import DeadLetterWriter
from shared.consuming.handling import Outcome, Subscription
from shared.consuming.lag_reporting import LagReporter
from shared.consuming.replays import ReplayQueue, ReplayRequest
from shared.errors import (
    DeadLetterBudgetError,
    DeadLetterUnwritableError,
    TransientError,
)
from shared.events.envelope import Event
from shared.events.registry import ROLLUP_UPDATED
from shared.events.topics import ConsumerGroup
from shared.events.usage import RollupUpdated
from shared.log.measuring import DeliveryMetrics
from shared.log.port import EventLog, LogRecord
from shared.store.engine import Store
from shared.store.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from faust.types import EventT

__all__ = ["RollupStream", "StreamPatience"]

logger = structlog.get_logger(__name__)

STAGE_ATTEMPTS_MAX = 4
LOOKS_WHEN_IDLE, LOOKS_WHEN_BUSY = 1, 5
HOUR = "hour"
TOPIC = ROLLUP_UPDATED.topic.name


@dataclass(frozen=True, slots=True)
class StreamPatience:
    """How much is taken at once, and how long is waited."""

    records_max: int
    gather_seconds: float
    """After the last record at hand, for more of the same batch."""
    pause_seconds_min: float = 0.2
    pause_seconds_max: float = 30.0
    unwritable_seconds: float = 10.0
    measure_seconds: float = 1.0


class RollupStream:
    """Runs the agent of one Faust app. An app that has ended is not started again."""

    def __init__(
        self,
        app: "faust.App",
        windows: RollupWindows,
        *,
        group: ConsumerGroup,
        store: Store,
        monitor: AnomalyMonitor,
        log: EventLog,
        clock: Clock,
        metrics: DeliveryMetrics,
        patience: StreamPatience,
    ) -> None:
        self.standing = ConsumerState(group.name, metrics)
        self.ended = asyncio.Event()
        """Set once it cannot go on, for ``end_cause``."""
        self.end_cause: str | None = None
        self._app = app
        self._windows = windows
        self._group = group.name
        self._store = store
        self._monitor = monitor
        self._clock = clock
        self._metrics = metrics
        self._patience = patience
        self._lag_reporter = LagReporter(group.name, windows.measure, metrics=metrics, clock=clock)
        # Only its decoding and counting are used: what is done with a rollup is not one transaction.
        self._applier = Applier(
            Subscription(group, {ROLLUP_UPDATED.name: _no_handler}), store=store, clock=clock, metrics=metrics
        )
        self._letters = DeadLetterWriter(
            group.name,
            log=log,
            clock=clock,
            metrics=metrics,
            retry_seconds=patience.pause_seconds_min,
            waits_for_log=True,
        )
        self._replays = ReplayQueue(store, log)
        self._budget = DeadLetterBudget()
        self._paid_for: set[tuple[int, int]] = set()
        self._put_aside: set[tuple[int, int]] = set()
        self._turn = asyncio.Lock()
        self._finished_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        app.agent(windows.topic, name=group.name)(self._read)

    async def start(self) -> None:
        """Begin. The store must be open, and the topics there. Raises ``TransientError``."""
        await self._windows.open()
        self._tasks = [
            asyncio.create_task(self._run_app(), name="faust"),
            asyncio.create_task(self._measure(), name="lag of windows"),
        ]

    async def stop(self) -> None:
        """Stop where it is: what is not acknowledged comes again. Idempotent."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._lag_reporter.clear()
        if tasks:
            await self._app.stop()
        self.standing.enter(LoopState.STOPPED, self.end_cause)

    def give_up(self, cause: str) -> None:
        """Say that this process has to end, and why."""
        self.end_cause = self.end_cause or cause
        self.standing.enter(LoopState.STOPPED, self.end_cause)
        self.ended.set()

    def cause_of_standing_still(self) -> str | None:
        """Return, in words, why nothing is read; ``None`` while it is."""
        if self.standing.state is LoopState.RUNNING and self._windows.is_settled:
            return None
        cause = self.standing.cause or "its table is not there yet"
        return f"consumer {self._group} is {self.standing.state}: {cause}"

    async def replay_once(self) -> int:
        """Take up dead letters of our partitions that an operator wants handled again; return how many."""
        done = 0
        for request in await self._replays.waiting(self._group):
            done += await self._replay(request)
        return done

    async def replays_waiting(self) -> int:
        """Return whether any dead letter is to be handled again."""
        return int(await self._replays.any_waiting(self._group))

    async def _run_app(self) -> None:
        """Run Faust until it ends by itself, which it must not."""
        try:
            await self._app.start()
            self.standing.enter(LoopState.RUNNING)
            await self._app.wait_until_stopped()
            cause = self._app.crash_reason
        except Exception as error:  # noqa: BLE001 - whatever it is, the process cannot go on without
            cause = error
        self.give_up(f"Faust has ended: {cause!r}")

    async def _measure(self) -> None:
        while True:
            with contextlib.suppress(TransientError):
                await self._lag_reporter.report()
            if self.standing.state is LoopState.RUNNING and self._windows.is_settled:
                try:
                    # While records come, those that are due may stand in the queue.
                    looks = LOOKS_WHEN_IDLE if self._is_idle() else LOOKS_WHEN_BUSY
                    await self._windows.ask_again(looks_min=looks)
                except Exception:
                    logger.exception("records could not be asked for again", group=self._group)
            await asyncio.sleep(self._patience.measure_seconds)

    def _is_idle(self) -> bool:
        idle_seconds = self._clock.monotonic_seconds() - self._finished_at
        return not self._turn.locked() and idle_seconds >= self._patience.measure_seconds

    async def _read(self, stream: Any) -> None:
        """The agent. Batches are ours, since those of ``take`` are acknowledged also when cancelled."""
        by_hand = stream.noack()
        batch: list[Any] = []
        async for event in by_hand.events():
            batch.append(event)
            if len(batch) < self._patience.records_max:
                if by_hand.channel.empty():
                    await asyncio.sleep(self._patience.gather_seconds)
                if not by_hand.channel.empty():
                    continue
            await self._finish(batch)
            batch = []

    async def _finish(self, batch: Sequence["EventT[bytes]"]) -> None:
        """Handle and acknowledge what is still ours, however often it takes. Raises nothing."""
        failures = 0
        while True:
            ours = self._windows.ours(batch)
            try:
                async with self._turn:
                    await self._take_in([_record(event) for event in ours])
            except DeadLetterBudgetError as error:
                self.standing.enter(LoopState.STOPPED, str(error))
                await asyncio.Event().wait()  # going on is an operator's decision
            except DeadLetterUnwritableError as error:
                self.standing.enter(LoopState.STOPPED, str(error))
                await asyncio.sleep(self._patience.unwritable_seconds)
                continue
            except Exception as error:
                if not isinstance(error, TransientError):
                    logger.exception("rollups could not be taken in", group=self._group)
                self.standing.enter(LoopState.PAUSED, str(error) or repr(error))
            else:
                for event in ours:
                    event.ack()
                self._finished_at = self._clock.monotonic_seconds()
                self._paid_for.clear()
                self._put_aside.clear()
                self.standing.enter(LoopState.RUNNING)
                return
            failures += 1
            seconds = self._patience.pause_seconds_min * 2 ** min(failures, 16)
            await asyncio.sleep(min(seconds, self._patience.pause_seconds_max))

    async def _take_in(self, records: Sequence[LogRecord]) -> None:
        began = self._clock.monotonic_seconds()
        items = [self._applier.decoded(record, self._clock.now()) for record in records]
        rows, since = self._staged(items)
        await self._windows.assign(rows)
        if since:
            async with self._store.unit_of_work() as work:
                await self._monitor.begin(work, since, due_at=self._clock.now())
        for item in items:
            if item.error is not None:
                await self._dead_letter(item, item.error)
            else:
                self._budget.handled(1, self._clock.monotonic_seconds())
        await self._windows.move_on({record.partition: record.offset + 1 for record in records})
        self._report(items, self._clock.monotonic_seconds() - began)

    def _staged(self, items: Sequence[Item]) -> tuple[dict[str, tuple[int, DayRow]], dict[UUID, date]]:
        """Return the rows that change, with their partitions, and the datasets to be looked at."""
        rows: dict[str, tuple[int, DayRow]] = {}
        since: dict[UUID, date] = {}
        for item in items:
            if item.event is None or item.error is not None:
                continue
            while item.outcome is None and item.attempts < STAGE_ATTEMPTS_MAX:
                item.attempts += 1
                try:
                    item.outcome = self._stage(item.event, item.record.partition, rows, since)
                except Exception as error:  # noqa: BLE001 - this record's fault, whatever it is
                    item.error = error
                else:
                    item.error = None
        return rows, since

    def _stage(
        self, event: Event, partition: int, rows: dict[str, tuple[int, DayRow]], since: dict[UUID, date]
    ) -> Outcome:
        if event.data is None:
            return Outcome.IGNORED
        rollup = event.payload(RollupUpdated).rollup
        if rollup.granularity != HOUR:
            return Outcome.IGNORED  # a day is the sum of its hours
        day = rollup.window_start.astimezone(UTC).date()
        key = row_key(rollup.dataset_id, day)
        row = rows[key][1] if key in rows else self._windows.row(key)
        uses = rollup.views + rollup.downloads + rollup.api_calls
        changed = assigned(row, rollup.window_start, uses, event.subjectversion or 0)
        # Also of a count known before: whoever told of it may have died before its dataset was due.
        since[rollup.dataset_id] = min(since.get(rollup.dataset_id, day), day)
        if changed is None:
            return Outcome.STALE
        rows[key] = (partition, changed)
        return Outcome.APPLIED

    async def _dead_letter(self, item: Item, error: Exception) -> None:
        """Write a dead letter, once for each record, however often its batch is tried."""
        place = (item.record.partition, item.record.offset)
        item.outcome = Outcome.DEAD_LETTERED
        if place in self._put_aside:
            return
        if place not in self._paid_for:
            self._budget.spend(self._group, self._clock.monotonic_seconds())
            self._paid_for.add(place)
        await self._letters.write(item, error)
        self._put_aside.add(place)

    def _report(self, items: Sequence[Item], seconds: float) -> None:
        now = self._clock.now()
        results = Counter(item.outcome for item in items if item.outcome is not None)
        for outcome, count in results.items():
            self._metrics.consumed(TOPIC, self._group, outcome, count)
        for item in items:
            if item.event is not None and item.outcome is Outcome.APPLIED:
                age = (now - item.event.time).total_seconds()
                self._metrics.end_to_end_seconds(TOPIC, self._group, max(age, 0.0))
        if items:
            self._metrics.processing_seconds(TOPIC, self._group, seconds)

    async def _replay(self, request: ReplayRequest) -> int:
        try:
            letter = await self._replays.letter(request)
            if letter.source.partition not in self._windows.owned:
                return 0  # whoever owns it will
            async with self._turn:
                item = self._applier.decoded(letter.source, self._clock.now())
                rows, since = self._staged([item])
                require_event(item)
                await self._windows.assign(rows)
                async with self._store.unit_of_work() as work:
                    await self._monitor.begin(work, since, due_at=self._clock.now())
                    await self._replays.settle(request, work, item.outcome or Outcome.IGNORED)
        except TransientError:
            raise
        except Exception as error:  # noqa: BLE001 - it is the answer to the operator
            await self._replays.fail(request, error)
            logger.warning("replay failed again", group=self._group, dead_letter=request.dead_letter_id)
        return 1


def _record(event: "EventT[bytes]") -> LogRecord:
    message: Any = event.message
    return LogRecord(
        TOPIC,
        message.partition,
        message.offset,
        (message.key or b"").decode(errors="replace"),
        message.headers,
        message.value,
        datetime.fromtimestamp(message.timestamp, UTC),
    )


async def _no_handler(_batch: Sequence[Event], _work: UnitOfWork) -> None:
    raise AssertionError("a stream processor applies by itself")
