"""A small application on the real stack, for the tests of each layer."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from uuid import UUID

import httpx
from fastapi import APIRouter, FastAPI

from shared.clock import SimulatedClock
from shared.errors import TransientError
from shared.http.app import build_app
from shared.http.networks import Network
from shared.http.settings import HTTPSettings
from shared.identity.signing_key import SigningKey
from shared.identity.tokens import AuthenticationError
from shared.identity.viewer import Grant, Role, TokenScope, Viewer
from shared.telemetry.metrics import Metrics

SIGNING_KEY = SigningKey(b"k" * 32)
AGENCY = UUID("6a4b1c4e-1111-4d5e-9a11-000000000001")
STEWARD = Viewer(
    UUID("6a4b1c4e-2222-4d5e-9a11-000000000002"), frozenset({Grant(Role.STEWARD, AGENCY)}), "steward-token-id"
)
OPERATOR = Viewer(
    UUID("6a4b1c4e-3333-4d5e-9a11-000000000003"), frozenset({Grant(Role.OPERATOR)}), "operator-token-id"
)
AWAY_TOKEN = "away-token"
METRICS_PROGRAM, HARVEST_PROGRAM = (
    Viewer(UUID(int=number), frozenset({Grant(Role.SERVICE)}), f"{scope}-token-id", frozenset({scope}))
    for number, scope in ((4, TokenScope.METRICS), (5, TokenScope.HARVEST))
)
UNSCOPED_PROGRAM = Viewer(UUID(int=6), frozenset({Grant(Role.SERVICE)}), "unscoped-token-id")
VIEWERS: Mapping[str, Viewer] = {
    "steward-token": STEWARD,
    "operator-token": OPERATOR,
    "metrics-token": METRICS_PROGRAM,
    "harvest-token": HARVEST_PROGRAM,
    "unscoped-token": UNSCOPED_PROGRAM,
}


class KnownTokens:
    """An authenticator that knows some tokens, and whose store is away for a third."""

    async def authenticate(self, token: str) -> Viewer:
        if token == AWAY_TOKEN:
            raise TransientError("the store of governance is away: it starts up")
        if token not in VIEWERS:
            raise AuthenticationError("expired", "The token has expired. Get a new one and try again.")
        return VIEWERS[token]


async def always_ready() -> Sequence[str]:
    return ()


def build(
    router: APIRouter,
    *,
    settings: HTTPSettings | None = None,
    metrics: Metrics | None = None,
    readiness: Callable[[], Awaitable[Sequence[str]]] = always_ready,
    trusted_proxies: Sequence[Network] = (),
    troubles: Callable[[], Awaitable[Sequence[str]]] = always_ready,
) -> FastAPI:
    return build_app(
        title="Test",
        routers=[router],
        authenticator=KnownTokens(),
        signing_key=SIGNING_KEY,
        metrics=metrics or Metrics(),
        clock=SimulatedClock(),
        installation="Test Nutmeg",
        settings=settings or HTTPSettings(),
        readiness=readiness,
        trusted_proxies=trusted_proxies,
        troubles=troubles,
    )


def client(
    app: FastAPI,
    *,
    token: str | None = None,
    cookie: str | None = None,
    address: str = "127.0.0.1",
    base_url: str = "http://127.0.0.1:8080",
) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app, client=(address, 50000), raise_app_exceptions=False),
        base_url=base_url,
        headers=headers,
        cookies={"nutmeg_session": cookie} if cookie else {},
    )
