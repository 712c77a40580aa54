"""Event streams: bounded in number, ended by revocation and stop, on real sockets against the real server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from starlette.responses import Response

from shared.clock import SimulatedClock
from shared.errors import TransientError
from shared.http import streams
from shared.http.app import build_app
from shared.http.settings import HTTPSettings
from shared.http.streams import EVENT_STREAM, open_stream
from shared.http.viewing import access
from shared.identity.tokens import AuthenticationError
from shared.identity.viewer import Grant, Role, TokenScope, Viewer
from shared.process.serving import answering, listening_socket
from shared.process.settings import ProcessSettings
from shared.telemetry.metrics import Metrics
from tests.unit.http.application import AGENCY, OPERATOR, SIGNING_KEY, STEWARD, VIEWERS, always_ready

router = APIRouter()


async def endless() -> AsyncIterator[bytes]:
    yield b"retry: 2000\n\n"
    await asyncio.Event().wait()


@router.get("/api/v1/stream", dependencies=[access("public")])
async def stream(request: Request) -> Response:
    return open_stream(request, endless())


@dataclass
class ChangingTokens:
    """An authenticator whose answers a test changes."""

    viewers: dict[str, Viewer | Exception] = field(default_factory=lambda: dict(VIEWERS))
    asked: int = 0

    async def authenticate(self, token: str) -> Viewer:
        self.asked += 1
        found = self.viewers.get(token, AuthenticationError("revoked", "The token has been revoked."))
        if isinstance(found, Exception):
            raise found
        return found


@dataclass
class Served:
    app: FastAPI
    tokens: ChangingTokens
    client: httpx.AsyncClient
    metrics: Metrics
    serving: AsyncExitStack

    def opened(self, token: str | None = None) -> "asyncio.Task[str]":
        """Open a stream; the task ends with all it gave, once it ends."""
        headers = {"Accept": EVENT_STREAM} | ({"Authorization": f"Bearer {token}"} if token else {})

        async def read() -> str:
            return (await self.client.get("/api/v1/stream", headers=headers)).text

        return asyncio.create_task(read())

    async def until_open(self, count: int) -> None:
        async with asyncio.timeout(30):
            while len(self.app.state.event_streams) != count:  # noqa: ASYNC110 - nothing tells it
                await asyncio.sleep(0.01)


@asynccontextmanager
async def served(settings: HTTPSettings | None = None) -> AsyncIterator[Served]:
    tokens, metrics = ChangingTokens(), Metrics()
    app = build_app(
        title="Test",
        routers=[router],
        authenticator=tokens,
        signing_key=SIGNING_KEY,
        metrics=metrics,
        clock=SimulatedClock(),
        installation="Test",
        settings=settings or HTTPSettings(),
        readiness=always_ready,
    )
    with listening_socket(ProcessSettings(port=0)) as bound:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        base_url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        async with (
            httpx.AsyncClient(base_url=base_url, timeout=60, limits=limits) as client,
            AsyncExitStack() as serving,
        ):
            await serving.enter_async_context(answering(app, bound))
            yield Served(app, tokens, client, metrics, serving)


@pytest.fixture
def quick_reviews(monkeypatch: pytest.MonkeyPatch) -> None:
    assert streams.REVIEW_SECONDS <= 2.5  # two looks within the five seconds that are promised
    monkeypatch.setattr(streams, "REVIEW_SECONDS", 0.05)


@pytest.mark.usefixtures("quick_reviews")
async def test_a_stream_ends_when_its_token_is_revoked_or_loses_a_role_and_others_go_on() -> None:
    async with served() as server:
        revoked, demoted = server.opened("steward-token"), server.opened("operator-token")
        stays = server.opened()
        await server.until_open(3)
        server.tokens.viewers["operator-token"] = TransientError("the store is away")
        await asyncio.sleep(0.2)
        assert not demoted.done()  # who cannot be asked for is not gone
        del server.tokens.viewers["steward-token"]
        assert await asyncio.wait_for(revoked, 30) == "retry: 2000\n\n"
        server.tokens.viewers["operator-token"] = Viewer(OPERATOR.person_id, frozenset(), OPERATOR.token_id)
        assert await asyncio.wait_for(demoted, 30) == "retry: 2000\n\n"
        assert not stays.done()
        await server.until_open(1)
        stays.cancel()
        with suppress(asyncio.CancelledError):
            await stays
        await server.until_open(0)


@pytest.mark.usefixtures("quick_reviews")
async def test_a_program_whose_scopes_a_route_narrows_keeps_its_stream() -> None:
    async with served() as server:
        grants = frozenset({Grant(Role.STEWARD, AGENCY)})
        scopes = frozenset({TokenScope.METRICS})
        server.tokens.viewers["program"] = Viewer(STEWARD.person_id, grants, "program-id", scopes)
        stays = server.opened("program")
        await server.until_open(1)
        asked = server.tokens.asked
        async with asyncio.timeout(30):
            while server.tokens.asked < asked + 2:  # noqa: ASYNC110 - two reviews went by
                await asyncio.sleep(0.01)
        assert not stays.done()


async def test_streams_end_at_once_when_the_server_stops() -> None:
    async with served() as server:
        opened = [server.opened(token) for token in (None, "steward-token", None)]
        await server.until_open(3)
        server.app.state.event_streams.close()
        assert await asyncio.wait_for(asyncio.gather(*opened), 30) == ["retry: 2000\n\n"] * 3
        assert await asyncio.wait_for(server.opened(), 30) in ("", "retry: 2000\n\n")


async def test_a_stop_waits_for_no_stream(caplog: pytest.LogCaptureFixture) -> None:
    async with served() as server:
        opened = server.opened()
        await server.until_open(1)
        await server.serving.aclose()
        assert await asyncio.wait_for(opened, 30) == "retry: 2000\n\n"
    # uvicorn gave up on nothing
    assert "graceful shutdown exceeded" not in caplog.text


async def test_streams_are_bounded_by_client_and_in_all() -> None:
    async with served(HTTPSettings(streams_per_client_max=2, streams_max=5)) as server:
        for token, count in ((None, 2), ("steward-token", 4)):
            held = [server.opened(token), server.opened(token)]
            await server.until_open(count)
            assert not any(one.done() for one in held)
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            refused = await server.client.get("/api/v1/stream", headers=headers)
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) > 0
            assert refused.json()["type"] == "urn:nutmeg:problem:too-many-streams"
        server.opened("operator-token")
        await server.until_open(5)
        refused = await server.client.get(
            "/api/v1/stream", headers={"Authorization": "Bearer operator-token"}
        )
        assert (refused.status_code, "in all" in refused.text or "just now" in refused.text) == (429, True)
        assert server.metrics.value("nutmeg_http_streams") == 5
        assert server.metrics.value("nutmeg_http_refusals_total", reason="streams") == 3


async def test_a_client_that_leaves_makes_room() -> None:
    async with served(HTTPSettings(streams_per_client_max=1)) as server:
        first = server.opened()
        await server.until_open(1)
        first.cancel()
        await server.until_open(0)
        server.opened()
        await server.until_open(1)


async def test_head_of_a_stream_ends_at_once() -> None:
    async with served() as server:
        answer = await server.client.head("/api/v1/stream")
        assert answer.headers["content-type"].startswith(EVENT_STREAM)
        await server.until_open(0)
