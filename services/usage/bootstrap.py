"""Usage, built: the only place that makes its real objects."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

from services.usage.anomalies.commands import (
    LOOK_AFTER,
    WATCH_WORK,
    AnomalyDetection,
    detect_anomalies,
    forget_alerts,
)
from services.usage.anomalies.domain.signals import SignalRules
from services.usage.anomalies.reader import datasets_due
from services.usage.anomalies.repository import AnomalyMonitor, CountedDailyUses, UsageAlertRepository
from services.usage.counts.api import build_use_api
from services.usage.counts.commands import Counting, forget_counts, mark_today, publish_rollups
from services.usage.counts.domain.clients import ClientRules
from services.usage.counts.reader import rollups_unpublished
from services.usage.counts.repository import CountRepository
from services.usage.handlers import COUNTING_HANDLERS, DIRECTORY_HANDLERS, UsageContext
from services.usage.hits.api import build_hits_api
from services.usage.hits.commands import HitRecording, forget_hits, forget_salts
from services.usage.hits.reader import salts_of_closed_days
from services.usage.hits.repository import DatasetNames, HitRegistry
from services.usage.migrations.tables import (
    DELIVERY,
    IDEMPOTENCY,
    KNOWN_DATASETS,
    METADATA,
    PRINCIPALS,
)
from services.usage.settings import UsageSettings, UsageStreamSettings
from shared.clock import Clock
from shared.consuming.handling import Subscription, bind
from shared.datasets.read_model import KnownDatasets
from shared.events.topics import GROUPS
from shared.http.idempotency import prune_idempotency_keys
from shared.identity.principals import Principals, TokenAuthenticator
from shared.identity.tokens import Tokens
from shared.jobs.recurring_work import RecurringWork
from shared.log.kafka.settings import KafkaSettings
from shared.process.context import ProcessContext, ServedService, SettingMissingError
from shared.process.service import Service
from shared.store.engine import Store
from shared.store.unit_of_work import UnitOfWork
from shared.store.wal_truncation import truncate_wal
from shared.telemetry.delivery_metrics import PrometheusDeliveryMetrics
from shared.telemetry.metrics import Metrics

__all__ = ["Usage", "bootstrap", "bootstrap_cluster", "bootstrap_stream"]

MIGRATIONS = Path(__file__).parent / "migrations"
PUBLISH_SECONDS = 0.5
WATCH_SECONDS = 1.0
DAY_CHECK_SECONDS = 2.0
HOUR_SECONDS = 3_600.0


@dataclass(frozen=True, slots=True)
class Usage:
    """The service, and what it works with, for whoever runs it or imports into it."""

    service: Service
    context: UsageContext


def bootstrap(
    settings: UsageSettings, *, database_url: str, clock: Clock, metrics: Metrics, is_watching: bool = True
) -> Usage:
    """Build usage. Nothing is opened yet; see :class:`shared.process.service.Service`.

    ``is_watching=False``: another process, a stream processor, looks for spikes and silence.
    """
    store = Store(
        database_url, service="usage", metadata=METADATA, tables=DELIVERY, migrations=MIGRATIONS, clock=clock
    )
    context = UsageContext(
        datasets=KnownDatasets(KNOWN_DATASETS),
        principals=Principals(PRINCIPALS, is_cached=database_url.startswith("sqlite")),
        hits=HitRecording(
            clock=clock,
            names=DatasetNames(),
            registry=HitRegistry(),
            clients=ClientRules(settings.crawler_patterns, settings.program_patterns),
            metrics=metrics,
        ),
        counting=Counting(clock, CountRepository(), metrics),
        detection=AnomalyDetection(
            clock=clock,
            monitor=AnomalyMonitor(),
            uses=CountedDailyUses(),
            alerts=UsageAlertRepository(),
            rules=_signal_rules(settings),
            metrics=metrics,
        ),
    )
    service = Service(
        name="usage",
        store=store,
        subscriptions=[
            Subscription(GROUPS["usage.directory"], bind(DIRECTORY_HANDLERS, context)),
            Subscription(GROUPS["usage.counting"], bind(COUNTING_HANDLERS, context)),
        ],
        routers=[build_hits_api(store, context.hits), build_use_api(store, clock)],
        works=[
            *_works(store, context, settings),
            *([_watching(store, context.detection)] if is_watching else []),
        ],
        open=partial(_close_days, store, context),
    )
    return Usage(service, context)


def _signal_rules(settings: UsageSettings) -> SignalRules:
    return SignalRules(
        spike_factor=settings.spike_factor,
        spike_uses_min=settings.spike_uses_min,
        silence_days_min=settings.silence_days_min,
        silence_expected_uses_min=settings.silence_expected_uses_min,
        history_days_min=settings.history_days_min,
    )


def bootstrap_cluster(ground: ProcessContext) -> ServedService:
    """Build usage for an api or worker of its own, by the settings of its environment."""
    built = _built_for_cluster(ground)
    return ServedService(built.service, _authenticator(ground, built))


def bootstrap_stream(ground: ProcessContext) -> ServedService:
    """Build usage's stream processor, by the settings of its environment.

    Raises ``SettingMissingError`` where Faust is not installed.
    """
    # Imported here: an installation without a cluster does not have Faust.
    try:
        from services.usage.anomalies.faust.rollup_stream import StreamPatience
        from services.usage.anomalies.faust.stream_runner import build_stream_runner
    except ModuleNotFoundError as error:
        raise SettingMissingError("Faust is not installed: install nutmeg[cluster]") from error
    built, settings = _built_for_cluster(ground), UsageStreamSettings()
    store = built.service.store
    return ServedService(
        replace(built.service, subscriptions=[], routers=[], works=[]),
        _authenticator(ground, built),
        partial(
            build_stream_runner,
            store=store,
            detection=built.context.detection,
            kafka=KafkaSettings(),
            patience=StreamPatience(settings.records_max, settings.gather_seconds),
            fresh_seconds=settings.fresh_seconds,
            folder=ground.settings.data_dir / "stream",
            bus_metrics=PrometheusDeliveryMetrics(ground.metrics),
            watching=partial(_watching, store),
        ),
    )


def _built_for_cluster(ground: ProcessContext) -> Usage:
    return bootstrap(
        UsageSettings(),
        database_url=ground.settings.database_url_of("usage"),
        clock=ground.clock,
        metrics=ground.metrics,
        is_watching=False,
    )


def _authenticator(ground: ProcessContext, built: Usage) -> TokenAuthenticator:
    return TokenAuthenticator(
        Tokens(ground.signing_key, ground.clock), built.service.store, built.context.principals
    )


def _works(store: Store, context: UsageContext, settings: UsageSettings) -> list[RecurringWork]:
    debounce = timedelta(seconds=settings.rollup_debounce_seconds)
    unpublished = partial(rollups_unpublished, store)
    publish = partial(publish_rollups, counting=context.counting, debounce=debounce)
    return [
        RecurringWork(
            "usage.publish", PUBLISH_SECONDS, partial(_do, store, publish, unpublished), unpublished
        ),
        RecurringWork(
            "usage.days",
            DAY_CHECK_SECONDS,
            partial(_mark_day, store, context),
            partial(_to_close, store, context.hits),
        ),
        RecurringWork("usage.prune", HOUR_SECONDS, partial(_prune, store, context), _nothing_pending),
    ]


def _watching(store: Store, detection: AnomalyDetection) -> RecurringWork:
    return RecurringWork(
        WATCH_WORK,
        WATCH_SECONDS,
        partial(
            _do, store, partial(detect_anomalies, detection=detection), partial(_due_now, store, detection)
        ),
        partial(_due_soon, store, detection),
        # Each replica takes rows that it locks; of a stream, those whose uses it has.
        is_divided=True,
    )


async def _do(
    store: Store,
    command: Callable[[UnitOfWork], Awaitable[int]],
    pending: Callable[[], Awaitable[int]],
) -> int:
    """Run a command in a transaction, unless a look without one shows that there is nothing to do."""
    if not await pending():
        return 0
    async with store.unit_of_work() as work:
        return await command(work)


async def _due_now(store: Store, detection: AnomalyDetection) -> int:
    return await datasets_due(store, detection.clock.now())


async def _due_soon(store: Store, detection: AnomalyDetection) -> int:
    return await datasets_due(store, detection.clock.now() + LOOK_AFTER)


async def _to_close(store: Store, recording: HitRecording) -> int:
    return await salts_of_closed_days(store, recording.clock.now())


async def _close_days(store: Store, context: UsageContext) -> None:
    async with store.unit_of_work() as work:
        await mark_today(work, context.counting)
        forgotten = await forget_salts(work, context.hits)
    if forgotten:
        await truncate_wal(store)


async def _mark_day(store: Store, context: UsageContext) -> int:
    await _close_days(store, context)
    return 0


async def _prune(store: Store, context: UsageContext) -> int:
    async with store.unit_of_work() as work:
        await prune_idempotency_keys(work, IDEMPOTENCY)
        gone = await forget_hits(work, context.hits)
        gone += await forget_counts(work, context.counting)
        return gone + await forget_alerts(work, context.detection)


async def _nothing_pending() -> int:
    return 0
