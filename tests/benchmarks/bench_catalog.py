"""Measures the catalogue: harvest rate, and the time from a change to its being searchable.

``python -m tests.benchmarks.bench_catalog`` prints one JSON line per figure.
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import structlog

from services.catalog.datasets.commands.editing import decide
from services.catalog.datasets.domain.entry import Overrides
from services.catalog.search.domain.cursor import SearchCursorCodec
from services.catalog.search.domain.index import CatalogIndex
from services.catalog.search.domain.search import SearchDocument, UpsertOutcome
from services.catalog.search.tantivy.index import TantivyCatalogIndex
from shared.clock import SystemClock
from tests.support.catalog_service import RunningCatalog, dataset, feed_of, running_catalog

DATASETS = 5_000
CHANGES_PER_SECOND = 50
SECONDS = 10


class TimedIndex:
    """Passes on to an index, and remembers when each revision became searchable."""

    def __init__(self, index: CatalogIndex) -> None:
        self._index = index
        self.searchable_at: dict[tuple[UUID, int], float] = {}

    def __getattr__(self, name: str) -> object:
        return getattr(self._index, name)

    async def upsert(self, documents: Sequence[SearchDocument]) -> list[UpsertOutcome]:
        outcomes = await self._index.upsert(documents)
        now = time.perf_counter()
        for document in documents:
            for revision in range(document.revision, 0, -1):
                if (document.dataset_id, revision) in self.searchable_at:
                    break
                self.searchable_at[document.dataset_id, revision] = now
        return outcomes


async def change_steadily(running: RunningCatalog, index: TimedIndex) -> list[float]:
    """Change datasets at a steady rate; return the seconds from each commit to searchable."""
    store, datasets = running.catalog.service.store, running.catalog.harvests.datasets
    ids = sorted({dataset_id for dataset_id, _ in index.searchable_at})[:500]
    committed: dict[tuple[UUID, int], float] = {}
    begun = time.perf_counter()
    for number in range(CHANGES_PER_SECOND * SECONDS):
        await asyncio.sleep(max(0.0, begun + number / CHANGES_PER_SECOND - time.perf_counter()))
        async with store.unit_of_work() as work:
            decisions = Overrides(rights=f"Terms of change {number}.")
            entry = await decide(work, datasets, ids[number % len(ids)], decisions)
        if entry is not None:
            committed[entry.dataset_id, entry.document_revision] = time.perf_counter()
    await running.idle()
    return sorted(index.searchable_at[key] - moment for key, moment in committed.items())


def report(name: str, value: float, unit: str) -> None:
    sys.stdout.write(json.dumps({"name": name, "value": round(value, 4), "unit": unit}) + "\n")


async def measure(folder: Path) -> None:
    made: list[TimedIndex] = []

    async def open_index() -> CatalogIndex:
        opened = await TantivyCatalogIndex.open(folder / "index", codec=SearchCursorCodec("bench"))
        made.append(TimedIndex(opened))
        return made[0]  # type: ignore[return-value]  # what it lacks it passes on

    async with running_catalog(folder, SystemClock(), open_index=open_index) as running:
        feed = feed_of(*(dataset(f"d{number}") for number in range(DATASETS)))
        for name in ("harvest_new", "harvest_unchanged"):
            begun = time.perf_counter()
            await running.harvest(feed)
            report(f"{name}_per_second", DATASETS / (time.perf_counter() - begun), "datasets/s, all drained")
        waits = await change_steadily(running, made[0])
        report("change_to_searchable_p50", statistics.median(waits), "s at 50 changes/s")
        report("change_to_searchable_p95", waits[int(len(waits) * 0.95)], "s at 50 changes/s")


def main() -> None:
    """Measure in a folder that is thrown away."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with tempfile.TemporaryDirectory(prefix="nutmeg-bench-") as folder:
        asyncio.run(measure(Path(folder)))


if __name__ == "__main__":
    main()
