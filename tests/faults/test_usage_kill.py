"""Usage killed while hits flow in: every hit is counted, and none twice."""

import asyncio
import os
import random
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.clock import SimulatedClock
from shared.events.usage import RollupUpdated
from tests.services.usage.usage_system import dataset_id, running
from tests.support.usage_process import DATASETS, READY, VISITORS_PER_BATCH

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parent.parent.parent
KILLS = 6


async def start_process(directory: Path, *arguments: str) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.usage_process",
        str(directory),
        *arguments,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(90):
        while (line := await process.stdout.readline()).strip() != READY.encode():
            assert line, (await process.communicate())[1].decode()[-3000:]
    return process


@pytest.mark.timeout(600)
async def test_kills_while_hits_flow_lose_none_and_count_none_twice(tmp_path: Path) -> None:
    moments = random.Random(20260302)
    for _ in range(KILLS):
        process = await start_process(tmp_path)
        await asyncio.sleep(moments.uniform(0.02, 0.8))
        os.kill(process.pid, signal.SIGKILL)
        await process.communicate()
        assert process.returncode == -signal.SIGKILL
    batches = int((tmp_path / "noted").read_text()) + 5
    process = await start_process(tmp_path, str(batches))
    _, errors = await asyncio.wait_for(process.communicate(), 200)
    assert process.returncode == 0, errors.decode()[-3000:]

    async with running(tmp_path, SimulatedClock(datetime(2026, 3, 2, 9, tzinfo=UTC))) as system:
        days = {dataset: row.views for (dataset, _), row in (await system.rollups()).items()}
        told: dict[str, tuple[int, int]] = {}
        for event in await system.events("usage.rollups"):
            rollup = event.payload(RollupUpdated).rollup
            if rollup.granularity == "day":
                state = (event.subjectversion or 0, rollup.views)
                told[str(rollup.dataset_id)] = max(told.get(str(rollup.dataset_id), state), state)
    expected = {
        dataset_id(name): VISITORS_PER_BATCH * len(range(index, batches, len(DATASETS)))
        for index, name in enumerate(DATASETS)
    }
    assert batches > KILLS
    assert days == expected
    assert {dataset: views for dataset, (_, views) in told.items()} == {
        str(dataset): views for dataset, views in expected.items()
    }
