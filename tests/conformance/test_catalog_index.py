"""What every search engine must do with what is written: revisions, hidden ones, purges, rebuilds."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.catalog.search.domain.index import CatalogIndex
from services.catalog.search.domain.search import (
    SearchDocument,
    SearchQuery,
)
from tests.conformance.catalog_index_fixtures import (
    ENGINE_PARAMS,
    ENGINES,
    EVERYONE,
    dataset_id,
    document,
    held,
    stream,
    titles,
    wells,
)


@pytest.fixture(params=ENGINE_PARAMS)
async def index(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CatalogIndex]:
    async with ENGINES[request.param](request, tmp_path) as opened:
        yield opened


class TestWriting:
    async def test_what_was_written_is_found_at_once(self, index: CatalogIndex) -> None:
        outcomes = await index.upsert([document("a", "Wells"), document("b", "Bridges")])
        assert [(outcome.dataset_id, outcome.status) for outcome in outcomes] == [
            (dataset_id("a"), "applied"),
            (dataset_id("b"), "applied"),
        ]
        assert await titles(index, "wells") == ["Wells"]
        assert await index.count() == 2

    async def test_an_older_or_equal_revision_is_stale_and_changes_nothing(self, index: CatalogIndex) -> None:
        await index.upsert([document("a", "Wells now", revision=5)])
        outcomes = await index.upsert(
            [document("a", "Wells before", revision=4), document("a", "Wells again", revision=5)]
        )
        assert [outcome.status for outcome in outcomes] == ["stale", "stale"]
        assert await titles(index, "wells") == ["Wells now"]

    async def test_a_newer_revision_replaces_the_document(self, index: CatalogIndex) -> None:
        await index.upsert([document("a", "Wells")])
        await index.upsert([document("a", "Bridges", revision=2)])
        assert await titles(index, "wells") == []
        assert await titles(index, "bridges") == ["Bridges"]
        assert await held(index) == {dataset_id("a"): (2, False)}

    @pytest.mark.parametrize("revisions", [(1, 2), (2, 1), (1, 3, 2), (2, 2)])
    async def test_within_one_batch_the_highest_revision_wins(
        self, index: CatalogIndex, revisions: tuple[int, ...]
    ) -> None:
        batch = [document("a", f"Wells {revision}", revision=revision) for revision in revisions]
        outcomes = await index.upsert(batch)
        assert len(outcomes) == len(batch)
        assert await titles(index, "wells") == [f"Wells {max(revisions)}"]
        assert await held(index) == {dataset_id("a"): (max(revisions), False)}

    async def test_a_hidden_document_is_found_by_no_one_and_keeps_its_revision(
        self, index: CatalogIndex
    ) -> None:
        await index.upsert([document("a", "Wells")])
        await index.upsert([replace(document("a", "Wells", revision=2), hidden=True)])
        assert await titles(index, "wells", EVERYONE) == []
        assert await titles(index, "", EVERYONE) == []
        assert await index.suggest("wel", EVERYONE) == ()
        late = await index.upsert([document("a", "Wells")])
        assert late[0].status == "stale"
        assert (await index.count(), await index.count(hidden=True)) == (0, 1)

    async def test_a_retired_dataset_can_come_back_with_a_newer_revision(self, index: CatalogIndex) -> None:
        await index.upsert([replace(document("a", "Wells"), hidden=True)])
        await index.upsert([document("a", "Wells", revision=2)])
        assert await titles(index, "wells") == ["Wells"]

    async def test_a_purged_document_is_forgotten(self, index: CatalogIndex) -> None:
        await index.upsert([document("a", "Wells"), document("b", "Wells too")])
        assert await index.purge([dataset_id("a"), dataset_id("unknown")]) == 1
        assert await titles(index, "wells") == ["Wells too"]
        assert set(await held(index)) == {dataset_id("b")}

    async def test_a_purged_document_may_come_back_at_once_in_an_older_revision(
        self, index: CatalogIndex
    ) -> None:
        await index.upsert([document("a", "Wells ahead", revision=9), document("b", "Bridges")])
        await index.purge([dataset_id("a")])
        outcomes = await index.upsert([document("a", "Wells", revision=2), document("b", "Bridges")])
        assert [outcome.status for outcome in outcomes] == ["applied", "stale"]
        assert await titles(index, "wells") == ["Wells"]

    async def test_a_document_that_can_not_be_indexed_is_refused_alone(self, index: CatalogIndex) -> None:
        bad = [
            replace(document("x", "Wells"), keywords="water"),  # type: ignore[arg-type]
            replace(document("x", "Wells"), title=7),  # type: ignore[arg-type]
            replace(document("x", "Wells"), quality_score="good"),  # type: ignore[arg-type]
            replace(document("x", "Wells"), revision=-1),
            replace(document("x", "Wells"), data_updated_at="2026-01-01"),  # type: ignore[arg-type]
            replace(document("x", "Half a character \ud800")),
            replace(document("x", "Wells"), popularity_bucket=2**80),
        ]
        outcomes = await index.upsert([document("a", "Wells"), *bad, document("b", "Wells too")])
        assert [outcome.status for outcome in outcomes] == ["applied", *["refused"] * len(bad), "applied"]
        assert all(outcome.reason for outcome in outcomes if outcome.status == "refused")
        assert sorted(await titles(index, "wells")) == ["Wells", "Wells too"]
        assert (await index.upsert([document("c", "Wells three")]))[0].status == "applied"

    async def test_a_huge_and_a_bare_document_are_both_indexed(self, index: CatalogIndex) -> None:
        huge = replace(
            document("huge", "Wells " * 160, "deep " * 12_000),
            keywords=tuple(f"keyword {n}" for n in range(2_000)),
            column_names=tuple(f"column_{n}" for n in range(2_000)),
            license="x" * 100_000,
        )
        outcomes = await index.upsert([huge, SearchDocument(dataset_id("bare"), 0, "")])
        assert [outcome.status for outcome in outcomes] == ["applied", "applied"]
        assert len(await titles(index, "deep wells")) == 1

    async def test_no_documents_are_no_work(self, index: CatalogIndex) -> None:
        assert await index.upsert([]) == []
        assert await index.purge([]) == 0

    async def test_a_scan_gives_every_document_once(self, index: CatalogIndex) -> None:
        documents = wells(250)
        await index.upsert(documents)
        found = [revision async for revision in index.scan()]
        assert len(found) == 250
        assert {revision.dataset_id for revision in found} == {each.dataset_id for each in documents}


class TestRebuild:
    async def test_a_rebuild_replaces_everything(self, index: CatalogIndex) -> None:
        await index.upsert([document("old", "Wells old"), document("a", "Wells a", revision=7)])
        report = await index.rebuild(stream([document("a", "Wells a", revision=7), document("b", "Wells b")]))
        assert (report.applied, report.caught_up, report.refused) == (2, 0, ())
        assert sorted(await titles(index, "wells")) == ["Wells a", "Wells b"]
        assert await held(index) == {dataset_id("a"): (7, False), dataset_id("b"): (1, False)}
        assert (await index.status()).needs_rebuild is None

    async def test_the_index_answers_and_takes_writes_during_a_rebuild(self, index: CatalogIndex) -> None:
        await index.upsert(
            [document("a", "Wells a"), document("gone", "Wells gone"), document("b", "Wells b")]
        )

        async def rows() -> AsyncIterator[SearchDocument]:
            yield document("a", "Wells a")
            await index.upsert([document("a", "Wells a, newer", revision=2), document("c", "Wells c")])
            await index.purge([dataset_id("gone")])
            assert len(await titles(index, "wells")) == 3
            yield document("gone", "Wells gone")
            yield document("c", "Wells c, older", revision=0)
            yield document("b", "Wells b")

        report = await index.rebuild(rows())
        assert report.caught_up == 2
        assert sorted(await titles(index, "wells")) == ["Wells a, newer", "Wells b", "Wells c"]
        assert (await index.upsert([document("a", "Wells late", revision=1)]))[0].status == "stale"

    async def test_a_rebuild_that_fails_leaves_the_old_index(self, index: CatalogIndex) -> None:
        await index.upsert([document("a", "Wells")])

        async def rows() -> AsyncIterator[SearchDocument]:
            yield document("b", "Bridges")
            raise RuntimeError("the store went away")

        with pytest.raises(RuntimeError, match="went away"):
            await index.rebuild(rows())
        assert await titles(index, "wells") == ["Wells"]
        await index.upsert([document("b", "Bridges")])
        assert (await index.rebuild(stream([document("c", "Lakes")]))).applied == 1
        assert await titles(index, "lakes") == ["Lakes"]

    async def test_a_refused_row_is_reported_and_stops_nothing(self, index: CatalogIndex) -> None:
        bad = replace(document("x", "Wells"), title=None)  # type: ignore[arg-type]
        report = await index.rebuild(stream([document("a", "Wells"), bad, document("b", "Wells too")]))
        assert report.applied == 2
        assert [outcome.dataset_id for outcome in report.refused] == [dataset_id("x")]

    async def test_searches_never_find_the_index_dark_while_it_is_swapped(self, index: CatalogIndex) -> None:
        documents = wells(300)
        await index.upsert(documents)
        seen: list[int] = []
        done = asyncio.Event()

        async def look() -> None:
            while not done.is_set():
                seen.append((await index.search(SearchQuery("wells", size=1, with_facets=False))).total)

        looking = asyncio.create_task(look())
        for _ in range(3):
            await index.rebuild(stream(documents))
        done.set()
        await looking
        assert set(seen) == {300}
