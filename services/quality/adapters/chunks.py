"""Long lists of keys, cut so that no statement has more parameters than a database takes."""

from collections.abc import Collection, Iterator
from typing import TypeVar
from uuid import UUID

KEYS_PER_QUERY_MAX = 500
_Key = TypeVar("_Key", bound=UUID | str)


def chunked(keys: Collection[_Key]) -> Iterator[list[_Key]]:
    """Yield the distinct keys, in one order on every run, at most 500 at once."""
    ordered = sorted(set(keys), key=str)
    for start in range(0, len(ordered), KEYS_PER_QUERY_MAX):
        yield ordered[start : start + KEYS_PER_QUERY_MAX]
