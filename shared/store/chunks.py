"""Lists in parts that one statement can bind.

``itertools.batched`` takes over once Python 3.12 is the oldest that Nutmeg runs on.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

__all__ = ["VALUES_PER_STATEMENT_MAX", "chunks"]

VALUES_PER_STATEMENT_MAX = 500
"""SQLite and asyncpg bind more, but plans and memory gain nothing from it."""
T = TypeVar("T")


def chunks(values: Iterable[T], size: int = VALUES_PER_STATEMENT_MAX) -> Iterator[list[T]]:
    """Yield ``values`` in lists of ``size``, the last one shorter."""
    rest = iter(values)
    while part := list(islice(rest, size)):
        yield part
