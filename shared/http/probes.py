"""What machines ask of a process: is it alive, can it serve, and how does it do."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, TypeAlias

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.http.local_clients import LocalClients
from shared.http.viewing import ViewerDependency, access, require
from shared.identity.viewer import Role, TokenScope
from shared.telemetry.metrics import METRICS_CONTENT_TYPE, Metrics

__all__ = ["Readiness", "no_troubles", "probe_router"]

Readiness: TypeAlias = Callable[[], Awaitable[Sequence[str]]]
"""Returns in words why the process cannot serve; empty when it can."""

Status: TypeAlias = Literal["ok", "degraded", "unavailable"]


class Health(BaseModel):
    """``status`` is ok, degraded (it serves, and something else does not work) or unavailable."""

    status: Status
    causes: list[str] = []


async def no_troubles() -> Sequence[str]:
    """For a process that does nothing but serve."""
    return ()


def probe_router(
    metrics: Metrics,
    readiness: Readiness,
    before_scrape: Sequence[Callable[[], Awaitable[None]]],
    local_clients: LocalClients,
    troubles: Readiness = no_troubles,
) -> APIRouter:
    """Return ``/healthz``, ``/readyz`` (503 with its causes) and ``/metrics``.

    ``local_clients`` tells who may read the metrics without a token.

    ``troubles`` are told with a 200: what does not work in a process that can serve nevertheless.
    """
    router = APIRouter(tags=["operations"], dependencies=[access("public", TokenScope.METRICS)])

    @router.get("/healthz")
    async def tell_alive() -> Health:
        """Tell that the process answers."""
        return Health(status="ok")

    @router.get("/readyz", responses={503: {"model": Health}})
    async def tell_ready() -> Response:
        """Tell whether the process can serve, and what keeps it from it."""
        causes, others = list(await readiness()), list(await troubles())
        status: Status = "unavailable" if causes else "degraded" if others else "ok"
        health = Health(status=status, causes=[*causes, *others])
        return JSONResponse(health.model_dump(), status_code=503 if causes else 200)

    @router.get("/metrics", include_in_schema=False)
    async def show_metrics(request: Request, viewer: ViewerDependency) -> Response:
        """Show all metrics to programs of this machine, to operators, and to the scope *metrics*."""
        if not local_clients.is_of_this_machine(request.scope):
            require(viewer, Role.OPERATOR, scope=TokenScope.METRICS)
        for prepare in before_scrape:
            await prepare()
        return Response(metrics.render(), headers={"Content-Type": METRICS_CONTENT_TYPE})

    return router
