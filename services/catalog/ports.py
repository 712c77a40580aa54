"""What catalog needs from the outside, as roles. Each has more than one adapter and one conformance suite."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Protocol
from uuid import UUID

from services.catalog.domain.condition import OpenAlerts
from services.catalog.domain.dcat_us import ParsedRecord, SourceDefaults
from services.catalog.domain.entry import CatalogEntry, Surroundings
from services.catalog.domain.feed_changes import FeedLine, NewFeedLine
from services.catalog.domain.harvest import KnownRecord
from services.catalog.domain.harvest_job import HarvestJob, HarvestSource
from services.catalog.domain.records import (
    DictionaryFetch,
    Download,
    ExpectedDocument,
    LastReconcile,
    UseRecord,
)
from services.catalog.domain.search import (
    IndexedRevision,
    IndexStatus,
    RebuildReport,
    SearchDocument,
    SearchPage,
    SearchQuery,
    Suggestion,
    UpsertOutcome,
    ViewerScope,
)
from services.catalog.domain.source_choice import SourceMatch
from services.catalog.domain.views import (
    AgencyView,
    DatasetView,
    HarvestView,
    HomeView,
    RetiredView,
    SearchView,
    ThemeTile,
)
from shared.clock import Clock
from shared.errors import NutmegError
from shared.events.alerts import AlertState
from shared.events.catalog import DatasetState, RejectedRecord
from shared.events.governance import AgencyState, StewardshipState
from shared.events.notify import Delivery
from shared.events.quality import Measurement
from shared.identity.viewer import Viewer
from shared.store.unit_of_work import UnitOfWork


class CatalogIndexError(Exception):
    """The index failed, not the caller: retry later. ``__cause__`` holds the engine's own error."""


class IndexLockedError(CatalogIndexError):
    """Another process writes to this index. Stop it, or send the change through it."""


class CatalogIndex(Protocol):
    """The search index of the catalogue. It can always be rebuilt from catalog's own rows.

    Every method may raise :class:`CatalogIndexError` when the engine is out of reach. Recall is the engine's;
    words, order, highlights and cursors are the domain's, so that every engine answers alike.
    """

    async def upsert(self, documents: Sequence[SearchDocument]) -> list[UpsertOutcome]:
        """Write documents; one outcome each, in the order given. On return they are kept and searchable.

        A document is applied only if its revision is above the held one, also within one call. To take a
        dataset out of view, write it with ``hidden`` true.
        """

    async def purge(self, dataset_ids: Sequence[UUID]) -> int:
        """Forget these documents with their revisions; the number that was held. For reconcile only."""

    async def search(self, query: SearchQuery) -> SearchPage:
        """One page. Raises :class:`~services.catalog.domain.search.InvalidSearchError` for a bad cursor."""

    async def suggest(self, prefix: str, viewer: ViewerScope, size: int = 8) -> tuple[Suggestion, ...]:
        """Titles that a viewer may see with words that begin like those typed; at most ``size`` (1..20)."""

    async def count(self, *, hidden: bool = False) -> int:
        """Documents that can be found by someone; with ``hidden`` true, the hidden ones instead."""

    def scan(self) -> AsyncIterator[IndexedRevision]:
        """Every held document, in no order, from one moment's view of the index."""

    async def rebuild(self, documents: AsyncIterator[SearchDocument]) -> RebuildReport:
        """Build a new index aside from ``documents``, then swap. The old one answers until then.

        Documents upserted or purged meanwhile are carried over. If anything raises, the old index stays.
        """

    async def status(self) -> IndexStatus:
        """Health of the index, for readiness and for deciding on a rebuild at start."""

    async def close(self) -> None:
        """Release files, locks and connections. Nothing that was answered is lost."""


class CatalogReader(Protocol):
    """Reads for pages and the API. Every answer holds only what the given viewer may see.

    Raises ``TransientError`` when the store, and :class:`CatalogIndexError` when the index is away.
    """

    async def home(self, viewer: Viewer) -> HomeView:
        """What the home page shows."""

    async def search(self, query: SearchQuery, viewer: Viewer) -> SearchView:
        """One page of results; ``query.viewer`` is replaced by the scope of ``viewer``.

        Raises :class:`~services.catalog.domain.search.InvalidSearchError` for a bad cursor.
        """

    async def suggest(self, prefix: str, viewer: Viewer, size: int = 8) -> tuple[Suggestion, ...]:
        """Titles that begin like the words typed."""

    async def dataset(self, dataset_id: UUID, viewer: Viewer) -> DatasetView | RetiredView | None:
        """A dataset page; None for an unknown and for a hidden dataset alike."""

    async def agencies(self, viewer: Viewer) -> tuple[AgencyView, ...]:
        """Every agency by name, with its number of datasets."""

    async def themes(self, viewer: Viewer) -> tuple[ThemeTile, ...]:
        """Every theme in use by name, with its number of datasets."""

    async def harvests(self, limit: int = 50) -> tuple[HarvestView, ...]:
        """The latest harvests, newest first, without rejections. The caller checks the right to see them."""

    async def harvest(self, harvest_id: UUID) -> HarvestView | None:
        """One harvest with its rejections. The caller checks the right to see it."""


