"""What catalog needs from the outside, as roles. Each has more than one adapter and one conformance suite."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol
from uuid import UUID

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
from services.catalog.domain.views import (
    AgencyView,
    DatasetView,
    HarvestView,
    HomeView,
    RetiredView,
    SearchView,
    ThemeTile,
)
from shared.identity.viewer import Viewer


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
        ...

    async def purge(self, dataset_ids: Sequence[UUID]) -> int:
        """Forget these documents with their revisions; the number that was held. For reconcile only."""
        ...

    async def search(self, query: SearchQuery) -> SearchPage:
        """One page. Raises :class:`~services.catalog.domain.search.InvalidSearchError` for a bad cursor."""
        ...

    async def suggest(self, prefix: str, viewer: ViewerScope, size: int = 8) -> tuple[Suggestion, ...]:
        """Titles that a viewer may see with words that begin like those typed; at most ``size`` (1..20)."""
        ...

    async def count(self, *, hidden: bool = False) -> int:
        """Documents that can be found by someone; with ``hidden`` true, the hidden ones instead."""
        ...

    def scan(self) -> AsyncIterator[IndexedRevision]:
        """Every held document, in no order, from one moment's view of the index."""
        ...

    async def rebuild(self, documents: AsyncIterator[SearchDocument]) -> RebuildReport:
        """Build a new index aside from ``documents``, then swap. The old one answers until then.

        Documents upserted or purged meanwhile are carried over. If anything raises, the old index stays.
        """
        ...

    async def status(self) -> IndexStatus:
        """Health of the index, for readiness and for deciding on a rebuild at start."""
        ...

    async def close(self) -> None:
        """Release files, locks and connections. Nothing that was answered is lost."""
        ...


class CatalogReader(Protocol):
    """Reads for pages and the API. Every answer holds only what the given viewer may see.

    Raises ``TransientError`` when the store, and :class:`CatalogIndexError` when the index is away.
    """

    async def home(self, viewer: Viewer) -> HomeView:
        """What the home page shows."""
        ...

    async def search(self, query: SearchQuery, viewer: Viewer) -> SearchView:
        """One page of results; ``query.viewer`` is replaced by the scope of ``viewer``.

        Raises :class:`~services.catalog.domain.search.InvalidSearchError` for a bad cursor.
        """
        ...

    async def suggest(self, prefix: str, viewer: Viewer, size: int = 8) -> tuple[Suggestion, ...]:
        """Titles that begin like the words typed."""
        ...

    async def dataset(self, dataset_id: UUID, viewer: Viewer) -> DatasetView | RetiredView | None:
        """A dataset page; None for an unknown and for a hidden dataset alike."""
        ...

    async def agencies(self, viewer: Viewer) -> tuple[AgencyView, ...]:
        """Every agency by name, with its number of datasets."""
        ...

    async def themes(self, viewer: Viewer) -> tuple[ThemeTile, ...]:
        """Every theme in use by name, with its number of datasets."""
        ...

    async def harvests(self, limit: int = 50) -> tuple[HarvestView, ...]:
        """The latest harvests, newest first, without rejections. The caller checks the right to see them."""
        ...

    async def harvest(self, harvest_id: UUID) -> HarvestView | None:
        """One harvest with its rejections. The caller checks the right to see it."""
        ...
