"""What a handler is, and what it may answer.

A handler takes a batch of events of one type run, inside one transaction: ``async def
apply_dataset_state(batch, unit_of_work, ports)``. It returns one outcome per event, or ``None`` when all
were applied. It raises ``TransientError``, ``NotReadyError`` or ``InvalidEventError`` (see
:mod:`shared.errors`) to steer the loop; any other exception is retried a bounded number of times, then
dead-lettered. For one event of a batch ``NotReadyError`` may be the answer in place of an outcome, if nothing
was written for that event: the batch then need not be handled again in parts. Where
``unit_of_work.may_wait`` is false the event has waited as long as it may: a handler that knows what to do
without the data does that now.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TypeAlias, TypeVar

from shared.errors import NotReadyError
from shared.events.envelope import Event
from shared.events.topics import ConsumerGroup
from shared.log.port import StartAt
from shared.store.unit_of_work import UnitOfWork
from shared.telemetry.tracing import use_traceparent

__all__ = [
    "Answer",
    "BatchHandler",
    "BoundHandler",
    "Handlers",
    "Outcome",
    "Subscription",
    "bind",
    "for_each",
]

P = TypeVar("P")


class Outcome(StrEnum):
    """What became of one event; the ``result`` label of ``nutmeg_events_consumed_total``."""

    APPLIED = "applied"
    IGNORED = "ignored"
    """Seen and understood, and of no interest to this handler."""
    DUPLICATE = "duplicate"
    """Handled before (inbox)."""
    STALE = "stale"
    """Older than, or the same as, the version applied last."""
    UNKNOWN_TYPE = "unknown_type"
    """A type that this version does not know, or that the group has no handler for."""
    DEAD_LETTERED = "dead_lettered"
    WAITING = "waiting"
    """Set aside until data that it needs is here."""


Answer: TypeAlias = Outcome | NotReadyError
BatchHandler: TypeAlias = Callable[[Sequence[Event], UnitOfWork, P], Awaitable[Sequence[Answer] | None]]
BoundHandler: TypeAlias = Callable[[Sequence[Event], UnitOfWork], Awaitable[Sequence[Answer] | None]]
Handlers: TypeAlias = Mapping[str, BatchHandler[P]]
"""Routing: event type name → handler. One literal at the foot of each ``handlers.py``."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """One consumer group of a service with its routing, ready to run."""

    group: ConsumerGroup
    handlers: Mapping[str, BoundHandler]
    start: StartAt = "beginning"


def bind(handlers: Handlers[P], ports: P) -> dict[str, BoundHandler]:
    """Give every handler its ports. Names that share a handler share the bound one: they form one run."""
    bound = {handler: partial(_call, handler, ports) for handler in handlers.values()}
    return {name: bound[handler] for name, handler in handlers.items()}


def for_each(handler: Callable[[Event, UnitOfWork, P], Awaitable[Answer | None]]) -> BatchHandler[P]:
    """Lift a handler of single events to one of batches.

    Each event is the ``cause`` of what is emitted for it, and its trace is the current one.
    """

    async def handle_batch(batch: Sequence[Event], unit_of_work: UnitOfWork, ports: P) -> list[Answer]:
        outcomes: list[Answer] = []
        outer = unit_of_work.cause
        try:
            for event in batch:
                unit_of_work.cause = event
                with use_traceparent(event.traceparent):
                    outcomes.append(await handler(event, unit_of_work, ports) or Outcome.APPLIED)
        finally:
            unit_of_work.cause = outer
        return outcomes

    handle_batch.__name__ = getattr(handler, "__name__", "handle_batch")
    return handle_batch


async def _call(
    handler: BatchHandler[P], ports: P, batch: Sequence[Event], unit_of_work: UnitOfWork
) -> Sequence[Answer] | None:
    return await handler(batch, unit_of_work, ports)
