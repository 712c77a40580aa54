"""Following the changes feed: nothing is missed or told twice, whatever happens to the connection."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.host.cli.connection import Connection
from services.host.cli.errors import CommandError
from services.host.cli.event_tail import EventTail, server_sent_events

Answer = Callable[[httpx.Request], httpx.Response]


def page(*numbers: int, next_cursor: int, is_last: bool = True) -> Answer:
    events = [{"type": "t", "sequence": number} for number in numbers]
    told = {"events": events, "next_cursor": str(next_cursor), "is_last": is_last}
    return lambda _request: httpx.Response(200, json=told)


def sent(number: int) -> bytes:
    data = json.dumps({"type": "t", "sequence": number, "text": "one\u2028two"}, ensure_ascii=False)
    return f"id: {number}\nevent: t\ndata: {data}\n\n".encode()


class Broken(httpx.AsyncByteStream):
    """Gives these bytes, and then the connection breaks."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk
        raise httpx.ReadError("broken")


def refused(_request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused")


async def followed(
    answers: list[Answer], wanted: int, cursor: str = "0", *, streams: bool = True
) -> tuple[list[int], list[httpx.Request], list[str]]:
    """The numbers of the first events, what was asked for, and what was complained of."""
    asked: list[httpx.Request] = []
    complaints: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return answers.pop(0)(request)

    async def pause(_seconds: float) -> None:
        return

    transport = httpx.MockTransport(answer)
    async with httpx.AsyncClient(base_url="http://127.0.0.1", transport=transport) as client:
        tail = EventTail(
            Connection(client, streams=streams),
            cursor,
            event_type="t",
            dataset=None,
            complain=complaints.append,
            pause=pause,
        )
        numbers: list[int] = []
        async for event in tail.followed():
            numbers.append(event["sequence"])
            if len(numbers) == wanted:
                break
    return numbers, asked, complaints


async def test_a_broken_stream_goes_on_behind_the_last_event() -> None:
    answers: list[Answer] = [
        page(1, 2, next_cursor=2, is_last=False),
        page(3, next_cursor=3),
        lambda _: httpx.Response(200, stream=Broken(b": waiting\n\n", sent(4), sent(5)[:20])),
        refused,
        refused,
        lambda _: httpx.Response(503),
        lambda _: httpx.Response(200, content=sent(5)),
        lambda _: httpx.Response(200, content=sent(6)),
    ]
    numbers, asked, complaints = await followed(answers, 6)
    assert numbers == [1, 2, 3, 4, 5, 6]
    streamed = [request.headers["Last-Event-ID"] for request in asked[2:]]
    assert streamed == ["3", "4", "4", "4", "4", "5"]
    assert all(request.url.params["type"] == "t" for request in asked)
    assert complaints == ["the server is away (broken), trying again"]


async def test_what_comes_from_now_on_is_numbered_before_the_stream_begins() -> None:
    answers: list[Answer] = [page(next_cursor=9), refused, lambda _: httpx.Response(200, content=sent(10))]
    numbers, asked, _ = await followed(answers, 1, cursor="latest")
    assert (numbers, asked[0].url.params["cursor"]) == ([10], "latest")
    assert [request.headers["Last-Event-ID"] for request in asked[1:]] == ["9", "9"]


async def test_a_cursor_that_is_gone_ends_the_command_with_the_problem() -> None:
    gone = httpx.Response(410, json={"title": "The feed cannot go on from here", "detail": "Too old."})
    with pytest.raises(CommandError, match=r"cannot go on from here: Too old\."):
        await followed([page(next_cursor=9), lambda _: gone], 1)


async def test_where_answers_come_whole_pages_are_asked_for_again() -> None:
    answers: list[Answer] = [page(next_cursor=0), page(next_cursor=0), page(1, next_cursor=1)]
    numbers, asked, _ = await followed(answers, 1, streams=False)
    assert numbers == [1]
    assert all("Last-Event-ID" not in request.headers for request in asked)


@given(st.lists(st.integers(1, 60), max_size=20))
async def test_events_are_read_however_their_bytes_are_cut(sizes: list[int]) -> None:
    whole = b"retry: 2000\n\n" + sent(1) + b": waiting\n\n" + sent(2) + sent(3)[:-1]

    async def chunks() -> AsyncIterator[bytes]:
        start = 0
        for size in sizes:
            yield whole[start : start + size]
            start += size
        yield whole[start:]

    found: list[tuple[str, Any]] = [event async for event in server_sent_events(chunks())]
    assert [number for number, _ in found] == ["1", "2"]
    assert json.loads(found[0][1])["text"] == "one\u2028two"
