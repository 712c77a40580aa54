"""The two processes of a service in a cluster: ``api`` answers requests, ``worker`` handles events.

Both listen: the api with the service's routes, the worker with ``/healthz``, ``/readyz`` and ``/metrics``
alone. Both wait for a database or log that is away at the start, and tell so by ``/readyz``.
"""

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable, Sequence

import structlog
from fastapi import APIRouter, FastAPI
from pydantic_settings import BaseSettings

from shared.consuming.consumer_loop import LoopSettings
from shared.errors import NutmegError, TransientError
from shared.event_loop import run_in_loop
from shared.gc_tuning import freeze_survivors
from shared.http.app import build_app
from shared.http.probes import Readiness, no_troubles
from shared.log.port import EventLog
from shared.outbox.relay import RelaySettings
from shared.process.context import (
    BuildService,
    ProcessContext,
    ServedService,
    WorkRunner,
    cluster_context,
    cluster_log,
)
from shared.process.limits import keep_to_owner, require_descriptors, sweep_leftovers
from shared.process.service import Service
from shared.process.service_runner import ServiceRunner
from shared.process.serving import answering, ended_by_signal, first_of, listening_socket
from shared.store.engine import Store
from shared.store.health import store_health
from shared.store.notes import read_note
from shared.telemetry.delivery_metrics import PrometheusDeliveryMetrics
from shared.telemetry.logging import configure_logging
from shared.telemetry.loop_health import watch_event_loop

__all__ = ["run_api", "run_process", "run_worker", "serve_until"]

logger = structlog.get_logger(__name__)

FAILED = 1
RETRY_SECONDS = 1.0
POLL_SECONDS = 0.25
"""An api's events wait for the worker's next look at the outbox, which is one small query on an index."""
PAUSE_SECONDS_MAX = 2.0
"""So soon after an outage everything goes on. Servers are asked by few workers, so they bear it."""

Start = Callable[[], Awaitable[None]]


def run_api(build: BuildService, *settings: type[BaseSettings]) -> None:
    """Serve a service's routes until a signal. Ends the process with 1 if it can't begin.

    ``settings`` are those that the service has of its own: a variable named like one of them, or of those
    that all processes have, must be one.
    """
    _run(_serve_api, build, "api", settings)


def run_worker(build: BuildService, *settings: type[BaseSettings], part: str = "worker") -> None:
    """Handle a service's events and do its recurring work until a signal, or until it has to end."""
    _run(_serve_worker, build, part, settings)


def run_process(
    serve: Callable[[ProcessContext, asyncio.Event], Awaitable[None]], *settings: type[BaseSettings]
) -> None:
    """Await ``serve`` with the ground and an event that a signal sets. Ends with 1 if it can't begin."""

    async def main() -> None:
        keep_to_owner()
        require_descriptors()
        await asyncio.to_thread(sweep_leftovers)
        await serve(cluster_context(own_settings=settings), ended_by_signal())

    try:
        run_in_loop(main())
    except (NutmegError, OSError, ValueError) as error:
        sys.stderr.write(f"nutmeg: {' '.join(str(error).split())}\n")
        sys.exit(FAILED)


def _run(
    serve: Callable[[ProcessContext, ServedService, asyncio.Event], Awaitable[None]],
    build: BuildService,
    part: str,
    settings: Sequence[type[BaseSettings]],
) -> None:
    async def begin(ground: ProcessContext, ended: asyncio.Event) -> None:
        built = build(ground)
        configure_logging(f"{built.service.name}-{part}", level=ground.settings.log_level)
        await serve(ground, built, ended)

    run_process(begin, *settings)


async def _serve_api(ground: ProcessContext, built: ServedService, ended: asyncio.Event) -> None:
    service = built.service
    is_open = asyncio.Event()

    async def open_service() -> None:
        await service.store.open()
        await service.open()
        is_open.set()

    async def readiness() -> Sequence[str]:
        if not is_open.is_set():
            return [f"{service.name} is not open yet"]
        try:
            async with service.store.read() as connection:
                refusal = await read_note(connection, service.store.tables, "refusal")
        except TransientError as error:
            return [str(error)]
        return [refusal] if refusal else []

    async def troubles() -> Sequence[str]:
        return await _storage_causes(service.store) if is_open.is_set() else ()

    try:
        app = _app(ground, built, service.routers, readiness, troubles)
        await serve_until(ended, ground, app, service.name, open_service)
    finally:
        if is_open.is_set():
            await service.close()
        await service.store.close()


