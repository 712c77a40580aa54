"""Reading the Elasticsearch index: pages in two phases, facets, typeahead, and a scan for reconcile."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from services.catalog.search.domain.cursor import CursorPosition, query_hash
from services.catalog.search.domain.index_fields import counted_facet, facet_value
from services.catalog.search.domain.query_text import QueryPlan, Relaxation, title_key
from services.catalog.search.domain.rescoring import (
    after,
    explained_hit,
    plain_hit,
    position_of,
    ranked,
)
from services.catalog.search.domain.search import (
    FACETS,
    RESCORE_WINDOW,
    Facet,
    FacetCount,
    IndexedRevision,
    InvalidSearchError,
    SearchHit,
    SearchQuery,
    Suggestion,
    ViewerScope,
)
from services.catalog.search.elasticsearch import queries
from services.catalog.search.elasticsearch.queries import Clause
from services.catalog.search.elasticsearch.schema import COUNT_FIELDS, stored_hit

if TYPE_CHECKING:
    from elasticsearch import AsyncElasticsearch

SCAN_BATCH = 5_000
SCAN_KEPT_ALIVE = "5m"
"""How long the engine keeps the view of a scan while nothing more of it is asked for."""

Hits = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class ElasticsearchSlice:
    """Part of a result: its hits, where the next page begins (None at the end), and the exact total."""

    hits: tuple[SearchHit, ...]
    next_position: CursorPosition | None
    total: int


class AliasSearcher:
    """Searches what an alias names at the moment of each request. Raises the client's own errors."""

    def __init__(self, client: "AsyncElasticsearch", alias: str) -> None:
        self._client = client
        self._alias = alias

    async def page(
        self, relaxation: Relaxation, query: SearchQuery, position: CursorPosition | None
    ) -> ElasticsearchSlice:
        """The slice of a result that follows ``position``, or its beginning.

        Raises :class:`InvalidSearchError` for a position of another engine.
        """
        if query.sort != "relevance" or not relaxation.plan.groups:
            sort = queries.SORTS[query.sort]
            asked = queries.matching(relaxation, query)
        else:
            sort = queries.RELEVANCE_SORT
            asked = queries.result(relaxation, query)
            if position is None or position.phase == "window":
                return await self._window_page(relaxation.plan, asked, query, position)
        return await self._engine_page(relaxation.plan, asked, query, position, sort)

    async def facets(self, relaxation: Relaxation, query: SearchQuery) -> dict[Facet, tuple[FacetCount, ...]]:
        """Counts of each facet's values over the result without the filter on that same facet.

        A request without hits: the engine remembers its answer until the index changes.
        """
        aggregations: Clause = {}
        for facet in FACETS:
            others = queries.facet_filters(query.filters, without=facet)
            counting = _counting(facet, query)
            if others:
                aggregations[facet] = {"filter": {"bool": {"filter": others}}, "aggs": counting}
            else:
                aggregations |= {f"{facet}.{name}": counted for name, counted in counting.items()}
        answer = await self._client.search(
            index=self._alias,
            query=queries.matching(relaxation, query, filtered=False),
            aggs=aggregations,
            size=0,
            track_total_hits=False,
            preference=query_hash(query),
            filter_path="aggregations",
        )
        counted = answer.body["aggregations"]
        return {facet: _counts(facet, _of(facet, counted), query) for facet in FACETS}

    async def suggest(self, prefix: str, viewer: ViewerScope, size: int) -> tuple[Suggestion, ...]:
        """Titles that begin so first, then titles with words that do; the better and more used before."""
        key = title_key(prefix)
        found: dict[str, Suggestion] = {}
        for asked in (queries.title_start(viewer, key), queries.title_prefix(viewer, key.split())):
            if len(found) < size:
                hits, _ = await self._search(asked, queries.STANDING_SORT, size * 2, counted=False)
                for stored in map(stored_hit, hits):
                    found.setdefault(stored.features.title_key, Suggestion(stored.dataset_id, stored.title))
        return tuple(found.values())[:size]

    async def count(self, *, hidden: bool) -> int:
        """Documents that are hidden, or those that are not."""
        answer = await self._client.count(index=self._alias, query=queries.hidden(is_hidden=hidden))
        return int(answer.body["count"])

    async def scan(self) -> AsyncIterator[list[IndexedRevision]]:
        """Every document of one moment's view, in batches."""
        opened = await self._client.open_point_in_time(index=self._alias, keep_alive=SCAN_KEPT_ALIVE)
        view = opened.body["id"]
        reached: list[Any] | None = None
        try:
            while True:
                answer = await self._client.search(
                    pit={"id": view, "keep_alive": SCAN_KEPT_ALIVE},
                    sort=[{"_shard_doc": "asc"}],
                    search_after=reached,
                    size=SCAN_BATCH,
                    source=False,
                    docvalue_fields=[{"field": "revision"}, {"field": "hidden"}],
                    track_total_hits=False,
                )
                view = answer.body["pit_id"]
                hits = answer.body["hits"]["hits"]
                if not hits:
                    break
                reached = hits[-1]["sort"]
                yield [_indexed_revision(hit) for hit in hits]
        finally:
            await self._client.options(ignore_status=404).close_point_in_time(id=view)

    async def _window_page(
        self, plan: QueryPlan, asked: Clause, query: SearchQuery, position: CursorPosition | None
    ) -> ElasticsearchSlice:
        """Our order within the window, then the engine's."""
        sort = queries.RELEVANCE_SORT
        first, total = await self._search(asked, sort, RESCORE_WINDOW, preference=query_hash(query))
        hits, later = await asyncio.to_thread(_chosen, plan, first, query.size, position)
        if later is not None or total <= RESCORE_WINDOW:
            return ElasticsearchSlice(hits, later, total)
        end = CursorPosition("engine", tuple(first[-1]["sort"]))
        if len(hits) == query.size:
            return ElasticsearchSlice(hits, end, total)
        rest = await self._engine_page(plan, asked, query, end, sort, wanted=query.size - len(hits))
        return ElasticsearchSlice(hits + rest.hits, rest.next_position, total)

    async def _engine_page(
        self,
        plan: QueryPlan,
        asked: Clause,
        query: SearchQuery,
        position: CursorPosition | None,
        sort: list[Clause],
        wanted: int | None = None,
    ) -> ElasticsearchSlice:
        """An order of the engine's: one hit more than wanted tells whether there is a next page."""
        size = query.size if wanted is None else wanted
        if position is not None and (position.phase != "engine" or len(position.after) != len(sort)):
            told = "This cursor was issued before the search engine changed."
            raise InvalidSearchError("cursor", f"{told} Ask for the first page again, without a cursor.")
        reached = None if position is None else list(position.after)
        found, total = await self._search(asked, sort, size + 1, reached, preference=query_hash(query))
        hits = tuple(plain_hit(plan, stored_hit(hit)) for hit in found[:size])
        further = CursorPosition("engine", tuple(found[size - 1]["sort"])) if len(found) > size else None
        return ElasticsearchSlice(hits, further, total)

    async def _search(
        self,
        asked: Clause,
        sort: list[Clause],
        size: int,
        reached: list[Any] | None = None,
        *,
        counted: bool = True,
        preference: str | None = None,
    ) -> tuple[Hits, int]:
        """Hits and their exact number. Pages of one query prefer one copy, whose scores are the same."""
        answer = await self._client.search(
            index=self._alias,
            query=asked,
            sort=sort,
            size=size,
            search_after=reached,
            source=False,
            stored_fields=["stored"],
            track_total_hits=counted,
            preference=preference,
        )
        hits = answer.body["hits"]
        return hits["hits"], int(hits.get("total", {}).get("value", 0))


