"""What a service hands to whoever runs it: the one-process host, or its own api and worker.

A service's ``bootstrap(settings, …) -> Service`` builds the real objects and returns this. Nothing runs
yet: the runner opens the store, starts one consumer per subscription, one relay for the outbox and one
loop per piece of recurring work, and serves the routers.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from fastapi import APIRouter

from shared.consuming.handling import Subscription
from shared.jobs.parking import JobQueue
from shared.jobs.recurring_work import RecurringWork
from shared.log.port import EventLog
from shared.store.engine import Store

__all__ = ["Service"]


async def _nothing() -> None:
    """The default of hooks that a service does not need."""


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
