"""Usage, built: the only place that makes its real objects."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

from services.usage.adapters.meter import WATCH_WORK, MetricsMeter
from services.usage.adapters.sql_intake import SqlDatasetNames, SqlIntake
from services.usage.adapters.sql_pending import datasets_due, rollups_unpublished, salts_of_closed_days
from services.usage.adapters.sql_tally import SqlTally
from services.usage.adapters.sql_watch import SqlAlertBook, SqlDailyUses, SqlWatch
from services.usage.commands import close_days, forget_old, publish_rollups, watch_use
from services.usage.domain.clients import ClientRules
from services.usage.domain.signals import SignalRules
from services.usage.entrypoints.api_hits import build_hits_api
from services.usage.entrypoints.api_use import build_use_api
from services.usage.handlers import COUNTING_HANDLERS, DIRECTORY_HANDLERS, LOOK_AFTER
from services.usage.migrations.tables import BUS, IDEMPOTENCY, KNOWN_DATASETS, METADATA, PRINCIPALS
from services.usage.ports import UsagePorts
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
    """The service, and its ports for whoever runs it or imports into it."""

    service: Service
    ports: UsagePorts


def bootstrap(
    settings: UsageSettings, *, database_url: str, clock: Clock, metrics: Metrics, is_watching: bool = True
) -> Usage:
    """Build usage. Nothing is opened yet; see :class:`shared.process.service.Service`.

    ``is_watching=False``: another process, a stream processor, looks for spikes and silence.
    """
    store = Store(
        database_url, service="usage", metadata=METADATA, tables=BUS, migrations=MIGRATIONS, clock=clock
    )
    ports = UsagePorts(
        clock=clock,
        datasets=KnownDatasets(KNOWN_DATASETS),
        principals=Principals(PRINCIPALS, is_cached=database_url.startswith("sqlite")),
        names=SqlDatasetNames(),
        intake=SqlIntake(),
        tally=SqlTally(),
        watch=SqlWatch(),
        uses=SqlDailyUses(),
        alerts=SqlAlertBook(),
        meter=MetricsMeter(metrics),
        clients=ClientRules(settings.crawler_patterns, settings.program_patterns),
        signal_rules=SignalRules(
            spike_factor=settings.spike_factor,
            spike_uses_min=settings.spike_uses_min,
            silence_days_min=settings.silence_days_min,
            silence_expected_uses_min=settings.silence_expected_uses_min,
            history_days_min=settings.history_days_min,
        ),
    )
    service = Service(
        name="usage",
        store=store,
        subscriptions=[
            Subscription(GROUPS["usage.directory"], bind(DIRECTORY_HANDLERS, ports)),
            Subscription(GROUPS["usage.counting"], bind(COUNTING_HANDLERS, ports)),
        ],
        routers=[build_hits_api(store, ports), build_use_api(store, ports)],
        works=[*_works(store, ports, settings), *([_watching(store, ports)] if is_watching else [])],
        open=partial(_close_days, store, ports),
    )
    return Usage(service, ports)


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
        from services.usage.adapters.rollup_stream import StreamPatience
        from services.usage.adapters.stream_runner import build_stream_runner
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
            ports=built.ports,
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
        Tokens(ground.signing_key, ground.clock), built.service.store, built.ports.principals
    )


def _works(store: Store, ports: UsagePorts, settings: UsageSettings) -> list[RecurringWork]:
    debounce = timedelta(seconds=settings.rollup_debounce_seconds)
    unpublished = partial(rollups_unpublished, store)
    publish = partial(publish_rollups, ports=ports, debounce=debounce)
    return [
        RecurringWork(
            "usage.publish", PUBLISH_SECONDS, partial(_do, store, publish, unpublished), unpublished
        ),
        RecurringWork(
            "usage.days",
            DAY_CHECK_SECONDS,
            partial(_mark_day, store, ports),
            partial(_to_close, store, ports),
        ),
        RecurringWork("usage.prune", HOUR_SECONDS, partial(_prune, store, ports), _nothing_pending),
    ]


def _watching(store: Store, ports: UsagePorts) -> RecurringWork:
    return RecurringWork(
        WATCH_WORK,
        WATCH_SECONDS,
        partial(_do, store, partial(watch_use, ports=ports), partial(_due_now, store, ports)),
        partial(_due_soon, store, ports),
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


async def _due_now(store: Store, ports: UsagePorts) -> int:
    return await datasets_due(store, ports.clock.now())


async def _due_soon(store: Store, ports: UsagePorts) -> int:
    return await datasets_due(store, ports.clock.now() + LOOK_AFTER)


async def _to_close(store: Store, ports: UsagePorts) -> int:
    return await salts_of_closed_days(store, ports.clock.now())


async def _close_days(store: Store, ports: UsagePorts) -> None:
    async with store.unit_of_work() as work:
        forgotten = await close_days(work, ports)
    if forgotten:
        await truncate_wal(store)


async def _mark_day(store: Store, ports: UsagePorts) -> int:
    await _close_days(store, ports)
    return 0


async def _prune(store: Store, ports: UsagePorts) -> int:
    async with store.unit_of_work() as work:
        await prune_idempotency_keys(work, IDEMPOTENCY)
        return await forget_old(work, ports)


async def _nothing_pending() -> int:
    return 0
