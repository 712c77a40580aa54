"""What turns a request away before any route sees it: wrong host, too large a body, too many requests."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from re import Pattern

from limits import RateLimitItem
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.http.local_clients import LocalClients
from shared.http.networks import client_group
from shared.http.problems import FieldProblem, ProblemError, problem_response
from shared.telemetry.metrics import Metrics

__all__ = [
    "BodyLimitMiddleware",
    "BodyLimitOverride",
    "HostMiddleware",
    "RateLimitMiddleware",
]

CLIENTS_TRACKED_MAX = 50_000


class HostMiddleware:
    """Answers only to our own names: a foreign name that points here reads nothing (DNS rebinding)."""

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str], metrics: Metrics) -> None:
        self._app = app
        self._hosts = frozenset(host for host in hosts if "/" not in host)
        self._networks = tuple(ip_network(host) for host in hosts if "/" in host)
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (problem := self._problem(Headers(scope=scope).getlist("host"))):
            self._metrics.count("nutmeg_http_refusals_total", reason="host")
            await problem_response(Request(scope, receive), problem)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _problem(self, hosts: Sequence[str]) -> ProblemError | None:
        if len(hosts) != 1:
            # RFC 9112, section 3.2: who stands before us may have read the other one.
            return _wrong_host(
                "host", "A request has exactly one Host header", "Send one Host header.", "one_host"
            )
        if not self._is_ours(hosts[0]):
            return _wrong_host(
                "unknown-host",
                "This name is not served here",
                "Use the installation's own address, or add the name to NUTMEG_HTTP_ALLOWED_HOSTS.",
                "unknown_host",
            )
        return None

    def _is_ours(self, host: str) -> bool:
        name = host.lower()
        if not name.endswith("]"):
            head, colon, port = name.rpartition(":")
            name = head if colon and port.isdigit() else name
        return (
            name in self._hosts
            or any(pattern.startswith("*.") and name.endswith(pattern[1:]) for pattern in self._hosts)
            or self._is_own_address(name)
        )

    def _is_own_address(self, name: str) -> bool:
        """Tell whether it is an address that we may have: nobody can make a name of theirs look like one."""
        try:
            address = ip_address(name.strip("[]"))
        except ValueError:
            return False
        return any(address in network for network in self._networks)


def _wrong_host(slug: str, title: str, cure: str, code: str) -> ProblemError:
    problem = FieldProblem(code.replace("_", " "), cure, header="Host", code=code)
    detail = "The Host header names no host of this installation." if code == "unknown_host" else cure
    return ProblemError(400, slug, title, detail, errors=[problem])


@dataclass(frozen=True, slots=True)
class BodyLimitOverride:
    """A route that takes larger (or only smaller) bodies than the rest."""

    path: Pattern[str]
    methods: frozenset[str]
    bytes_max: int


class BodyLimitMiddleware:
    """Refuses a body above its limit: by Content-Length at once, else as soon as it has streamed too much."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        bytes_max: int,
        overrides: Sequence[BodyLimitOverride],
        metrics: Metrics,
    ) -> None:
        self._app = app
        self._bytes_max = bytes_max
        self._overrides = overrides
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        bytes_max = self._limit_of(scope)
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdigit() and int(declared) > bytes_max:
            self._metrics.count("nutmeg_http_refusals_total", reason="size")
            response = problem_response(Request(scope, receive), _too_large(bytes_max))
            await response(scope, receive, send)
            return
        received = 0

        async def receive_limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > bytes_max:
                self._metrics.count("nutmeg_http_refusals_total", reason="size")
                raise HTTPException(413, _too_large(bytes_max).detail)
            return message

        await self._app(scope, receive_limited, send)

    def _limit_of(self, scope: Scope) -> int:
        for override in self._overrides:
            if scope["method"] in override.methods and override.path.match(scope["path"]):
                return override.bytes_max
        return self._bytes_max


def _too_large(bytes_max: int) -> ProblemError:
    return ProblemError(
        413,
        "too-large",
        "The request is too large",
        f"This address takes at most {bytes_max:,} bytes. Send less at once, or in several requests.",
    )


class RateLimitMiddleware:
    """Counts requests per client in fixed windows: per token where one was verified, else per address.

    Every limited answer tells where the client stands (RateLimit and RateLimit-Policy, IETF draft
    httpapi-ratelimit-headers); a refused one also says when to come back (Retry-After).
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limit: RateLimitItem,
        local_clients: LocalClients,
        metrics: Metrics,
    ) -> None:
        self._app = app
        self._limit = limit
        self._local_clients = local_clients
        self._metrics = metrics
        self._storage = MemoryStorage()
        self._limiter = FixedWindowRateLimiter(self._storage)
        self._policy = f'"default";q={limit.amount};w={limit.get_expiry()}'

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._local_clients.is_exempt(scope):
            await self._app(scope, receive, send)
            return
        client = _client_key(scope)
        if len(self._storage.storage) > CLIENTS_TRACKED_MAX:
            # Forgetting all at once is bounded and rare; the flood that caused it starts its count anew.
            await self._storage.reset()
        is_within = await self._limiter.hit(self._limit, client)
        window = await self._limiter.get_window_stats(self._limit, client)
        seconds = max(1, round(window.reset_time - time.time()))

        async def send_with_standing(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["RateLimit-Policy"] = self._policy
                headers["RateLimit"] = f'"default";r={max(0, window.remaining)};t={seconds}'
            await send(message)

        if is_within:
            await self._app(scope, receive, send_with_standing)
            return
        self._metrics.count("nutmeg_http_refusals_total", reason="rate")
        problem = ProblemError(
            429,
            "too-many-requests",
            "Too many requests",
            f"At most {self._limit} are answered. Try again in {seconds} seconds.",
            headers={"Retry-After": str(seconds)},
        )
        await problem_response(Request(scope, receive), problem)(scope, receive, send_with_standing)


def _client_key(scope: Scope) -> str:
    viewer = scope.get("state", {}).get("viewer")
    if viewer is not None and viewer.token_id is not None:
        return f"token:{viewer.token_id}"
    return f"address:{client_group((scope.get('client') or ('',))[0])}"
