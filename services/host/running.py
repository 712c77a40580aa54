"""Runs the composed services: opens the log, starts and stops them in order, and tells how they are."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial

import structlog
from fastapi import FastAPI

from services.host.data_directory import DataDirectory
from services.host.operations.domain import ConsumerHealth, OutboxHealth, WorkHealth
from services.host.operations.installation import Readings
from services.host.operations.observed_log import ObservedLog
from services.host.operations.reader.status import measure_dead_letters, set_storage_gauges, waiting_of
from services.host.settings import HostSettings
from shared.clock import Clock
from shared.consuming.dead_letters import DeadLetters
from shared.errors import NotFoundError, TransientError
from shared.jobs.job_loop import JobLoopStatus
from shared.jobs.parking import JobQueue
from shared.log.sqlite.event_log import SQLiteEventLog
from shared.log.sqlite.file_lock import FileLock
from shared.process.service_runner import ServiceRunner, ServiceStatus, SubscriptionStatus, wait_until_idle
from shared.store.health import StorageHealth, file_health, store_health
from shared.telemetry.loop_health import watch_event_loop
from shared.telemetry.metrics import Metrics

__all__ = ["Host", "NextStep"]

logger = structlog.get_logger(__name__)

PRUNING_SECONDS = 3_600.0
FACTS_SECONDS = 2.0
CHECK_SECONDS = 24 * 3_600.0
INDEXING = "catalog.index"
INDEX_SECONDS_MAX = 10.0
INDEX_LOOK_SECONDS = 0.02
ALL_HANDLED = "all handled"

NextStep = Callable[[], Awaitable[None]]


class Host:
    """Every service in one process. Built by :func:`services.host.bootstrap.bootstrap_host`."""

    def __init__(
        self,
        *,
        settings: HostSettings,
        directory: DataDirectory,
        lock: FileLock,
        clock: Clock,
        file_log: SQLiteEventLog,
        log: ObservedLog,
        runners: Sequence[ServiceRunner],
        metrics: Metrics,
    ) -> None:
        self.settings = settings
        self.directory = directory
        self.clock = clock
        self.log = log
        self.runners = tuple(runners)
        self.metrics = metrics
        self.started_at = clock.now()
        self.after_start: list[NextStep] = []
        """Awaited once all services run: the first operator."""
        self.before_stop: list[NextStep] = []
        """Awaited before anything stops: the demo gives up what it follows."""
        self._lock = lock
        self.file_log = file_log
        self._app: FastAPI | None = None
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._lag_words = "starting"
        self._activity_seen = -1
        self.dead_letters = DeadLetters(
            log=log,
            stores={runner.service.name: runner.service.store for runner in runners},
            on_requested=self._wake_for_replays,
        )

    @property
    def app(self) -> FastAPI:
        """The one application. Raises ``RuntimeError`` before it is attached."""
        if self._app is None:
            raise RuntimeError("the host has no application yet; bootstrap_host() attaches it")
        return self._app

    def attach(self, app: FastAPI) -> None:
        """Take the application that was built over this host."""
        self._app = app

    async def start(self) -> None:
        """Open the log, start every service, then do what is to follow. Undone in full if it raises."""
        self._stop.clear()
        try:
            await self.file_log.open()
            for runner in self.runners:
                await runner.prepare()
            for runner in self.runners:
                await runner.start()
            for step in self.after_start:
                await step()
        except BaseException:
            await self.stop()
            raise
        self.started_at = self.clock.now()
        self._tasks = [
            asyncio.create_task(watch_event_loop(self.metrics, self.clock, self._stop), name="event loop"),
            asyncio.create_task(self._every(PRUNING_SECONDS, self.prune_log), name="log pruning"),
            asyncio.create_task(self._every(FACTS_SECONDS, self._refresh_facts), name="footer facts"),
            asyncio.create_task(self._check_files(), name="file checks"),
        ]

    async def stop(self) -> None:
        """Finish the batches at hand, publish what was committed, and close. Idempotent."""
        self._stop.set()
        for step in self.before_stop:
            await step()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        stop = partial(ServiceRunner.stop, grace_seconds=self.settings.stop_seconds)
        await asyncio.gather(*(stop(runner) for runner in self.runners))
        await self.file_log.close()
        self._lock.release()

    async def wait_until_idle(self, *, timeout_seconds: float = 60.0) -> None:
        """Return once all that was caused is done. Raises ``TimeoutError``, ``NutmegError``."""
        await wait_until_idle(self.runners, timeout_seconds=timeout_seconds)

    async def wait_for_index(self) -> None:
        """Return once what was committed before can be found, or after a while: the index may be away."""
        with suppress(TimeoutError):
            async with asyncio.timeout(INDEX_SECONDS_MAX):
                for runner in self.runners:
                    for work in runner.works:
                        # Looked at from outside, as by who asks for a status: the work itself tells nobody.
                        while work.work.name == INDEXING and await work.busy():  # noqa: ASYNC110
                            await asyncio.sleep(INDEX_LOOK_SECONDS)

    async def prune_log(self) -> int:
        """Let the log forget what is past its retention, and return how many records went."""
        return await self.file_log.prune()

    async def statuses(self) -> list[ServiceStatus]:
        """Return how every service is. Raises ``TransientError``."""
        return [await runner.status() for runner in self.runners]

    async def readings(self) -> Readings:
        """See :class:`~services.host.operations.installation.OperatedInstallation`."""
        for runner in self.runners:
            for measure in runner.service.extra_metrics:
                await measure()
        statuses = await self.statuses()
        return Readings(
            consumers=[
                _consumer_health(status, each, self.clock.now())
                for status in statuses
                for each in status.subscriptions
            ],
            outboxes=[_outbox_health(status) for status in statuses],
            works=[_work_health(status, work) for status in statuses for work in status.works],
            waiting=[
                one
                for runner, status in zip(self.runners, statuses, strict=True)
                for each in status.subscriptions
                if each.waiting.records
                for one in await waiting_of(runner.service.store, each.loop.group)
            ],
            storages=await self._storages(),
        )

    @property
    def job_queues(self) -> list[tuple[str, JobQueue]]:
        """See :class:`~services.host.operations.installation.OperatedInstallation`."""
        return [(runner.service.name, queue) for runner in self.runners for queue in runner.service.queues]

    def restart_consumer(self, group: str) -> None:
        """Start a stopped consumer. Raises ``NotFoundError`` for a group that does not run here."""
        for runner in self.runners:
            if group in runner.loops:
                runner.restart_consumer(group)
                return
        raise NotFoundError(
            f"No consumer group is called {group!r}.", what="group", field="group", fix="See nutmeg status."
        )

    @property
    def runs_consumers(self) -> bool:
        """Consumers run in this process."""
        return True

    async def measure(self) -> None:
        """Set the gauges that only a look can tell; for a scrape, which must not fail with a store."""
        with suppress(TransientError):
            await self.statuses()
            await measure_dead_letters(self)
        set_storage_gauges(self.metrics, await self._storages())

    async def readiness(self) -> Sequence[str]:
        """Return in words what keeps the process from serving."""
        return [cause for runner in self.runners for cause in await runner.not_serving()]

    async def troubles(self) -> Sequence[str]:
        """Return in words what does not work beside that: pages are served while a consumer stands still."""
        causes = [cause for storage in await self._storages() for cause in storage.causes]
        return [*causes, *(cause for runner in self.runners for cause in runner.not_working())]

    def footer_facts(self) -> Sequence[tuple[str, str]]:
        """Return what every page's footer tells."""
        return [("Events", self._lag_words)]

    @property
    def groups(self) -> list[str]:
        """Every consumer group that runs here."""
        return [group for runner in self.runners for group in runner.loops]

    async def _storages(self) -> list[StorageHealth]:
        return [
            await file_health("the event log", self.file_log),
            *[await store_health(runner.service.store) for runner in self.runners],
        ]

    async def check_files(self) -> None:
        """Read every file as a whole, one after the other. Damage is told by ``/readyz`` and ``/ops``."""
        await self.file_log.check()
        for runner in self.runners:
            await runner.service.store.check()

    async def _check_files(self) -> None:
        # Each was looked at when it was opened.
        await asyncio.sleep(CHECK_SECONDS)
        await self._every(CHECK_SECONDS, self.check_files)

    def _wake_for_replays(self, group: str) -> None:
        for runner in self.runners:
            runner.wake_for_replays(group)

    async def _refresh_facts(self) -> None:
        activity = sum(runner.activity for runner in self.runners)
        if activity == self._activity_seen and self._lag_words == ALL_HANDLED:
            return  # an idle process stays idle
        self._activity_seen = activity
        loops = [loop for runner in self.runners for loop in runner.loops.values()]
        try:
            lags = [lag for loop in loops for lag in (await loop.lag()).values()]
        except TransientError:
            self._lag_words = "lag not known just now"
            return
        seconds = max((lag.seconds for lag in lags), default=0.0)
        waiting = sum(lag.records for lag in lags)
        self._lag_words = f"{seconds:.1f} s behind, {waiting:,} waiting" if waiting else ALL_HANDLED

    async def _every(self, seconds: float, act: Callable[[], Awaitable[object]]) -> None:
        while not self._stop.is_set():
            try:
                await act()
            except TransientError as error:
                self._lag_words = f"the log is away: {error}"
            except Exception:
                # Ended in silence, a log would grow for ever: say it, and try again when it is due.
                logger.exception("recurring work failed", work=act.__name__)
            await asyncio.sleep(seconds)


def _consumer_health(status: ServiceStatus, each: SubscriptionStatus, now: datetime) -> ConsumerHealth:
    return ConsumerHealth(
        service=status.service,
        group=each.loop.group,
        state=str(each.loop.state),
        cause=each.loop.cause,
        lag_records=each.lag_records,
        lag_seconds=each.lag_seconds,
        handled=each.loop.handled_count,
        waiting_records=each.waiting.records,
        waiting_seconds=each.waiting.oldest_age_seconds(now),
    )


def _outbox_health(status: ServiceStatus) -> OutboxHealth:
    return OutboxHealth(
        service=status.service,
        records=status.outbox_records,
        oldest_age_seconds=status.outbox_oldest_age_seconds,
        cause=status.relay_cause,
    )


def _work_health(status: ServiceStatus, work: JobLoopStatus) -> WorkHealth:
    return WorkHealth(
        service=status.service,
        name=work.name,
        runs=work.runs,
        failures=work.failures,
        done=work.items_done,
        pending=work.pending,
        last_error=work.last_error,
    )
