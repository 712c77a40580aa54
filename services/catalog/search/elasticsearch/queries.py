"""Query plans in Elasticsearch's terms. Term-level queries alone: no text of a user meets a query grammar."""

from collections.abc import Mapping
from typing import Any

from services.catalog.search.domain.index_fields import VALUE_CHARACTERS_MAX, facet_value
from services.catalog.search.domain.query_text import Alternative, Relaxation, WordGroup
from services.catalog.search.domain.search import Facet, SearchQuery, SortOrder, ViewerScope

EXACT_TITLE_BOOST = 10_000.0
EXACT_IDENTIFIER_BOOST = 5_000.0
TITLE_PHRASE_BOOST = 1_000.0
TITLE_WORD_BOOST = 60.0
"""Constants far above any BM25 score, in the order of our ranking's classes: so that the best candidates of
every class are among the engine's first, however many others match."""

TITLE_ALTERNATIVES_MAX = 4

Clause = dict[str, Any]

RELEVANCE_SORT: list[Clause] = [{"_score": "desc"}, {"tie": "desc"}]
STANDING_SORT: list[Clause] = [{"sort_standing": "desc"}, {"tie": "desc"}]
SORTS: dict[SortOrder, list[Clause]] = {
    "relevance": STANDING_SORT,
    "title": [{"sort_title": "asc"}],
    "modified": [{"sort_modified": "desc"}, {"tie": "desc"}],
    "popular": [{"sort_popular": "desc"}, {"tie": "desc"}],
    "quality": [{"sort_quality": "desc"}, {"tie": "desc"}],
}
"""Every order ends with a key that no two documents share, so that a page can begin after any document.

It is a number: to compare texts, the engine unpacks a block of them for each document that may be among the
first.
"""


def result(relaxation: Relaxation, query: SearchQuery) -> Clause:
    """What a page of relevance shows, the likely best first."""
    found: Clause = {"filter": _restrictions(query)}
    if relaxation.plan.groups:
        found["must"] = [_words(relaxation)]
        found["should"] = _preferences(relaxation)
    # Among near equals quality, freshness and use decide who becomes a candidate.
    weight = {"field": "standing_weight", "modifier": "ln2p", "missing": 0}
    return {
        "function_score": {
            "query": {"bool": found},
            "field_value_factor": weight,
            "boost_mode": "multiply",
        }
    }


def matching(relaxation: Relaxation, query: SearchQuery, *, filtered: bool = True) -> Clause:
    """The same documents as :func:`result` without an order; without the facet filters where not wanted."""
    clauses = _restrictions(query) if filtered else [visible(query.viewer)]
    if relaxation.plan.groups:
        clauses.append(_words(relaxation))
    return {"bool": {"filter": clauses}}


def visible(viewer: ViewerScope) -> Clause:
    """Everything that a viewer may see. Hidden documents have no audience at all."""
    audiences = viewer.audiences()
    if audiences is None:
        return hidden(is_hidden=False)
    return {"terms": {"audience": sorted(audiences)}}


def hidden(*, is_hidden: bool) -> Clause:
    """Documents that are hidden, or those that are not."""
    return {"term": {"hidden": is_hidden}}


def title_start(viewer: ViewerScope, key: str) -> Clause:
    """Titles that begin with exactly these words, the last of which may be unfinished."""
    return {"bool": {"filter": [visible(viewer), {"prefix": {"title_key": {"value": key}}}]}}


def title_prefix(viewer: ViewerScope, words: list[str]) -> Clause:
    """Titles with all of the words, the last of which may be unfinished."""
    clauses = [visible(viewer), *(_term("title_words", word) for word in words[:-1])]
    clauses.append({"prefix": {"title_words": {"value": words[-1]}}})
    return {"bool": {"filter": clauses}}


def facet_filters(filters: Mapping[Facet, frozenset[str]], *, without: Facet | None = None) -> list[Clause]:
    """One clause for each facet that has chosen values, but for ``without``."""
    return [
        {"terms": {facet: sorted({facet_value(facet, value) for value in values})}}
        for facet, values in filters.items()
        if values and facet != without
    ]


def _restrictions(query: SearchQuery) -> list[Clause]:
    """Visibility and filters: in every query, and no part of any score."""
    return [visible(query.viewer), *facet_filters(query.filters)]


def _words(relaxation: Relaxation) -> Clause:
    groups = [_group(group) for group in relaxation.plan.required]
    if relaxation.minimum_matches >= len(groups):
        return {"bool": {"must": groups}}
    return {"bool": {"should": groups, "minimum_should_match": relaxation.minimum_matches}}


def _preferences(relaxation: Relaxation) -> list[Clause]:
    """Clauses that no result must match: they lift the best of each class into the first candidates."""
    plan = relaxation.plan
    wanted = [_group(group) for group in plan.groups if not group.required]
    for group in plan.groups:
        single = [alternative.terms[0] for alternative in group.alternatives if len(alternative.terms) == 1]
        if single:
            wanted.append(_constant({"terms": {"title": single[:TITLE_ALTERNATIVES_MAX]}}, TITLE_WORD_BOOST))
    if len(plan.terms) > 1:
        wanted.append(_constant(_phrase("title", plan.terms), TITLE_PHRASE_BOOST))
    if plan.title_key:
        key = plan.title_key[:VALUE_CHARACTERS_MAX]
        wanted.append(_constant(_term("title_key", key), EXACT_TITLE_BOOST))
        wanted.append(_constant(_term("identifier_key", key), EXACT_IDENTIFIER_BOOST))
    return wanted


def _group(group: WordGroup) -> Clause:
    found = [_alternative(alternative) for alternative in group.alternatives]
    return found[0] if len(found) == 1 else {"dis_max": {"queries": found}}


def _alternative(alternative: Alternative) -> Clause:
    if len(alternative.terms) == 1:
        return _term("text", alternative.terms[0])
    if alternative.ordered:
        return _phrase("text", alternative.terms)
    return {"bool": {"must": [_term("text", term) for term in alternative.terms]}}


def _term(field_name: str, value: str) -> Clause:
    return {"term": {field_name: {"value": value}}}


def _phrase(field_name: str, terms: tuple[str, ...]) -> Clause:
    """Our terms in a row; the engine only splits them on blanks."""
    return {"match_phrase": {field_name: {"query": " ".join(terms)}}}


def _constant(clause: Clause, boost: float) -> Clause:
    return {"constant_score": {"filter": clause, "boost": boost}}
