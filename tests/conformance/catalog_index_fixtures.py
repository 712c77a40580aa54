"""What the suites over ``CatalogIndex`` share: the engines, and documents to fill them with.

To add an engine: a context manager that opens a new one, and a line in ENGINES.
"""

import secrets
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal
from uuid import UUID, uuid5

import pytest

from services.catalog.search.domain.cursor import SearchCursorCodec
from services.catalog.search.domain.index import CatalogIndex
from services.catalog.search.domain.search import Facet, SearchDocument, SearchPage, SearchQuery, ViewerScope
from services.catalog.search.elasticsearch.client import ElasticsearchSettings, connect
from services.catalog.search.elasticsearch.index import ElasticsearchCatalogIndex
from services.catalog.search.tantivy.index import TantivyCatalogIndex

SPACE = UUID("b3b7ad6e-14a8-5d09-8a36-0e5a3a1f7f10")
NORTH, SOUTH = UUID(int=101), UUID(int=202)
EVERYONE = ViewerScope.everything()
CODEC = SearchCursorCodec("the secret of the conformance suite")

Opener = Callable[[pytest.FixtureRequest, Path], AbstractAsyncContextManager[CatalogIndex]]


@asynccontextmanager
async def open_tantivy(_request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[CatalogIndex]:
    """A new tantivy index in a folder of the test's own."""
    index = await TantivyCatalogIndex.open(folder / "index", codec=CODEC)
    try:
        yield index
    finally:
        await index.close()


@asynccontextmanager
async def open_elasticsearch(request: pytest.FixtureRequest, _folder: Path) -> AsyncIterator[CatalogIndex]:
    """A new index of a name of its own on the session's Elasticsearch, which forgets it afterwards."""
    settings = own_index(request.getfixturevalue("real_elasticsearch"))
    index = ElasticsearchCatalogIndex(settings, codec=CODEC)
    try:
        yield index
    finally:
        await index.close()
        await forget_indices(settings)


ENGINES: dict[str, Opener] = {"tantivy": open_tantivy, "elasticsearch": open_elasticsearch}
ENGINE_PARAMS = ["tantivy", pytest.param("elasticsearch", marks=pytest.mark.cluster)]


def own_index(address: str) -> ElasticsearchSettings:
    """Settings for an index that no other test uses."""
    return ElasticsearchSettings((address,), index_prefix=f"test-{secrets.token_hex(6)}")


async def indices_of(settings: ElasticsearchSettings) -> set[str]:
    """The names of all indices with the prefix of these settings."""
    async with connect(settings) as client:
        return set((await client.indices.get_alias(index=f"{settings.index_prefix}-*")).body)


async def forget_indices(settings: ElasticsearchSettings) -> None:
    """Delete every index with the prefix of these settings."""
    async with connect(settings) as client:
        for name in (await client.indices.get_alias(index=f"{settings.index_prefix}-*")).body:
            await client.indices.delete(index=name)


def dataset_id(name: object) -> UUID:
    return uuid5(SPACE, str(name))


def document(
    name: object,
    title: str,
    description: str = "",
    *,
    revision: int = 1,
    visibility: Literal["public", "government", "agency"] = "public",
    agency_id: UUID | None = NORTH,
) -> SearchDocument:
    agency = {NORTH: "North Agency", SOUTH: "South Agency"}.get(agency_id) if agency_id else None
    return SearchDocument(
        dataset_id(name),
        revision,
        title,
        description,
        visibility=visibility,
        agency_id=agency_id,
        agency_name=agency,
    )


def wells(count: int) -> list[SearchDocument]:
    """Documents that all match "wells", varied in everything that orders, with many equal keys."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        replace(
            document(n, f"Wells of district {n % 50}", "Depth and yield of wells."),
            quality_score=n % 5 / 5,
            popularity_bucket=n % 3,
            data_updated_at=start - timedelta(days=n % 7) if n % 11 else None,
        )
        for n in range(count)
    ]


async def stream(documents: Iterable[SearchDocument]) -> AsyncIterator[SearchDocument]:
    for found in documents:
        yield found


async def titles(index: CatalogIndex, text: str, viewer: ViewerScope = EVERYONE) -> list[str]:
    page = await index.search(SearchQuery(text, viewer=viewer))
    return [hit.title for hit in page.results]


async def all_pages(index: CatalogIndex, query: SearchQuery) -> list[SearchPage]:
    pages = [await index.search(query)]
    while pages[-1].next_cursor is not None:
        pages.append(await index.search(replace(query, cursor=pages[-1].next_cursor)))
    return pages


async def held(index: CatalogIndex) -> dict[UUID, tuple[int, bool]]:
    return {found.dataset_id: (found.revision, found.hidden) async for found in index.scan()}


def counts(page: SearchPage, facet: Facet) -> dict[str, int]:
    return {count.value: count.count for count in page.facets[facet]}
