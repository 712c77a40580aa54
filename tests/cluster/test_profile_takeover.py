"""Two quality workers on one PostgreSQL: the files of one that died are the other's within seconds."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from sqlalchemy import text

from services.quality.bootstrap import Quality, bootstrap
from services.quality.evaluation.commands.files import evaluate_files
from services.quality.profiling.commands import free_abandoned_jobs
from services.quality.profiling.domain.files import FetchedFile, FetchFailedError
from services.quality.settings import QualitySettings
from shared.clock import SystemClock
from shared.identity.signing_key import SigningKey
from shared.telemetry.metrics import Metrics
from tests.services.quality.quality_system import dataset_id
from tests.support.databases import Databases

pytestmark = pytest.mark.cluster
TERMINATE = text("SELECT pg_terminate_backend(:pid)")
LOCK_HOLDERS = text(
    "SELECT DISTINCT pid FROM pg_locks WHERE locktype = 'advisory' AND granted "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
LEASED = text("SELECT count(*) FROM profile_jobs WHERE leased_until IS NOT NULL")


class SlowSource:
    """Every file is fetched until somebody says that it is not there."""

    def __init__(self) -> None:
        self.begun = asyncio.Semaphore(0)
        self.go_on = asyncio.Event()
        self.is_there = False

    @asynccontextmanager
    async def fetch(
        self, url: str, *, etag: str | None = None, last_modified: str | None = None
    ) -> AsyncIterator[FetchedFile]:
        self.begun.release()
        await self.go_on.wait()
        if not self.is_there:
            raise FetchFailedError(f"{url} is not there", is_permanent=True)
        yield FetchedFile(None, None, etag, last_modified)

    async def sha256(self, path: object) -> str:
        raise AssertionError(f"nothing was fetched to {path}")


@asynccontextmanager
async def worker(url: str) -> AsyncIterator[tuple[Quality, SlowSource]]:
    clock, source = SystemClock(), SlowSource()
    quality = bootstrap(
        QualitySettings(),
        database_url=url,
        clock=clock,
        signing_key=SigningKey(b"k" * 32),
        metrics=Metrics(),
        source=source,
    )
    await quality.service.store.open()
    try:
        yield quality, source
    finally:
        await quality.service.close()
        await quality.service.store.close()


async def leases(quality: Quality) -> int:
    async with quality.service.store.read() as connection:
        return int((await connection.execute(LEASED)).scalar_one())


async def test_the_files_of_a_dead_worker_are_due_at_once_and_those_of_a_live_one_are_its_own(
    postgres_databases: Databases,
) -> None:
    url = await postgres_databases.url("quality")
    async with worker(url) as (first, source), worker(url) as (second, other):
        store, rules = first.service.store, first.context.profiling.rules
        async with store.unit_of_work() as work:
            wanted = {dataset_id(name): (f"https://data.example/{name}.csv", None) for name in ("a", "b")}
            await first.context.profiling.jobs.request(work, wanted)
        assert rules.lease > timedelta(minutes=1)
        running = asyncio.create_task(evaluate_files(store, first.context))
        for _ in wanted:
            await source.begun.acquire()
        # It works: whoever looks, the one itself included, leaves its files to it.
        for quality in (first, second):
            assert await free_abandoned_jobs(quality.service.store, quality.context.profiling) == 0
        assert await evaluate_files(second.service.store, second.context) == 0
        assert await leases(first) == 2

        # What the server sees of a worker that is killed: its session ends.
        async with store.dedicated() as connection:
            held_by = [row.pid for row in await connection.execute(LOCK_HOLDERS)]
        async with store.dedicated() as connection:
            for pid in held_by:
                await connection.execute(TERMINATE, {"pid": pid})
        assert await free_abandoned_jobs(second.service.store, second.context.profiling) == 2
        # A process died on each, so each is tried alone, the next as soon as the one before is done.
        other.go_on.set()
        for _ in wanted:
            assert await evaluate_files(second.service.store, second.context) == 1
            assert await leases(second) == 0
        assert await evaluate_files(second.service.store, second.context) == 0

        # Should it have been alive after all, then it finds its jobs lost, and ends as ever.
        source.go_on.set()
        assert await running == 2
        assert await leases(second) == 0
        assert await free_abandoned_jobs(second.service.store, second.context.profiling) == 0
