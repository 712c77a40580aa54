"""Reading one tantivy index: pages in two phases, facets, typeahead, and a scan for reconcile."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import tantivy
from tantivy import FieldType, Occur, Query

from services.catalog.search.domain.cursor import CursorPosition
from services.catalog.search.domain.index_fields import counted_facet, facet_value
from services.catalog.search.domain.query_text import QueryPlan, Relaxation, title_key
from services.catalog.search.domain.rescoring import (
    StoredHit,
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
    SearchHit,
    SearchQuery,
    Suggestion,
    ViewerScope,
)
from services.catalog.search.tantivy.queries import MATCH_ALL_SORT, SORT_FIELDS, QueryBuilder
from services.catalog.search.tantivy.schema import (
    AGENCY_LABEL_FIELD,
    FACET_FIELDS,
    from_stored,
    stored_labels,
    uuid_of,
)

PLACES_BEFORE = 32
"""How far before the expected place a page looks for the last key, in case documents moved meanwhile."""

SCAN_BATCH = 20_000

REPORTED_VALUES = 1_000
"""Values that each segment reports when a facet is counted; see :func:`_counting`."""

LABELS_REMEMBERED_MAX = 50_000

_NUMBERED = frozenset({"agency", "keyword"})

Place = tantivy.DocAddress


@dataclass(frozen=True, slots=True)
class TantivySlice:
    """Part of a result: its hits, where the next page begins (None at the end), and the exact total."""

    hits: tuple[SearchHit, ...]
    next_position: CursorPosition | None
    total: int


class GenerationSearcher:
    """One moment's view of one generation. Never waits for writers; may be used by any thread."""

    def __init__(self, searcher: tantivy.Searcher, schema: tantivy.Schema, labels: dict[int, str]) -> None:
        self._searcher = searcher
        self._labels = labels
        self._schema = schema
        self._queries = QueryBuilder(schema)

    def page(
        self, relaxation: Relaxation, query: SearchQuery, position: CursorPosition | None
    ) -> TantivySlice:
        """The slice of a result that follows ``position``, or its beginning."""
        if query.sort != "relevance":
            field_name, order = SORT_FIELDS[query.sort]
            return self._sorted_page(relaxation, query, position, field_name, order)
        if not relaxation.plan.groups:
            order = tantivy.Order.Desc
            return self._sorted_page(relaxation, query, position, MATCH_ALL_SORT, order)
        return self._relevance_page(relaxation, query, position)

    def facets(self, relaxation: Relaxation, query: SearchQuery) -> dict[Facet, tuple[FacetCount, ...]]:
        """Counts of each facet's values over the result without the filter on that same facet."""
        active = {facet for facet in FACETS if query.filters.get(facet)}
        counted = self._count_values(
            relaxation, query, [facet for facet in FACETS if facet not in active], None
        )
        for facet in active:
            counted |= self._count_values(relaxation, query, [facet], facet)
        return {facet: counted[facet] for facet in FACETS}

    def suggest(self, prefix: str, viewer: ViewerScope, size: int) -> tuple[Suggestion, ...]:
        """Titles that begin so first, then titles with words that do; the better and more used before."""
        key = title_key(prefix)
        found: dict[str, Suggestion] = {}
        for query in (
            self._queries.title_start(viewer, key),
            self._queries.title_prefix(viewer, key.split()),
        ):
            if len(found) < size:
                result = self._searcher.search(
                    query, limit=size * 2, count=False, order_by_field=MATCH_ALL_SORT
                )
                for stored in self._stored_hits([place for _, place in result.hits]):
                    found.setdefault(stored.features.title_key, Suggestion(stored.dataset_id, stored.title))
        return tuple(found.values())[:size]

    def count(self, *, hidden: bool) -> int:
        """Documents that are hidden, or those that are not."""
        query = Query.term_query(self._schema, "hidden", hidden)
        return _total(self._searcher.search(query, limit=1))

    def scan(self) -> Iterator[list[IndexedRevision]]:
        """Every document in batches, by ranges of the id, so that memory stays bounded."""
        total = self._searcher.num_docs
        parts = total // SCAN_BATCH + 1
        width = 2**64 // parts + 1
        for part in range(parts):
            low, high = part * width, min((part + 1) * width, 2**64) - 1
            within = Query.range_query(self._schema, "id_high", FieldType.Unsigned, low, high)
            hits = self._searcher.search(within, limit=max(1, total), count=False).hits
            places = [place for _, place in hits]
            values = (self._searcher.fast_field_values(name, places) for name in ("revision", "hidden"))
            rows = zip(self._with_ids(places), *values, strict=True)
            yield [
                IndexedRevision(dataset_id, int(revision or 0), bool(hidden))
                for (_, dataset_id), revision, hidden in rows
            ]

    def _relevance_page(
        self, relaxation: Relaxation, query: SearchQuery, position: CursorPosition | None
    ) -> TantivySlice:
        """Our order within the window, then the engine's."""
        asked = self._queries.result(relaxation, query)
        first = self._searcher.search(asked, limit=RESCORE_WINDOW, weight_by_field="standing_weight")
        total = _total(first)
        if position is not None and position.phase == "engine":
            return self._after_window(relaxation.plan, asked, int(position.after[0]), query.size, total)
        candidates = ranked(relaxation.plan, self._stored_hits([place for _, place in first.hits]))
        later = after(candidates, position)
        chosen = later[: query.size]
        hits = tuple(explained_hit(relaxation.plan, found) for found in chosen)
        if len(later) > query.size:
            return TantivySlice(hits, position_of(chosen[-1]), total)
        if total <= RESCORE_WINDOW:
            return TantivySlice(hits, None, total)
        wanted = query.size - len(chosen)
        rest = self._after_window(relaxation.plan, asked, RESCORE_WINDOW, wanted, total)
        return TantivySlice(hits + rest.hits, rest.next_position, total)

    def _after_window(
        self, plan: QueryPlan, asked: Query, offset: int, wanted: int, total: int
    ) -> TantivySlice:
        """The engine's own order from ``offset`` on: a count, since tantivy can't go on after a score."""
        hits: tuple[SearchHit, ...] = ()
        if wanted:
            found = self._searcher.search(
                asked, limit=wanted, offset=offset, count=False, weight_by_field="standing_weight"
            ).hits
            hits = self._plain_hits(plan, [place for _, place in found])
        reached = offset + len(hits)
        further = reached < total and (bool(hits) or not wanted)
        return TantivySlice(hits, CursorPosition("engine", (reached,)) if further else None, total)

    def _sorted_page(
        self,
        relaxation: Relaxation,
        query: SearchQuery,
        position: CursorPosition | None,
        field_name: str,
        order: tantivy.Order,
    ) -> TantivySlice:
        """An explicit order. The place is the last key, how many hits had it, and about where it stood."""
        asked = self._queries.matching(relaxation, query)
        total = _total(self._searcher.search(asked, limit=1))
        key, repeats, offset = (
            (position.after[0], position.after[1], position.after[2]) if position else (0, 0, 0)
        )
        start = max(0, int(offset) - PLACES_BEFORE) if position else 0
        later: list[tuple[Any, Place]] = []
        seen_earlier = False
        while True:
            limit = query.size + 1 + 2 * PLACES_BEFORE
            found = self._searcher.search(
                asked, limit=limit, offset=start, count=False, order_by_field=field_name, order=order
            ).hits
            later = _after_key(found, key, int(repeats), order) if position else found
            if start and found and len(later) == len(found) and not seen_earlier:
                start //= 2
            elif len(later) <= query.size and len(found) == limit:
                seen_earlier = True
                start += len(found) - len(later)
            else:
                break
        chosen = later[: query.size]
        hits = self._plain_hits(relaxation.plan, [place for _, place in chosen])
        if len(later) <= query.size:
            return TantivySlice(hits, None, total)
        last_key = chosen[-1][0]
        same = sum(1 for chosen_key, _ in chosen if chosen_key == last_key)
        same += int(repeats) if position and key == last_key else 0
        return TantivySlice(
            hits, CursorPosition("engine", (last_key, same, int(offset) + len(chosen))), total
        )

    def _plain_hits(self, plan: QueryPlan, places: list[Place]) -> tuple[SearchHit, ...]:
        return tuple(plain_hit(plan, stored) for stored in self._stored_hits(places))

    def _stored_hits(self, places: list[Place]) -> list[StoredHit]:
        return [
            StoredHit(found, *from_stored(self._stored_bytes(at))) for at, found in self._with_ids(places)
        ]

    def _with_ids(self, places: list[Place]) -> list[tuple[Place, UUID]]:
        highs = self._searcher.fast_field_values("id_high", places)
        lows = self._searcher.fast_field_values("id_low", places)
        found = zip(places, highs, lows, strict=True)
        return [(place, uuid_of(int(high or 0), int(low or 0))) for place, high, low in found]

    def _stored_bytes(self, place: Place) -> bytes:
        return bytes(self._searcher.doc(place).get_first("stored") or b"")

    def _count_values(
        self, relaxation: Relaxation, query: SearchQuery, facets: list[Facet], without: Facet | None
    ) -> dict[Facet, tuple[FacetCount, ...]]:
        if not facets:
            return {}
        asked = self._queries.matching(relaxation, query, without=without)
        wanted = {facet: _counting(facet, query.listed_max(facet)) for facet in facets}
        answer = self._searcher.aggregate(asked, wanted)
        counted: dict[Facet, tuple[FacetCount, ...]] = {}
        for facet in facets:
            chosen = {facet_value(facet, value) for value in query.filters.get(facet, frozenset())}
            counts = self._counts(facet, answer[facet]["buckets"], chosen)
            listed = {count.value for count in counts}
            counts.extend(self._count_chosen(asked, facet, value) for value in sorted(chosen - listed))
            counted[facet] = tuple(counts)
        return counted

    def _counts(self, facet: Facet, buckets: list[dict[str, Any]], chosen: set[str]) -> list[FacetCount]:
        labels = [
            self._label(_count_field(facet), int(bucket["key"])) if facet in _NUMBERED else str(bucket["key"])
            for bucket in buckets
        ]
        numbers = (int(bucket["doc_count"]) for bucket in buckets)
        return counted_facet(zip(labels, numbers, strict=True), chosen)

    def _label(self, field_name: str, number: int) -> str:
        """What a counted number means: read from any document that has it, and remembered."""
        known = self._labels.get(number)
        if known is None:
            having = Query.term_query(self._schema, field_name, number, index_option="basic")
            ((_, place),) = self._searcher.search(having, limit=1, count=False).hits
            if len(self._labels) >= LABELS_REMEMBERED_MAX:
                self._labels.clear()
            meanings = stored_labels(self._stored_bytes(place))
            self._labels.update(meanings)
            known = meanings[number]
        return known

    def _count_chosen(self, asked: Query, facet: Facet, value: str) -> FacetCount:
        """A chosen value that is not among the most frequent: people must see it to take it back."""
        both = Query.boolean_query([(Occur.Must, asked), (Occur.Must, self._queries.having(facet, value))])
        count = _total(self._searcher.search(both, limit=1))
        return FacetCount(value, value, count, chosen=True)


def _total(result: tantivy.SearchResult) -> int:
    """All matches of a search that counted them. tantivy's type stubs lack the attribute."""
    return int(result.count)  # type: ignore[attr-defined]


def _counting(facet: Facet, size: int) -> dict[str, Any]:
    """The aggregation that counts a facet's most frequent values.

    Each segment reports only its own most frequent values; a value that is rare in one would lose its count
    there. With so many reported, the counts of those listed are exact.
    """
    return {"terms": {"field": _count_field(facet), "size": size, "segment_size": REPORTED_VALUES}}


def _count_field(facet: Facet) -> str:
    return AGENCY_LABEL_FIELD if facet == "agency" else FACET_FIELDS[facet]


def _after_key(
    found: list[tuple[Any, Place]], key: str | float, repeats: int, order: tantivy.Order
) -> list[tuple[Any, Place]]:
    """The hits behind the first ``repeats`` hits with ``key``."""
    later = []
    for hit in found:
        if hit[0] == key:
            if repeats > 0:
                repeats -= 1
                continue
            later.append(hit)
        elif (hit[0] > key) == (order == tantivy.Order.Asc):
            later.append(hit)
    return later
