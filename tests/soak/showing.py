"""How far a soak is, on standard error: a bar on a terminal, now and then a line elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

__all__ = ["Shown", "showing"]

LINE_SECONDS = 60.0


class Shown(Protocol):
    """What a part tells while it runs."""

    def tell(self, words: str) -> None:
        """Say what is being done."""

    def advance(self, done: float, total: float, words: str = "") -> None:
        """Say how far that is."""


class _Bar:
    """Implements :class:`Shown` on a terminal."""

    def __init__(self, progress: Progress, part: str) -> None:
        self._progress = progress
        self._part = part
        self._task = progress.add_task(part, total=None)

    def tell(self, words: str) -> None:
        self._progress.update(self._task, description=f"{self._part}: {words}", completed=0, total=None)

    def advance(self, done: float, total: float, words: str = "") -> None:
        self._progress.update(
            self._task, description=f"{self._part}: {words}", completed=min(done, total), total=total
        )


class _Lines:
    """Implements :class:`Shown` where there is no terminal."""

    def __init__(self, part: str) -> None:
        self._part = part
        self._begun = time.monotonic()
        self._last = float("-inf")

    def tell(self, words: str) -> None:
        self._write(words)

    def advance(self, done: float, total: float, words: str = "") -> None:
        if time.monotonic() - self._last >= LINE_SECONDS:
            self._write(f"{done / total:.0%} {words}" if total else words)

    def _write(self, words: str) -> None:
        self._last = time.monotonic()
        elapsed = self._last - self._begun
        print(f"{elapsed:6.0f} s {self._part}: {words}", file=sys.stderr, flush=True)


@contextmanager
def showing(part: str) -> Iterator[Shown]:
    """Show one part until the block ends."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(part)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        yield _Bar(progress, part)
