"""A host that is killed while it reads a certain feed: ``python -m … DATA_DIR [FEED]``.

With FEED it queues that feed first. It prints ``reading`` once the feed is being read, and never gets on.
"""

import asyncio
import sys
import time
from pathlib import Path

from services.catalog.harvesting.files.storage import JSONFeed
from tests.support.host_in_process import run_host

SOURCE = "deadly"


def read_for_ever(self: JSONFeed) -> int:
    """Stand in for a reader that takes all memory; the process is killed in it."""
    print("reading", flush=True)
    time.sleep(600)
    return 0


async def main(data_dir: Path, feed: Path | None) -> None:
    """Work until killed."""
    JSONFeed._check = read_for_ever  # type: ignore[method-assign]  # in a process of its own
    async with run_host(data_dir) as running:
        if feed is not None:
            content = await asyncio.to_thread(feed.read_bytes)
            answer = await running.client.post("/api/v1/harvests", params={"source": SOURCE}, content=content)
            assert answer.status_code == 202, answer.text
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None))
