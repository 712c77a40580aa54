"""Runs a service: its store, its relay, one loop per subscription, one per piece of recurring work.

Each is supervised by itself. A crash is logged and started again, at growing intervals. A consumer that
spent its budget of dead letters stays stopped until an operator starts it again; one whose dead letters
cannot be written looks by itself whether they now can. The others go on.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import structlog
from sqlalchemy import select

from shared.clock import Clock
from shared.consuming.consumer_loop import ConsumerLoop, LoopSettings, LoopStatus
from shared.consuming.consumer_state import LoopState
from shared.consuming.handling import Subscription
from shared.consuming.log_agreement import agree
from shared.consuming.waiting_events import WaitingSummary
from shared.errors import (
    DeadLetterBudgetError,
    NutmegError,
    ReplicaFencedError,
    TransientError,
)
from shared.events.topics import TOPICS
from shared.jobs.exclusive_lock import exclusive_lock
from shared.jobs.job_loop import JobLoop, JobLoopStatus
from shared.jobs.recurring_work import RecurringWork
from shared.log.measuring import DeliveryMetrics, NullDeliveryMetrics
from shared.log.port import EventLog, Lag, TopicPartition
from shared.outbox.relay import OutboxRelay, RelaySettings
from shared.outbox.shard_lease import LockedShardLease
from shared.process.service import Service
from shared.store.session_locks import SessionLocks

__all__ = ["ServiceRunner", "ServiceStatus", "SubscriptionStatus", "wait_until_idle"]

logger = structlog.get_logger(__name__)

PRUNING_INTERVAL_SECONDS = 3600.0
UNWOKEN_LOOK_SECONDS = 0.5
"""What an api asks for waits half of that on average, and a look is one small query."""
RESTART_SECONDS_MIN = 0.5
RESTART_SECONDS_MAX = 60.0
IDLE_LOOK_SECONDS_MIN = 0.02
IDLE_LOOK_SECONDS_MAX = 0.2
QUIET_LOOKS = 2
STILL_BUSY_NAMED_MAX = 8


@dataclass(frozen=True, slots=True)
class SubscriptionStatus:
    """One consumer group: its loop, and how far it is behind on each partition."""

    loop: LoopStatus
    lag: dict[TopicPartition, Lag]
    waiting: WaitingSummary

    @property
    def lag_records(self) -> int:
        return sum(each.records for each in self.lag.values())

    @property
    def lag_seconds(self) -> float:
        return max((each.seconds for each in self.lag.values()), default=0.0)


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """What an operator sees of a service. ``relay_cause`` says why nothing is published just now."""

    service: str
    outbox_records: int
    outbox_oldest_age_seconds: float
    relay_cause: str | None
    subscriptions: Sequence[SubscriptionStatus]
    works: Sequence[JobLoopStatus]


class ServiceRunner:
    """Starts and stops one :class:`~shared.process.service.Service`."""

    def __init__(
        self,
        service: Service,
        *,
        log: EventLog,
        clock: Clock,
        metrics: DeliveryMetrics | None = None,
        loop_settings: LoopSettings | None = None,
        relay_settings: RelaySettings | None = None,
    ) -> None:
        self.service = service
        self._log = log
        self._clock = clock
        self._metrics: DeliveryMetrics = metrics or NullDeliveryMetrics()
        self._loop_settings = loop_settings
        self._locks = SessionLocks(service.store, "recurring work") if service.store.is_shared else None
        self.relay = OutboxRelay(
            store=service.store,
            log=log,
            clock=clock,
            metrics=self._metrics,
            shards=LockedShardLease(service.store, clock) if service.store.is_shared else None,
            settings=relay_settings,
        )
        self._subscriptions = {each.group.name: each for each in service.subscriptions}
        self.loops = {name: self._loop(each) for name, each in self._subscriptions.items()}
        self.works = [self._work(work) for work in service.works]
        self._pruning = self._work(
            RecurringWork("pruning", PRUNING_INTERVAL_SECONDS, self.relay.prune, _nothing_pending)
        )
        self.fenced = asyncio.Event()
        """Set once another process has taken this replica's name: this one has to end."""
        self._stop = asyncio.Event()
        self._stop_relay = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._is_open = False

    async def prepare(self) -> None:
        """Open the store, create missing topics, and see whether store and log have the same history.

        In one process, every service is prepared before the first one starts: a relay that sends its events
        again makes the log look younger than it was found. Raises ``StateError``, with the cure, where
        the service must not run; ``TransientError`` while something is away.
        """
        if self._is_open:
            return
        await self.service.store.open()
        self._is_open = True
        try:
            await self._log.ensure_topics([TOPICS[name] for name in sorted(self._topic_names())])
            await agree(self.service.store, self._log)
        except BaseException:
            await self.service.store.close()
            self._is_open = False
            raise

    async def start(self) -> None:
        """Prepare, open the service, and set everything going. Raises as :meth:`prepare` does."""
        self._stop.clear()
        self._stop_relay.clear()
        await self.prepare()
        try:
            if self.service.on_log is not None:
                self.service.on_log(self._log)
            await self.service.open()
        except BaseException:
            await self.service.store.close()
            self._is_open = False
            raise
        self.service.store.on_arrivals.append(self._wake_for_waiting)
        self._start_task("relay", partial(self.relay.run, self._stop_relay))
        for name, loop in self.loops.items():
            self._start_task(name, partial(loop.run, self._stop))
        for work in (*self.works, self._pruning):
            self._start_task(f"work {work.work.name}", partial(work.run, self._stop))

    async def stop(self, *, grace_seconds: float = 30.0) -> None:
        """Finish what was begun, publish what was committed, and close. Idempotent.

        After ``grace_seconds`` what still runs is cancelled: it was not committed, so nothing is lost.
        """
        if not self._is_open:
            return
        self._is_open = False
        self._stop.set()
        relay = self._tasks.pop("relay", None)
        await _end(list(self._tasks.values()), grace_seconds)
        self._stop_relay.set()
        await _end([relay] if relay else [], grace_seconds)
        self._tasks.clear()
        # A service that was only prepared has not told its store yet.
        if self._wake_for_waiting in self.service.store.on_arrivals:
            self.service.store.on_arrivals.remove(self._wake_for_waiting)
        if self._locks is not None:
            await self._locks.close()
        await self.service.close()
        await self.service.store.close()

    def restart_consumer(self, group: str) -> None:
        """Start a consumer that has ended again, with a fresh budget, or let one that waits look now.

        Raises ``KeyError`` for an unknown group.
        """
        if group not in self._subscriptions:
            raise KeyError(
                f"{self.service.name} has no group {group!r}; it has {sorted(self._subscriptions)}"
            )
        task = self._tasks.get(group)
        if task is not None and not task.done():
            self.loops[group].look_again()
            return
        self.loops[group] = self._loop(self._subscriptions[group])
        self._start_task(group, partial(self.loops[group].run, self._stop))

    def wake_for_replays(self, group: str) -> None:
        """Let a group look for replay requests now; pass it to ``DeadLetters(on_requested=…)``."""
        if group in self.loops:
            self.loops[group].wake_for_replays()

    def _wake_for_waiting(self) -> None:
        for loop in self.loops.values():
            loop.wake_for_waiting()

    @property
    def end_cause(self) -> str:
        """Why this process has to end once ``fenced`` is set."""
        return (
            f"another process runs as this replica of {self.service.name}; "
            "give each its own NUTMEG_KAFKA_REPLICA"
        )

    @property
    def activity(self) -> int:
        """A count that rises with everything this service does."""
        handled = sum(loop.status().handled_count for loop in self.loops.values())
        return self.relay.published_count + handled + sum(work.items_done for work in self.works)

    def stopped_consumers(self) -> dict[str, str]:
        """Return group → cause of those consumers that must not go on, or not until something is mended."""
        return {
            name: loop.status().cause or "ended"
            for name, loop in self.loops.items()
            if name in self._tasks and (self._tasks[name].done() or loop.status().state is LoopState.STOPPED)
        }

    async def not_serving(self) -> list[str]:
        """Return, in words, what keeps this service from answering requests; empty if nothing does."""
        if not self._is_open:
            return [f"{self.service.name} is not started"]
        try:
            async with self.service.store.read() as connection:
                await connection.execute(select(1))
        except TransientError as error:
            return [str(error)]
        return []

    def not_working(self) -> list[str]:
        """Return, in words, what keeps this service from handling events; empty if nothing does."""
        if not self._is_open:
            return [f"{self.service.name} is not started"]
        causes = []
        for name, loop in self.loops.items():
            status = loop.status()
            if status.state is not LoopState.RUNNING:
                causes.append(f"consumer {name} is {status.state}: {status.cause or 'just now'}")
        if self.relay.cause is not None:
            causes.append(f"the relay of {self.service.name} waits: {self.relay.cause}")
        return causes

    async def busy(self) -> AsyncGenerator[str, None]:
        """Yield, in words, what is still to be done; nothing if nothing is. Each word costs its own look."""
        if depth := await self.relay.depth():
            yield f"{self.service.name}: {depth} events to publish"
        for name, loop in self.loops.items():
            if not await loop.drained():
                yield f"{name}: behind"
        for work in self.works:
            if await work.busy():
                yield f"{self.service.name}: {work.work.name} is due"

    async def status(self) -> ServiceStatus:
        """Return what an operator sees. Raises ``TransientError`` if the store cannot be read."""
        works = [await work.status() for work in (*self.works, self._pruning)]
        for work in works:
            self._metrics.work_pending(self.service.name, work.name, work.pending)
        for queue in self.service.queues:
            self._metrics.jobs_parked(self.service.name, queue.name, await queue.parked_count())
        return ServiceStatus(
            self.service.name,
            await self.relay.depth(),
            await self.relay.oldest_age_seconds(),
            self.relay.cause,
            [
                SubscriptionStatus(loop.status(), await loop.lag(), await loop.waiting())
                for loop in self.loops.values()
            ],
            works,
        )

    def _topic_names(self) -> set[str]:
        owned = {topic.name for topic in TOPICS.values() if topic.owner == self.service.name}
        return owned.union(*(each.group.topics for each in self._subscriptions.values()))

    def _loop(self, subscription: Subscription) -> ConsumerLoop:
        return ConsumerLoop(
            log=self._log,
            subscription=subscription,
            store=self.service.store,
            clock=self._clock,
            metrics=self._metrics,
            settings=self._loop_settings,
        )

    def _work(self, work: RecurringWork) -> JobLoop:
        if self._locks is not None:
            if work.on_wake is not None:
                # What an api in another process asks for wakes nobody here.
                work = replace(work, interval_seconds=min(work.interval_seconds, UNWOKEN_LOOK_SECONDS))
            if not work.is_divided:
                work = exclusive_lock(work, self._locks)
        return JobLoop(work, service=self.service.name, clock=self._clock, metrics=self._metrics)

    def _start_task(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        self._tasks[name] = asyncio.create_task(
            self._supervise(name, run), name=f"{self.service.name}: {name}"
        )

    async def _supervise(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        wait_seconds = RESTART_SECONDS_MIN
        while not self._stop_relay.is_set():
            try:
                await run()
            except ReplicaFencedError:
                self.fenced.set()
                return
            except DeadLetterBudgetError:
                return  # the loop has said why; going on is an operator's decision
            except Exception:
                logger.exception("crashed, starts again", service=self.service.name, part=name)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), wait_seconds)
                    return
                wait_seconds = min(wait_seconds * 2, RESTART_SECONDS_MAX)
            else:
                return


