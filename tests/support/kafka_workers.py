"""Worker processes on Kafka, for tests and benchmarks that kill them."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.kafka_bench import KafkaBench
from tests.support.kafka_ledger_process import READY

__all__ = ["ended", "said", "worker"]

ROOT = Path(__file__).parents[2]
Process = asyncio.subprocess.Process


@asynccontextmanager
async def worker(bench: KafkaBench, store: Path, replica: str) -> AsyncIterator[Process]:
    """A worker process that has joined the group; killed at the end of the block if it still runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.kafka_ledger_process",
        str(store),
        bench.settings.bootstrap_servers,
        bench.settings.prefix,
        replica,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        await said(process, READY)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def said(process: Process, word: str, *, seconds: float = 60) -> str:
    """Return the next line that begins with ``word``."""
    assert process.stdout is not None
    async with asyncio.timeout(seconds):
        while not (line := (await process.stdout.readline()).decode()).startswith(word):
            assert line, f"no {word!r}, but: {(await process.communicate())[1].decode()[-3000:]}"
    return line


async def ended(process: Process, number: signal.Signals) -> int:
    """Send a signal and return the process's answer."""
    os.kill(process.pid, number)
    return await asyncio.wait_for(process.wait(), 30)