def _chosen(
    plan: QueryPlan, found: Hits, size: int, position: CursorPosition | None
) -> tuple[tuple[SearchHit, ...], CursorPosition | None]:
    """The page's part of the window in our order, and where the next begins if that is in the window too."""
    later = after(ranked(plan, map(stored_hit, found)), position)
    hits = tuple(explained_hit(plan, candidate) for candidate in later[:size])
    return hits, position_of(later[size - 1]) if len(later) > size else None


def _counting(facet: Facet, query: SearchQuery) -> Clause:
    """Count a facet's most frequent values, and those that are chosen however rare they are."""
    found: Clause = {"values": {"terms": {"field": COUNT_FIELDS[facet], "size": query.listed_max(facet)}}}
    if chosen := _chosen_values(facet, query):
        found["chosen"] = {"terms": {"field": facet, "include": sorted(chosen), "size": len(chosen)}}
    return found


def _of(facet: Facet, counted: dict[str, Any]) -> dict[str, Any]:
    """One facet's counts of an answer: under its name where others filter it, else beside one another."""
    return counted.get(facet) or {
        name.partition(".")[2]: found for name, found in counted.items() if name.startswith(f"{facet}.")
    }


def _counts(facet: Facet, answer: dict[str, Any], query: SearchQuery) -> tuple[FacetCount, ...]:
    chosen = _chosen_values(facet, query)
    labels = ((str(bucket["key"]), int(bucket["doc_count"])) for bucket in answer["values"]["buckets"])
    counts = counted_facet(labels, chosen)
    if chosen:
        numbers = {str(each["key"]): int(each["doc_count"]) for each in answer["chosen"]["buckets"]}
        for value in sorted(chosen - {count.value for count in counts}):
            counts.append(FacetCount(value, value, numbers.get(value, 0), chosen=True))
    return tuple(counts)


def _chosen_values(facet: Facet, query: SearchQuery) -> set[str]:
    return {facet_value(facet, value) for value in query.filters.get(facet, frozenset())}


def _indexed_revision(hit: dict[str, Any]) -> IndexedRevision:
    fields = hit["fields"]
    return IndexedRevision(UUID(hit["_id"]), int(fields["revision"][0]), bool(fields["hidden"][0]))
