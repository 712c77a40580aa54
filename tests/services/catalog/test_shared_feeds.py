"""A feed that one process receives is read by another, through the database and nothing else."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import orjson
import pytest
from sqlalchemy import func, select

from services.catalog.bootstrap import MIGRATIONS
from services.catalog.dcat.domain.records import SourceDefaults
from services.catalog.harvesting.domain.feeds import FeedError
from services.catalog.harvesting.postgresql import PostgreSQLFeedStorage
from services.catalog.migrations.tables import DELIVERY, FEED_CHUNKS, METADATA
from shared.clock import SimulatedClock
from shared.store.engine import Store
from tests.support.databases import Databases

DEFAULTS = SourceDefaults("Owner", "Team", "team@example.org", date(2026, 3, 2))
CHUNK_BYTES = 100


@dataclass
class Replicas:
    """An api and a worker with a folder each, over one database."""

    store: Store
    api: PostgreSQLFeedStorage
    worker: PostgreSQLFeedStorage

    async def chunks(self) -> int:
        async with self.store.read() as connection:
            return (await connection.execute(select(func.count()).select_from(FEED_CHUNKS))).scalar_one()


@pytest.fixture
async def replicas(databases: Databases, tmp_path: Path, clock: SimulatedClock) -> AsyncIterator[Replicas]:
    store = Store(
        await databases.url("catalog"),
        service="catalog",
        metadata=METADATA,
        tables=DELIVERY,
        migrations=MIGRATIONS,
        clock=clock,
    )
    await store.open()
    api, worker = (
        PostgreSQLFeedStorage(tmp_path / name, store, chunk_bytes=CHUNK_BYTES) for name in ("api", "worker")
    )
    api.make_folder()
    worker.make_folder()
    yield Replicas(store, api, worker)
    await store.close()


async def received(replicas: Replicas, content: bytes) -> UUID:
    harvest_id = uuid4()
    replicas.api.path_of(harvest_id).write_bytes(content)
    await replicas.api.keep(harvest_id)
    return harvest_id


@pytest.mark.parametrize("size_bytes", [1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES * 12 + 7])
async def test_the_worker_has_the_very_bytes_that_the_api_received(
    replicas: Replicas, size_bytes: int
) -> None:
    content = bytes(number % 251 for number in range(size_bytes))
    harvest_id = await received(replicas, content)
    assert not replicas.api.path_of(harvest_id).exists()
    assert await replicas.chunks() == -(-size_bytes // CHUNK_BYTES)
    await replicas.worker.bring(harvest_id)
    assert replicas.worker.path_of(harvest_id).read_bytes() == content
    assert [path.name for path in replicas.worker.path_of(harvest_id).parent.iterdir()] == [
        f"{harvest_id}.json"
    ]


async def test_a_feed_that_is_sent_again_takes_the_place_of_the_first(replicas: Replicas) -> None:
    harvest_id = await received(replicas, b"x" * 1_000)
    replicas.api.path_of(harvest_id).write_bytes(b"y")
    await replicas.api.keep(harvest_id)
    await replicas.worker.bring(harvest_id)
    assert replicas.worker.path_of(harvest_id).read_bytes() == b"y"


async def test_another_worker_takes_the_feed_up_until_it_is_removed(replicas: Replicas) -> None:
    feed = orjson.dumps({"dataset": [{"title": f"Roads {number}"} for number in range(40)]})
    harvest_id = await received(replicas, feed)
    for _ in range(2):
        await replicas.worker.bring(harvest_id)
        opened = replicas.worker.open(harvest_id, DEFAULTS)
        assert await opened.check() == 40
        replicas.worker.path_of(harvest_id).unlink()
    await replicas.worker.remove(harvest_id)
    assert await replicas.chunks() == 0
    await replicas.worker.bring(harvest_id)
    with pytest.raises(FeedError, match="Send it again"):
        await replicas.worker.open(harvest_id, DEFAULTS).check()


async def test_feeds_that_no_harvest_waits_for_are_forgotten_after_a_day(
    replicas: Replicas, clock: SimulatedClock
) -> None:
    held, cut_off = await received(replicas, b"held"), await received(replicas, b"cut off")
    await replicas.worker.prune({held})
    assert await replicas.chunks() == 2
    clock.advance(timedelta(days=2))
    fresh = await received(replicas, b"fresh")
    await replicas.worker.prune({held})
    assert await replicas.chunks() == 2
    for harvest_id in (held, fresh, cut_off):
        await replicas.worker.bring(harvest_id)
    assert replicas.worker.path_of(held).exists()
    assert replicas.worker.path_of(fresh).exists()
    assert not replicas.worker.path_of(cut_off).exists()
