"""Elasticsearch stopped, killed, frozen and made read-only under the running catalogue: nothing is lost.

After each fault the index holds exactly what the rows say: none missing, none extra, none stale.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from services.catalog.search.elasticsearch.client import ElasticsearchSettings, connect
from services.catalog.settings import CatalogSettings
from shared.clock import SystemClock
from tests.conformance.catalog_index_fixtures import indices_of
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.fixtures import OwnServers
from tests.support.catalog_service import RunningCatalog, bearer, dataset, feed_of, running_catalog
from tests.support.log_bench import until

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

DATASETS = 400
OUTAGE_SECONDS = 30


@pytest.fixture(scope="module")
def server(own_servers: OwnServers) -> Elasticsearch:
    # Some operators forbid memory maps; all of this module holds without them.
    return own_servers.elasticsearch(settings={"node.store.allow_mmap": "false"})


@pytest.fixture
def index_settings(server: Elasticsearch) -> ElasticsearchSettings:
    return ElasticsearchSettings((server.address,), index_prefix=f"faults-{secrets.token_hex(4)}")


@pytest.fixture
async def running(
    server: Elasticsearch, index_settings: ElasticsearchSettings, tmp_path: Path
) -> AsyncIterator[RunningCatalog]:
    """A catalogue of DATASETS datasets, indexed."""
    settings = CatalogSettings(
        elasticsearch_url=server.address,
        elasticsearch_index_prefix=index_settings.index_prefix,
        elasticsearch_timeout_seconds=2,
    )
    async with running_catalog(tmp_path, SystemClock(), settings=settings) as started:
        await harvest(started, old_feed())
        await started.idle(120)
        await check(started, {f"Title of d{number}" for number in range(DATASETS)})
        yield started


def old_feed() -> dict[str, Any]:
    return feed_of(*(dataset(f"d{number}") for number in range(DATASETS)))


def new_feed() -> dict[str, Any]:
    """A quarter gone, half of it changed, a quarter new."""
    changed = (dataset(f"d{number}", title=f"Newer {number}") for number in range(100, 300))
    same = (dataset(f"d{number}") for number in range(300, DATASETS))
    added = (dataset(f"n{number}") for number in range(100))
    return feed_of(*changed, *same, *added)


NEW_TITLES = (
    {f"Newer {number}" for number in range(100, 300)}
    | {f"Title of d{number}" for number in range(300, DATASETS)}
    | {f"Title of n{number}" for number in range(100)}
)


async def harvest(running: RunningCatalog, feed: dict[str, Any]) -> None:
    """Harvest to the end, without waiting for the index."""
    answer = await running.client.post(
        "/api/v1/harvests", params={"wait": "true"}, content=orjson.dumps(feed), headers=bearer("operator")
    )
    assert answer.json()["status"] == "completed", answer.text


async def post(running: RunningCatalog, path: str) -> httpx.Response:
    return await running.client.post(path, headers=bearer("operator"))


async def check(running: RunningCatalog, titles: set[str]) -> None:
    """The index holds exactly these titles, and what the rows say."""
    drift = (await post(running, "/api/v1/catalog/reconcile")).json()
    counted = {name: drift[name] for name in ("store", "index", "missing", "extra", "stale")}
    assert counted == {"store": len(titles), "index": len(titles), "missing": 0, "extra": 0, "stale": 0}
    page = await running.search(limit=100)
    found = [result["title"] for result in page["results"]]
    while page["next_cursor"] is not None:
        page = await running.search(limit=100, cursor=page["next_cursor"])
        found += [result["title"] for result in page["results"]]
    assert len(found) == len(titles)
    assert set(found) == titles


async def test_an_index_is_made_where_memory_maps_are_forbidden(
    running: RunningCatalog, index_settings: ElasticsearchSettings
) -> None:
    async with connect(index_settings) as client:
        (body,) = (await client.indices.get(index=f"{index_settings.index_prefix}-catalog")).body.values()
    assert "store" not in body["settings"]["index"]


async def test_stopped_for_half_a_minute(running: RunningCatalog, server: Elasticsearch) -> None:
    await asyncio.to_thread(server.stop)
    await harvest(running, new_feed())
    assert (await running.get("/api/v1/datasets")).status_code == 503
    assert (await post(running, "/api/v1/catalog/reindex")).status_code == 503
    await asyncio.sleep(OUTAGE_SECONDS)
    # 100 gone, 200 changed, 100 new: each waits in its row.
    assert await running.catalog.indexing.pending() == 400
    await asyncio.to_thread(server.start)
    await running.idle(120)
    await check(running, NEW_TITLES)


async def test_killed_while_it_indexes(running: RunningCatalog, server: Elasticsearch) -> None:
    before = applied(running)
    harvesting = asyncio.create_task(harvest(running, new_feed()))
    await until(lambda: applied(running) > before)
    await asyncio.to_thread(server.kill)
    await harvesting
    await asyncio.to_thread(server.start)
    await running.idle(120)
    await check(running, NEW_TITLES)


@pytest.mark.parametrize("block", ["read_only_allow_delete", "read_only"])
async def test_read_only_then_writable(
    running: RunningCatalog, index_settings: ElasticsearchSettings, block: str
) -> None:
    alias = f"{index_settings.index_prefix}-catalog"
    async with connect(index_settings) as client:
        await client.indices.put_settings(index=alias, settings={f"index.blocks.{block}": True})
        await harvest(running, new_feed())
        await until(lambda: deferred(running) > 0)
        assert (await running.search())["total"] == DATASETS
        assert await running.catalog.indexing.pending() == 400
        await client.indices.put_settings(index=alias, settings={f"index.blocks.{block}": None})
    await running.idle(120)
    await check(running, NEW_TITLES)


async def test_frozen_for_a_while(running: RunningCatalog, server: Elasticsearch) -> None:
    server.pause()
    try:
        await harvest(running, new_feed())
        assert (await running.get("/api/v1/datasets")).status_code == 503
    finally:
        server.resume()
    await running.idle(120)
    await check(running, NEW_TITLES)


async def test_killed_during_a_rebuild(
    running: RunningCatalog, server: Elasticsearch, index_settings: ElasticsearchSettings
) -> None:
    rebuilding = asyncio.create_task(post(running, "/api/v1/catalog/reindex"))
    for _ in range(1_000):
        if len(await indices_of(index_settings)) > 1:
            break
    await asyncio.to_thread(server.kill)
    assert (await rebuilding).status_code == 503
    await harvest(running, new_feed())
    await asyncio.to_thread(server.start)
    await running.idle(120)
    await check(running, NEW_TITLES)
    assert (await post(running, "/api/v1/catalog/reindex")).status_code == 200
    await check(running, NEW_TITLES)
    assert len(await indices_of(index_settings)) == 1


def applied(running: RunningCatalog) -> float:
    return outcomes(running, "applied")


def deferred(running: RunningCatalog) -> float:
    return outcomes(running, "deferred")


def outcomes(running: RunningCatalog, outcome: str) -> float:
    return running.metrics.value("nutmeg_index_operations_total", operation="put", outcome=outcome) or 0
