"""The client of the search benchmark counts what people would wait, and takes errors for errors."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.benchmarks.corpus import Corpus
from tests.benchmarks.search_requests import REQUESTS_PER_SECOND, offer, requests_of

WAIT_SECONDS = 0.5


@asynccontextmanager
async def answering(
    status: str = "200 OK", wait_seconds: float = 0.0
) -> AsyncIterator[tuple[str, list[str]]]:
    """A server of one kind of answer; its address, and the targets that it was asked for."""
    asked: list[str] = []
    answers: list[asyncio.Event] = []
    body = b"x" * 2_000

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended = asyncio.Event()
        answers.append(ended)
        while head := await reader.readline():
            asked.append(head.decode().split(" ")[1])
            while (await reader.readline()).strip():
                continue
            await asyncio.sleep(wait_seconds)
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        writer.close()
        await writer.wait_closed()
        ended.set()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
        for ended in answers:
            await ended.wait()


async def test_every_request_is_sent_once_on_kept_connections() -> None:
    requests = [("selective", f"lead & copper {n}") for n in range(20)]
    async with answering() as (address, asked):
        offered = await offer(address, requests)
    assert sorted(asked) == sorted(f"/api/v1/datasets?q=lead+%26+copper+{n}" for n in range(20))
    assert len(offered.seconds["selective"]) == 20
    assert offered.seconds["broad"] == []


async def test_a_wait_counts_from_the_moment_a_request_was_due() -> None:
    """The eleventh is due while its client still waits for the first: that time is waited too."""
    async with answering(wait_seconds=WAIT_SECONDS) as (address, _):
        offered = await offer(address, [("broad", "data")] * 11)
    assert max(offered.seconds["broad"]) >= 2 * WAIT_SECONDS - 10 / REQUESTS_PER_SECOND


async def test_an_answer_that_is_no_result_ends_the_measurement() -> None:
    async with answering("503 Service Unavailable") as (address, _):
        with pytest.raises(RuntimeError, match="503"):
            await offer(address, [("broad", "data")])


def test_the_same_searches_are_offered_in_every_run() -> None:
    first, second = (requests_of(Corpus(), 200) for _ in range(2))
    assert first == second
    assert 20 <= sum(kind == "broad" for kind, _ in first) <= 60
