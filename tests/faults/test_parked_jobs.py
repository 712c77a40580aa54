"""A job on which the process died twice is put aside, and waits for an operator."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from shared.jobs.parking import PARKED_BECAUSE
from tests.support.deadly_feed_process import SOURCE
from tests.support.host_in_process import RunningHost, feed_of, run_host

ROOT = Path(__file__).parent.parent.parent


async def kill_while_reading(data_dir: Path, *arguments: str) -> None:
    """Start a host, wait until it reads the feed, and kill it with ``kill -9``."""
    command = [sys.executable, "-m", "tests.support.deadly_feed_process", str(data_dir), *arguments]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert process.stdout is not None
    while (line := await process.stdout.readline()) and line.strip() != b"reading":
        pass
    process.send_signal(signal.SIGKILL)
    assert await process.wait() == -signal.SIGKILL


async def deadly_harvest(running: RunningHost) -> dict[str, Any]:
    """The job of the deadly feed, as the API tells it."""
    items = (await running.client.get("/api/v1/harvests")).json()["items"]
    (job,) = [one for one in items if one["source"] == SOURCE]
    return dict(job)


@pytest.mark.faults
@pytest.mark.timeout(300)
async def test_a_harvest_that_killed_two_processes_is_parked_until_an_operator_releases_it(
    tmp_path: Path,
) -> None:
    feed, data_dir = tmp_path / "feed.json", tmp_path / "data"
    feed.write_bytes(orjson.dumps(feed_of("a1", "a2")))
    await kill_while_reading(data_dir, str(feed))
    await kill_while_reading(data_dir)

    async with run_host(data_dir) as running:
        await running.idle()
        await running.harvest(feed_of("b1"), "other")
        job = await deadly_harvest(running)
        assert (job["status"], job["message"]) == ("parked", PARKED_BECAUSE)
        told = (await running.client.get("/api/v1/ops/parked-jobs")).json()
        (parked,) = told["items"]
        assert told["total"] == 1
        assert (parked["queue"], parked["job_id"]) == ("catalog.harvest", job["id"])
        assert parked["subject"] == f"Harvest of {SOURCE}"
        status = (await running.client.get("/api/v1/ops/status")).json()
        assert status["status"] == "attention"
        assert any("parked" in cause for cause in status["causes"])
        metrics = (await running.client.get("/metrics")).text
        assert 'nutmeg_jobs_parked{queue="catalog.harvest",service="catalog"} 1.0' in metrics
        page = (await running.client.get("/ops", headers={"Accept": "text/html"})).text
        assert f"/ops/parked-jobs/catalog.harvest/{job['id']}/release" in page

    # Neither time nor a start takes it up.
    async with run_host(data_dir) as running:
        await running.idle()
        assert (await deadly_harvest(running))["status"] == "parked"
        path = f"/api/v1/ops/parked-jobs/catalog.harvest/{job['id']}/release"
        assert (await running.client.post(path)).status_code == 204
        assert (await running.client.post(path)).status_code == 404
        await running.idle()
        job = await deadly_harvest(running)
        assert (job["status"], job["result"]["created"]) == ("completed", 2)
        assert (await running.client.get("/api/v1/ops/parked-jobs")).json() == {"items": [], "total": 0}


@pytest.mark.faults
@pytest.mark.timeout(300)
async def test_an_orderly_stop_in_the_midst_of_a_harvest_is_no_death(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    for _ in range(4):
        async with run_host(data_dir) as running:
            for number in range(3):
                content = orjson.dumps(feed_of(*(f"{number}-{each}" for each in range(300))))
                await running.client.post(
                    "/api/v1/harvests", params={"source": f"source {number}"}, content=content
                )
    async with run_host(data_dir) as running:
        await running.idle()
        assert (await running.client.get("/api/v1/ops/parked-jobs")).json()["total"] == 0
