"""Search as pages and the API read it: the index finds, catalog's own rows have the last word."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any
from uuid import UUID

from services.catalog.datasets.domain.views import DatasetSummary
from services.catalog.datasets.reader.summaries import summaries
from services.catalog.search.domain.index import CatalogIndex
from services.catalog.search.domain.search import SearchHit, SearchQuery, Segment, Suggestion, ViewerScope
from services.catalog.search.domain.views import ResultView, SearchView, ThemeTile
from shared.events.catalog import DatasetState
from shared.identity.viewer import Viewer
from shared.store.engine import Store

__all__ = ["SearchReader", "scope_of"]

EXCERPT_CHARACTERS = 240
RELATED_MAX = 4


class SearchReader:
    """Searches for a viewer. Raises :class:`CatalogIndexError` while the index is away."""

    def __init__(self, store: Store, index: CatalogIndex) -> None:
        self._store = store
        self._index = index

    async def search(self, query: SearchQuery, viewer: Viewer) -> SearchView:
        """One page of results; ``query.viewer`` is replaced by the scope of ``viewer``.

        Raises :class:`~services.catalog.search.domain.search.InvalidSearchError` for a bad cursor.
        """
        page = await self._index.search(replace(query, viewer=scope_of(viewer)))
        found = await self._summaries(viewer, [hit.dataset_id for hit in page.results])
        # A record hidden since it was indexed is left out here too: the rows have the last word.
        results = tuple(
            _result(hit, found[hit.dataset_id]) for hit in page.results if hit.dataset_id in found
        )
        return SearchView(
            page.total, page.total_relation, results, page.facets, page.next_cursor, page.relaxed
        )

    async def suggest(self, prefix: str, viewer: Viewer, size: int = 8) -> tuple[Suggestion, ...]:
        """Titles that begin like the words typed."""
        return await self._index.suggest(prefix, scope_of(viewer), size)

    async def themes(self, viewer: Viewer) -> tuple[ThemeTile, ...]:
        """Every theme in use by name, with its number of datasets."""
        page = await self._index.search(SearchQuery(size=1, viewer=scope_of(viewer)))
        tiles = [ThemeTile(count.value, count.count) for count in page.facets.get("theme", ())]
        return tuple(sorted(tiles, key=lambda tile: tile.theme.casefold()))

    async def related(self, viewer: Viewer, state: DatasetState) -> tuple[DatasetSummary, ...]:
        """The most used of the same theme; without a theme, of the same agency."""
        filters: dict[Any, frozenset[str]] = {}
        if state.themes:
            filters["theme"] = frozenset(state.themes[:1])
        elif state.agency_id is not None:
            filters["agency"] = frozenset({str(state.agency_id)})
        else:
            return ()
        query = SearchQuery(
            filters=filters,
            sort="popular",
            size=RELATED_MAX + 1,
            viewer=scope_of(viewer),
            with_facets=False,
        )
        page = await self._index.search(query)
        ids = [hit.dataset_id for hit in page.results if hit.dataset_id != state.dataset_id][:RELATED_MAX]
        found = await self._summaries(viewer, ids)
        return tuple(found[dataset_id] for dataset_id in ids if dataset_id in found)

    async def _summaries(self, viewer: Viewer, dataset_ids: Collection[UUID]) -> dict[UUID, DatasetSummary]:
        async with self._store.read() as connection:
            return await summaries(connection, viewer, dataset_ids)


def scope_of(viewer: Viewer) -> ViewerScope:
    """What the viewer may see, in the words of the index."""
    if viewer.sees_all_agencies:
        return ViewerScope.everything()
    if viewer.sees_government:
        return ViewerScope.government(viewer.agency_ids)
    return ViewerScope.public()


def _result(hit: SearchHit, dataset: DatasetSummary) -> ResultView:
    marked = {highlight.field: highlight.segments for highlight in hit.highlights}
    return ResultView(
        dataset=dataset,
        title=marked.get("title") or (Segment(dataset.title),),
        excerpt=marked.get("description") or _excerpt(dataset.description),
        score=hit.score,
        explain=hit.explain,
    )


def _excerpt(description: str) -> tuple[Segment, ...]:
    text = " ".join(description[: EXCERPT_CHARACTERS * 4].split())
    if not text:
        return ()
    if len(text) > EXCERPT_CHARACTERS:
        text = text[:EXCERPT_CHARACTERS].rsplit(" ", 1)[0] + " …"
    return (Segment(text),)
