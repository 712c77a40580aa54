"""Runs the stream processor beside what every process of a service has: relay, recurring work, measures."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from services.usage.anomalies.commands import AnomalyDetection
from services.usage.anomalies.faust.app import build_faust_app
from services.usage.anomalies.faust.rollup_stream import RollupStream, StreamPatience
from services.usage.anomalies.faust.windows import RollupWindows
from shared.errors import ReplicaFencedError, TransientError
from shared.events.topics import GROUPS, STREAM_TABLES, TOPICS
from shared.jobs.recurring_work import RecurringWork
from shared.log.kafka.settings import KafkaSettings
from shared.log.measuring import DeliveryMetrics
from shared.log.port import EventLog
from shared.process.service import Service
from shared.process.service_runner import ServiceRunner
from shared.store.engine import Store
from shared.store.replica_names import ReplicaName

__all__ = ["StreamRunner", "build_stream_runner"]

GROUP = GROUPS["usage.signals"]
TABLE = STREAM_TABLES["usage.signals.windows"]
REPLAY_SECONDS = 5.0
NAME_SECONDS = 1.0


class StreamRunner:
    """Implements :class:`shared.process.context.WorkRunner`."""

    def __init__(
        self, stream: RollupStream, runner: ServiceRunner, name: ReplicaName, log: EventLog, folder: Path
    ) -> None:
        self.fenced = stream.ended
        self._stream = stream
        self._runner = runner
        self._name = name
        self._log = log
        self._folder = folder
        self._is_started = False
        self._guard: asyncio.Task[None] | None = None

    @property
    def end_cause(self) -> str:
        """Why this process has to end, in words."""
        return self._stream.end_cause or "the stream processor has ended"

    async def start(self) -> None:
        """Set everything going. Raises ``TransientError``; ``ReplicaFencedError`` if its name is taken."""
        await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True)
        await self._log.ensure_topics([*(TOPICS[name] for name in GROUP.topics), TABLE])
        if not self._is_started:
            await self._runner.start()
            self._is_started = True
        # The broker would let a second process of this name in: each would throw the other out, for ever.
        await self._name.hold()
        await self._stream.start()
        self._guard = asyncio.create_task(self._guard_name(), name="replica name")

    async def stop(self, *, grace_seconds: float = 30.0) -> None:
        """Stop the stream first: what it has begun is in the store, or comes again. Idempotent."""
        if self._guard is not None:
            self._guard.cancel()
            await asyncio.gather(self._guard, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await self._stream.stop()
        await self._name.close()
        await self._runner.stop(grace_seconds=grace_seconds)

    def not_working(self) -> list[str]:
        """Return, in words, what does not work; empty if all does."""
        cause = self._stream.cause_of_standing_still()
        return [*self._runner.not_working(), *([cause] if cause is not None else [])]

    async def status(self) -> object:
        """Set the gauges that only a question can tell. Raises ``TransientError``."""
        return await self._runner.status()

    async def _guard_name(self) -> None:
        """End the process if the name was lost with the database, and another has it since."""
        while True:
            await asyncio.sleep(NAME_SECONDS)
            try:
                await self._name.hold()
            except TransientError:
                continue  # without the database nothing is taken in either
            except ReplicaFencedError as error:
                self._stream.give_up(str(error))
                return


def build_stream_runner(
    log: EventLog,
    *,
    store: Store,
    detection: AnomalyDetection,
    kafka: KafkaSettings,
    patience: StreamPatience,
    fresh_seconds: float,
    folder: Path,
    bus_metrics: DeliveryMetrics,
    watching: Callable[[AnomalyDetection], RecurringWork],
) -> StreamRunner:
    """Build everything. ``watching`` makes the work that looks for signals in the uses that it is given."""
    app = build_faust_app(kafka, group=GROUP.name, folder=folder)
    windows = RollupWindows(
        app,
        rollups=GROUP.topics[0],
        table=TABLE.name,
        prefix=kafka.prefix,
        log=log,
        clock=detection.clock,
        fresh_seconds=fresh_seconds,
        send_seconds_max=kafka.request_timeout_seconds,
    )
    stream = RollupStream(
        app,
        windows,
        group=GROUP,
        store=store,
        monitor=detection.monitor,
        log=log,
        clock=detection.clock,
        metrics=bus_metrics,
        patience=patience,
    )
    works = [
        watching(replace(detection, uses=windows)),
        RecurringWork(
            "usage.replays", REPLAY_SECONDS, stream.replay_once, stream.replays_waiting, is_divided=True
        ),
    ]
    service = Service(name="usage", store=store, subscriptions=[], routers=[], works=works)
    runner = ServiceRunner(service, log=log, clock=detection.clock, metrics=bus_metrics)
    name = ReplicaName(store, kafka.prefixed(GROUP.name), kafka.replica_name, clock=detection.clock)
    return StreamRunner(stream, runner, name, log, folder)
