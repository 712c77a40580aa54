"""The search index follows the catalogue's rows: after stale writes, rebuilds, drift and absences."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import orjson

from services.catalog.search.commands.indexing import IndexWorker
from services.catalog.search.commands.reconciling import ReconcileSchedule
from services.catalog.search.domain.cursor import SearchCursorCodec
from services.catalog.search.domain.index import CatalogIndex, CatalogIndexError
from services.catalog.search.domain.search import SearchDocument, UpsertOutcome
from services.catalog.search.repository import IndexBacklog
from services.catalog.search.tantivy.index import TantivyCatalogIndex
from shared.clock import SimulatedClock
from shared.telemetry.metrics import Metrics
from tests.support.catalog_service import RunningCatalog, bearer, dataset, feed_of, running_catalog


def index_of(running: RunningCatalog) -> CatalogIndex:
    return running.catalog.indexing.index


async def reconcile(running: RunningCatalog, *, repair: bool = False) -> dict[str, int]:
    answer = await running.client.post(
        "/api/v1/catalog/reconcile", params={"repair": repair}, headers=bearer("operator")
    )
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def documents(running: RunningCatalog) -> list[SearchDocument]:
    ledger = IndexBacklog(running.catalog.service.store)
    return [document async for document in ledger.documents()]


async def test_a_stale_write_never_overwrites_a_newer_document(running: RunningCatalog) -> None:
    await running.harvest(feed_of(dataset("a", title="Old title")))
    (old,) = await documents(running)
    await running.harvest(feed_of(dataset("a", title="New title")))
    (outcome,) = await index_of(running).upsert([old])
    assert outcome.status == "stale"
    assert [result["title"] for result in (await running.search())["results"]] == ["New title"]


async def test_a_retired_dataset_is_not_brought_back_by_a_late_write(running: RunningCatalog) -> None:
    await running.harvest(feed_of(dataset("a"), dataset("b")))
    late = next(document for document in await documents(running) if document.identifier == "a")
    await running.harvest(feed_of(dataset("b")))
    await index_of(running).upsert([late])
    assert (await running.search())["total"] == 1


async def test_reconcile_finds_and_mends_planted_drift(running: RunningCatalog) -> None:
    await running.harvest(feed_of(*(dataset(f"d{number}") for number in range(6))))
    known = await documents(running)
    await index_of(running).purge([known[0].dataset_id])
    await index_of(running).upsert([replace(known[1], revision=known[1].revision + 5, title="From nowhere")])
    await index_of(running).upsert([replace(known[2], dataset_id=uuid4(), title="Nobody's")])
    expected = {"store": 6, "index": 6, "missing": 1, "extra": 1, "stale": 1}
    assert await reconcile(running) == expected | {"repaired": 0, "purged": 0}
    assert running.metrics.value("nutmeg_index_drift_documents", kind="extra") == 1
    mended = await reconcile(running, repair=True)
    assert mended == expected | {"repaired": 2, "purged": 2}
    clean = {"store": 6, "index": 6, "missing": 0, "extra": 0, "stale": 0, "repaired": 0, "purged": 0}
    assert await reconcile(running) == clean
    titles = {result["title"] for result in (await running.search())["results"]}
    assert titles == {f"Title of d{number}" for number in range(6)}


async def test_drift_is_mended_by_itself_and_told_by_every_process(
    running: RunningCatalog, clock: SimulatedClock
) -> None:
    await running.harvest(feed_of(*(dataset(f"d{number}") for number in range(4))))
    indexing = running.catalog.indexing
    schedule = ReconcileSchedule(indexing, clock, delay=timedelta(minutes=2), interval=timedelta(hours=24))
    await schedule.run_once()
    assert await indexing.reconciled_at() is None
    await index_of(running).purge([document.dataset_id for document in (await documents(running))[:2]])
    clock.advance(timedelta(minutes=2))
    await schedule.run_once()
    assert (await running.search())["total"] == 4
    assert running.metrics.value("nutmeg_index_drift_found_total", kind="missing") == 2
    first = await indexing.reconciled_at()
    clock.advance(timedelta(hours=23))
    await schedule.run_once()
    assert await indexing.reconciled_at() == first
    # Another replica has compared nothing itself, and tells the same.
    elsewhere = Metrics()
    replica = IndexWorker(
        running.catalog.service.store,
        IndexBacklog(running.catalog.service.store),
        index_of(running),
        elsewhere,
        engine="tantivy",
    )
    await replica.measure()
    assert elsewhere.registry.get_sample_value("nutmeg_index_drift_documents", {"kind": "missing"}) == 0
    assert elsewhere.value("nutmeg_index_reconcile_age_seconds") >= 23 * 3_600
    clock.advance(timedelta(hours=1))
    await schedule.run_once()
    assert await indexing.reconciled_at() != first


class AwayIndex:
    """Cannot be asked."""

    async def count(self) -> int:
        raise CatalogIndexError("away")


async def test_an_index_that_is_away_has_no_number_of_documents(
    running: RunningCatalog, clock: SimulatedClock
) -> None:
    await running.harvest(feed_of(dataset("a")))
    indexing = running.catalog.indexing
    await indexing.measure()
    assert running.metrics.registry.get_sample_value("nutmeg_index_documents", {"engine": "tantivy"}) == 1
    indexing.index = cast("CatalogIndex", AwayIndex())
    await indexing.measure()
    assert running.metrics.registry.get_sample_value("nutmeg_index_documents", {"engine": "tantivy"}) is None


class RefusingIndex:
    """Passes on to an index, and refuses every document."""

    def __init__(self, index: CatalogIndex) -> None:
        self._index = index

    def __getattr__(self, name: str) -> Any:
        return getattr(self._index, name)

    async def upsert(self, documents: Sequence[SearchDocument]) -> list[UpsertOutcome]:
        return [UpsertOutcome(one.dataset_id, one.revision, "refused", "never") for one in documents]


async def test_what_cannot_be_mended_stays_in_the_gauge(
    running: RunningCatalog, clock: SimulatedClock
) -> None:
    await running.harvest(feed_of(dataset("a"), dataset("b")))
    (first, _) = await documents(running)
    await index_of(running).purge([first.dataset_id])
    store = running.catalog.service.store
    index: Any = RefusingIndex(index_of(running))
    worker = IndexWorker(store, IndexBacklog(store), index, running.metrics, engine="tantivy")
    await worker.reconcile(repair=True)
    assert running.metrics.value("nutmeg_index_drift_documents", kind="missing") == 1


async def test_what_changes_while_index_and_rows_are_compared_is_no_drift(running: RunningCatalog) -> None:
    names = [f"d{number}" for number in range(40)]
    await running.harvest(feed_of(*(dataset(name) for name in names)))

    async def change() -> None:
        for turn in range(3):
            await running.harvest(feed_of(*(dataset(name, title=f"{turn} {name}") for name in names)))

    changing = asyncio.create_task(change())
    found = []
    while not changing.done():
        found.append(await running.catalog.indexing.reconcile(repair=False))
        await asyncio.sleep(0.005)
    await changing
    assert len(found) > 1
    assert [drift.kinds() for drift in found] == [{"missing": 0, "extra": 0, "stale": 0}] * len(found)


async def test_reconcile_forgets_documents_of_datasets_that_retired_a_while_ago(
    running: RunningCatalog, clock: SimulatedClock
) -> None:
    await running.harvest(feed_of(dataset("a"), dataset("b")))
    await running.harvest(feed_of(dataset("b")))
    assert (await reconcile(running, repair=True))["purged"] == 0
    clock.advance(timedelta(seconds=61))
    assert (await reconcile(running, repair=True))["purged"] == 1
    assert await index_of(running).count(hidden=True) == 0
    await running.harvest(feed_of(dataset("a"), dataset("b")))
    assert (await running.search())["total"] == 2


async def test_a_rebuild_under_writes_ends_with_every_document_in_its_newest_form(
    running: RunningCatalog,
) -> None:
    names = [f"d{number}" for number in range(60)]
    await running.harvest(feed_of(*(dataset(name) for name in names)))

    async def rebuild() -> None:
        answer = await running.client.post("/api/v1/catalog/reindex", headers=bearer("operator"))
        assert answer.status_code == 200
        assert answer.json()["refused"] == []

    changed = feed_of(*(dataset(name, title=f"Newer {name}") for name in names))
    await asyncio.gather(rebuild(), running.harvest(changed))
    await running.idle()
    page = await running.search(limit=100)
    assert {result["title"] for result in page["results"]} == {f"Newer {name}" for name in names}
    drift = await reconcile(running)
    assert (drift["missing"], drift["extra"], drift["stale"]) == (0, 0, 0)


async def test_a_lost_index_is_built_anew_at_the_next_start(tmp_path: Path, clock: SimulatedClock) -> None:
    async with running_catalog(tmp_path, clock) as running:
        await running.harvest(feed_of(dataset("a"), dataset("b")))
    for file in sorted((tmp_path / "catalog" / "index").rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    async with running_catalog(tmp_path, clock) as running:
        await running.idle()
        assert (await running.search())["total"] == 2


class AbsentIndex:
    """Passes on to an index, or raises while it is away."""

    def __init__(self, index: CatalogIndex) -> None:
        self._index = index
        self.is_away = True
        self.refused = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._index, name)

    async def upsert(self, documents: Sequence[SearchDocument]) -> list[UpsertOutcome]:
        if self.is_away:
            self.refused.set()
            raise CatalogIndexError("away")
        return await self._index.upsert(documents)


async def test_an_index_that_was_away_gets_what_it_missed(tmp_path: Path, clock: SimulatedClock) -> None:
    made: list[AbsentIndex] = []

    async def open_index() -> CatalogIndex:
        index = await TantivyCatalogIndex.open(tmp_path / "index", codec=SearchCursorCodec("secret"))
        made.append(AbsentIndex(index))
        return made[0]

    async with running_catalog(tmp_path, clock, open_index=open_index) as running:
        answer = await running.client.post(
            "/api/v1/harvests",
            params={"wait": "true"},
            content=orjson.dumps(feed_of(dataset("a"), dataset("b"))),
            headers=bearer("operator"),
        )
        assert answer.json()["result"]["created"] == 2
        await asyncio.wait_for(made[0].refused.wait(), 10)
        assert (await running.search())["total"] == 0
        assert await running.catalog.indexing.pending() == 2
        made[0].is_away = False
        await running.idle()
        assert (await running.search())["total"] == 2
