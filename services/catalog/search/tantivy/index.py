"""The catalogue index on tantivy, inside this process: the embedded profile's search engine.

tantivy's calls block, so they run in threads: searches in a small pool, writes one after another. The
searches release the interpreter's lock while tantivy works.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from services.catalog.search.domain.cursor import SearchCursorCodec
from services.catalog.search.domain.index import CatalogIndexError
from services.catalog.search.domain.query_text import Relaxation, plan_query, relaxations, title_key
from services.catalog.search.domain.search import (
    FACETS,
    Facet,
    FacetCount,
    IndexedRevision,
    IndexStatus,
    InvalidSearchError,
    RebuildReport,
    SearchDocument,
    SearchPage,
    SearchQuery,
    Suggestion,
    UpsertOutcome,
    ViewerScope,
)
from services.catalog.search.domain.vocabulary import DEFAULT_VOCABULARY, Vocabulary
from services.catalog.search.tantivy.generations import GenerationDirectory, TantivyGeneration
from services.catalog.search.tantivy.searching import GenerationSearcher
from services.catalog.search.tantivy.writing import GenerationWriter, RebuildInProgress

SUGGESTION_PREFIX_CHARACTERS_MAX = 100
SUGGESTIONS_MAX = 20
REBUILD_BATCH = 1_000
CACHED_FACETS_MAX = 256
BROAD_RESULTS = 20_000

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class TantivySettings:
    """Buffers: ``writer_memory_bytes`` for live writes, ``rebuild_memory_bytes`` only during a rebuild."""

    writer_memory_bytes: int = 30_000_000
    rebuild_memory_bytes: int = 200_000_000
    rebuild_threads: int = 2
    search_threads: int = 4


@dataclass(frozen=True, slots=True)
class _Live:
    """What answers now. ``labels`` remembers what counted numbers mean, which never changes."""

    generation: TantivyGeneration
    writer: GenerationWriter
    labels: dict[int, str]


@dataclass(frozen=True, slots=True)
class _FoundDocuments:
    """A page, how to count its facets where that is still to do, and the view that they are counted in."""

    page: SearchPage
    step: Relaxation
    searcher: GenerationSearcher
    key: object


class TantivyCatalogIndex:
    """A :class:`CatalogIndex` in a folder of its own. Open with :meth:`open`."""

    def __init__(
        self,
        directory: GenerationDirectory,
        codec: SearchCursorCodec,
        vocabulary: Vocabulary,
        settings: TantivySettings,
    ) -> None:
        self._directory = directory
        self._codec = codec
        self._vocabulary = vocabulary
        self._settings = settings
        self._readers = ThreadPoolExecutor(settings.search_threads, thread_name_prefix="catalog-search")
        self._writers = ThreadPoolExecutor(1, thread_name_prefix="catalog-index")
        self._counters = ThreadPoolExecutor(1, thread_name_prefix="catalog-count")
        self._rebuild: RebuildInProgress | None = None
        self._facets: OrderedDict[object, dict[Facet, tuple[FacetCount, ...]]] = OrderedDict()
        generation = directory.open_current()
        self._live = _Live(generation, self._writer_of(generation), {})

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        codec: SearchCursorCodec,
        vocabulary: Vocabulary = DEFAULT_VOCABULARY,
        settings: TantivySettings | None = None,
    ) -> "TantivyCatalogIndex":
        """Open the index in ``path``, or make an empty one: see :meth:`status` for whether to rebuild."""
        chosen = settings or TantivySettings()
        return await asyncio.to_thread(cls, GenerationDirectory(path), codec, vocabulary, chosen)

    async def upsert(self, documents: Sequence[SearchDocument]) -> list[UpsertOutcome]:
        """See the port. One commit a call: batches are cheap, single documents are not."""
        if not documents:
            return []
        return await self._in_thread(self._writers, self._write, documents)

    async def purge(self, dataset_ids: Sequence[UUID]) -> int:
        """See the port."""
        return await self._in_thread(self._writers, self._forget, dataset_ids)

    async def search(self, query: SearchQuery) -> SearchPage:
        """See the port."""
        found = await self._in_thread(self._readers, self._search, query)
        if not query.with_facets or found.page.facets:
            return found.page
        facets = self._facets.get(found.key)
        if facets is None:
            # Counting over most of a large catalogue takes long: one at a time leaves a core to the others.
            facets = await self._in_thread(self._counters, self._count, found, query)
        return replace(found.page, facets=facets)

    async def suggest(self, prefix: str, viewer: ViewerScope, size: int = 8) -> tuple[Suggestion, ...]:
        """See the port."""
        prefix = prefix[:SUGGESTION_PREFIX_CHARACTERS_MAX]
        if not title_key(prefix):
            return ()
        size = min(max(1, size), SUGGESTIONS_MAX)
        return await self._in_thread(self._readers, _searcher_of(self._live).suggest, prefix, viewer, size)

    async def count(self, *, hidden: bool = False) -> int:
        """See the port."""
        return await self._in_thread(self._readers, partial(_searcher_of(self._live).count, hidden=hidden))

    async def scan(self) -> AsyncIterator[IndexedRevision]:
        """See the port."""
        batches = _searcher_of(self._live).scan()
        while (batch := await self._in_thread(self._readers, _next_batch, batches)) is not None:
            for revision in batch:
                yield revision

    async def rebuild(self, documents: AsyncIterator[SearchDocument]) -> RebuildReport:
        """See the port. The old generation answers until one rename; a failure leaves no trace."""
        if self._rebuild is not None:
            raise CatalogIndexError("A rebuild is already running. Wait for it to end.")
        generation = await asyncio.to_thread(self._directory.create)
        chosen = self._settings
        writer = GenerationWriter(
            generation, memory_bytes=chosen.rebuild_memory_bytes, threads=chosen.rebuild_threads
        )
        rebuild = RebuildInProgress(writer)
        self._rebuild = rebuild
        try:
            await _feed(rebuild, documents)
            await asyncio.to_thread(rebuild.finish)
            await self._in_thread(self._writers, self._swap, rebuild, generation, writer)
        except BaseException:
            # Queued behind a swap that may still run: it is the writers' thread that knows how it ended.
            await asyncio.shield(self._in_thread(self._writers, self._give_up, rebuild, generation, writer))
            raise
        return RebuildReport(rebuild.applied, rebuild.caught_up, tuple(rebuild.refused))

    async def status(self) -> IndexStatus:
        """See the port."""
        generation = self._live.generation
        held = await self.count() + await self.count(hidden=True)
        return IndexStatus(held, generation.name, generation.needs_rebuild)

    async def close(self) -> None:
        """See the port."""
        await self._in_thread(self._writers, self._live.writer.close)
        for pool in (self._readers, self._counters, self._writers):
            await asyncio.to_thread(pool.shutdown)

    def _write(self, documents: Sequence[SearchDocument]) -> list[UpsertOutcome]:
        """In the writers' one thread, as are the next three: so writes and the swap follow one another."""
        outcomes = self._live.writer.upsert(documents)
        if self._rebuild is not None:
            pairs = zip(documents, outcomes, strict=True)
            self._rebuild.add_live([found for found, outcome in pairs if outcome.status == "applied"])
        return outcomes

    def _forget(self, dataset_ids: Sequence[UUID]) -> int:
        forgotten = self._live.writer.purge(dataset_ids)
        if self._rebuild is not None:
            self._rebuild.purge(dataset_ids)
        return forgotten

    def _swap(
        self, rebuild: RebuildInProgress, generation: TantivyGeneration, writer: GenerationWriter
    ) -> None:
        """Keep what was carried over last, then let the new generation answer."""
        rebuild.finish()
        # The big buffers of the rebuild go; the next write opens a small writer.
        writer.close()
        self._directory.make_current(generation, complete=True)
        old = self._live
        complete = replace(generation, needs_rebuild=None)
        self._live = _Live(complete, self._writer_of(complete), old.labels)
        self._rebuild = None
        old.writer.close()
        self._directory.remove(old.generation)

    def _give_up(
        self, rebuild: RebuildInProgress, generation: TantivyGeneration, writer: GenerationWriter
    ) -> None:
        """Leave no trace of a rebuild, unless it was swapped in before it was given up."""
        if self._rebuild is rebuild:
            self._rebuild = None
        if self._live.generation.name != generation.name:
            writer.abandon()
            self._directory.remove(generation)

    def _search(self, query: SearchQuery) -> _FoundDocuments:
        position = self._codec.decode(query)
        steps = relaxations(plan_query(query.text, self._vocabulary))
        live = self._live
        # Read before the view is taken: what is counted is never older than its key says.
        commits = live.writer.commits
        searcher = _searcher_of(live)
        tried = range(len(steps)) if position is None else [min(position.step, len(steps) - 1)]
        for number in tried:
            found = searcher.page(steps[number], query, position)
            if found.total:
                break
        if not found.total:
            number = 0
        next_cursor = None
        if found.next_position is not None:
            next_cursor = self._codec.encode(query, replace(found.next_position, step=number))
        page = SearchPage(found.total, "eq", found.hits, {}, next_cursor, steps[number].told)
        filters = frozenset((facet, query.filters[facet]) for facet in FACETS if query.filters.get(facet))
        view = (live.generation.name, commits, query.viewer)
        key = (view, query.text, filters, query.facet_limit, number)
        found_page = _FoundDocuments(page, steps[number], searcher, key)
        if query.with_facets and page.total <= BROAD_RESULTS:
            # In the same thread: a second turn of the event loop would take longer than the counting.
            return replace(found_page, page=replace(page, facets=self._count(found_page, query)))
        return found_page

    def _count(self, found: _FoundDocuments, query: SearchQuery) -> dict[Facet, tuple[FacetCount, ...]]:
        """Facets, kept until the next commit: the pages of one result and the start page ask for the same."""
        with suppress(KeyError):
            return self._facets[found.key]
        counted = found.searcher.facets(found.step, query)
        self._facets[found.key] = counted
        while len(self._facets) > CACHED_FACETS_MAX:
            with suppress(KeyError):
                self._facets.popitem(last=False)
        return counted

    def _writer_of(self, generation: TantivyGeneration) -> GenerationWriter:
        return GenerationWriter(generation, memory_bytes=self._settings.writer_memory_bytes, threads=1)

    async def _in_thread(
        self, pool: ThreadPoolExecutor, call: Callable[..., _Answer], *arguments: Any
    ) -> _Answer:
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, partial(call, *arguments))
        except InvalidSearchError:
            raise
        except (ValueError, OSError) as error:
            raise CatalogIndexError(f"The search index failed: {error}") from error


async def _feed(rebuild: RebuildInProgress, documents: AsyncIterator[SearchDocument]) -> None:
    """Hand the stream over in batches, in a thread."""
    batch: list[SearchDocument] = []
    async for document in documents:
        batch.append(document)
        if len(batch) == REBUILD_BATCH:
            await asyncio.to_thread(rebuild.add_from_stream, batch)
            batch = []
    await asyncio.to_thread(rebuild.add_from_stream, batch)


def _searcher_of(live: _Live) -> GenerationSearcher:
    generation = live.generation
    return GenerationSearcher(generation.index.searcher(), generation.schema, live.labels)


def _next_batch(batches: Iterator[list[IndexedRevision]]) -> list[IndexedRevision] | None:
    return next(batches, None)
