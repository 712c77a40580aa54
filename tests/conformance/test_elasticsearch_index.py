"""What is Elasticsearch's own: aliases, several processes, writes put off, and half-built indices."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from elasticsearch import AsyncElasticsearch

from services.catalog.search.domain.cursor import CursorPosition
from services.catalog.search.domain.index import CatalogIndex, CatalogIndexError
from services.catalog.search.domain.search import InvalidSearchError, SearchDocument, SearchQuery
from services.catalog.search.elasticsearch import writing
from services.catalog.search.elasticsearch.client import ElasticsearchSettings, connect
from services.catalog.search.elasticsearch.generations import REBUILD_SILENT_SECONDS_MAX, Generations
from services.catalog.search.elasticsearch.index import ElasticsearchCatalogIndex
from services.catalog.search.elasticsearch.schema import to_source
from services.catalog.search.elasticsearch.writing import BULK_BYTES_MAX
from tests.conformance.catalog_index_fixtures import (
    CODEC,
    dataset_id,
    document,
    forget_indices,
    held,
    indices_of,
    own_index,
    stream,
    titles,
    wells,
)
from tests.servers.processes import free_ports

pytestmark = pytest.mark.cluster


@pytest.fixture
async def settings(real_elasticsearch: str) -> AsyncIterator[ElasticsearchSettings]:
    chosen = own_index(real_elasticsearch)
    yield chosen
    await forget_indices(chosen)


@pytest.fixture
async def client(settings: ElasticsearchSettings) -> AsyncIterator[AsyncElasticsearch]:
    async with connect(settings) as opened:
        yield opened


@pytest.fixture
async def index(settings: ElasticsearchSettings) -> AsyncIterator[ElasticsearchCatalogIndex]:
    opened = ElasticsearchCatalogIndex(settings, codec=CODEC)
    yield opened
    await opened.close()


@pytest.fixture
async def other(settings: ElasticsearchSettings) -> AsyncIterator[ElasticsearchCatalogIndex]:
    """The same index in another process, as far as the two can tell."""
    opened = ElasticsearchCatalogIndex(settings, codec=CODEC)
    yield opened
    await opened.close()


def before(call: Callable[..., Awaitable[Any]], first: Callable[[], Awaitable[Any]]) -> Callable[..., Any]:
    """``call``, preceded by ``first``."""

    async def both(*arguments: Any, **named: Any) -> Any:
        await first()
        return await call(*arguments, **named)

    return both


async def raise_away(*_: Any, **__: Any) -> None:
    raise CatalogIndexError("away")


class TestMapping:
    async def test_fields_that_the_mapping_does_not_name_are_refused_no_document(
        self, index: ElasticsearchCatalogIndex, client: AsyncElasticsearch, settings: ElasticsearchSettings
    ) -> None:
        await index.rebuild(stream(wells(3)))
        (body,) = (await client.indices.get(index=f"{settings.index_prefix}-catalog")).body.values()
        assert body["mappings"]["dynamic"] == "false"
        assert body["settings"]["index"]["refresh_interval"] == "1s"
        assert body["settings"]["index"]["auto_expand_replicas"] == "0-1"
        assert body["settings"]["index"]["store"]["type"] == "mmapfs"
        found = await client.search(index=f"{settings.index_prefix}-catalog")
        sent = set(found.body["hits"]["hits"][0]["_source"])
        assert sent <= set(body["mappings"]["properties"])

    async def test_a_rebuilt_index_is_one_segment(
        self,
        index: ElasticsearchCatalogIndex,
        client: AsyncElasticsearch,
        settings: ElasticsearchSettings,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(writing, "BULK_DOCUMENTS_MAX", 10)

        async def in_parts() -> AsyncIterator[SearchDocument]:
            for number, each in enumerate(wells(50)):
                if number % 10 == 5:
                    await client.indices.refresh(index=f"{settings.index_prefix}-catalog-building")
                yield each

        await index.rebuild(in_parts())
        (found,) = (
            (await client.indices.segments(index=f"{settings.index_prefix}-catalog")).body["indices"].values()
        )
        assert [part["num_docs"] for part in found["shards"]["0"][0]["segments"].values()] == [50]

    async def test_a_document_that_the_engine_rejects_blocks_no_other(
        self, index: ElasticsearchCatalogIndex, client: AsyncElasticsearch, settings: ElasticsearchSettings
    ) -> None:
        alias = f"{settings.index_prefix}-catalog"
        narrow = {"hidden": {"type": "boolean"}, "sort_popular": {"type": "byte"}}
        await client.indices.create(
            index=f"{alias}-000001", aliases={alias: {}}, mappings={"dynamic": False, "properties": narrow}
        )
        too_much = replace(document("b", "Bridges"), popularity_bucket=5_000)
        outcomes = await index.upsert([document("a", "Wells"), too_much, document("c", "Lakes")])
        assert [outcome.status for outcome in outcomes] == ["applied", "refused", "applied"]
        assert "sort_popular" in (outcomes[1].reason or "")
        assert await index.count() == 2

    async def test_a_batch_larger_than_one_request_is_answered_in_order(
        self, index: ElasticsearchCatalogIndex
    ) -> None:
        long = "deep wells of the district " * 4_000
        batch = [document(n, f"Wells {n}", long) for n in range(30)]
        batch[7] = replace(batch[7], title=7)  # type: ignore[arg-type]
        batch[20] = document(3, "Wells again", long)
        assert sum(len(each.description) for each in batch) > 3 * BULK_BYTES_MAX
        outcomes = await index.upsert(batch)
        statuses = ["applied"] * 30
        statuses[7], statuses[20] = "refused", "stale"
        assert [outcome.status for outcome in outcomes] == statuses
        assert [outcome.dataset_id for outcome in outcomes] == [each.dataset_id for each in batch]


class TestWritesPutOff:
    @pytest.mark.parametrize("block", ["read_only_allow_delete", "write", "read_only"])
    async def test_a_blocked_index_defers_writes_and_takes_them_later(
        self,
        index: ElasticsearchCatalogIndex,
        client: AsyncElasticsearch,
        settings: ElasticsearchSettings,
        block: str,
    ) -> None:
        alias = f"{settings.index_prefix}-catalog"
        await index.upsert([document("a", "Wells")])
        await client.indices.put_settings(index=alias, settings={f"index.blocks.{block}": True})
        batch = [document("a", "Wells", revision=2), document("b", "Bridges")]
        outcomes = await index.upsert(batch)
        assert [outcome.status for outcome in outcomes] == ["deferred", "deferred"]
        assert all("block" in (outcome.reason or "") for outcome in outcomes)
        with pytest.raises(CatalogIndexError, match="block"):
            await index.purge([dataset_id("a")])
        assert await titles(index, "wells") == ["Wells"]
        await client.indices.put_settings(index=alias, settings={f"index.blocks.{block}": None})
        assert [outcome.status for outcome in await index.upsert(batch)] == ["applied", "applied"]
        assert await held(index) == {dataset_id("a"): (2, False), dataset_id("b"): (1, False)}

    async def test_an_engine_that_is_away_is_told_as_such_by_every_call(self) -> None:
        (port,) = free_ports(1)
        absent = ElasticsearchCatalogIndex(ElasticsearchSettings((f"http://127.0.0.1:{port}",)), codec=CODEC)
        calls: list[Awaitable[Any]] = [
            absent.upsert([document("a", "Wells")]),
            absent.purge([dataset_id("a")]),
            absent.search(SearchQuery("wells")),
            absent.suggest("wel", SearchQuery().viewer),
            absent.count(),
            held(absent),
            absent.rebuild(stream([])),
            absent.status(),
        ]
        for call in calls:
            with pytest.raises(CatalogIndexError, match="Elasticsearch failed"):
                await call
        await absent.close()

    async def test_an_index_that_vanished_is_made_anew_and_asks_to_be_rebuilt(
        self, index: ElasticsearchCatalogIndex, settings: ElasticsearchSettings
    ) -> None:
        await index.rebuild(stream(wells(3)))
        await forget_indices(settings)
        with pytest.raises(CatalogIndexError, match="gone"):
            await index.upsert([document("a", "Wells")])
        assert await indices_of(settings) == set(), "a write must not create an index"
        status = await index.status()
        assert (status.documents, status.needs_rebuild is not None) == (0, True)


class TestRebuildsOfSeveralProcesses:
    async def test_a_write_of_another_process_during_a_rebuild_is_carried_over(
        self, index: CatalogIndex, other: CatalogIndex
    ) -> None:
        await index.upsert([document("a", "Wells a"), document("b", "Wells b")])

        async def rows() -> AsyncIterator[SearchDocument]:
            yield document("a", "Wells a")
            await other.upsert([document("a", "Wells a, newer", revision=2), document("c", "Wells c")])
            yield document("b", "Wells b")

        assert (await index.rebuild(rows())).caught_up == 2
        assert sorted(await titles(other, "wells")) == ["Wells a, newer", "Wells b", "Wells c"]

    async def test_a_write_of_another_process_just_before_the_swap_is_carried_over(
        self,
        index: ElasticsearchCatalogIndex,
        other: CatalogIndex,
        settings: ElasticsearchSettings,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        await index.upsert([document("a", "Wells a")])
        late = [document("a", "Wells a, newer", revision=2), document("b", "Wells b")]
        generations = index._generations
        monkeypatch.setattr(generations, "swap", before(generations.swap, lambda: other.upsert(late)))
        assert (await index.rebuild(stream([document("a", "Wells a")]))).caught_up == 2
        assert sorted(await titles(other, "wells")) == ["Wells a, newer", "Wells b"]
        assert len(await indices_of(settings)) == 1

    async def test_a_write_that_reaches_the_old_index_after_the_swap_is_carried_over_or_refused(
        self, index: ElasticsearchCatalogIndex, client: AsyncElasticsearch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await index.upsert([document("a", "Wells a")])
        generations = index._generations
        statuses: list[int] = []
        old = (await index.status()).generation

        async def write_to_old() -> None:
            """As a request does that was under way before the swap."""
            late = document("late", "Wells late")
            answer = await client.options(ignore_status=403).index(
                index=old,
                id=str(late.dataset_id),
                version=late.revision + len(statuses),
                version_type="external",
                document=orjson.loads(to_source(late)),
            )
            statuses.append(answer.meta.status)

        monkeypatch.setattr(generations, "seal", before(generations.seal, write_to_old))
        monkeypatch.setattr(generations, "mark_complete", before(generations.mark_complete, write_to_old))
        report = await index.rebuild(stream([document("a", "Wells a")]))
        assert (report.caught_up, statuses) == (1, [201, 403])
        assert sorted(await titles(index, "wells")) == ["Wells a", "Wells late"]

    async def test_a_second_rebuild_is_told_that_one_is_running(
        self, index: CatalogIndex, other: CatalogIndex
    ) -> None:
        async def rows() -> AsyncIterator[SearchDocument]:
            yield document("a", "Wells")
            for second in (other, index):
                with pytest.raises(CatalogIndexError, match=r"is running|already running"):
                    await second.rebuild(stream([document("b", "Bridges")]))

        assert (await index.rebuild(rows())).applied == 1
        assert await titles(other, "wells") == ["Wells"]
        assert (await other.rebuild(stream([document("b", "Bridges")]))).applied == 1

    async def test_a_half_built_index_of_a_process_that_died_is_replaced_once_it_stands_still(
        self, settings: ElasticsearchSettings, client: AsyncElasticsearch
    ) -> None:
        now = [1_000.0]
        dead = Generations(client, settings.index_prefix)
        living = Generations(client, settings.index_prefix, monotonic=lambda: now[0])
        await dead.ensure()
        left = await dead.begin(await dead.current())
        with pytest.raises(CatalogIndexError, match="replaced after 60 seconds"):
            await living.begin(await living.current())
        now[0] += REBUILD_SILENT_SECONDS_MAX - 1
        await client.index(index=left.name, document={}, refresh=True)
        with pytest.raises(CatalogIndexError, match="is running"):
            await living.begin(await living.current())
        now[0] += REBUILD_SILENT_SECONDS_MAX - 1
        with pytest.raises(CatalogIndexError, match="is running"):
            await living.begin(await living.current())
        now[0] += 1
        new = await living.begin(await living.current())
        assert (new.name, new.uuid != left.uuid) == (left.name, True)
        with pytest.raises(CatalogIndexError, match="replaced by another process"):
            await dead.swap(await dead.current(), left)

    async def test_what_a_rebuild_could_not_clear_away_the_next_one_replaces(
        self,
        index: ElasticsearchCatalogIndex,
        settings: ElasticsearchSettings,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        async def rows() -> AsyncIterator[SearchDocument]:
            yield document("b", "Bridges")
            raise RuntimeError("the store went away")

        with monkeypatch.context() as patch:
            patch.setattr(index._generations, "remove", raise_away)
            with pytest.raises(RuntimeError, match="went away"):
                await index.rebuild(rows())
        assert len(await indices_of(settings)) == 2
        assert (await index.rebuild(stream([document("a", "Wells")]))).applied == 1
        assert len(await indices_of(settings)) == 1

    async def test_a_process_that_dies_between_swap_and_completion_leaves_an_index_that_says_so(
        self,
        index: ElasticsearchCatalogIndex,
        other: CatalogIndex,
        settings: ElasticsearchSettings,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        await index.rebuild(stream([document("a", "Wells")]))
        with monkeypatch.context() as patch:
            patch.setattr(index._generations, "mark_complete", raise_away)
            with pytest.raises(CatalogIndexError, match="away"):
                await index.rebuild(stream([document("a", "Wells"), document("b", "Bridges")]))
        assert (await other.status()).needs_rebuild is not None
        assert await titles(other, "bridges") == ["Bridges"]
        await other.rebuild(stream([document("a", "Wells"), document("b", "Bridges")]))
        assert (await index.status()).needs_rebuild is None
        assert len(await indices_of(settings)) == 1

    async def test_processes_that_start_together_make_one_index(
        self, index: CatalogIndex, other: CatalogIndex, settings: ElasticsearchSettings
    ) -> None:
        await index.count()
        await other.upsert([document("a", "Wells")])
        assert await titles(index, "wells") == ["Wells"]
        assert len(await indices_of(settings)) == 1


async def test_a_cursor_of_the_other_engine_is_refused_with_the_cure(
    index: ElasticsearchCatalogIndex, tmp_path: Path
) -> None:
    await index.upsert(wells(5))
    for query, after in ((SearchQuery("wells", size=2), (300,)), (SearchQuery(sort="title"), (1, 2, 3))):
        cursor = CODEC.encode(query, CursorPosition("engine", after))
        with pytest.raises(InvalidSearchError, match="first page"):
            await index.search(replace(query, cursor=cursor))