class DatasetBook(Protocol):
    """Keeps the catalogue's datasets. Everything happens inside the given unit of work."""

    async def known(
        self, work: UnitOfWork, source_id: str, identifiers: Collection[str]
    ) -> dict[str, KnownRecord]:
        """What is remembered of the source's datasets with these identifiers, former ones included."""

    async def locked(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> dict[UUID, CatalogEntry]:
        """The entries of these ids, under a row lock; unknown ids are left out."""

    async def put(self, work: UnitOfWork, entries: Sequence[CatalogEntry]) -> None:
        """Write entries, new ones too, each under its identifier, and raise the catalogue's revision.

        Whatever has a ``document_revision`` above the indexed one is indexed soon after the commit.
        """

    async def live_identifiers(self, work: UnitOfWork, source_id: str) -> list[str]:
        """Identifiers of the source's datasets that are not retired."""

    async def ids_touched_by(
        self,
        work: UnitOfWork,
        *,
        publishers: Collection[str] = (),
        agency_ids: Collection[UUID] = (),
        identifiers: Collection[str] = (),
    ) -> list[UUID]:
        """Datasets with one of these publisher names (in any spelling), agencies or identifiers."""

    async def note_quality(self, work: UnitOfWork, scores: Mapping[UUID, float | None]) -> None:
        """Write scores; a revision rises only where the score differs in its second decimal."""

    async def note_freshness(self, work: UnitOfWork, found: Mapping[UUID, tuple[str, str]]) -> None:
        """Write status and reason; a revision rises only where the status differs."""

    async def note_use(self, work: UnitOfWork, uses: Mapping[UUID, int]) -> int:
        """Write uses of 30 days; a revision rises only where the popularity bucket differs.

        Returns how many datasets show another number now.
        """

    async def lock(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> None:
        """Let nobody else write these datasets before the end of the transaction."""
        ...

    async def note_alerts(self, work: UnitOfWork, found: Mapping[UUID, OpenAlerts | None]) -> None:
        """Write what alerts are open; a revision rises only where that differs. The rows must be locked."""
        ...

    async def retired_before(self, work: UnitOfWork, moment: datetime, limit: int) -> list[CatalogEntry]:
        """Entries retired before ``moment`` whose key has not been ended on the topic yet."""

    async def mark_ended(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> None:
        """Remember that the keys of these datasets have been ended by a tombstone."""


class DirectoryCopy(Protocol):
    """What catalog remembers of governance: agencies with their spellings, and stewardships."""

    async def surroundings(self, work: UnitOfWork, states: Collection[DatasetState]) -> Surroundings:
        """All that bears on these datasets, in a bounded number of statements."""

    async def put_agencies(self, work: UnitOfWork, agencies: Sequence[AgencyState]) -> None:
        """Write agencies with all their spellings."""

    async def forget_agencies(self, work: UnitOfWork, agency_ids: Collection[UUID]) -> None:
        """Delete agencies."""

    async def put_stewardships(self, work: UnitOfWork, stewardships: Sequence[StewardshipState]) -> None:
        """Write stewardships."""

    async def forget_stewardships(self, work: UnitOfWork, identifiers: Collection[str]) -> None:
        """Delete stewardships."""


class DirectoryNews(Protocol):
    """Whether the directory has said more than is known here yet."""

    async def unheard(self) -> int:
        """How many changes, at most, are still to come. Raises ``TransientError`` while the log is away."""


class InsightBook(Protocol):
    """What catalog remembers of quality and usage, for its pages."""

    async def put_measurements(self, work: UnitOfWork, measurements: Sequence[Measurement]) -> None:
        """Write the latest measurement of each dataset and kind."""

    async def forget_measurements(self, work: UnitOfWork, keys: Collection[tuple[UUID, str]]) -> None:
        """Delete measurements by dataset and kind."""

    async def put_alerts(self, work: UnitOfWork, alerts: Sequence[AlertState]) -> None:
        """Keep those that are open, and forget those that are resolved."""
        ...

    async def forget_alerts(self, work: UnitOfWork, alert_ids: Collection[UUID]) -> None:
        """Forget alerts."""
        ...

    async def note_deliveries(self, work: UnitOfWork, deliveries: Sequence[Delivery], *, sent: bool) -> None:
        """Note that messages about alerts arrived, or failed for good."""
        ...

    async def prune_deliveries(self, work: UnitOfWork, before: datetime) -> None:
        """Forget what became of messages before a moment, where the alert is no longer open."""
        ...

    async def datasets_of_alerts(self, work: UnitOfWork, alert_ids: Collection[UUID]) -> set[UUID]:
        """Return the datasets that these alerts are open on."""
        ...

    async def open_alerts(
        self, work: UnitOfWork, dataset_ids: Collection[UUID]
    ) -> dict[UUID, OpenAlerts | None]:
        """Return what is open on each of these datasets."""
        ...

    async def put_days(self, work: UnitOfWork, days: Sequence[UseRecord]) -> None:
        """Write the absolute counts of whole days."""

    async def uses_since(
        self, work: UnitOfWork, first_day: date, dataset_ids: Collection[UUID] | None = None
    ) -> dict[UUID, int]:
        """Uses since ``first_day`` of these datasets, or of all that ever were used."""


class HarvestBook(Protocol):
    """Keeps sources and harvest jobs."""

    async def source(self, work: UnitOfWork, source_id: str) -> HarvestSource | None:
        """A source by its id."""

    async def put_source(self, work: UnitOfWork, source: HarvestSource) -> None:
        """Write a source."""

    async def source_at(self, work: UnitOfWork, url: str) -> str | None:
        """The source that was harvested from this address last."""

    async def sources_with(self, work: UnitOfWork, titles: Mapping[str, str]) -> list[SourceMatch]:
        """Sources that know some of these identifiers, given with their titles."""

    async def live_count(self, work: UnitOfWork, source_id: str) -> int:
        """How many datasets of a source are not retired."""

    async def job(self, work: UnitOfWork, harvest_id: UUID) -> HarvestJob | None:
        """A job, under a row lock."""

    async def put_job(
        self, work: UnitOfWork, job: HarvestJob, rejections: Sequence[RejectedRecord] = ()
    ) -> None:
        """Write a job, and add rejections to those that it has."""

    async def next_job(self, work: UnitOfWork, now: datetime) -> HarvestJob | None:
        """The oldest queued job, or a running one whose lease is over, under a row lock."""

    async def rejections(self, work: UnitOfWork, harvest_id: UUID, limit: int) -> list[RejectedRecord]:
        """The first rejections of a job, in the order of the feed."""

    async def has_completed(self, work: UnitOfWork, source_id: str) -> bool:
        """Whether a harvest of this source was ever completed."""

    async def is_superseded(self, work: UnitOfWork, job: HarvestJob) -> bool:
        """Whether the same source was asked for again after this job."""

    async def open_count(self) -> int:
        """Jobs that are queued or running."""

    async def parked(self, limit: int) -> list[HarvestJob]:
        """The jobs that were parked last and are not superseded."""

    async def parked_count(self) -> int:
        """How many are parked and not superseded."""

    async def release_leases(self) -> None:
        """Give up every lease: for the start of a process that knows itself to be the only worker."""

    async def awaited(self) -> set[UUID]:
        """Jobs whose feed is still needed: queued, running, or held or parked and not superseded."""


class DictionaryQueue(Protocol):
    """Data dictionaries to fetch, one per dataset."""

    async def ask(self, work: UnitOfWork, wanted: Mapping[UUID, str]) -> None:
        """Fetch the dictionary of each dataset from its address, soon; again where it was fetched before."""

    async def due(self, now: datetime, limit: int) -> list[DictionaryFetch]:
        """Fetches that are due."""

    async def due_count(self, now: datetime) -> int:
        """How many are due."""

    async def parked(self, limit: int) -> list[DictionaryFetch]:
        """The fetches that were parked last."""

    async def parked_count(self) -> int:
        """How many are parked."""

    async def release(self, work: UnitOfWork, dataset_id: UUID) -> bool:
        """Make a parked fetch due, as if nobody had tried it; false if there is none."""

    async def put(self, work: UnitOfWork, fetch: DictionaryFetch) -> None:
        """Write what came of a fetch."""


class ChangesFeed(Protocol):
    """The numbered changes that outside services read."""

    async def append(self, work: UnitOfWork, lines: Sequence[NewFeedLine]) -> None:
        """Number and write lines. Numbers become visible in order, without gaps."""

    async def read(
        self,
        viewer: Viewer,
        *,
        after: int,
        limit: int,
        event_type: str | None = None,
        dataset_id: UUID | None = None,
    ) -> list[FeedLine]:
        """The next lines after a number that ``viewer`` may see now, oldest first."""

    async def last_sequence(self) -> int:
        """The highest number given out, also when its line is no longer kept; 0 before the first."""

    async def first_sequence(self) -> int:
        """The number of the oldest line that is kept, or of the next one where none is."""

    async def prune(self, work: UnitOfWork, before: datetime) -> int:
        """Delete lines from before a moment, and return how many."""


class IndexLedger(Protocol):
    """Which entries the index has still to learn of, and which revisions it ought to hold."""

    async def dirty(self, limit: int) -> list[SearchDocument]:
        """Documents of entries whose revision is above the indexed one."""

    async def dirty_count(self) -> int:
        """How many there are."""

    async def mark_indexed(self, work: UnitOfWork, revisions: Mapping[UUID, int]) -> None:
        """Remember that the index holds these revisions. An entry that changed since stays dirty."""

    async def mark_dirty(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> None:
        """Have these entries indexed again."""

    def documents(self) -> AsyncIterator[SearchDocument]:
        """The document of every entry, for a rebuild."""

    async def expected(self, dataset_ids: Collection[UUID]) -> dict[UUID, ExpectedDocument]:
        """What the index ought to hold of these entries; unknown ids are left out."""

    async def expected_after(self, after: UUID | None, limit: int) -> dict[UUID, ExpectedDocument]:
        """The same of the next entries in the order of their ids; empty at the end."""

    async def last_reconcile(self) -> LastReconcile | None:
        """What the last comparison found; None before the first."""

    async def note_reconcile(self, work: UnitOfWork, found: LastReconcile) -> None:
        """Keep what a comparison found in place of the one before."""


class FeedError(NutmegError):
    """A feed or a dictionary cannot be used; the message says why, and the cure, in plain words.

    ``is_permanent`` tells that trying again without a change is of no use.
    """

    def __init__(self, message: str, *, is_permanent: bool = False) -> None:
        super().__init__(message)
        self.is_permanent = is_permanent


class Feed(Protocol):
    """A feed on this machine, read in order and in portions, off the event loop."""

    async def catalogue_id(self) -> str | None:
        """What the catalogue calls itself (``@id``) ahead of its records. Raises :class:`FeedError`."""

    async def check(self) -> int:
        """Read it to its end and return its number of records. Raises :class:`FeedError`."""

    async def next_records(self, limit: int) -> list[ParsedRecord | RejectedRecord]:
        """The next records, parsed; empty at the end."""

    async def close(self) -> None:
        """Give the file back. Idempotent."""


class FeedShelf(Protocol):
    """Where feeds lie from upload or fetch until their harvest has ended."""

    def path_of(self, harvest_id: UUID) -> Path:
        """Where the feed of a harvest lies, or is to be put."""

    async def keep(self, harvest_id: UUID) -> None:
        """Put a feed that was received here where every worker finds it; its file may be gone then."""

    async def bring(self, harvest_id: UUID) -> None:
        """Have a feed that was kept at its path."""

    def open(self, harvest_id: UUID, defaults: SourceDefaults) -> Feed:
        """The feed from its beginning."""

    async def prune(self, awaited: Collection[UUID]) -> None:
        """Forget feeds that are older than a day and not ``awaited`` by a harvest."""

    async def remove(self, harvest_id: UUID) -> None:
        """Forget a feed. Idempotent."""


class Downloader(Protocol):
    """Fetches from addresses that people gave us, guarded."""

    async def fetch(
        self,
        url: str,
        path: Path,
        *,
        size_bytes_max: int,
        etag: str | None = None,
        last_modified: str | None = None,
    ) -> Download:
        """Fetch to a file. Raises :class:`FeedError`."""


Wake = Callable[[], None]
"""Tells waiting work that there is something to do. Never blocks."""


@dataclass(frozen=True, slots=True)
class CatalogPorts:
    """Everything the handlers and commands are given."""

    clock: Clock
    datasets: DatasetBook
    directory: DirectoryCopy
    insights: InsightBook
    harvests: HarvestBook
    dictionaries: DictionaryQueue
    changes: ChangesFeed
    wake_indexing: Wake
    wake_harvesting: Wake
    wake_dictionaries: Wake
    wake_readers: Wake
    """Called when the changes feed has new lines."""
