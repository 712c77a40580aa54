"""Bounds the JSON of request bodies as it arrives, before anything is built of it.

FastAPI reads a body and makes objects of it ahead of every dependency, so that only a layer around it can
say no in time. Routes that take their body as it comes (feeds, files, beacons) are left out: they read it
through :mod:`shared.bounded_json` themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from re import Pattern

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.bounded_json import JSONBoundError, JSONBounds, JSONLimits
from shared.http.problems import FieldProblem, ProblemError, RefusedBodyError
from shared.telemetry.metrics import Metrics

__all__ = ["JSONBodyMiddleware", "RawBodyRoute", "json_bound_problem"]

BODY_LIMITS = JSONLimits(bytes_max=64 * 1024 * 1024, elements_max=200_000)
"""Twenty times the values of the largest batch of hits. What a route takes in bytes is less, and its own."""


@dataclass(frozen=True, slots=True)
class RawBodyRoute:
    """A route that reads its body itself."""

    path: Pattern[str]
    methods: frozenset[str]


class JSONBodyMiddleware:
    """Refuses a JSON body that is nested too deeply or holds too many values: 422."""

    def __init__(self, app: ASGIApp, *, raw_routes: Sequence[RawBodyRoute], metrics: Metrics) -> None:
        self._app = app
        self._raw_routes = raw_routes
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._is_concerned(scope):
            await self._app(scope, receive, send)
            return
        bounds = JSONBounds(BODY_LIMITS)

        async def receive_bounded() -> Message:
            message = await receive()
            try:
                bounds.check(message.get("body", b""))
            except JSONBoundError as error:
                self._metrics.count("nutmeg_http_refusals_total", reason="json")
                raise RefusedBodyError(json_bound_problem(error)) from error
            return message

        await self._app(scope, receive_bounded, send)

    def _is_concerned(self, scope: Scope) -> bool:
        media_type = Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()
        return media_type.endswith("json") and not any(
            scope["method"] in route.methods and route.path.match(scope["path"]) for route in self._raw_routes
        )


def json_bound_problem(error: JSONBoundError) -> ProblemError:
    """Return the 422 problem for a document beyond its limits."""
    detail, _, cure = str(error).partition(". ")
    return ProblemError(
        422,
        "json-bounds",
        "The JSON goes beyond what is taken",
        str(error),
        errors=[FieldProblem(f"{detail}.", cure, pointer="#", code="bounds")],
    )
