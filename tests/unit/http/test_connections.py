"""What a socket is held to, on real sockets against the real server; both profiles serve through it."""

import asyncio
import json
import resource
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog
from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from shared.http.connections import CONNECTIONS_MIN, DESCRIPTORS_KEPT_MIN, room_for_connections
from shared.http.networks import client_group
from shared.http.settings import HTTPSettings
from shared.http.viewing import access
from shared.process.serving import answering, listening_socket
from shared.process.settings import ProcessSettings
from shared.telemetry.metrics import Metrics
from tests.unit.http.application import build

HEAD = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
POST = b"POST /api/v1/thing HTTP/1.1\r\nHost: 127.0.0.1\r\n"
SHORT = HTTPSettings(
    head_seconds=0.4, idle_seconds=0.4, body_bytes_per_second_min=1_000_000, rate_limit_exempt_networks=()
)
router = APIRouter(dependencies=[access("public")])


@router.post("/api/v1/thing")
async def take_thing(request: Request) -> dict[str, int]:
    return {"bytes": len(await request.body())}


@router.put("/api/v1/stream")
async def take_stream(request: Request) -> dict[str, int]:
    return {"bytes": sum([len(piece) async for piece in request.stream()])}


@router.get("/api/v1/much")
async def give_much() -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(400):
            yield b"x" * 100_000

    return StreamingResponse(pieces(), media_type="application/octet-stream")


@dataclass
class Server:
    port: int
    metrics: Metrics
    clients: list["Client"] = field(default_factory=list)

    def refused(self, reason: str) -> float:
        return self.metrics.value("nutmeg_http_refusals_total", reason=reason)

    async def connect(self, address: str = "127.0.0.1") -> "Client":
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(address, 0))
        self.clients.append(Client(reader, writer))
        return self.clients[-1]


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def rest(self) -> bytes:
        """All that comes until the server ends the connection."""
        try:
            return await asyncio.wait_for(self.reader.read(-1), 30)
        except ConnectionResetError:
            return b""

    async def status(self) -> int:
        return int((await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 30)).split()[1])

    async def asked(self) -> int:
        await self.send(HEAD + b"\r\n")
        status = await self.status()
        await self.reader.readexactly(len(b'{"status":"ok","causes":[]}'))
        return status


@asynccontextmanager
async def served(settings: HTTPSettings = SHORT) -> AsyncIterator[Server]:
    metrics = Metrics()
    app = build(router, settings=settings, metrics=metrics)
    with listening_socket(ProcessSettings(port=0)) as bound:
        async with answering(app, bound):
            server = Server(bound.getsockname()[1], metrics)
            try:
                yield server
            finally:
                for client in server.clients:
                    client.writer.close()
                    with suppress(OSError):
                        await client.writer.wait_closed()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.01)


def problem_of(answer: bytes) -> tuple[int, dict[str, Any]]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head.lower()
    assert b"connection: close" in head.lower()
    return int(head.split()[1]), json.loads(body)


async def test_half_open_connections_end_by_themselves_while_others_are_answered() -> None:
    async with served(SHORT.model_copy(update={"connections_per_address_max": 400})) as server:
        halves = []
        for number in range(300):
            halves.append(await server.connect())
            if number % 2 == 0:
                await halves[-1].send(b"GET / HT")
        assert await (await server.connect()).asked() == 200
        answers = await asyncio.gather(*(half.rest() for half in halves))
        assert {problem_of(answer)[0] for answer in answers[::2]} == {408}
        assert set(answers[1::2]) == {b""}  # who sent nothing is told nothing
        assert server.refused("slow") == 150


async def test_a_head_that_comes_byte_by_byte_ends_at_its_time() -> None:
    async with served() as server:
        client = await server.connect()

        async def trickle() -> None:
            for byte in HEAD * 1_000:
                await client.send(bytes([byte]))
                await asyncio.sleep(0.02)

        trickling = asyncio.create_task(trickle())
        status, problem = problem_of(await client.rest())
        trickling.cancel()
        await asyncio.gather(trickling, return_exceptions=True)
        assert (status, problem["type"]) == (408, "urn:nutmeg:problem:too-slow")


async def test_a_second_head_that_stops_and_an_idle_connection_end_too() -> None:
    async with served() as server:
        stops, idle = await server.connect(), await server.connect()
        assert await stops.asked() == await idle.asked() == 200
        await stops.send(b"GET /heal")
        assert problem_of(await stops.rest())[0] == 408
        assert await idle.rest() == b""


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"X-Long: " + b"x" * 70_000 + b"\r\n\r\n",
        HEAD + b"X-Endless: " + b"x" * 300_000,
        HEAD + b"".join(b"X-%d: 1\r\n" % number for number in range(300)) + b"\r\n",
        b"GET /?" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Trailer: " + b"x" * 300_000,
    ],
    ids=["long", "endless", "many", "address", "trailer"],
)
async def test_a_head_that_is_too_large_is_431(head: bytes) -> None:
    async with served(HTTPSettings()) as server:
        client = await server.connect()
        await client.send(head)
        status, problem = problem_of(await client.rest())
        assert (status, problem["type"]) == (431, "urn:nutmeg:problem:head-too-large")
        assert "65,536 bytes" in problem["detail"]
        assert server.refused("head") == 1


async def test_a_head_just_below_the_limit_and_a_body_above_it_are_taken() -> None:
    async with served(HTTPSettings()) as server:
        client = await server.connect()
        head = POST + b"X-Long: " + b"x" * 60_000 + b"\r\nContent-Length: 900000\r\n\r\n"
        await client.send(head + b"y" * 900_000)
        assert await client.status() == 200
        assert (await client.reader.readexactly(len(b'{"bytes":900000}'))) == b'{"bytes":900000}'
        assert await client.asked() == 200  # and the next request on the same connection


