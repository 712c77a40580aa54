"""The event loop that every process runs in: uvloop's. Whatever threads it has begin in it.

A store's answers come from threads, each by a wake-up of the loop, and a busy process does little else.
uvloop does it for about a tenth less processor time per alert than the standard loop.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

from shared.allocator import share_arenas

__all__ = ["run_in_loop"]

T = TypeVar("T")


def run_in_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in a loop of its own, as ``asyncio.run`` does, and return its result."""
    share_arenas()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
