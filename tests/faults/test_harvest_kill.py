"""A harvest whose process is killed again and again ends exactly as one that was left alone."""

import asyncio
import random
import signal
import sqlite3
import subprocess
import sys
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


def start(folder: Path, feed: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.support.catalog_harvest_process", str(folder), str(feed)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def run_and_kill(folder: Path, feed: Path, after_seconds: float) -> bool:
    """Run the process for a while after it started, then kill it; True if it was done before."""
    with start(folder, feed) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        while line and line.strip() != "started":
            line = process.stdout.readline()
        assert line.strip() == "started"
        try:
            rest, _ = process.communicate(timeout=after_seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            rest, _ = process.communicate()
    return "done" in rest


def records_done(folder: Path) -> int:
    """How many records the killed process had counted for good."""
    with closing(sqlite3.connect(folder / "catalog.db")) as connection:
        return sum(number for (number,) in connection.execute("SELECT processed FROM harvests"))


@pytest.mark.faults
async def test_a_harvest_killed_ten_times_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    feed = tmp_path / "feed.json"
    feed.write_bytes(
        orjson.dumps(feed_of(*(dataset(f"d{number}") for number in range(DATASETS)), dataset("d0")))
    )
    folder = tmp_path / "data"
    moments = random.Random(7)
    reached = []
    for _ in range(KILLS):
        await asyncio.to_thread(run_and_kill, folder, feed, moments.uniform(0.02, 0.35))
        reached.append(records_done(folder))
    assert any(0 < records <= DATASETS for records in reached), f"no kill hit the harvest: {reached}"
    settings = CatalogSettings(records_per_batch=20)
    async with running_catalog(folder, SystemClock(), settings=settings) as running:
        await running.idle(120)
        told = await running.events()
        (job,) = (await running.get("/api/v1/harvests", "operator")).json()["items"]
        drift = await running.client.post("/api/v1/catalog/reconcile", headers=bearer("operator"))
        found = (await running.search(size=1))["total"]
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
