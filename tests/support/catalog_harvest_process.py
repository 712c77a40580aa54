"""A process that harvests a feed into a folder, to be killed: ``python -m … FOLDER FEED``.

Prints ``started`` once the catalogue runs, and ``done`` when nothing is left to do.
"""

import asyncio
import sys
from pathlib import Path

from services.catalog.settings import CatalogSettings
from shared.clock import SystemClock
from tests.support.catalog_service import bearer, running_catalog


async def harvest(folder: Path, feed: Path) -> None:
    """Queue the feed unless that was done before, and work until idle."""
    settings = CatalogSettings(records_per_batch=20)
    async with running_catalog(folder, SystemClock(), settings=settings) as running:
        print("started", flush=True)
        answer = await running.client.post(
            "/api/v1/harvests",
            params={"source": "killed"},
            content=feed.read_bytes(),
            headers=bearer("operator") | {"Idempotency-Key": "the only one"},
        )
        assert answer.status_code == 202, answer.text
        await running.idle(120)
        print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(harvest(Path(sys.argv[1]), Path(sys.argv[2])))
