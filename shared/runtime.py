"""What a service hands to whoever runs it: the one-process host, or its own api and worker.

A service's ``bootstrap(settings, …) -> Service`` builds the real objects and returns this. Nothing runs
yet: the runner opens the store, starts one consumer per subscription, one relay for the outbox and one
loop per piece of recurring work, and serves the routers.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from fastapi import APIRouter

from shared.bus.handling import Subscription
from shared.bus.ports import EventLog
from shared.parking import JobQueue
from shared.store.engine import Store

__all__ = ["Postponed", "RecurringWork", "Service"]


async def _nothing() -> None:
    """The default of hooks that a service does not need."""


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


@dataclass(frozen=True, slots=True)
class Service:
    """One service, ready to run."""

    name: str
    store: Store
    subscriptions: Sequence[Subscription]
    routers: Sequence[APIRouter]
    works: Sequence[RecurringWork] = ()
    queues: Sequence[JobQueue] = ()
    open: Callable[[], Awaitable[None]] = _nothing
    """Called after the store is open and before anything is consumed (open the index, start a pool)."""
    close: Callable[[], Awaitable[None]] = _nothing
    on_log: Callable[[EventLog], None] | None = None
    """Called before ``open`` with the log that the consumers read, where the service asks it something."""
    extra_metrics: Sequence[Callable[[], Awaitable[None]]] = field(default=())
    """Called before each scrape, to set gauges that only a query can tell."""
