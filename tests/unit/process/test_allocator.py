"""How many arenas a process's threads have, counted by glibc itself."""

import os
import platform
import subprocess
import sys

import pytest

from shared.allocator import ARENAS_MAX

THREADS = 8
PROGRAM = f"""
import asyncio, ctypes, threading
from shared.event_loop import run_in_loop

meeting = threading.Barrier({THREADS})

def allocate():
    kept = [bytearray(10_000) for _ in range(50)]
    meeting.wait(10)
    return len(kept)

async def main():
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor({THREADS}) as threads:
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(threads, allocate) for _ in range({THREADS})))
        ctypes.CDLL(None).malloc_stats()

run_in_loop(main())
"""

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no arenas")


def arenas(**environment: str) -> int:
    kept = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=kept | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stderr
    return told.count("Arena ")


def test_threads_share_few_arenas() -> None:
    assert 1 <= arenas() <= ARENAS_MAX


def test_the_environment_has_the_last_word() -> None:
    assert arenas(MALLOC_ARENA_MAX="5") == 5
