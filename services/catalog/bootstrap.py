"""Catalog, built: the only place that makes its real objects."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from services.catalog.changes_feed.api.changes import Bell, build_changes_api
from services.catalog.changes_feed.commands import ChangesContext, ChangesUpkeep
from services.catalog.changes_feed.reader import ChangesReader
from services.catalog.changes_feed.repository import ChangesRepository
from services.catalog.datasets.api.datasets import build_datasets_api
from services.catalog.datasets.commands.context import DatasetContext
from services.catalog.datasets.commands.upkeep import DatasetUpkeep
from services.catalog.datasets.pages.routes import build_dataset_pages
from services.catalog.datasets.reader.datasets import DatasetReader
from services.catalog.datasets.repository.datasets import DatasetRepository
from services.catalog.datasets.repository.directory import DirectoryReplica
from services.catalog.datasets.repository.insights import InsightRepository
from services.catalog.dcat.domain.export import Installation
from services.catalog.dictionary.api import build_dictionary_api
from services.catalog.dictionary.commands import DictionaryContext, DictionaryWorker, dictionary_queue
from services.catalog.dictionary.repository import DictionaryFetchRepository
from services.catalog.exports.api import build_exports_api
from services.catalog.exports.reader import CatalogExports
from services.catalog.handlers import (
    CHANGES_HANDLERS,
    DIRECTORY_HANDLERS,
    ENRICHMENT_HANDLERS,
    CatalogContext,
)
from services.catalog.harvesting.api.harvests import build_harvests_api
from services.catalog.harvesting.commands.context import HarvestContext
from services.catalog.harvesting.commands.harvesting import HarvestLimits, HarvestWorker
from services.catalog.harvesting.commands.parked import harvest_queue
from services.catalog.harvesting.commands.upkeep import FeedUpkeep
from services.catalog.harvesting.files.storage import FileFeedStorage
from services.catalog.harvesting.pages import build_harvest_pages
from services.catalog.harvesting.postgresql import PostgreSQLFeedStorage
from services.catalog.harvesting.reader.directory_lag import DirectoryLag
from services.catalog.harvesting.reader.harvests import HarvestReader
from services.catalog.harvesting.repository import HarvestRepository
from services.catalog.migrations.tables import DELIVERY, METADATA, PRINCIPALS
from services.catalog.search.api.maintenance import build_maintenance_api
from services.catalog.search.api.search import build_search_api
from services.catalog.search.commands.deferred_index import DeferredIndex
from services.catalog.search.commands.indexing import IndexWorker
from services.catalog.search.commands.reconciling import ReconcileSchedule
from services.catalog.search.domain.cursor import SearchCursorCodec
from services.catalog.search.domain.index import CatalogIndex, CatalogIndexError
from services.catalog.search.elasticsearch.client import ElasticsearchSettings
from services.catalog.search.elasticsearch.index import ElasticsearchCatalogIndex
from services.catalog.search.pages.routes import build_search_pages
from services.catalog.search.reader.home import HomeReader
from services.catalog.search.reader.search import SearchReader
from services.catalog.search.repository import IndexBacklog
from services.catalog.search.tantivy.index import TantivyCatalogIndex
from services.catalog.settings import CatalogSettings
from shared.clock import Clock
from shared.consuming.handling import Subscription, bind
from shared.events.topics import GROUPS
from shared.http.downloads import Downloads
from shared.http.fetching import GuardedDownloads, GuardedFetcher
from shared.identity.principals import Authenticator, Principals, TokenAuthenticator
from shared.identity.signing_key import SigningKey
from shared.identity.tokens import Tokens
from shared.jobs.recurring_work import RecurringWork
from shared.jobs.wake_signal import WakeSignal
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
class CatalogReaders:
    """What pages and the API ask, each filtered by viewer."""

    datasets: DatasetReader
    searches: SearchReader
    home: HomeReader
    harvests: HarvestReader
    changes: ChangesReader


@dataclass(frozen=True, slots=True)
class Catalog:
    """The service, and what its runner needs beside it."""

    service: Service
    harvests: HarvestContext
    readers: CatalogReaders
    harvesting: HarvestWorker
    indexing: IndexWorker
    authenticator: Authenticator


@dataclass(frozen=True, slots=True)
class _Signals:
    """Tell waiting work that there is something to do."""

    indexing: WakeSignal
    harvesting: WakeSignal
    dictionaries: WakeSignal


@dataclass(frozen=True, slots=True)
class _Parts:
    """Everything that was built, before it is put together."""

    store: Store
    harvests: HarvestContext
    changes: ChangesContext
    readers: CatalogReaders
    index: DeferredIndex
    feeds: FileFeedStorage
    exports: CatalogExports
    harvesting: HarvestWorker
    indexing: IndexWorker
    directory_lag: DirectoryLag
    dictionaries: DictionaryWorker
    reconciling: ReconcileSchedule
    principals: Principals
    installation: Installation
    bell: Bell
    signals: _Signals


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
    downloads: Downloads | None = None,
    open_index: Callable[[], Awaitable[CatalogIndex]] | None = None,
) -> Catalog:
    """Build catalog. Nothing is opened yet; see :class:`shared.process.service.Service`.

    ``data_dir`` holds the index, feeds on their way and the exported catalog. ``fetcher_for`` makes the
    guarded fetcher for a size limit in bytes.
    """
    store = _store(database_url, clock)
    words = frozenset(settings.jurisdiction_words if jurisdiction_words is None else jurisdiction_words)
    signals = _Signals(WakeSignal(), WakeSignal(), WakeSignal())
    bell = Bell(LOOK_SECONDS) if store.is_shared else Bell()
    harvests = _contexts(store, words, signals)
    index = DeferredIndex(open_index or _index_opener(settings, data_dir / "index", signing_key))
    folder = data_dir / "feeds"
    feeds = PostgreSQLFeedStorage(folder, store) if store.is_shared else FileFeedStorage(folder)
    downloads = downloads or GuardedDownloads(
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
    indexing = IndexWorker(store, IndexBacklog(store), index, metrics, engine=engine)
    directory_lag = DirectoryLag()
    parts = _Parts(
        store=store,
        harvests=harvests,
        changes=ChangesContext(ChangesRepository(), bell.ring),
        readers=_readers(store, index),
        index=index,
        feeds=feeds,
        exports=CatalogExports(store, data_dir / "exports", installation),
        harvesting=HarvestWorker(store, harvests, feeds, downloads, directory_lag, metrics, limits),
        indexing=indexing,
        directory_lag=directory_lag,
        dictionaries=DictionaryWorker(store, harvests.dictionaries, downloads),
        reconciling=ReconcileSchedule(
            indexing,
            clock,
            delay=timedelta(seconds=MINUTE_SECONDS + secrets.randbelow(RECONCILE_SPREAD_SECONDS)),
            interval=timedelta(hours=settings.reconcile_hours),
        ),
        principals=Principals(PRINCIPALS, is_cached=database_url.startswith("sqlite")),
        installation=installation,
        bell=bell,
        signals=signals,
    )
    service = _service(parts, settings, is_alone=database_url.startswith("sqlite"))
    authenticator = TokenAuthenticator(Tokens(signing_key, clock), store, parts.principals)
    return Catalog(service, harvests, parts.readers, parts.harvesting, indexing, authenticator)


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


def _contexts(store: Store, jurisdiction_words: frozenset[str], signals: _Signals) -> HarvestContext:
    datasets = DatasetContext(
        datasets=DatasetRepository(jurisdiction_words),
        directory=DirectoryReplica(jurisdiction_words),
        insights=InsightRepository(),
        wake_indexing=signals.indexing.wake,
    )
    dictionaries = DictionaryContext(DictionaryFetchRepository(store), datasets, signals.dictionaries.wake)
    return HarvestContext(HarvestRepository(store), datasets, dictionaries, signals.harvesting.wake)


def _readers(store: Store, index: CatalogIndex) -> CatalogReaders:
    searches = SearchReader(store, index)
    return CatalogReaders(
        datasets=DatasetReader(store, searches.related),
        searches=searches,
        home=HomeReader(store, searches),
        harvests=HarvestReader(store),
        changes=ChangesReader(store),
    )


def _service(parts: _Parts, settings: CatalogSettings, *, is_alone: bool) -> Service:
    """Put the parts together; ``is_alone`` where no other process uses the same store."""
    store, harvests, readers = parts.store, parts.harvests, parts.readers

    async def open_all() -> None:
        if is_alone:
            # Whatever lease or half feed is left is that of a process that is gone.
            await harvests.harvests.release_leases()
            await asyncio.to_thread(parts.feeds.prepare, await harvests.harvests.awaited())
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
            Subscription(GROUPS["catalog.enrichment"], bind(ENRICHMENT_HANDLERS, harvests.datasets)),
            Subscription(GROUPS["catalog.directory"], bind(DIRECTORY_HANDLERS, parts.principals)),
            Subscription(
                GROUPS["catalog.changes"],
                bind(CHANGES_HANDLERS, CatalogContext(harvests.datasets, parts.changes)),
            ),
        ],
        routers=(
            build_search_api(readers.searches, readers.datasets),
            build_datasets_api(store, harvests.datasets, readers.datasets, parts.installation),
            build_dictionary_api(store, harvests.datasets, readers.datasets),
            build_exports_api(parts.exports),
            build_harvests_api(
                store, harvests, readers.harvests, parts.feeds, parts.installation, settings.feed_bytes_max
            ),
            build_changes_api(readers.changes, parts.bell),
            build_maintenance_api(parts.indexing),
            build_search_pages(readers.home, readers.searches, readers.datasets, parts.installation),
            build_dataset_pages(readers.datasets, parts.installation),
            build_harvest_pages(store, harvests, readers.harvests),
        ),
        works=_works(parts, timedelta(days=settings.changes_days)),
        queues=(harvest_queue(store, harvests), dictionary_queue(store, harvests.dictionaries)),
        open=open_all,
        close=close_all,
        on_log=parts.directory_lag.read_from,
        extra_metrics=(parts.indexing.measure,),
    )


def _works(parts: _Parts, changes_kept: timedelta) -> Sequence[RecurringWork]:
    harvesting, indexing, dictionaries = parts.harvesting, parts.indexing, parts.dictionaries
    upkeep = DatasetUpkeep(parts.store, parts.harvests.datasets)
    changes = ChangesUpkeep(parts.store, parts.changes, changes_kept)
    feeds = FeedUpkeep(parts.harvests.harvests, parts.feeds)
    signals = parts.signals
    return (
        RecurringWork(
            "catalog.harvest",
            2.0,
            harvesting.run_once,
            harvesting.pending,
            signals.harvesting.on_wake,
            is_divided=True,
        ),
        RecurringWork("catalog.index", 1.0, indexing.run_once, indexing.pending, signals.indexing.on_wake),
        RecurringWork(
            "catalog.dictionaries",
            30.0,
            dictionaries.run_once,
            dictionaries.pending,
            signals.dictionaries.on_wake,
        ),
        RecurringWork(
            "catalog.reconcile", MINUTE_SECONDS, parts.reconciling.run_once, parts.reconciling.pending
        ),
        RecurringWork("catalog.upkeep", HOUR_SECONDS, upkeep.run_once, upkeep.pending),
        RecurringWork("catalog.changes-upkeep", HOUR_SECONDS, changes.run_once, changes.pending),
        RecurringWork("catalog.feeds-upkeep", HOUR_SECONDS, feeds.run_once, feeds.pending),
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
