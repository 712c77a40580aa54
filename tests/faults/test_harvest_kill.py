"""A harvest whose process is killed again and again ends exactly as one that was left alone."""

import asyncio
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from services.catalog.settings import CatalogSettings
from shared.clock import SystemClock
from shared.events.catalog import DatasetRegistered, HarvestCompleted
from tests.support.catalog_service import bearer, dataset, feed_of, running_catalog

ROOT = Path(__file__).parent.parent.parent
DATASETS = 1_245
KILLS = 10


def run_until(folder: Path, feed: Path, records: int, more_seconds: float) -> None:
    """Run the process until it has counted so many records for good, and a moment more; then kill it."""
    command = [sys.executable, "-m", "tests.support.catalog_harvest_process", str(folder), str(feed)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and records_done(folder) < records:
            time.sleep(0.02)
        time.sleep(more_seconds)
        process.send_signal(signal.SIGKILL)


def records_done(folder: Path) -> int:
    """How many records the killed process had counted for good."""
    with closing(sqlite3.connect(folder / "catalog.db", timeout=10)) as connection:
        try:
            return sum(number for (number,) in connection.execute("SELECT processed FROM harvests"))
        except sqlite3.OperationalError:
            return 0  # the process has not made its tables yet


@pytest.mark.faults
@pytest.mark.timeout(900)
async def test_a_harvest_killed_ten_times_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    feed = tmp_path / "feed.json"
    feed.write_bytes(
        orjson.dumps(feed_of(*(dataset(f"d{number}") for number in range(DATASETS)), dataset("d0")))
    )
    folder = tmp_path / "data"
    folder.mkdir()
    moments = random.Random(7)
    reached = []
    for records in sorted(moments.sample(range(DATASETS - 100), KILLS)):
        await asyncio.to_thread(run_until, folder, feed, records, moments.uniform(0, 0.1))
        reached.append(records_done(folder))
    in_the_middle = [records for records in reached if 0 < records <= DATASETS]
    assert len(in_the_middle) >= KILLS // 2, f"too few kills hit the harvest: {reached}"
    settings = CatalogSettings(records_per_batch=20)
    async with running_catalog(folder, SystemClock(), settings=settings) as running:
        await running.idle(120)
        told = await running.events()
        (job,) = (await running.get("/api/v1/harvests", "operator")).json()["items"]
        drift = await running.client.post("/api/v1/catalog/reconcile", headers=bearer("operator"))
        found = (await running.search(limit=1))["total"]
        (completed,) = await running.events("catalog.notices")
    by_id = {event.id: event for event in told}
    identifiers = Counter(event.payload(DatasetRegistered).dataset.identifier for event in by_id.values())
    assert identifiers == Counter({f"d{number}": 1 for number in range(DATASETS)})
    assert {event.subjectversion for event in by_id.values()} == {1}
    assert job["status"] == "completed"
    assert (job["result"]["created"], job["result"]["rejected"]) == (DATASETS, 1)
    assert (job["result"]["changed"], job["result"]["unchanged"], job["result"]["retired"]) == (0, 0, 0)
    assert completed.payload(HarvestCompleted).created == DATASETS
    assert found == DATASETS
    assert {name: drift.json()[name] for name in ("store", "index", "missing", "extra", "stale")} == {
        "store": DATASETS,
        "index": DATASETS,
        "missing": 0,
        "extra": 0,
        "stale": 0,
    }
