"""What commands print: JSON for programs, tables for people, progress on standard error of a terminal."""

import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any, Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

__all__ = ["LineProgress", "ProgressBar", "progress_bar", "say", "show_json", "show_table", "tell"]


LINE_SECONDS = 5.0
READABLE_CHARACTERS = 10
"""A column of words that is narrower than this cannot be read."""

_ID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[\w.:-]{24,}")


class ProgressBar(Protocol):
    """Shows how far long work is."""

    def update(self, words: str, done: int | None = None, total: int | None = None) -> None:
        """Show these words, and ``done`` of ``total`` where they are known."""
        ...


class LineProgress:
    """Progress where standard error is no terminal: a line now and then, none for what is quickly done."""

    def __init__(
        self, now: Callable[[], float] = monotonic, write: Callable[[str], None] | None = None
    ) -> None:
        self._now = now
        self._write = write or tell
        self._next = now() + LINE_SECONDS

    def update(self, words: str, done: int | None = None, total: int | None = None) -> None:
        """Print a line if the last one is some seconds old."""
        if self._now() < self._next:
            return
        self._next = self._now() + LINE_SECONDS
        self._write(words if total is None else f"{words}: {done or 0:,} of {total:,}")


class _RichBar:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None)

    def update(self, words: str, done: int | None = None, total: int | None = None) -> None:
        self._progress.update(self._task, description=words, completed=done or 0, total=total)


@contextmanager
def progress_bar() -> Iterator[ProgressBar]:
    """Give a progress bar on standard error; where that is no terminal, a line every few seconds."""
    if not sys.stderr.isatty():
        yield LineProgress()
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _RichBar(progress)


def show_json(document: Any) -> None:
    """Print a JSON document."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows as a table; ``None`` is "not known". Ids are never broken, so that they can be copied.

    On a terminal that is too narrow for that, each row becomes a block of lines. Where standard output is no
    terminal, cells are parted by tabs, for programs.
    """
    cells = [["not known" if cell is None else _words(cell) for cell in row] for row in rows]
    console = Console()
    if not console.is_terminal:
        lines = [
            title,
            "\t".join(columns),
            *("\t".join(" ".join(cell.split()) for cell in row) for row in cells),
        ]
        sys.stdout.write("\n".join(lines) + "\n")
        return
    console.print(_table(title, columns, cells, console.width), soft_wrap=True)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> "Table | str":
    ids = [
        max((len(row[place]) for row in rows if _ID.fullmatch(row[place])), default=0)
        for place in range(len(columns))
    ]
    needed = sum(length or READABLE_CHARACTERS for length in ids) + 3 * len(columns) + 1
    if any(ids) and needed > width:
        blocks = [
            "\n".join(f"{name}: {cell}" for name, cell in zip(columns, row, strict=True)) for row in rows
        ]
        return escape("\n\n".join([title, *blocks]))
    table = Table(title=escape(title), title_justify="left")
    for column, length in zip(columns, ids, strict=True):
        table.add_column(column, overflow="fold", min_width=length or None)
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    return table


def say(words: str) -> None:
    """Print one line for people."""
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


def tell(words: str) -> None:
    """Print one line on standard error, so that standard output stays clean for programs."""
    sys.stderr.write(words + "\n")
    sys.stderr.flush()


def _words(cell: Any) -> str:
    return f"{cell:,}" if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)
