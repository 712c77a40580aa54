"""Server-sent events over the real stack, and the broadcast behind them."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter

from shared.http.sse import Broadcast, EventSourceResponse, LastEventID, ServerSentEvent
from shared.http.viewing import access
from tests.unit.http.application import build, client


def make_router(broadcast: Broadcast[int], listening: asyncio.Event) -> APIRouter:
    router = APIRouter()

    @router.get("/api/v1/stream", response_class=EventSourceResponse, dependencies=[access("public")])
    async def stream(last_event_id: LastEventID = None) -> AsyncIterator[ServerSentEvent]:
        start = int(last_event_id or 0)
        with broadcast.listen() as arrivals:
            for number in range(start + 1, 4):
                yield ServerSentEvent(id=str(number), event="number", data={"number": number})
            listening.set()
            async for number in arrivals:
                yield ServerSentEvent(id=str(number), event="number", data={"number": number})

    return router


async def test_a_stream_goes_on_after_the_last_event_that_the_client_has() -> None:
    broadcast: Broadcast[int] = Broadcast()
    listening = asyncio.Event()
    async with client(build(make_router(broadcast, listening))) as http:
        reading = asyncio.create_task(http.get("/api/v1/stream", headers={"Last-Event-ID": "2"}))
        await listening.wait()
        broadcast.send(4)
        broadcast.close()
        answer = await reading
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "content-encoding" not in answer.headers
    ids = [line for line in answer.text.splitlines() if line.startswith("id: ")]
    assert ids == ["id: 3", "id: 4"]
    assert 'data: {"number":4}' in answer.text.replace(": 4", ":4")
    assert broadcast.listeners == 0


async def test_every_listener_gets_every_item() -> None:
    broadcast: Broadcast[int] = Broadcast()
    with broadcast.listen() as first, broadcast.listen() as second:
        for number in range(3):
            broadcast.send(number)
        broadcast.close()
        assert [item async for item in first] == [0, 1, 2]
        assert [item async for item in second] == [0, 1, 2]


async def test_a_listener_that_does_not_read_is_cut_off_and_the_others_are_not() -> None:
    broadcast: Broadcast[int] = Broadcast(items_max=2)
    with broadcast.listen() as slow, broadcast.listen() as quick:
        received = []
        for number in range(4):
            broadcast.send(number)
            received.append(await anext(quick))
        assert received == [0, 1, 2, 3]
        assert [item async for item in slow] == [0, 1]
        assert broadcast.listeners == 1


async def test_listening_after_the_end_ends_at_once() -> None:
    broadcast: Broadcast[int] = Broadcast()
    broadcast.close()
    with broadcast.listen() as arrivals:
        assert [item async for item in arrivals] == []
