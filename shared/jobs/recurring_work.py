"""What recurring work is: work that is due from time to time, in bounded portions."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

__all__ = ["Postponed", "RecurringWork"]


@dataclass(frozen=True, slots=True)
class Postponed:
    """Items that failed and are tried again by themselves, the first of them at ``next_at``.

    ``what`` names them, like *Data files that could not be fetched*.
    """

    count: int
    what: str
    next_at: datetime


@dataclass(frozen=True, slots=True)
class RecurringWork:
    """Work that is due from time to time: deliveries, fetches, freshness, pruning.

    ``run_once`` does a bounded portion and returns how many items it did; it is called again at once while
    that is more than 0, else after ``interval_seconds`` or when the service calls the ``wake`` it was given.
    ``pending`` counts what is due now, so that a command can wait until all that it caused is done.
    """

    name: str
    interval_seconds: float
    run_once: Callable[[], Awaitable[int]]
    pending: Callable[[], Awaitable[int]]
    on_wake: Callable[[Callable[[], None]], None] | None = None
    """Called once at start with the function that wakes this work early."""
    is_divided: bool = False
    """Whether replicas may do portions side by side, each with what it leased; else one replica at a time."""
    postponed: Callable[[], Awaitable[Postponed | None]] | None = None
    """Tells what failed and is tried again, for who caused it and does not wait for that."""
