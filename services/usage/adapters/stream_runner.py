"""Runs the stream processor beside what every process of a service has: relay, recurring work, measures."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from services.usage.adapters.faust_app import build_faust_app
from services.usage.adapters.faust_windows import RollupWindows
from services.usage.adapters.rollup_stream import RollupStream, StreamPatience
from services.usage.ports import UsagePorts
from shared.bus.kafka_settings import KafkaSettings
from shared.bus.measuring import BusMetrics
from shared.bus.ports import EventLog
from shared.bus.running import ServiceRunner
from shared.events.topics import GROUPS, STREAM_TABLES, TOPICS
from shared.runtime import RecurringWork, Service
from shared.store.engine import Store

__all__ = ["StreamRunner", "build_stream_runner"]

GROUP = GROUPS["usage.signals"]
TABLE = STREAM_TABLES["usage.signals.windows"]
REPLAY_SECONDS = 5.0


class StreamRunner:
    """Implements :class:`shared.process.ground.WorkRunner`."""

    def __init__(self, stream: RollupStream, runner: ServiceRunner, log: EventLog, folder: Path) -> None:
        self.fenced = stream.crashed
        self._stream = stream
        self._runner = runner
        self._log = log
        self._folder = folder
        self._is_started = False

    @property
    def end_cause(self) -> str:
        """Why this process has to end, in words."""
        return self._stream.standing.cause or "the stream processor has ended"

    async def start(self) -> None:
        """Set everything going. Raises ``TransientError``."""
        await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True)
        await self._log.ensure_topics([*(TOPICS[name] for name in GROUP.topics), TABLE])
        if not self._is_started:
            await self._runner.start()
            self._is_started = True
        await self._stream.start()

    async def stop(self, *, grace_seconds: float = 30.0) -> None:
        """Stop the stream first: what it has begun is in the store, or comes again. Idempotent."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await self._stream.stop()
        await self._runner.stop(grace_seconds=grace_seconds)

    def not_working(self) -> list[str]:
        """Return, in words, what does not work; empty if all does."""
        cause = self._stream.cause_of_standing_still()
        return [*self._runner.not_working(), *([cause] if cause is not None else [])]

    async def status(self) -> object:
        """Set the gauges that only a question can tell. Raises ``TransientError``."""
        return await self._runner.status()


def build_stream_runner(
    log: EventLog,
    *,
    store: Store,
    ports: UsagePorts,
    kafka: KafkaSettings,
    patience: StreamPatience,
    fresh_seconds: float,
    folder: Path,
    bus_metrics: BusMetrics,
    watching: Callable[[UsagePorts], RecurringWork],
) -> StreamRunner:
    """Build everything. ``watching`` makes the work that looks for signals in the uses that it is given."""
    app = build_faust_app(kafka, group=GROUP.name, folder=folder)
    windows = RollupWindows(
        app,
        rollups=GROUP.topics[0],
        table=TABLE.name,
        prefix=kafka.prefix,
        log=log,
        clock=ports.clock,
        fresh_seconds=fresh_seconds,
        send_seconds_max=kafka.request_timeout_seconds,
    )
    stream = RollupStream(
        app,
        windows,
        group=GROUP,
        store=store,
        watch=ports.watch,
        log=log,
        clock=ports.clock,
        metrics=bus_metrics,
        patience=patience,
    )
    works = [
        watching(replace(ports, uses=windows)),
        RecurringWork(
            "usage.replays", REPLAY_SECONDS, stream.replay_once, stream.replays_waiting, is_divided=True
        ),
    ]
    service = Service(name="usage", store=store, subscriptions=[], routers=[], works=works)
    runner = ServiceRunner(service, log=log, clock=ports.clock, metrics=bus_metrics)
    return StreamRunner(stream, runner, log, folder)
