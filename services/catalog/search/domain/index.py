"""The port of the search index: what catalog asks of an engine. Two keep it, under one conformance suite."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol
from uuid import UUID

from services.catalog.search.domain.search import (
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
from shared.errors import TransientError


class CatalogIndexError(TransientError):
    """The index failed, not the caller: retry later. ``__cause__`` holds the engine's own error."""

    slug = "search-unavailable"
    title = "Search is not available right now"
    detail = "The search index cannot be reached. Nothing is lost; try again in a few seconds."


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
        """One page. Raises :class:`InvalidSearchError` for a bad cursor."""

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
