"""Server-sent events: what FastAPI's ``EventSourceResponse`` leaves to us.

FastAPI writes ids, sends a comment every 15 seconds, and ends the generator when the client leaves::

    @router.get("/events/stream", response_class=EventSourceResponse, dependencies=[access("public")])
    async def stream(last_event_id: LastEventID) -> AsyncIterator[ServerSentEvent]:
        with broadcast.listen() as arrivals:
            for item in await changes_after(last_event_id): ...
            async for item in arrivals:
                yield ServerSentEvent(id=str(item.number), event=item.type, data=item.document)
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Annotated, Generic, TypeVar

from fastapi import Header
from fastapi.sse import EventSourceResponse, ServerSentEvent

__all__ = ["Broadcast", "EventSourceResponse", "LastEventID", "ServerSentEvent"]

T = TypeVar("T")

QUEUE_ITEMS_MAX = 1000

LastEventID = Annotated[str | None, Header(alias="Last-Event-ID", max_length=200)]
"""Where a client that was cut off wants to go on."""


class Broadcast(Generic[T]):
    """Hands every item to every listener. A listener that falls too far behind is cut off.

    It then comes back with ``Last-Event-ID`` and reads what it missed from the store, so nothing is lost
    and no slow client makes the process grow.
    """

    def __init__(self, *, items_max: int = QUEUE_ITEMS_MAX) -> None:
        self._items_max = items_max
        self._queues: set[asyncio.Queue[T | None]] = set()
        self._is_closed = False

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return len(self._queues)

    def send(self, item: T) -> None:
        """Hand ``item`` to all listeners, without waiting for any."""
        for queue in list(self._queues):
            if queue.qsize() >= self._items_max:
                self._cut_off(queue)
            else:
                queue.put_nowait(item)

    def close(self) -> None:
        """End all streams, so that a server can stop. Idempotent."""
        self._is_closed = True
        for queue in list(self._queues):
            self._cut_off(queue)

    @contextmanager
    def listen(self) -> Iterator[AsyncIterator[T]]:
        """Give the items sent from now on; they end when the listener is cut off or all is closed."""
        queue: asyncio.Queue[T | None] = asyncio.Queue()
        self._queues.add(queue)
        if self._is_closed:
            self._cut_off(queue)
        try:
            yield _items(queue)
        finally:
            self._queues.discard(queue)

    def _cut_off(self, queue: asyncio.Queue[T | None]) -> None:
        self._queues.discard(queue)
        queue.put_nowait(None)


async def _items(queue: asyncio.Queue[T | None]) -> AsyncIterator[T]:
    while (item := await queue.get()) is not None:
        yield item
