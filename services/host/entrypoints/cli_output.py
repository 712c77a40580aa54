"""What commands print: JSON for programs, tables for people, progress on standard error of a terminal."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

__all__ = ["ProgressBar", "progress_bar", "say", "show_json", "show_table", "tell"]


class ProgressBar(Protocol):
    """Shows how far long work is."""

    def update(self, words: str, done: int | None = None, total: int | None = None) -> None:
        """Show these words, and ``done`` of ``total`` where they are known."""
        ...


class _NoBar:
    def update(self, words: str, done: int | None = None, total: int | None = None) -> None:
        """Show nothing: standard error is no terminal."""


class _RichBar:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None)

    def update(self, words: str, done: int | None = None, total: int | None = None) -> None:
        self._progress.update(self._task, description=words, completed=done or 0, total=total)


@contextmanager
def progress_bar() -> Iterator[ProgressBar]:
    """Give a progress bar on standard error, an invisible one unless that is a terminal."""
    if not sys.stderr.isatty():
        yield _NoBar()
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _RichBar(progress)


def show_json(document: Any) -> None:
    """Print a JSON document."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows as a table; ``None`` is "not known"."""
    table = Table(title=escape(title), title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape("not known" if cell is None else _words(cell)) for cell in row))
    Console().print(table)


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