@pytest.mark.parametrize("method", [b"POST /api/v1/thing", b"PUT /api/v1/stream"])
async def test_a_body_that_stops_or_trickles_is_408_and_no_error_of_ours(method: bytes) -> None:
    async with served() as server:
        with structlog.testing.capture_logs() as logs:
            client = await server.connect()
            await client.send(method + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5000\r\n\r\nx")
            for _ in range(5):
                await client.send(b"x")
                await asyncio.sleep(0.05)
            assert problem_of(await client.rest())[0] == 408
            await until(lambda: any(log["event"] == "request" for log in logs))
        assert [log for log in logs if log["log_level"] == "error"] == []
        assert [log["status"] for log in logs if log["event"] == "request"] == [499]


@pytest.mark.parametrize("method", [b"POST /api/v1/thing", b"PUT /api/v1/stream"])
async def test_a_client_that_goes_away_is_no_error(method: bytes) -> None:
    async with served(HTTPSettings()) as server:
        with structlog.testing.capture_logs() as logs:
            client = await server.connect()
            await client.send(method + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5000\r\n\r\nx")
            client.writer.close()
            await until(lambda: any(log["event"] == "request" for log in logs))
        assert [log for log in logs if log["log_level"] == "error"] == []
        assert [log["status"] for log in logs if log["event"] == "request"] == [499]


async def test_a_client_that_reads_nothing_is_cut_off() -> None:
    async with served(SHORT.model_copy(update={"answer_stall_seconds": 0.4})) as server:
        client = await server.connect()
        await client.send(b"GET /api/v1/much HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await until(lambda: not server.metrics.value("nutmeg_http_connections"))
        assert server.refused("slow") == 1
        assert len(await client.rest()) < 40_000_000


async def test_one_address_cannot_take_all_connections_and_others_are_answered() -> None:
    settings = HTTPSettings(connections_per_address_max=3, rate_limit_exempt_networks=())
    async with served(settings) as server:
        held = [await server.connect("127.0.0.2") for _ in range(3)]
        status, problem = problem_of(await (await server.connect("127.0.0.2")).rest())
        assert (status, problem["type"]) == (429, "urn:nutmeg:problem:too-many-connections")
        assert await (await server.connect("127.0.0.3")).asked() == 200
        held[0].writer.close()
        await held[0].writer.wait_closed()
        await until(lambda: server.metrics.value("nutmeg_http_connections") <= 3)
        assert await (await server.connect("127.0.0.2")).asked() == 200


async def test_a_trusted_proxy_is_not_held_to_one_address_s_bound() -> None:
    settings = HTTPSettings(connections_per_address_max=2)
    async with served(settings) as server:  # loopback is among the exempt networks
        clients = [await server.connect() for _ in range(6)]
        assert [await client.asked() for client in clients] == [200] * 6


async def test_when_all_places_are_taken_who_asks_nothing_makes_room_and_else_the_newest_is_told() -> None:
    settings = HTTPSettings(connections_max=CONNECTIONS_MIN)
    async with served(settings) as server:
        halves = [await server.connect() for _ in range(CONNECTIONS_MIN)]
        told = await (await server.connect()).rest()
        assert problem_of(told)[0] == 503
        assert b"retry-after: 5" in told
        await asyncio.sleep(1.1)  # they had their second to ask
        assert await (await server.connect()).asked() == 200
        assert await halves[0].rest() == b""


def test_connections_never_take_the_last_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 256))
    assert room_for_connections(HTTPSettings()) <= 256 - DESCRIPTORS_KEPT_MIN
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 64))
    assert room_for_connections(HTTPSettings()) == CONNECTIONS_MIN
    raised: list[Any] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 1_048_576))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: raised.append(limits))
    assert room_for_connections(HTTPSettings()) == HTTPSettings().connections_max
    assert raised == [(8_192, 1_048_576)]


async def test_what_is_not_http_is_a_problem_and_no_line_in_the_log() -> None:
    async with served() as server:
        client = await server.connect()
        with structlog.testing.capture_logs() as logs:
            await client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 nonsense\r\n\r\n")
            assert problem_of(await client.rest())[0] == 400
        assert logs == []
        assert server.refused("malformed") == 1


@pytest.mark.parametrize(
    "hosts", [b"", b"Host: 127.0.0.1\r\nHost: 127.0.0.1\r\n", b"Host: 127.0.0.1\r\nHost: evil.example\r\n"]
)
async def test_a_request_has_exactly_one_host(hosts: bytes) -> None:
    async with served() as server:
        client = await server.connect()
        await client.send(b"GET /healthz HTTP/1.1\r\n" + hosts + b"Connection: close\r\n\r\n")
        status, problem = problem_of(await client.rest())
        assert (status, problem["errors"][0]["header"]) == (400, "Host")


async def test_requests_one_behind_the_other_are_answered_in_order() -> None:
    async with served() as server:
        client = await server.connect()
        await client.send((HEAD + b"\r\n") * 3 + HEAD + b"Connection: close\r\n\r\n")
        assert (await client.rest()).count(b"HTTP/1.1 200 OK") == 4


async def test_an_upgrade_is_answered_as_an_ordinary_request() -> None:
    async with served() as server:
        client = await server.connect()
        await client.send(HEAD + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n")
        assert (await client.rest()).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("testclient", "testclient"),
        ("", "unknown"),
    ],
)
def test_a_client_is_counted_by_what_one_subscriber_holds(address: str, group: str) -> None:
    assert client_group(address) == group
