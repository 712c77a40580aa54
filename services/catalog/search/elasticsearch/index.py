"""The catalogue index on Elasticsearch: the search engine of the cluster profile.

Every process of the service has one of these. What they share is in the cluster alone: revisions are the
engine's external versions, and an alias says which index answers.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from uuid import UUID

import structlog

from services.catalog.search.domain.cursor import CursorPosition, SearchCursorCodec
from services.catalog.search.domain.index import CatalogIndexError
from services.catalog.search.domain.query_text import Relaxation, plan_query, relaxations, title_key
from services.catalog.search.domain.search import (
    Facet,
    FacetCount,
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
from services.catalog.search.domain.vocabulary import DEFAULT_VOCABULARY, Vocabulary
from services.catalog.search.elasticsearch.client import ElasticsearchSettings, connect, engine_errors
from services.catalog.search.elasticsearch.generations import ElasticsearchGeneration, Generations
from services.catalog.search.elasticsearch.searching import AliasSearcher, ElasticsearchSlice
from services.catalog.search.elasticsearch.writing import (
    BulkWriter,
    Loading,
    MissingIndexError,
    prepare,
)

SUGGESTION_PREFIX_CHARACTERS_MAX = 100
SUGGESTIONS_MAX = 20
PORTION = 500
"""Documents of one write that are prepared together, and sent together where they are not too large."""

_NOT_FOUND = 404

_log = structlog.get_logger(__name__)


class ElasticsearchCatalogIndex:
    """A :class:`CatalogIndex` in a cluster. Nothing is sent before the first call."""

    def __init__(
        self,
        settings: ElasticsearchSettings,
        *,
        codec: SearchCursorCodec,
        vocabulary: Vocabulary = DEFAULT_VOCABULARY,
    ) -> None:
        self._client = connect(settings)
        self._codec = codec
        self._vocabulary = vocabulary
        patient = self._client.options(request_timeout=settings.bulk_timeout_seconds)
        self._generations = Generations(patient, settings.index_prefix)
        self._alias = self._generations.alias
        self._searcher = AliasSearcher(self._client, self._alias)
        self._writer = BulkWriter(patient)
        self._writing = asyncio.Lock()
        self._is_prepared = False
        self._is_rebuilding = False
        self._purged: set[UUID] = set()

    async def upsert(self, documents: Sequence[SearchDocument]) -> list[UpsertOutcome]:
        """See the port. ``deferred``: the engine takes no writes just now (read-only, overloaded)."""
        if not documents:
            return []
        with self._calling():
            await self._prepare()
            async with self._writing:
                outcomes = await self._write(documents)
                applied = [outcome.dataset_id for outcome in outcomes if outcome.status == "applied"]
                if applied:
                    await self._client.indices.refresh(index=self._alias)
                self._purged.difference_update(applied)
        return outcomes

    async def purge(self, dataset_ids: Sequence[UUID]) -> int:
        """See the port."""
        if not dataset_ids:
            return 0
        with self._calling():
            await self._prepare()
            async with self._writing:
                if self._is_rebuilding:
                    self._purged.update(dataset_ids)
                return await self._writer.delete(self._alias, dict.fromkeys(dataset_ids), refresh=True)

    async def search(self, query: SearchQuery) -> SearchPage:
        """See the port."""
        position = self._codec.decode(query)
        steps = relaxations(plan_query(query.text, self._vocabulary))
        tried = range(len(steps)) if position is None else [min(position.step, len(steps) - 1)]
        with self._calling():
            await self._prepare()
            # Nearly every search finds something at its first step: its facets are counted meanwhile.
            number = tried[0]
            found, facets = await self._page_with_facets(steps[number], query, position)
            for looser in tried[1:]:
                if found.total:
                    break
                looked = await self._page_with_facets(steps[looser], query, position)
                if looked[0].total:
                    number, (found, facets) = looser, looked
        next_cursor = None
        if found.next_position is not None:
            next_cursor = self._codec.encode(query, replace(found.next_position, step=number))
        return SearchPage(found.total, "eq", found.hits, facets, next_cursor, steps[number].told)

    async def suggest(self, prefix: str, viewer: ViewerScope, size: int = 8) -> tuple[Suggestion, ...]:
        """See the port."""
        prefix = prefix[:SUGGESTION_PREFIX_CHARACTERS_MAX]
        if not title_key(prefix):
            return ()
        with self._calling():
            await self._prepare()
            return await self._searcher.suggest(prefix, viewer, min(max(1, size), SUGGESTIONS_MAX))

    async def count(self, *, hidden: bool = False) -> int:
        """See the port."""
        with self._calling():
            await self._prepare()
            return await self._searcher.count(hidden=hidden)

    async def scan(self) -> AsyncIterator[IndexedRevision]:
        """See the port."""
        with self._calling():
            await self._prepare()
            async for batch in self._searcher.scan():
                for revision in batch:
                    yield revision

    async def rebuild(self, documents: AsyncIterator[SearchDocument]) -> RebuildReport:
        """See the port. Writes of other processes are carried over too, by the engine's sequence numbers."""
        if self._is_rebuilding:
            raise CatalogIndexError("A rebuild is already running. Wait for it to end.")
        self._is_rebuilding = True
        try:
            with self._calling():
                await self._prepare()
                return await self._rebuild(documents)
        finally:
            self._is_rebuilding = False
            self._purged.clear()

    async def status(self) -> IndexStatus:
        """See the port."""
        with self._calling():
            await self._prepare()
            current = await self._generations.current()
            held = await self._searcher.count(hidden=False) + await self._searcher.count(hidden=True)
        return IndexStatus(held, current.name, current.needs_rebuild)

    async def close(self) -> None:
        """See the port."""
        await self._client.close()

    async def _page_with_facets(
        self, step: Relaxation, query: SearchQuery, position: CursorPosition | None
    ) -> tuple[ElasticsearchSlice, dict[Facet, tuple[FacetCount, ...]]]:
        if not query.with_facets:
            return await self._searcher.page(step, query, position), {}
        return await asyncio.gather(
            self._searcher.page(step, query, position), self._searcher.facets(step, query)
        )

    async def _write(self, documents: Sequence[SearchDocument]) -> list[UpsertOutcome]:
        """Write in portions: while the engine works on one, the next is prepared."""
        outcomes: list[UpsertOutcome] = []
        portions = [documents[at : at + PORTION] for at in range(0, len(documents), PORTION)]
        preparing = asyncio.create_task(asyncio.to_thread(prepare, portions[0]))
        try:
            for following in [*portions[1:], None]:
                prepared = await preparing
                if following is not None:
                    preparing = asyncio.create_task(asyncio.to_thread(prepare, following))
                outcomes += await self._writer.write(self._alias, prepared, refresh=False)
        finally:
            preparing.cancel()
            await asyncio.wait({preparing})
        return outcomes

    async def _rebuild(self, documents: AsyncIterator[SearchDocument]) -> RebuildReport:
        old = await self._generations.current()
        # Before the first row is read: whatever is written from here on is carried over at the end.
        start = await self._writer.last_sequence(old.name)
        new = await self._generations.begin(old)
        try:
            building = self._generations.building_alias
            loading = Loading(self._writer, building, self._purged.__contains__)
            await loading.feed(documents)
            await self._generations.prepare_to_serve(new)
            caught_up = await self._writer.copy_newer(old.name, building, after=start)
            async with self._writing:
                caught_up += await self._writer.copy_newer(old.name, building, after=start)
                caught_up += await self._swap(old, new, start)
        except BaseException:
            await asyncio.shield(self._give_up(new))
            raise
        return RebuildReport(loading.applied, caught_up, tuple(loading.refused))

    async def _swap(self, old: ElasticsearchGeneration, new: ElasticsearchGeneration, start: int) -> int:
        """Let the new index answer, then fetch what other processes still wrote to the old one.

        The new one is called complete only after that: a process that dies in between leaves an index that
        is known to need a rebuild, not one that silently lacks a write.
        """
        await self._writer.delete(self._generations.building_alias, self._purged, refresh=False)
        await self._client.indices.refresh(index=new.name)
        await self._generations.swap(old, new)
        await self._generations.seal(old)
        late = await self._writer.copy_newer(old.name, self._alias, after=start)
        await self._client.indices.refresh(index=self._alias)
        await self._generations.mark_complete(new)
        await self._generations.remove_before(new)
        return late

    async def _give_up(self, new: ElasticsearchGeneration) -> None:
        """Leave no trace of a rebuild, unless it was swapped in before it was given up."""
        try:
            with engine_errors():
                current = await self._generations.current()
                if current.name != new.name:
                    await self._generations.remove(new)
        except CatalogIndexError as error:
            # The next rebuild knows it for its own, and replaces it.
            _log.warning("half_built_index_left", index=new.name, error=str(error))

    async def _prepare(self) -> None:
        """Make the index where there is none: once, and again after it was found to be gone."""
        if not self._is_prepared:
            await self._generations.ensure()
            self._is_prepared = True

    @contextmanager
    def _calling(self) -> Iterator[None]:
        try:
            with engine_errors():
                yield
        except CatalogIndexError as error:
            if (
                isinstance(error, MissingIndexError)
                or getattr(error.__cause__, "status_code", None) == _NOT_FOUND
            ):
                self._is_prepared = False
            raise
