"""A process that takes hits in and counts them, for tests that kill it.

``python -m tests.support.usage_process DIRECTORY [BATCHES]`` posts batch after batch by HTTP until it is
killed, or up to batch ``BATCHES``, and then until all is counted. As a careful importer does, it notes each
batch before sending it, and after a kill sends the last one noted again.
"""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shared.clock import SimulatedClock
from tests.services.usage.usage_system import UsageSystem, dataset_id, running

__all__ = ["DATASETS", "READY", "VISITORS_PER_BATCH", "main"]

READY = "ready"
DATASETS = ("roads", "schools", "forests")
VISITORS_PER_BATCH = 20
HITS_AT = datetime(2026, 3, 2, 8, tzinfo=UTC)


def batch(number: int) -> dict[str, Any]:
    """Twenty visitors of one dataset, each clicking twice within a second: 20 views to count."""
    return {
        "hits": [
            {
                "dataset_id": str(dataset_id(DATASETS[number % len(DATASETS)])),
                "kind": "view",
                "occurred_at": HITS_AT.replace(second=second).isoformat(),
                "visitor": {"address": f"{number}.{visitor}", "user_agent": "Mozilla/5.0 Firefox/132.0"},
            }
            for visitor in range(VISITORS_PER_BATCH)
            for second in (0, 1)
        ]
    }


async def main(directory: Path, batches: int | None) -> None:
    """Run until killed, or until ``batches`` are sent and counted."""
    noted = directory / "noted"
    async with running(directory, SimulatedClock(datetime(2026, 3, 2, 9, tzinfo=UTC))) as system:
        if not noted.exists():
            await system.hire()
            await system.register(*DATASETS)
            _note(noted, 0)
        print(READY, flush=True)
        number = int(noted.read_text())
        while batches is None or number < batches:
            _note(noted, number)
            await _send(system, number)
            number += 1
        await system.settle()


def _note(path: Path, number: int) -> None:
    """Write at once or not at all: a kill may come between any two instructions."""
    new = path.with_suffix(".new")
    new.write_text(str(number))
    new.replace(path)


async def _send(system: UsageSystem, number: int) -> None:
    async with system.client("importer") as client:
        answer = (await client.post("/api/v1/usage/hits:batch", json=batch(number))).json()
    if answer["accepted"] + answer["duplicate"] != 2 * VISITORS_PER_BATCH:
        raise RuntimeError(f"batch {number} was not taken: {answer}")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None))
