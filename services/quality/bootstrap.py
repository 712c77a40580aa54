"""Quality, built: the only place that makes its real objects."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

from services.quality.adapters.duckdb_profiler import DuckDBProfiler
from services.quality.adapters.guarded_source import GuardedSource
from services.quality.adapters.job_holds import AloneHolds, LockedHolds
from services.quality.adapters.metrics_meter import MetricsMeter
from services.quality.adapters.sql_alerts import SqlAlertBook
from services.quality.adapters.sql_jobs import (
    SqlHarvestBook,
    SqlJobBook,
    count_due_checks,
    count_due_jobs,
    count_parked_jobs,
    count_ready_harvests,
    parked_jobs,
    postponed_jobs,
)
from services.quality.adapters.sql_measurements import SqlMeasurementBook
from services.quality.adapters.sql_standings import SqlStandings
from services.quality.commands.housekeeping import end_resolved_alerts, prune_history
from services.quality.commands.measuring import (
    BASELINE_WORK,
    FRESHNESS_WORK,
    PROFILE_WORK,
    recheck_freshness,
)
from services.quality.commands.profiling import free_abandoned_jobs, run_profile_jobs
from services.quality.commands.summarising import summarise_first_harvests
from services.quality.domain.freshness import BusinessCalendar
from services.quality.entrypoints.api import build_api
from services.quality.entrypoints.pages import build_pages
from services.quality.handlers import DIRECTORY_HANDLERS, MEASURING_HANDLERS
from services.quality.migrations.tables import BUS, IDEMPOTENCY, KNOWN_DATASETS, METADATA, PRINCIPALS
from services.quality.ports import (
    DataSource,
    ProfileLimits,
    Profiler,
    ProfilingRules,
    QualityPorts,
)
from services.quality.settings import QualitySettings
from shared.clock import Clock
from shared.consuming.handling import Subscription, bind
from shared.datasets.read_model import KnownDatasets
from shared.events.topics import GROUPS
from shared.http.fetching import GuardedFetcher
from shared.http.idempotency import prune_idempotency_keys
from shared.http.networks import Network
from shared.identity.principals import Authenticator, Principals, TokenAuthenticator
from shared.identity.signing_key import SigningKey
from shared.identity.tokens import Tokens
from shared.jobs.parking import JobQueue, ParkedJob
from shared.jobs.recurring_work import Postponed, RecurringWork
from shared.process.context import ProcessContext, ServedService
from shared.process.service import Service
from shared.store.engine import Store
from shared.telemetry.metrics import Metrics

__all__ = ["Quality", "bootstrap", "bootstrap_cluster"]

MIGRATIONS = Path(__file__).parent / "migrations"
HOUR_SECONDS = 3_600.0
LOOK_SECONDS = 30.0
TAKEOVER_SECONDS = 5.0
LEASE_MARGIN = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Quality:
    """The service, and what its runner needs beside it."""

    service: Service
    ports: QualityPorts
    authenticator: Authenticator


def bootstrap(
    settings: QualitySettings,
    *,
    database_url: str,
    clock: Clock,
    signing_key: SigningKey,
    metrics: Metrics,
    allowed_networks: Sequence[Network] | None = None,
    allowed_ports: Collection[int] | None = None,
    source: DataSource | None = None,
    profiler: Profiler | None = None,
    retries_until: datetime | None = None,
) -> Quality:
    """Build quality. Nothing is opened yet; see :class:`shared.process.service.Service`.

    The networks and ports replace those of the settings; ``source`` replaces fetching altogether. Second
    tries of files that become due after ``retries_until`` are left to another process.
    """
    store = Store(
        database_url, service="quality", metadata=METADATA, tables=BUS, migrations=MIGRATIONS, clock=clock
    )
    fetcher = GuardedFetcher(
        allowed_networks=settings.allowed_networks if allowed_networks is None else allowed_networks,
        allowed_ports=frozenset(settings.allowed_ports if allowed_ports is None else allowed_ports),
        timeout_seconds=settings.fetch_timeout_seconds,
        size_bytes_max=settings.file_bytes_max,
    )
    is_alone = database_url.startswith("sqlite")
    ports = QualityPorts(
        clock=clock,
        datasets=KnownDatasets(KNOWN_DATASETS),
        principals=Principals(PRINCIPALS, is_cached=is_alone),
        standings=SqlStandings(),
        measurements=SqlMeasurementBook(),
        alerts=SqlAlertBook(),
        jobs=SqlJobBook(retries_until),
        holds=AloneHolds() if is_alone else LockedHolds(store),
        harvests=SqlHarvestBook(),
        source=source or GuardedSource(fetcher),
        profiler=profiler or DuckDBProfiler(clock=clock),
        meter=MetricsMeter(metrics),
        limits=_limits(settings),
        rules=_rules(settings),
        calendar=BusinessCalendar(holidays=settings.holidays),
        baseline_wait=timedelta(seconds=settings.baseline_wait_seconds),
    )

    async def take_up() -> None:
        if is_alone:
            # Whatever lease is left is that of a process that is gone.
            async with store.unit_of_work() as work:
                await ports.jobs.release_leases(work)

    service = Service(
        name="quality",
        store=store,
        subscriptions=[
            Subscription(GROUPS["quality.measuring"], bind(MEASURING_HANDLERS, ports)),
            Subscription(GROUPS["quality.directory"], bind(DIRECTORY_HANDLERS, ports)),
        ],
        routers=(build_api(store, ports, settings), build_pages(store)),
        works=_works(store, ports, settings, retries_until),
        queues=(_queue(store, ports),),
        open=take_up,
        close=partial(_close, ports),
    )
    authenticator = TokenAuthenticator(Tokens(signing_key, clock), store, ports.principals)
    return Quality(service, ports, authenticator)


def bootstrap_cluster(ground: ProcessContext) -> ServedService:
    """Build quality for a process of its own, by the settings of its environment."""
    settings = QualitySettings()
    built = bootstrap(
        settings,
        database_url=ground.settings.database_url_of("quality"),
        clock=ground.clock,
        signing_key=ground.signing_key,
        metrics=ground.metrics,
        allowed_networks=(*settings.allowed_networks, *ground.settings.allowed_networks),
        allowed_ports=settings.allowed_ports | ground.settings.allowed_ports,
    )
    return ServedService(built.service, built.authenticator)


def _limits(settings: QualitySettings) -> ProfileLimits:
    return ProfileLimits(
        memory_mb=settings.profile_memory_mb,
        timeout_seconds=settings.profile_timeout_seconds,
        rows_max=settings.profile_rows_max,
        size_bytes_max=settings.file_bytes_max,
    )


def _rules(settings: QualitySettings) -> ProfilingRules:
    # Profiles wait for one another in the profiler, so a run may take as long as all of its files.
    work_seconds = settings.profile_timeout_seconds * settings.profiles_at_once_max
    return ProfilingRules(
        jobs_at_once_max=settings.profiles_at_once_max,
        lease=timedelta(seconds=settings.fetch_timeout_seconds + work_seconds) + LEASE_MARGIN,
        attempts_max=settings.attempts_max,
        retry_first=timedelta(seconds=settings.retry_seconds),
        link_failures_min=settings.link_failures_min,
        link_recheck=timedelta(hours=settings.link_recheck_hours),
    )


def _works(
    store: Store, ports: QualityPorts, settings: QualitySettings, retries_until: datetime | None
) -> list[RecurringWork]:
    async def jobs_due() -> int:
        async with store.read() as connection:
            return await count_due_jobs(
                connection, ports.clock.now(), lease=ports.rules.lease, retries_until=retries_until
            )

    async def jobs_postponed() -> Postponed | None:
        async with store.read() as connection:
            return await postponed_jobs(connection)

    async def checks_due() -> int:
        async with store.read() as connection:
            return await count_due_checks(connection, ports.clock.now())

    async def harvests_ready() -> int:
        async with store.read() as connection:
            return await count_ready_harvests(connection, ports.clock.now() - ports.baseline_wait)

    wakers = ports.wakers
    return [
        RecurringWork(
            PROFILE_WORK,
            LOOK_SECONDS,
            partial(run_profile_jobs, store, ports),
            jobs_due,
            wakers.register(PROFILE_WORK),
            is_divided=True,
            postponed=jobs_postponed,
        ),
        *([_takeover(store, ports)] if store.is_shared else []),
        RecurringWork(
            FRESHNESS_WORK,
            LOOK_SECONDS,
            partial(recheck_freshness, store, ports),
            checks_due,
            wakers.register(FRESHNESS_WORK),
        ),
        RecurringWork(
            BASELINE_WORK,
            LOOK_SECONDS,
            partial(summarise_first_harvests, store, ports),
            harvests_ready,
            wakers.register(BASELINE_WORK),
        ),
        RecurringWork(
            "quality.housekeeping",
            HOUR_SECONDS,
            partial(_keep_house, store, ports, settings.history_days),
            _nothing_pending,
        ),
    ]


def _queue(store: Store, ports: QualityPorts) -> JobQueue:
    async def parked(limit: int) -> list[ParkedJob]:
        async with store.read() as connection:
            jobs = await parked_jobs(connection, limit)
        return [
            ParkedJob(
                job_id=job.dataset_id,
                subject=f"File {job.url}",
                reason=job.reason or "",
                parked_at=job.finished_at or job.requested_at,
            )
            for job in jobs
        ]

    async def parked_count() -> int:
        async with store.read() as connection:
            return await count_parked_jobs(connection)

    async def release(job_id: UUID) -> bool:
        async with store.unit_of_work() as work:
            is_released = await ports.jobs.release(work, job_id)
            if is_released:
                work.after_commit(lambda: ports.wakers.wake(PROFILE_WORK))
        return is_released

    return JobQueue(PROFILE_WORK, parked, parked_count, release)


async def _close(ports: QualityPorts) -> None:
    await ports.profiler.close()
    await ports.holds.close()


def _takeover(store: Store, ports: QualityPorts) -> RecurringWork:
    return RecurringWork(
        "quality.takeover", TAKEOVER_SECONDS, partial(free_abandoned_jobs, store, ports), _nothing_pending
    )


async def _keep_house(store: Store, ports: QualityPorts, history_days: int) -> int:
    await prune_history(store, ports, days=history_days)
    async with store.unit_of_work() as work:
        await prune_idempotency_keys(work, IDEMPOTENCY)
    return await end_resolved_alerts(store, ports)


async def _nothing_pending() -> int:
    return 0