def _service_runner(ground: ProcessContext, service: Service, log: EventLog) -> ServiceRunner:
    return ServiceRunner(
        service,
        log=log,
        clock=ground.clock,
        metrics=PrometheusDeliveryMetrics(ground.metrics),
        loop_settings=LoopSettings(pause_seconds_max=PAUSE_SECONDS_MAX),
        relay_settings=RelaySettings(poll_seconds=POLL_SECONDS, pause_seconds_max=PAUSE_SECONDS_MAX),
    )


async def _serve_worker(ground: ProcessContext, built: ServedService, ended: asyncio.Event) -> None:
    log = cluster_log(ground.clock)
    runner: WorkRunner = (
        built.build_runner(log) if built.build_runner else _service_runner(ground, built.service, log)
    )

    async def readiness() -> Sequence[str]:
        return [*runner.not_working(), *await _storage_causes(built.service.store)]

    async def measure() -> None:
        with contextlib.suppress(TransientError):
            await runner.status()

    try:
        app = _app(ground, built, (), readiness, no_troubles, measure)
        await serve_until(ended, ground, app, built.service.name, runner.start, runner.fenced)
    finally:
        await runner.stop(grace_seconds=ground.settings.stop_seconds)
        await _close(log)
    if runner.fenced.is_set():
        raise NutmegError(runner.end_cause)


async def serve_until(
    ended: asyncio.Event,
    ground: ProcessContext,
    app: FastAPI,
    name: str,
    start: Start,
    *others: asyncio.Event,
) -> None:
    """Answer at once, start as soon as everything that is needed is there, and stay until an event is set."""
    with listening_socket(ground.settings) as bound:
        logger.info("listens", service=name, port=bound.getsockname()[1])
        async with answering(app, bound) as serving:
            starting = asyncio.create_task(_started(start, name), name="start")
            watching = asyncio.create_task(
                watch_event_loop(ground.metrics, ground.clock, ended), name="event loop"
            )
            gave_up = asyncio.Event()
            starting.add_done_callback(lambda task: _settled(task, gave_up))
            try:
                await first_of(ended, gave_up, *others, serving=serving)
            finally:
                for task in (starting, watching):
                    task.cancel()
                results = await asyncio.gather(starting, watching, return_exceptions=True)
            if gave_up.is_set() and isinstance(results[0], Exception):
                raise results[0]


async def _started(start: Start, service: str) -> None:
    while True:
        try:
            await start()
        except TransientError as error:
            logger.warning("cannot start yet", service=service, cause=str(error))
            await asyncio.sleep(RETRY_SECONDS)
        else:
            return


def _settled(task: "asyncio.Task[None]", gave_up: asyncio.Event) -> None:
    if task.cancelled():
        return
    if task.exception() is not None:
        gave_up.set()
        return
    freeze_survivors()


async def _storage_causes(store: Store) -> Sequence[str]:
    """Return, in words, whether the database takes writes. While it is not open, others say so."""
    return [] if not store.is_open else (await store_health(store)).causes


async def _close(log: EventLog) -> None:
    with contextlib.suppress(TransientError):
        await log.close()


def _app(
    ground: ProcessContext,
    built: ServedService,
    routers: Sequence[APIRouter],
    readiness: Readiness,
    troubles: Readiness,
    *before_scrape: Start,
) -> FastAPI:
    name = ground.settings.installation_name
    return build_app(
        title=f"{name} API: {built.service.name}",
        routers=routers,
        authenticator=built.authenticator,
        signing_key=ground.signing_key,
        metrics=ground.metrics,
        clock=ground.clock,
        installation=name,
        settings=ground.http,
        readiness=readiness,
        troubles=troubles,
        before_scrape=[*built.service.extra_metrics, *before_scrape],
        trusted_proxies=ground.settings.trusted_proxies,
    )
