"""Catalog, built: the only place that makes its real objects."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from services.catalog.adapters.deferred_index import DeferredIndex
from services.catalog.adapters.downloads import GuardedDownloads
from services.catalog.adapters.elasticsearch_client import ElasticsearchSettings
from services.catalog.adapters.elasticsearch_index import ElasticsearchCatalogIndex
from services.catalog.adapters.export_files import ExportFiles
from services.catalog.adapters.feed_files import FeedFiles
from services.catalog.adapters.heard_directory import HeardDirectory
from services.catalog.adapters.shared_feeds import SharedFeeds
from services.catalog.adapters.sql_changes import SqlChangesFeed
from services.catalog.adapters.sql_datasets import SqlDatasetBook, SqlIndexLedger
from services.catalog.adapters.sql_harvests import SqlDictionaryQueue, SqlHarvestBook
from services.catalog.adapters.sql_reader import SqlCatalogReader
from services.catalog.adapters.sql_surroundings import SqlDirectoryCopy, SqlInsightBook
from services.catalog.adapters.tantivy_index import TantivyCatalogIndex
from services.catalog.commands.dictionaries import DictionaryWorker
from services.catalog.commands.harvesting import HarvestLimits, HarvestWorker
from services.catalog.commands.indexing import IndexWorker
from services.catalog.commands.parked_jobs import dictionary_queue, harvest_queue
from services.catalog.commands.reconciling import ReconcileSchedule
from services.catalog.commands.upkeep import Upkeep
from services.catalog.domain.cursor import SearchCursorCodec
from services.catalog.domain.dcat_export import Installation
from services.catalog.entrypoints.api_changes import Bell, build_changes_api
from services.catalog.entrypoints.api_datasets import build_datasets_api
from services.catalog.entrypoints.api_harvests import build_harvests_api
from services.catalog.entrypoints.api_maintenance import build_maintenance_api
from services.catalog.entrypoints.harvest_pages import build_harvest_pages
from services.catalog.entrypoints.pages import build_pages
from services.catalog.handlers import CHANGES_HANDLERS, DIRECTORY_HANDLERS, ENRICHMENT_HANDLERS
from services.catalog.migrations.tables import DELIVERY, METADATA, PRINCIPALS
from services.catalog.ports import CatalogIndex, CatalogIndexError, CatalogPorts, CatalogReader, Downloader
from services.catalog.settings import CatalogSettings
from shared.clock import Clock
from shared.consuming.handling import Subscription, bind
from shared.events.topics import GROUPS
from shared.http.fetching import GuardedFetcher
from shared.identity.principals import Authenticator, Principals, TokenAuthenticator
from shared.identity.signing_key import SigningKey
from shared.identity.tokens import Tokens
from shared.jobs.recurring_work import RecurringWork
from shared.process.context import ProcessContext, ServedService
from shared.process.service import Service
from shared.store.engine import Store
from shared.telemetry.metrics import Metrics

__all__ = ["Catalog", "bootstrap", "bootstrap_cluster", "build_for_cluster"]

MIGRATIONS = Path(__file__).parent / "migrations"
HOUR_SECONDS = 3_600.0
LOOK_SECONDS = 1.0
MINUTE_SECONDS = 60.0
RECONCILE_SPREAD_SECONDS = 240
"""Replicas that start together compare the index at different times within this."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """The service, and what its runner needs beside it."""

    service: Service
    ports: CatalogPorts
    reader: CatalogReader
    harvesting: HarvestWorker
    indexing: IndexWorker
    authenticator: Authenticator


@dataclass(slots=True)
class _Wakes:
    """Wakes that the runner hands over when it starts; until then there is nobody to wake."""

    wakes: dict[str, Callable[[], None]] = field(default_factory=dict)

    def given(self, name: str) -> Callable[[Callable[[], None]], None]:
        def take(wake: Callable[[], None]) -> None:
            self.wakes[name] = wake

        return take

    def waking(self, name: str) -> Callable[[], None]:
        def wake() -> None:
            if name in self.wakes:
                self.wakes[name]()

        return wake


@dataclass(frozen=True, slots=True)
class _Parts:
    """Everything that was built, before it is put together."""

    store: Store
    ports: CatalogPorts
    reader: CatalogReader
    index: DeferredIndex
    feeds: FeedFiles
    exports: ExportFiles
    harvesting: HarvestWorker
    indexing: IndexWorker
    heard: HeardDirectory
    dictionaries: DictionaryWorker
    upkeep: Upkeep
    reconciling: ReconcileSchedule
    principals: Principals
    installation: Installation
    bell: Bell
    wakes: _Wakes


def bootstrap(
    settings: CatalogSettings,
    *,
    data_dir: Path,
    database_url: str,
    clock: Clock,
    signing_key: SigningKey,
    metrics: Metrics,
    base_url: str,
    jurisdiction_words: Collection[str] | None = None,
    fetcher_for: Callable[[int], GuardedFetcher] | None = None,
    downloader: Downloader | None = None,
    open_index: Callable[[], Awaitable[CatalogIndex]] | None = None,
) -> Catalog:
    """Build catalog. Nothing is opened yet; see :class:`shared.process.service.Service`.

    ``data_dir`` holds the index, feeds on their way and the exported catalogue. ``fetcher_for`` makes the
    guarded fetcher for a size limit in bytes.
    """
    store = _store(database_url, clock)
    words = frozenset(settings.jurisdiction_words if jurisdiction_words is None else jurisdiction_words)
    wakes, bell = _Wakes(), Bell(LOOK_SECONDS) if store.is_shared else Bell()
    ports = _ports(store, clock, words, wakes, bell)
    index = DeferredIndex(open_index or _index_opener(settings, data_dir / "index", signing_key))
    feeds = SharedFeeds(data_dir / "feeds", store) if store.is_shared else FeedFiles(data_dir / "feeds")
    downloads = downloader or GuardedDownloads(
        fetcher_for or (lambda size_bytes: GuardedFetcher(size_bytes_max=size_bytes))
    )
    limits = HarvestLimits(
        records_per_batch=settings.records_per_batch,
        lease_seconds=settings.harvest_lease_seconds,
        feed_bytes_max=settings.feed_bytes_max,
    )
    installation = Installation(
        base_url, settings.title, settings.publisher_name, settings.contact_name, settings.contact_email
    )
    engine = "elasticsearch" if settings.elasticsearch_urls else "tantivy"
    indexing = IndexWorker(store, SqlIndexLedger(store), index, clock, metrics, engine=engine)
    heard = HeardDirectory()
    parts = _Parts(
        store=store,
        ports=ports,
        reader=SqlCatalogReader(store, index, clock),
        index=index,
        feeds=feeds,
        exports=ExportFiles(store, data_dir / "exports", installation),
        harvesting=HarvestWorker(store, ports, feeds, downloads, heard, metrics, limits),
        indexing=indexing,
        heard=heard,
        dictionaries=DictionaryWorker(store, ports, downloads),
        upkeep=Upkeep(store, ports, feeds, timedelta(days=settings.changes_days)),
        reconciling=ReconcileSchedule(
            indexing,
            clock,
            delay=timedelta(seconds=MINUTE_SECONDS + secrets.randbelow(RECONCILE_SPREAD_SECONDS)),
            interval=timedelta(hours=settings.reconcile_hours),
        ),
        principals=Principals(PRINCIPALS, is_cached=database_url.startswith("sqlite")),
        installation=installation,
        bell=bell,
        wakes=wakes,
    )
    service = _service(parts, settings, is_alone=database_url.startswith("sqlite"))
    authenticator = TokenAuthenticator(Tokens(signing_key, clock), store, parts.principals)
    return Catalog(service, ports, parts.reader, parts.harvesting, parts.indexing, authenticator)


def build_for_cluster(ground: ProcessContext) -> Catalog:
    """Build catalog for a process of its own, by the settings of its environment."""
    return bootstrap(
        CatalogSettings(),
        data_dir=ground.settings.data_dir,
        database_url=ground.settings.database_url_of("catalog"),
        clock=ground.clock,
        signing_key=ground.signing_key,
        metrics=ground.metrics,
        base_url=ground.http.base_url,
        fetcher_for=ground.fetcher,
    )


def bootstrap_cluster(ground: ProcessContext) -> ServedService:
    """Return what an api or a worker needs of it."""
    built = build_for_cluster(ground)
    return ServedService(built.service, built.authenticator)


def _store(database_url: str, clock: Clock) -> Store:
    return Store(
        database_url,
        service="catalog",
        metadata=METADATA,
        tables=DELIVERY,
        migrations=MIGRATIONS,
        clock=clock,
    )


def _ports(
    store: Store, clock: Clock, jurisdiction_words: frozenset[str], wakes: _Wakes, bell: Bell
) -> CatalogPorts:
    return CatalogPorts(
        clock=clock,
        datasets=SqlDatasetBook(jurisdiction_words),
        directory=SqlDirectoryCopy(jurisdiction_words),
        insights=SqlInsightBook(),
        harvests=SqlHarvestBook(store),
        dictionaries=SqlDictionaryQueue(store),
        changes=SqlChangesFeed(store),
        wake_indexing=wakes.waking("index"),
        wake_harvesting=wakes.waking("harvest"),
        wake_dictionaries=wakes.waking("dictionaries"),
        wake_readers=bell.ring,
    )


def _service(parts: _Parts, settings: CatalogSettings, *, is_alone: bool) -> Service:
    """Put the parts together; ``is_alone`` where no other process uses the same store."""
    store, ports, reader = parts.store, parts.ports, parts.reader

    async def open_all() -> None:
        if is_alone:
            # Whatever lease or half feed is left is that of a process that is gone.
            await ports.harvests.release_leases()
            await asyncio.to_thread(parts.feeds.prepare, await ports.harvests.awaited())
        else:
            await asyncio.to_thread(parts.feeds.make_folder)
        await parts.index.open()

    async def close_all() -> None:
        parts.bell.close()
        await parts.harvesting.close()
        await parts.index.close()

    return Service(
        name="catalog",
        store=store,
        subscriptions=[
            Subscription(GROUPS["catalog.enrichment"], bind(ENRICHMENT_HANDLERS, ports)),
            Subscription(GROUPS["catalog.directory"], bind(DIRECTORY_HANDLERS, parts.principals)),
            Subscription(GROUPS["catalog.changes"], bind(CHANGES_HANDLERS, ports)),
        ],
        routers=(
            build_datasets_api(store, ports, reader, parts.exports, parts.installation),
            build_harvests_api(
                store, ports, reader, parts.feeds, parts.installation, settings.feed_bytes_max
            ),
            build_changes_api(ports.changes, parts.bell),
            build_maintenance_api(parts.indexing),
            build_pages(reader, parts.installation),
            build_harvest_pages(store, ports, reader),
        ),
        works=_works(parts),
        queues=(harvest_queue(store, ports), dictionary_queue(store, ports)),
        open=open_all,
        close=close_all,
        on_log=parts.heard.hear_from,
        extra_metrics=(parts.indexing.measure,),
    )


def _works(parts: _Parts) -> Sequence[RecurringWork]:
    harvesting, indexing, dictionaries = parts.harvesting, parts.indexing, parts.dictionaries
    given = parts.wakes.given
    return (
        RecurringWork(
            "catalog.harvest",
            2.0,
            harvesting.run_once,
            harvesting.pending,
            given("harvest"),
            is_divided=True,
        ),
        RecurringWork("catalog.index", 1.0, indexing.run_once, indexing.pending, given("index")),
        RecurringWork(
            "catalog.dictionaries",
            30.0,
            dictionaries.run_once,
            dictionaries.pending,
            given("dictionaries"),
        ),
        RecurringWork(
            "catalog.reconcile", MINUTE_SECONDS, parts.reconciling.run_once, parts.reconciling.pending
        ),
        RecurringWork("catalog.upkeep", HOUR_SECONDS, parts.upkeep.run_once, parts.upkeep.pending),
    )


def _index_opener(
    settings: CatalogSettings, folder: Path, signing_key: SigningKey
) -> Callable[[], Awaitable[CatalogIndex]]:
    """Elasticsearch where its address is set, else tantivy in ``folder``."""
    codec = SearchCursorCodec(signing_key.derive("search-cursors").hex())

    async def open_tantivy() -> CatalogIndex:
        return await TantivyCatalogIndex.open(folder, codec=codec)

    async def open_elasticsearch() -> CatalogIndex:
        return _elasticsearch_index(settings, codec)

    return open_elasticsearch if settings.elasticsearch_urls else open_tantivy


def _elasticsearch_index(settings: CatalogSettings, codec: SearchCursorCodec) -> CatalogIndex:
    reached = ElasticsearchSettings(
        urls=settings.elasticsearch_urls,
        index_prefix=settings.elasticsearch_index_prefix,
        username=settings.elasticsearch_username or None,
        password=settings.elasticsearch_password.get_secret_value() or None,
        api_key=settings.elasticsearch_api_key.get_secret_value() or None,
        ca_file=settings.elasticsearch_ca_file,
        timeout_seconds=settings.elasticsearch_timeout_seconds,
    )
    try:
        return ElasticsearchCatalogIndex(reached, codec=codec)
    except ModuleNotFoundError as error:
        told = "NUTMEG_CATALOG_ELASTICSEARCH_URL is set, but the client is not installed"
        raise CatalogIndexError(f"{told}: install nutmeg[cluster].") from error
