"""A catalog under a memory limit that is sent hostile input: ``python -m … FOLDER LIMIT_MB``.

Prints one JSON object: what became of each input, and of an ordinary feed and body after it.
"""

import asyncio
import json
import resource
import sys
from pathlib import Path
from typing import Any

from services.quality.profiling.domain.files import ProfileError, UnreadableDataError
from services.quality.profiling.duckdb.profiler import DuckDBProfiler
from shared.clock import SystemClock
from tests.support.catalog_service import RunningCatalog, bearer, dataset, feed_of, running_catalog

LEVELS = 100_000
DEEP_FEED = b'{"dataset":' + b"[" * LEVELS
DEEP_BODY = b'{"rights":' * LEVELS
DEEP_FILE = b'[{"town":' * LEVELS


async def attack(folder: Path) -> dict[str, Any]:
    """Send what kills, then what is ordinary."""
    async with running_catalog(folder / "data", SystemClock()) as running:
        deep = await running.harvest(DEEP_FEED, source="deep")
        long = await running.harvest(feed_of(dataset("long", title="\n" * 50_000_000)), source="long")
        plain = await running.harvest(feed_of(dataset("plain")), source="plain")
        body = await _patch(running, DEEP_BODY)
        return {
            "feed": [deep["status"], deep["message"]],
            "text": [long["status"], long["result"]["created"]],
            "body": [body.status_code, body.json()["type"]],
            "file": await _profile(folder / "deep.json"),
            "after": [plain["status"], (await _patch(running, b"{}")).status_code],
        }


async def _patch(running: RunningCatalog, content: bytes) -> Any:
    (found,) = (await running.search(q="plain"))["results"]
    return await running.client.patch(
        f"/api/v1/datasets/{found['id']}",
        content=content,
        headers=bearer("officer") | {"content-type": "application/json", "if-match": "*"},
    )


async def _profile(path: Path) -> str:
    path.write_bytes(DEEP_FILE)
    profiler = DuckDBProfiler()
    try:
        await profiler.profile(path, "application/json")
    except (UnreadableDataError, ProfileError) as error:
        return str(error)
    finally:
        await profiler.close()
    return "profiled"


def main() -> None:
    """Take no more address space than ``LIMIT_MB``."""
    folder, limit = Path(sys.argv[1]), int(sys.argv[2]) * 1024 * 1024
    (folder / "data").mkdir()
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    print(json.dumps(asyncio.run(attack(folder))))


if __name__ == "__main__":
    main()
