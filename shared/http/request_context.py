"""The outermost layer: request id, trace, access log and metrics. Nothing below it escapes unanswered."""

import re
import time
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.http.problems import problem_response, unexpected_problem
from shared.telemetry.metrics import Metrics
from shared.telemetry.tracing import current_traceparent, new_traceparent, use_traceparent

__all__ = ["RequestContextMiddleware", "route_template"]

REQUEST_ID_HEADER = "X-Request-ID"
CLIENT_GONE = 499
"""What metrics and log tell of a client that left before it was answered, as nginx does."""

_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:\-]{8,128}")
_QUIET_ROUTES = frozenset({"/healthz", "/readyz", "/metrics", "/static"})

_log = structlog.get_logger("nutmeg.http.access")


class RequestContextMiddleware:
    """Gives each request its id and trace, answers what nobody handled, and tells log and metrics of it."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get(REQUEST_ID_HEADER, "")
        request_id = given if _SANE_REQUEST_ID.fullmatch(given) else uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        with (
            use_traceparent(new_traceparent(headers.get("traceparent"))),
            structlog.contextvars.bound_contextvars(request_id=request_id),
        ):
            await self._answer(scope, receive, send, request_id)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        started = time.perf_counter()
        status = 0
        is_stream = is_gone = False

        async def receive_noting() -> Message:
            nonlocal is_gone
            message = await receive()
            is_gone = is_gone or (message["type"] == "http.disconnect" and not status)
            return message

        async def send_with_id(message: Message) -> None:
            nonlocal status, is_stream
            if message["type"] == "http.response.start":
                status = message["status"]
                answer = MutableHeaders(scope=message)
                answer[REQUEST_ID_HEADER] = request_id
                answer["traceparent"] = current_traceparent() or ""
                is_stream = answer.get("content-type", "").startswith("text/event-stream")
            await send(message)

        try:
            await self._app(scope, receive_noting, send_with_id)
        except ClientDisconnect:
            is_gone = True  # it left in the midst of its body: nobody waits for an answer
        except Exception:
            _log.exception("request_failed", method=scope["method"], route=route_template(scope))
            if status:
                # The answer has begun; only breaking the connection still tells the client.
                raise
            response = problem_response(Request(scope, receive), unexpected_problem())
            await response(scope, receive, send_with_id)
        finally:
            told = CLIENT_GONE if is_gone else status
            self._record(scope, told, time.perf_counter() - started, is_stream=is_stream)

    def _record(self, scope: Scope, status: int, seconds: float, *, is_stream: bool) -> None:
        route = route_template(scope)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.count("nutmeg_http_requests_total", method=method, route=route, status=str(status))
        if not is_stream:
            self._metrics.observe("nutmeg_http_request_seconds", seconds, method=method, route=route)
        if route not in _QUIET_ROUTES or status >= 500:
            _log.info(
                "request", method=method, route=route, status=status, milliseconds=round(seconds * 1000, 1)
            )


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def route_template(scope: Scope) -> str:
    """Return the path template of the route that took the request, ``unmatched`` for none.

    A router included with a prefix leaves its full template in FastAPI's own part of the scope.
    """
    context = scope.get("fastapi", {}).get("effective_route_context")
    route = scope.get("route")
    template: str | None = getattr(context, "path_format", None) or getattr(route, "path", None)
    if template is None and "endpoint" in scope:
        # Mounted files count as one; the only plain route is the API description, which has no parameters.
        is_mounted = scope.get("root_path") != scope.get("app_root_path", "")
        template = scope["root_path"] if is_mounted else scope["path"]
    return template or "unmatched"
