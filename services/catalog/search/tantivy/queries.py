"""Query plans in tantivy's terms. Built from objects alone: no text of a user meets a query grammar."""

from collections.abc import Mapping
from dataclasses import dataclass

import tantivy
from tantivy import Occur, Query

from services.catalog.search.domain.index_fields import VALUE_CHARACTERS_MAX, facet_value
from services.catalog.search.domain.query_text import Alternative, Relaxation, WordGroup
from services.catalog.search.domain.search import Facet, SearchQuery, SortOrder, ViewerScope
from services.catalog.search.tantivy.schema import (
    FACET_FIELDS,
    number_of,
)

EXACT_TITLE_BOOST = 10_000.0
EXACT_IDENTIFIER_BOOST = 5_000.0
TITLE_PHRASE_BOOST = 1_000.0
TITLE_WORD_BOOST = 60.0
"""Constants far above any BM25 score, in the order of our ranking's classes: so that the best candidates of
every class are among the engine's first, however many others match."""

MATCH_ALL_SORT = "sort_standing"
SORT_FIELDS: dict[SortOrder, tuple[str, tantivy.Order]] = {
    "title": ("sort_title", tantivy.Order.Asc),
    "modified": ("sort_modified", tantivy.Order.Desc),
    "popular": ("sort_popular", tantivy.Order.Desc),
    "quality": ("sort_quality", tantivy.Order.Desc),
}


@dataclass(frozen=True, slots=True)
class QueryBuilder:
    """Builds queries for one schema."""

    schema: tantivy.Schema

    def result(self, relaxation: Relaxation, query: SearchQuery, *, without: Facet | None = None) -> Query:
        """What the page shows; with ``without``, ignoring the filter on that facet."""
        clauses = self._restrictions(query, without)
        if relaxation.plan.groups:
            clauses.append((Occur.Must, self._words(relaxation)))
            clauses += self._preferences(relaxation)
        return _all_of(clauses)

    def matching(self, relaxation: Relaxation, query: SearchQuery, *, without: Facet | None = None) -> Query:
        """The same documents as :meth:`result`, without anything that only serves their order."""
        clauses = self._restrictions(query, without)
        if relaxation.plan.groups:
            clauses.append((Occur.Must, self._words(relaxation)))
        return _all_of(clauses)

    def visible(self, viewer: ViewerScope) -> Query:
        """Everything that a viewer may see. Hidden documents have no audience at all."""
        audiences = viewer.audiences()
        if audiences is None:
            return Query.term_query(self.schema, "hidden", False)
        return _any_of([self._term("audience", audience) for audience in sorted(audiences)])

    def title_prefix(self, viewer: ViewerScope, words: list[str]) -> Query:
        """Titles with all of the words, the last of which may be unfinished."""
        clauses = [(Occur.Must, self.visible(viewer))]
        clauses += [(Occur.Must, self._term("title_words", word)) for word in words[:-1]]
        unfinished = Query.fuzzy_term_query(self.schema, "title_words", words[-1], distance=0, prefix=True)
        return _all_of([*clauses, (Occur.Must, unfinished)])

    def title_start(self, viewer: ViewerScope, key: str) -> Query:
        """Titles that begin with exactly these words, the last of which may be unfinished."""
        starting = Query.fuzzy_term_query(self.schema, "title_key", key, distance=0, prefix=True)
        return _all_of([(Occur.Must, self.visible(viewer)), (Occur.Must, starting)])

    def having(self, facet: Facet, value: str) -> Query:
        """Documents with a facet value that is in its kept form."""
        term = number_of(value) if facet == "keyword" else value
        return Query.term_query(self.schema, FACET_FIELDS[facet], term, index_option="basic")

    def _restrictions(self, query: SearchQuery, without: Facet | None) -> list[tuple[Occur, Query]]:
        """Visibility and filters: in every query, and no part of any score."""
        restrictions = [self.visible(query.viewer), *self._filters(query.filters, without)]
        return [(Occur.Must, Query.const_score_query(restriction, 0.0)) for restriction in restrictions]

    def _filters(self, filters: Mapping[Facet, frozenset[str]], without: Facet | None) -> list[Query]:
        found = []
        for facet, values in filters.items():
            if values and facet != without:
                kept = sorted({facet_value(facet, value) for value in values})
                found.append(_any_of([self.having(facet, value) for value in kept]))
        return found

    def _words(self, relaxation: Relaxation) -> Query:
        required = relaxation.plan.required
        groups = [self._group(group) for group in required]
        if relaxation.minimum_matches >= len(groups):
            return _all_of([(Occur.Must, group) for group in groups])
        clauses = [(Occur.Should, group) for group in groups]
        return Query.boolean_query(clauses, minimum_number_should_match=relaxation.minimum_matches)

    def _preferences(self, relaxation: Relaxation) -> list[tuple[Occur, Query]]:
        """Clauses that no result must match: they lift the best of each class into the first candidates."""
        plan = relaxation.plan
        wanted = [self._group(group) for group in plan.groups if not group.required]
        for group in plan.groups:
            direct = [alternative for alternative in group.alternatives if len(alternative.terms) == 1]
            in_title = _any_of([self._term("title", alternative.terms[0]) for alternative in direct[:4]])
            wanted.append(Query.const_score_query(in_title, TITLE_WORD_BOOST))
        if len(plan.terms) > 1:
            row = Query.phrase_query(self.schema, "title", list(plan.terms))
            wanted.append(Query.const_score_query(row, TITLE_PHRASE_BOOST))
        if plan.title_key:
            key = plan.title_key[:VALUE_CHARACTERS_MAX]
            wanted.append(Query.const_score_query(self._term("title_key", key), EXACT_TITLE_BOOST))
            wanted.append(Query.const_score_query(self._term("identifier_key", key), EXACT_IDENTIFIER_BOOST))
        return [(Occur.Should, clause) for clause in wanted]

    def _group(self, group: WordGroup) -> Query:
        found = [self._alternative(alternative) for alternative in group.alternatives]
        return found[0] if len(found) == 1 else Query.disjunction_max_query(found)

    def _alternative(self, alternative: Alternative) -> Query:
        if len(alternative.terms) == 1:
            return self._term("text", alternative.terms[0])
        if alternative.ordered:
            return Query.phrase_query(self.schema, "text", list(alternative.terms))
        return _all_of([(Occur.Must, self._term("text", term)) for term in alternative.terms])

    def _term(self, field_name: str, value: str) -> Query:
        return Query.term_query(self.schema, field_name, value, index_option="freq")


def _all_of(clauses: list[tuple[Occur, Query]]) -> Query:
    return clauses[0][1] if len(clauses) == 1 else Query.boolean_query(clauses)


def _any_of(queries: list[Query]) -> Query:
    """Any of the queries; none at all match nothing."""
    if len(queries) == 1:
        return queries[0]
    return Query.boolean_query([(Occur.Should, query) for query in queries])
