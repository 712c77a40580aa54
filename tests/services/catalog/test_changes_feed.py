"""The numbered changes feed: pages by cursor, server-sent events, and what it refuses."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import orjson
import pytest
import uvicorn

from services.catalog.changes_feed.api.changes import FEED, Bell, stream_changes
from shared.clock import SimulatedClock
from shared.identity.viewer import ANONYMOUS
from tests.support.catalog_service import RunningCatalog, dataset, feed_of


async def read_all(running: RunningCatalog, limit: int, **params: Any) -> list[dict[str, Any]]:
    """All events, page by page."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = (
            await running.get(
                "/api/v1/events", limit=limit, **params, **({"cursor": cursor} if cursor else {})
            )
        ).json()
        found += page["events"]
        cursor = page["next_cursor"]
        if page["is_last"]:
            return found


def place(running: RunningCatalog, number: int) -> str:
    cursor: str = running.app.state.cursors.encode_place(number, FEED)
    return cursor


def place_of(running: RunningCatalog, cursor: str) -> int:
    number: int = running.app.state.cursors.decode_place(cursor, FEED)
    return number


async def test_pages_of_any_size_give_every_change_once_in_order(running: RunningCatalog) -> None:
    await running.harvest(feed_of(*(dataset(f"d{number}") for number in range(7))))
    await running.harvest(feed_of(*(dataset(f"d{number}", title="New") for number in range(7))))
    whole = await read_all(running, 500)
    assert len({event["id"] for event in whole}) == 14
    assert not any("sequence" in event for event in whole)
    assert [await read_all(running, limit) for limit in (1, 4, 7, 14)] == [whole] * 4
    kinds = [event["type"].split(".")[3] for event in whole]
    assert kinds == ["registered"] * 7 + ["changed"] * 7
    assert {event["specversion"] for event in whole} == {"1.0"}
    assert all("steward_id" not in event["data"]["dataset"] for event in whole)


async def test_filters_give_one_type_or_one_dataset(running: RunningCatalog) -> None:
    await running.harvest(feed_of(dataset("a"), dataset("b")))
    await running.harvest(feed_of(dataset("a", title="New"), dataset("b")))
    changed = await read_all(running, 100, type="nutmeg.catalog.dataset.changed.v1")
    assert [event["data"]["dataset"]["identifier"] for event in changed] == ["a"]
    of_one = await read_all(running, 100, dataset=changed[0]["subject"])
    assert [event["type"].split(".")[3] for event in of_one] == ["registered", "changed"]


async def test_the_latest_cursor_gives_only_what_comes_from_now_on(running: RunningCatalog) -> None:
    await running.harvest(feed_of(dataset("a")))
    start = (await running.get("/api/v1/events", cursor="latest")).json()
    assert start["events"] == []
    await running.harvest(feed_of(dataset("a"), dataset("b")))
    page = (await running.get("/api/v1/events", cursor=start["next_cursor"])).json()
    assert [event["data"]["dataset"]["identifier"] for event in page["events"]] == ["b"]


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "9" * 30, "0", "1"])
async def test_a_cursor_that_was_not_given_out_is_refused(running: RunningCatalog, cursor: str) -> None:
    answer = await running.get("/api/v1/events", cursor=cursor)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["parameter"] == "cursor"


async def test_a_cursor_before_what_is_kept_is_answered_gone(
    running: RunningCatalog, clock: SimulatedClock
) -> None:
    await running.harvest(feed_of(dataset("a"), dataset("b"), dataset("c")))
    clock.advance(timedelta(days=91))
    await running.harvest(feed_of(dataset("a", title="New"), dataset("b"), dataset("c")))
    upkeep = next(work for work in running.catalog.service.works if work.name == "catalog.changes-upkeep")
    await upkeep.run_once()
    assert (await running.get("/api/v1/events", cursor=place(running, 1))).status_code == 410
    kept = (await running.get("/api/v1/events")).json()["events"]
    assert [event["type"].split(".")[3] for event in kept] == ["changed"]


