"""How fast usage takes hits in and counts them. Run: ``python -m tests.benchmarks.bench_usage``.

Two figures, each alone on the machine's one log: batches of 1,000 over the real HTTP stack until they are
durable; then from the outbox through the log into the counts. Then all at once, rollups included.
"""

import asyncio
import json
import logging
import platform
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import structlog

from shared.clock import SimulatedClock
from tests.services.usage.usage_system import UsageSystem, dataset_id, running

HITS = 20_000
BATCH = 1_000
DATASETS = 40
VISITORS = 2_000
NOW = datetime(2026, 3, 2, 23, tzinfo=UTC)


def batches() -> Iterator[dict[str, Any]]:
    """One day's hits in the order of time, as a log import has them."""
    draw = Random(7)
    names = [str(dataset_id(f"dataset {number}")) for number in range(DATASETS)]
    seconds = sorted(draw.uniform(0, 82_000) for _ in range(HITS))
    hits = [
        {
            "dataset_id": draw.choice(names),
            "kind": draw.choices(["view", "download", "api-call"], [7, 2, 1])[0],
            "occurred_at": (NOW.replace(hour=0) + timedelta(seconds=at)).isoformat(),
            "visitor": {
                "address": f"10.1.{draw.randrange(VISITORS) // 250}.{draw.randrange(250)}",
                "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0",
            },
        }
        for at in seconds
    ]
    for start in range(0, HITS, BATCH):
        yield {"hits": hits[start : start + BATCH]}


async def post_all(system: UsageSystem) -> None:
    """Send all hits. Raises ``RuntimeError`` if one is not accepted."""
    async with system.client("importer") as client:
        for batch in batches():
            answer = await client.post("/api/v1/usage/hits:batch", json=batch)
            if answer.json()["accepted"] != BATCH:
                raise RuntimeError(f"not all hits were accepted: {answer.text[:300]}")


async def measure(*, is_concurrent: bool) -> None:
    """Print the figures of one case."""
    with tempfile.TemporaryDirectory() as directory:
        async with running(Path(directory), SimulatedClock(NOW)) as system:
            await system.hire()
            await system.register(*(f"dataset {number}" for number in range(DATASETS)))
            if not is_concurrent:
                await system.runner.stop()
                await system.usage.service.store.open()
            started = time.perf_counter(), time.process_time()
            await post_all(system)
            if not is_concurrent:
                report("usage hits accepted", started, batch=BATCH)
                await system.usage.service.store.close()
                started = time.perf_counter(), time.process_time()
                await system.runner.start()
            while not await system.is_counted():  # noqa: ASYNC110 - what is measured is when
                await asyncio.sleep(0.02)
            name = "usage hits accepted and counted" if is_concurrent else "usage hits relayed and counted"
            report(name, started, datasets=DATASETS)


def report(name: str, started: tuple[float, float], **conditions: object) -> None:
    """Print hits per second, and per second of processor time: the figure that a busy machine keeps."""
    seconds, processor_seconds = time.perf_counter() - started[0], time.process_time() - started[1]
    figures = {"value": round(HITS / seconds, 1), "per_cpu_second": round(HITS / processor_seconds, 1)}
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    print(json.dumps({"name": name, **figures, "unit": "hits/s", **conditions, "machine": machine}))


async def main() -> None:
    """Measure both cases."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    await measure(is_concurrent=False)
    await measure(is_concurrent=True)


if __name__ == "__main__":
    asyncio.run(main())