async def wait_until_idle(runners: Sequence[ServiceRunner], *, timeout_seconds: float = 60.0) -> None:
    """Return once outboxes are empty, lags 0 and no work is due, seen twice with nothing done between.

    While something is being done nobody is asked, and whoever is busy ends the asking: a look at everything
    is some thirty queries. Raises ``TimeoutError`` naming what is still busy, and ``NutmegError`` at once if
    a consumer has stopped for good, since what it should read would stay unread for ever.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + timeout_seconds
    seen = [runner.activity for runner in runners]
    quiet_looks = 0
    pause_seconds = IDLE_LOOK_SECONDS_MIN
    while True:
        for runner in runners:
            for group, cause in runner.stopped_consumers().items():
                raise NutmegError(f"consumer {group} has stopped: {cause}")
        before = [runner.activity for runner in runners]
        if before != seen:
            seen, quiet_looks, pause_seconds = before, 0, IDLE_LOOK_SECONDS_MIN
        elif await _first_busy(runners) is None:
            quiet_looks, pause_seconds = quiet_looks + 1, IDLE_LOOK_SECONDS_MIN
            if quiet_looks == QUIET_LOOKS:
                return
        else:
            quiet_looks, pause_seconds = 0, min(pause_seconds * 1.5, IDLE_LOOK_SECONDS_MAX)
        if loop.time() > until:
            words = [word for runner in runners async for word in runner.busy()]
            raise TimeoutError(
                f"still busy after {timeout_seconds:.0f} s: {'; '.join(words[:STILL_BUSY_NAMED_MAX])}"
            )
        await asyncio.sleep(pause_seconds)


async def _first_busy(runners: Sequence[ServiceRunner]) -> str | None:
    for runner in runners:
        async with contextlib.aclosing(runner.busy()) as words:
            async for word in words:
                return word
    return None


async def _nothing_pending() -> int:
    return 0


async def _end(tasks: Sequence[asyncio.Task[None]], grace_seconds: float) -> None:
    if not tasks:
        return
    _, late = await asyncio.wait(tasks, timeout=grace_seconds)
    for task in late:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