async def test_a_feed_whose_lines_are_all_pruned_goes_on_where_it_was(
    running: RunningCatalog, clock: SimulatedClock
) -> None:
    await running.harvest(feed_of(dataset("a"), dataset("b")))
    clock.advance(timedelta(days=91))
    upkeep = next(work for work in running.catalog.service.works if work.name == "catalog.changes-upkeep")
    await upkeep.run_once()
    assert (await running.get("/api/v1/events", cursor=place(running, 1))).status_code == 410
    page = (await running.get("/api/v1/events", cursor="latest")).json()
    assert (page["events"], place_of(running, page["next_cursor"])) == ([], 2)
    await running.harvest(feed_of(dataset("a", title="New"), dataset("b")))
    page = (await running.get("/api/v1/events", cursor=page["next_cursor"])).json()
    assert [event["data"]["dataset"]["title"] for event in page["events"]] == ["New"]


async def test_a_cursor_that_the_feed_has_not_reached_is_answered_gone(running: RunningCatalog) -> None:
    await running.harvest(feed_of(dataset("a")))
    assert (await running.get("/api/v1/events", cursor=place(running, 1))).status_code == 200
    answer = await running.get("/api/v1/events", cursor=place(running, 2))
    assert answer.status_code == 410
    assert "cursor=latest" in answer.json()["detail"]


def parsed(running: RunningCatalog, chunk: bytes) -> tuple[int, dict[str, Any]] | None:
    """The place and the data of one server-sent event; None for a comment or a retry."""
    lines = dict(line.split(": ", 1) for line in chunk.decode().strip().splitlines() if ": " in line)
    return (place_of(running, lines["id"]), orjson.loads(lines["data"])) if "id" in lines else None


async def test_a_stream_gives_what_was_and_then_what_comes(running: RunningCatalog) -> None:
    await running.harvest(feed_of(dataset("a"), dataset("b")))
    changes = running.catalog.readers.changes
    bell = Bell()
    stream = stream_changes(changes, running.app.state.cursors, bell, ANONYMOUS, after=1)
    told: list[tuple[int, str]] = []

    async def listen() -> None:
        async for chunk in stream:
            event = parsed(running, chunk)
            if event is not None:
                told.append((event[0], event[1]["data"]["dataset"]["identifier"]))
            if len(told) == 2:
                return

    listening = asyncio.create_task(listen())
    await running.harvest(feed_of(dataset("a"), dataset("b"), dataset("c")))
    bell.ring()
    await asyncio.wait_for(listening, 10)
    assert told == [(2, "b"), (3, "c")]


async def test_a_stream_ends_when_the_service_closes(running: RunningCatalog) -> None:
    bell = Bell()
    stream = stream_changes(
        running.catalog.readers.changes, running.app.state.cursors, bell, ANONYMOUS, after=0
    )
    assert (await anext(stream)).startswith(b"retry")
    bell.close()
    assert [chunk async for chunk in stream] == []


async def test_a_real_server_pushes_changes_to_who_asks_for_an_event_stream(
    running: RunningCatalog, unused_tcp_port: int
) -> None:
    await running.harvest(feed_of(dataset("a"), dataset("b"), dataset("c")))
    server = uvicorn.Server(
        uvicorn.Config(running.app, host="127.0.0.1", port=unused_tcp_port, log_level="error", lifespan="off")
    )
    serving = asyncio.create_task(server.serve())
    events: list[tuple[int, dict[str, Any]]] = []
    try:
        while not server.started:  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.01)
        headers = {"Accept": "text/event-stream", "Last-Event-ID": place(running, 1)}
        url = f"http://127.0.0.1:{unused_tcp_port}/api/v1/events"
        async with (
            httpx.AsyncClient(timeout=20) as client,
            client.stream("GET", url, headers=headers) as answer,
        ):
            assert answer.headers["content-type"].startswith("text/event-stream")
            chunk = b""
            async for piece in answer.aiter_bytes():
                *whole, chunk = (chunk + piece).split(b"\n\n")
                events += [event for one in whole if (event := parsed(running, one)) is not None]
                if len(events) == 2:
                    await running.harvest(feed_of(dataset("a"), dataset("b", title="New"), dataset("c")))
                if len(events) >= 3:
                    break
    finally:
        server.should_exit = True
        await asyncio.wait_for(serving, 20)
    assert [number for number, _ in events] == [2, 3, 4]
    assert [data["type"].split(".")[3] for _, data in events] == ["registered", "registered", "changed"]
