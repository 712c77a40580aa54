"""Quality, built: the only place that makes its real objects."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

from services.quality.alerts.api import build_alerts_api
from services.quality.alerts.commands import Alerting, end_resolved_alerts
from services.quality.alerts.repository import QualityAlertRepository
from services.quality.evaluation.api.quality import build_api
from services.quality.evaluation.commands.context import EvaluationContext
from services.quality.evaluation.commands.files import evaluate_files
from services.quality.evaluation.commands.housekeeping import prune_history
from services.quality.evaluation.commands.measuring import BASELINE_WORK, FRESHNESS_WORK, recheck_freshness
from services.quality.evaluation.commands.summarizing import summarize_first_harvests
from services.quality.evaluation.domain.freshness import BusinessCalendar
from services.quality.evaluation.pages import build_pages
from services.quality.evaluation.reader import count_due_checks, count_ready_harvests
from services.quality.evaluation.repository.dataset_quality import DatasetQualityRepository
from services.quality.evaluation.repository.first_harvests import FirstHarvestRepository
from services.quality.evaluation.repository.measurements import MeasurementRepository
from services.quality.handlers import DIRECTORY_HANDLERS, MEASURING_HANDLERS
from services.quality.migrations.tables import (
    DELIVERY,
    IDEMPOTENCY,
    KNOWN_DATASETS,
    METADATA,
    PRINCIPALS,
)
from services.quality.profiling.api import build_profiling_api
from services.quality.profiling.commands import (
    PROFILE_WORK,
    Profiling,
    free_abandoned_jobs,
    release_leases,
    release_parked_job,
)
from services.quality.profiling.domain.files import DataSource, ProfileLimits, Profiler
from services.quality.profiling.domain.jobs import ProfilingRules
from services.quality.profiling.duckdb.profiler import DuckDBProfiler
from services.quality.profiling.http import GuardedSource
from services.quality.profiling.reader import (
    count_due_jobs,
    count_parked_jobs,
    parked_jobs,
    postponed_jobs,
)
from services.quality.profiling.repository.holds import AloneHolds, LockedHolds
from services.quality.profiling.repository.jobs import ProfileJobRepository
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
    context: EvaluationContext
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
        database_url,
        service="quality",
        metadata=METADATA,
        tables=DELIVERY,
        migrations=MIGRATIONS,
        clock=clock,
    )
    is_alone = database_url.startswith("sqlite")
    profiling = Profiling(
        clock=clock,
        jobs=ProfileJobRepository(retries_until),
        holds=AloneHolds() if is_alone else LockedHolds(store),
        source=source or GuardedSource(_fetcher(settings, allowed_networks, allowed_ports)),
        profiler=profiler or DuckDBProfiler(clock=clock),
        metrics=metrics,
        limits=_limits(settings),
        rules=_rules(settings),
    )
    context = EvaluationContext(
        clock=clock,
        datasets=KnownDatasets(KNOWN_DATASETS),
        principals=Principals(PRINCIPALS, is_cached=is_alone),
        qualities=DatasetQualityRepository(),
        measurements=MeasurementRepository(),
        alerting=Alerting(QualityAlertRepository(), metrics),
        harvests=FirstHarvestRepository(),
        profiling=profiling,
        metrics=metrics,
        calendar=BusinessCalendar(holidays=settings.holidays),
        baseline_wait=timedelta(seconds=settings.baseline_wait_seconds),
    )
    service = Service(
        name="quality",
        store=store,
        subscriptions=[
            Subscription(GROUPS["quality.measuring"], bind(MEASURING_HANDLERS, context)),
            Subscription(GROUPS["quality.directory"], bind(DIRECTORY_HANDLERS, context)),
        ],
        routers=(
            build_api(store, context),
            build_alerts_api(store),
            build_profiling_api(profiling, upload_bytes_max=settings.upload_bytes_max),
            build_pages(store),
        ),
        works=_works(store, context, settings, retries_until),
        queues=(_queue(store, profiling),),
        open=partial(_take_up, store, profiling),
        close=partial(_close, profiling),
    )
    authenticator = TokenAuthenticator(Tokens(signing_key, clock), store, context.principals)
    return Quality(service, context, authenticator)


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


def _fetcher(
    settings: QualitySettings,
    allowed_networks: Sequence[Network] | None,
    allowed_ports: Collection[int] | None,
) -> GuardedFetcher:
    return GuardedFetcher(
        allowed_networks=settings.allowed_networks if allowed_networks is None else allowed_networks,
        allowed_ports=frozenset(settings.allowed_ports if allowed_ports is None else allowed_ports),
        timeout_seconds=settings.fetch_timeout_seconds,
        size_bytes_max=settings.file_bytes_max,
    )


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
    store: Store, context: EvaluationContext, settings: QualitySettings, retries_until: datetime | None
) -> list[RecurringWork]:
    async def jobs_due() -> int:
        async with store.read() as connection:
            return await count_due_jobs(
                connection,
                context.clock.now(),
                lease=context.profiling.rules.lease,
                retries_until=retries_until,
            )

    async def jobs_postponed() -> Postponed | None:
        async with store.read() as connection:
            return await postponed_jobs(connection)

    async def checks_due() -> int:
        async with store.read() as connection:
            return await count_due_checks(connection, context.clock.now())

    async def harvests_ready() -> int:
        async with store.read() as connection:
            return await count_ready_harvests(connection, context.clock.now() - context.baseline_wait)

    return [
        RecurringWork(
            PROFILE_WORK,
            LOOK_SECONDS,
            partial(evaluate_files, store, context),
            jobs_due,
            context.profiling.wake_signal.on_wake,
            is_divided=True,
            postponed=jobs_postponed,
        ),
        *([_takeover(store, context.profiling)] if store.is_shared else []),
        RecurringWork(
            FRESHNESS_WORK,
            LOOK_SECONDS,
            partial(recheck_freshness, store, context),
            checks_due,
        ),
        RecurringWork(
            BASELINE_WORK,
            LOOK_SECONDS,
            partial(summarize_first_harvests, store, context),
            harvests_ready,
            context.baseline_wake.on_wake,
        ),
        RecurringWork(
            "quality.housekeeping",
            HOUR_SECONDS,
            partial(_keep_house, store, context, settings.history_days),
            _nothing_pending,
        ),
    ]


def _queue(store: Store, profiling: Profiling) -> JobQueue:
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
        return await release_parked_job(store, profiling, job_id)

    return JobQueue(PROFILE_WORK, parked, parked_count, release)


async def _take_up(store: Store, profiling: Profiling) -> None:
    if not store.is_shared:
        # Whatever lease is left is that of a process that is gone.
        async with store.unit_of_work() as work:
            await release_leases(work, profiling)


async def _close(profiling: Profiling) -> None:
    await profiling.profiler.close()
    await profiling.holds.close()


def _takeover(store: Store, profiling: Profiling) -> RecurringWork:
    return RecurringWork(
        "quality.takeover", TAKEOVER_SECONDS, partial(free_abandoned_jobs, store, profiling), _nothing_pending
    )


async def _keep_house(store: Store, context: EvaluationContext, history_days: int) -> int:
    await prune_history(store, context, days=history_days)
    async with store.unit_of_work() as work:
        await prune_idempotency_keys(work, IDEMPOTENCY)
    return await end_resolved_alerts(store, context.alerting)


async def _nothing_pending() -> int:
    return 0
