"""What holds for every read, whichever route answers it: HEAD, dates, and pages of other sites that read."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from re import Pattern

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["CrossOriginMiddleware", "ReadableRoute", "ReadingMiddleware"]

_OF_THE_BODY = ("content-length", "content-type", "content-encoding", "transfer-encoding")
_READ_BY_OTHERS = (
    "ETag, Last-Modified, Link, RateLimit, RateLimit-Policy, Retry-After, Content-Disposition, X-Request-ID"
)
_SENT_BY_OTHERS = "Accept, If-Modified-Since, If-None-Match, Last-Event-ID"
PREFLIGHT_SECONDS = 86_400


class ReadingMiddleware:
    """Answers HEAD as GET without its body, and 304 to who has what was last modified (RFC 9110).

    The route learns at the first byte of a body that nobody wants that its client is gone: a long export or a
    stream ends there.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        reading = _ReadResponse(Headers(scope=scope), receive, send, has_body=scope["method"] == "GET")
        if scope["method"] == "GET":
            await self._app(scope, reading.receive, reading.send)
            return
        seen = {**scope, "method": "GET"}
        try:
            await self._app(seen, reading.receive, reading.send)
        finally:
            scope.update({name: value for name, value in seen.items() if name != "method"})


class _ReadResponse:
    """One read: passes on what comes, until there is nothing more that its client wants."""

    def __init__(self, headers: Headers, receive: Receive, send: Send, *, has_body: bool) -> None:
        # An ETag is the better judge where both are sent (RFC 9110, section 13.2.2).
        self._since = None if "if-none-match" in headers else _moment(headers.get("if-modified-since"))
        self._receive = receive
        self._send = send
        self._has_body = has_body
        self._is_over = False

    async def receive(self) -> Message:
        return {"type": "http.disconnect"} if self._is_over else await self._receive()

    async def send(self, message: Message) -> None:
        if self._is_over:
            await asyncio.sleep(0)  # so that who listens for the client's going hears of it
            return
        if message["type"] != "http.response.start":
            await self._send(message)
            return
        if self._since is not None and _is_not_newer(message, self._since):
            headers = MutableHeaders(raw=list(message["headers"]))
            for name in _OF_THE_BODY:
                del headers[name]
            message = {**message, "status": 304, "headers": headers.raw}
            self._has_body = False
        await self._send(message)
        if not self._has_body:
            self._is_over = True
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})


@dataclass(frozen=True, slots=True)
class ReadableRoute:
    """One route: its path, its methods, and whether anybody may read it."""

    path: Pattern[str]
    methods: frozenset[str]
    is_public: bool


class CrossOriginMiddleware:
    """Lets scripts of other sites read what anybody may read, as anybody (Fetch Standard, section 3.3).

    Never what a signed-in person sees: an answer to cookies or a token does not allow it, and no credentials
    are allowed for. Forms and pages are not for scripts. OPTIONS says what an address takes.
    """

    def __init__(self, app: ASGIApp, *, reads: Sequence[ReadableRoute]) -> None:
        self._app = app
        self._reads = reads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["method"] == "OPTIONS" and (routes := self._at(scope["path"])):
            await _options(routes)(scope, receive, send)
        elif scope["method"] == "GET" and not scope["state"]["has_credentials"]:
            await self._app(scope, receive, self._allowing(scope["path"], send))
        else:
            await self._app(scope, receive, send)

    def _at(self, path: str) -> list[ReadableRoute]:
        return [route for route in self._reads if route.path.match(path)]

    def _allowing(self, path: str, send: Send) -> Send:
        async def send_allowing(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                is_page = headers.get("content-type", "").startswith("text/html")
                if not is_page and _is_public_read(self._at(path)):
                    headers["Access-Control-Allow-Origin"] = "*"
                    headers["Access-Control-Expose-Headers"] = _READ_BY_OTHERS
                    headers.add_vary_header("Authorization, Cookie")
            await send(message)

        return send_allowing


def _is_public_read(routes: Sequence[ReadableRoute]) -> bool:
    # The first that matches answers.
    reads = [route for route in routes if "GET" in route.methods]
    return bool(reads) and reads[0].is_public


def _options(routes: Sequence[ReadableRoute]) -> Response:
    methods = {method for route in routes for method in route.methods} | {"OPTIONS"}
    methods |= {"HEAD"} if "GET" in methods else set()
    headers = {"Allow": ", ".join(sorted(methods))}
    if _is_public_read(routes):
        headers |= {
            "Access-Control-Allow-Origin": "*",
            "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
            "Access-Control-Allow-Headers": _SENT_BY_OTHERS,
            "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
        }
    return Response(status_code=204, headers=headers)


def _is_not_newer(message: Message, since: datetime) -> bool:
    modified = _moment(Headers(raw=message.get("headers", [])).get("last-modified"))
    return message["status"] == 200 and modified is not None and modified <= since


def _moment(text: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text) if text else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None
