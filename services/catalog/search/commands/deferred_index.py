"""The index of a service that is built before anything is opened: it opens with the service."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from uuid import UUID

from services.catalog.search.domain.index import CatalogIndex, CatalogIndexError
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

__all__ = ["DeferredIndex"]


class DeferredIndex:
    """A :class:`CatalogIndex` that passes everything on to the opened one."""

    def __init__(self, open_index: Callable[[], Awaitable[CatalogIndex]]) -> None:
        self._open_index = open_index
        self._opened: CatalogIndex | None = None

    async def open(self) -> None:
        """Open the real index."""
        self._opened = await self._open_index()

    async def upsert(self, documents: Sequence[SearchDocument]) -> list[UpsertOutcome]:
        return await self._index.upsert(documents)

    async def purge(self, dataset_ids: Sequence[UUID]) -> int:
        return await self._index.purge(dataset_ids)

    async def search(self, query: SearchQuery) -> SearchPage:
        return await self._index.search(query)

    async def suggest(self, prefix: str, viewer: ViewerScope, size: int = 8) -> tuple[Suggestion, ...]:
        return await self._index.suggest(prefix, viewer, size)

    async def count(self, *, hidden: bool = False) -> int:
        return await self._index.count(hidden=hidden)

    def scan(self) -> AsyncIterator[IndexedRevision]:
        return self._index.scan()

    async def rebuild(self, documents: AsyncIterator[SearchDocument]) -> RebuildReport:
        return await self._index.rebuild(documents)

    async def status(self) -> IndexStatus:
        return await self._index.status()

    async def close(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.close()

    @property
    def _index(self) -> CatalogIndex:
        if self._opened is None:
            raise CatalogIndexError("the index is not open")
        return self._opened
