"""Searches offered to a running installation: so many a second, whatever it takes to answer them.

A time counts from the moment a request was due, so that a slow answer cannot hide those behind it. The client
is a few lines over a socket: a whole HTTP library took as long to ask as the server to answer.
"""

import asyncio
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from tests.benchmarks.corpus import SUBJECTS, Corpus

CLIENTS = 10
REQUESTS_PER_SECOND = 50
BROAD_SHARE = 0.2
BROAD = ("data", "records", "report", "state", "public health data", "county", "annual", "", *SUBJECTS[:20])
ANSWER_SECONDS_MAX = 60.0

Request = tuple[str, str]
"""The kind of a search, ``selective`` or ``broad``, and its text."""


def requests_of(corpus: Corpus, count: int) -> list[Request]:
    """Kinds and texts of searches: the same at each run."""
    source = random.Random(99)
    selective = corpus.selective_queries(count)
    return [
        ("broad", source.choice(BROAD)) if source.random() < BROAD_SHARE else ("selective", selective[at])
        for at in range(count)
    ]


@dataclass(slots=True)
class Offered:
    """What became of offered requests: seconds from when each was due, and how late the client itself was."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: {"selective": [], "broad": []})
    started_late: list[float] = field(default_factory=list)
    client_cpu_seconds: float = 0.0
    wall_seconds: float = 0.0


async def offer(base_url: str, requests: Sequence[Request], path: str = "/api/v1/datasets") -> Offered:
    """Send each request when it is due, on ten kept connections."""
    offered = Offered()
    connections = [await Connection.open(base_url) for _ in range(CLIENTS)]
    cpu, begun = time.process_time(), time.perf_counter()

    async def work_off(number: int) -> None:
        for at in range(number, len(requests), CLIENTS):
            kind, text = requests[at]
            due = begun + at / REQUESTS_PER_SECOND
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
                offered.started_late.append(time.perf_counter() - due)
            await connections[number].get(f"{path}?{urlencode({'q': text})}")
            offered.seconds[kind].append(time.perf_counter() - due)

    try:
        async with asyncio.TaskGroup() as clients:
            for number in range(CLIENTS):
                clients.create_task(work_off(number))
    except* RuntimeError as errors:
        raise RuntimeError(str(errors.exceptions[0])) from errors
    finally:
        for connection in connections:
            await connection.close()
    offered.wall_seconds = time.perf_counter() - begun
    offered.client_cpu_seconds = time.process_time() - cpu
    return offered


class Connection:
    """One kept HTTP connection. Bodies are read and not unpacked, as they come to a browser's network."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: str) -> None:
        self._reader = reader
        self._writer = writer
        self._headers = headers

    @classmethod
    async def open(cls, base_url: str, *, accepts_gzip: bool = True) -> "Connection":
        """Connect. A body comes packed, as browsers ask for it, or plain."""
        address = urlsplit(base_url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        coding = "gzip" if accepts_gzip else "identity"
        return cls(reader, writer, f"Host: {address.netloc}\r\nAccept-Encoding: {coding}\r\n\r\n")

    async def get(self, target: str) -> bytes:
        """Ask once; return the body as it came. Raises ``RuntimeError`` for any answer but 200."""
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            self._writer.write(f"GET {target} HTTP/1.1\r\n{self._headers}".encode("ascii"))
            status, *lines = (await self._reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
            if b" 200 " not in status:
                raise RuntimeError(f"{target} was answered {status.decode()}")
            headers = dict(line.split(b": ", 1) for line in lines if line)
            return await self._reader.readexactly(int(headers[b"content-length"]))

    async def close(self) -> None:
        """Let go of it."""
        self._writer.close()
        await self._writer.wait_closed()


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """The median, the 95th percentile and the longest, in milliseconds."""
    cuts = statistics.quantiles(seconds, n=20)
    found = {"p50_ms": cuts[9], "p95_ms": cuts[18], "max_ms": max(seconds)}
    return {name: round(value * 1_000, 1) for name, value in found.items()}
