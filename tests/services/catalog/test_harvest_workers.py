"""Two workers on one store: a slow one never does again what the other did meanwhile."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import orjson
import pytest
from sqlalchemy import func, select

from services.catalog.bootstrap import Catalog, bootstrap
from services.catalog.harvesting.commands.harvesting import HarvestLimits, HarvestWorker
from services.catalog.harvesting.domain.jobs import HarvestJob, HarvestSource
from services.catalog.harvesting.files.storage import FileFeedStorage
from services.catalog.harvesting.reader.directory_lag import DirectoryLag
from services.catalog.migrations.tables import DELIVERY
from services.catalog.settings import CatalogSettings
from shared.clock import SimulatedClock
from shared.identity.signing_key import SigningKey
from shared.store.engine import sqlite_url
from shared.telemetry.metrics import Metrics
from tests.support.catalog_service import dataset, feed_of

DATASETS = 50


@pytest.fixture
async def catalog(tmp_path: Path, clock: SimulatedClock) -> AsyncIterator[Catalog]:
    """A catalogue that is open and does nothing by itself."""
    built = bootstrap(
        CatalogSettings(),
        data_dir=tmp_path,
        database_url=sqlite_url(tmp_path / "catalog.db"),
        clock=clock,
        signing_key=SigningKey.generate(),
        metrics=Metrics(),
        base_url="https://data.example.org",
    )
    await built.service.store.open()
    await built.service.open()
    yield built
    await built.service.close()
    await built.service.store.close()


class NoDownloads:
    """A downloader that is never asked."""

    async def fetch(self, *_arguments: object, **_options: object) -> object:
        raise AssertionError("nothing is fetched here")


class NoLag(DirectoryLag):
    """A directory that never said anything."""

    async def pending_changes(self) -> int:
        return 0


def worker(catalog: Catalog, folder: Path) -> HarvestWorker:
    limits = HarvestLimits(records_per_batch=10, lease_seconds=60)
    return HarvestWorker(
        catalog.service.store,
        catalog.harvests,
        FileFeedStorage(folder / "feeds"),
        NoDownloads(),  # type: ignore[arg-type]  # it has no answer to give
        NoLag(),
        Metrics(),
        limits,
    )


async def queue(catalog: Catalog, folder: Path) -> HarvestJob:
    """Queue a feed of 50 datasets."""
    job = HarvestJob(uuid4(), "s", catalog.service.store.clock.now())
    FileFeedStorage(folder / "feeds").path_of(job.harvest_id).write_bytes(
        orjson.dumps(feed_of(*(dataset(f"d{number}") for number in range(DATASETS))))
    )
    async with catalog.service.store.unit_of_work() as work:
        await catalog.harvests.harvests.put_source(
            work, HarvestSource("s", "Owner", "Team", "team@example.org")
        )
        await catalog.harvests.harvests.put_job(work, job)
    return job


async def finish(one: HarvestWorker) -> None:
    while await one.run_once():
        continue


async def test_a_worker_that_was_overtaken_lets_the_job_go(
    catalog: Catalog, tmp_path: Path, clock: SimulatedClock
) -> None:
    job = await queue(catalog, tmp_path)
    slow, quick = worker(catalog, tmp_path), worker(catalog, tmp_path)
    for _ in range(3):
        await slow.run_once()
    assert await quick.run_once() == 0, "the slow one still has its lease"
    clock.advance(timedelta(seconds=61))
    for _ in range(3):
        await quick.run_once()
    await finish(slow)
    await finish(quick)
    view = await catalog.readers.harvests.harvest(job.harvest_id)
    assert view is not None
    assert (view.status, view.created, view.unchanged, view.processed) == ("completed", DATASETS, 0, DATASETS)
    async with catalog.service.store.read() as connection:
        told = await connection.scalar(
            select(func.count())
            .select_from(DELIVERY.outbox)
            .where(DELIVERY.outbox.c.topic == "catalog.datasets")
        )
    assert told == DATASETS


async def test_a_worker_whose_store_fails_takes_its_job_up_where_it_was_committed(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await queue(catalog, tmp_path)
    one = worker(catalog, tmp_path)
    for _ in range(3):
        await one.run_once()
    with monkeypatch.context() as patch:

        async def fail(*_arguments: object) -> None:
            raise OSError("the disk is full")

        patch.setattr(type(catalog.harvests.datasets.datasets), "put", fail)
        with pytest.raises(OSError, match="disk is full"):
            await one.run_once()
    await finish(one)
    view = await catalog.readers.harvests.harvest(job.harvest_id)
    assert view is not None
    assert (view.status, view.created, view.unchanged) == ("completed", DATASETS, 0)


async def test_feeds_that_no_harvest_waits_for_go_at_the_next_start(catalog: Catalog, tmp_path: Path) -> None:
    job = await queue(catalog, tmp_path)
    feeds = FileFeedStorage(tmp_path / "feeds")
    orphan = feeds.path_of(uuid4())
    orphan.write_bytes(b"{}")
    orphan.with_suffix(".json.part").write_bytes(b"{")
    feeds.prepare(await catalog.harvests.harvests.awaited())
    assert [path.name for path in (tmp_path / "feeds").iterdir()] == [f"{job.harvest_id}.json"]
