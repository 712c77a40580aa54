"""Both search engines give the same answers: the same results in the same order, counts and suggestions."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from services.catalog.search.domain.index import CatalogIndex
from services.catalog.search.domain.search import (
    FACET_VALUES_MAX,
    RESCORE_WINDOW,
    Facet,
    FacetCount,
    SearchDocument,
    SearchPage,
    SearchQuery,
    SortOrder,
)
from tests.benchmarks.corpus import Corpus
from tests.conformance.catalog_index_fixtures import ENGINES, EVERYONE
from tests.conformance.judged_queries import judged_documents, judged_queries

pytestmark = pytest.mark.cluster

MADE_UP_DOCUMENTS = 1_500


class Engines:
    """Every engine with the same documents."""

    def __init__(self, indices: Sequence[CatalogIndex]) -> None:
        self._indices = indices

    async def upsert(self, documents: list[SearchDocument]) -> None:
        for index in self._indices:
            await index.upsert(documents)

    async def search(self, query: SearchQuery) -> list[SearchPage]:
        """One page of each engine."""
        return await asyncio.gather(*(index.search(query) for index in self._indices))

    async def suggested(self, prefix: str) -> list[list[str]]:
        """Titles of each engine."""
        found = [await index.suggest(prefix, EVERYONE) for index in self._indices]
        return [[suggestion.title for suggestion in each] for each in found]


@pytest.fixture
async def engines(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Engines]:
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(opener(request, tmp_path)) for opener in ENGINES.values()]
        assert len(opened) == 2
        yield Engines(opened)


def comparable(page: SearchPage) -> SearchPage:
    """A page without what is the engine's own: its cursor, and which of equally rare values it lists."""
    facets = {facet: _settled(facet, counts) for facet, counts in page.facets.items()}
    return replace(page, next_cursor=None, facets=facets)


def _settled(facet: Facet, counts: tuple[FacetCount, ...]) -> tuple[FacetCount, ...]:
    if len(counts) < FACET_VALUES_MAX[facet]:
        return counts
    least = min(count.count for count in counts)
    return tuple(count for count in counts if count.count > least)


async def test_each_judged_query_has_the_same_first_ten_with_the_same_scores_and_facets(
    engines: Engines,
) -> None:
    await engines.upsert(judged_documents())
    for judged in judged_queries():
        one, other = await engines.search(SearchQuery(judged.text, size=10))
        assert comparable(one) == comparable(other), judged.text


async def test_a_larger_catalogue_gives_the_same_pages(engines: Engines) -> None:
    corpus = Corpus()
    await engines.upsert(list(corpus.documents(MADE_UP_DOCUMENTS)))
    words = [document.title for document in map(corpus.document, range(0, MADE_UP_DOCUMENTS, 100))]
    compared = 0
    for text in (*words, *(" ".join(title.split()[:2]) for title in words), "water", "annual summary zebra"):
        one, other = await engines.search(SearchQuery(text, viewer=EVERYONE))
        if one.total <= RESCORE_WINDOW:
            assert comparable(one) == comparable(other), text
            compared += 1
    assert compared > len(words)


async def test_a_broad_query_has_the_same_total_facets_and_first_result(engines: Engines) -> None:
    await engines.upsert(list(Corpus().documents(MADE_UP_DOCUMENTS)))
    for text in ("records", "county", "data county"):
        one, other = await engines.search(SearchQuery(text, viewer=EVERYONE))
        assert one.total == other.total > RESCORE_WINDOW
        assert comparable(one).facets == comparable(other).facets
        assert one.results[0] == other.results[0]


@pytest.mark.parametrize("sort", ["relevance", "title", "modified", "popular", "quality"])
async def test_every_order_without_words_is_the_same(engines: Engines, sort: SortOrder) -> None:
    await engines.upsert(list(Corpus().documents(300)))
    one, other = await engines.search(SearchQuery(sort=sort, size=100))
    assert one.total > 100
    assert comparable(one) == comparable(other)


async def test_typing_a_title_suggests_the_same(engines: Engines) -> None:
    await engines.upsert(judged_documents())
    for document in judged_documents()[::5]:
        for length in (1, 3, 7, 12):
            one, other = await engines.suggested(document.title[:length])
            assert one == other
            assert one
