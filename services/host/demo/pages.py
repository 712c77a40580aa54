"""``/demo``: the buttons that break the sample's files and repair them, and the path of what follows."""

from pathlib import Path
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from services.host.demo.runs import total_milliseconds
from services.host.demo.scenario import Demo, degradation_named
from services.host.sample.degradations import DEGRADATIONS
from shared.http.viewing import access
from shared.web.templating import build_templates

__all__ = ["build_demo_pages"]

TEMPLATES = Path(__file__).parent / "templates"


def build_demo_pages(demo: Demo) -> APIRouter:
    """Return the pages below ``/demo``."""
    templates = build_templates(TEMPLATES)
    router = APIRouter(prefix="/demo", include_in_schema=False, dependencies=[access("public")])

    @router.get("")
    async def show_demo(request: Request, poisoned: Annotated[bool, Query()] = False) -> Response:
        return templates.render(
            request,
            "demo.html",
            degradations=list(DEGRADATIONS.values()),
            degraded=demo.degraded,
            is_poisoned=poisoned,
        )

    # Anybody may break the demo: it is made for that, and nothing else is changed.
    @router.post("/degrade/{slug}")
    async def break_this(slug: str) -> Response:
        run = await demo.degrade(degradation_named(slug, None))
        return RedirectResponse(f"/demo/runs/{run.run_id}", status_code=303)

    @router.post("/repair/{slug}")
    async def mend_this(slug: str) -> Response:
        runs = await demo.repair(degradation_named(slug, None))
        return RedirectResponse(f"/demo/runs/{runs[0].run_id}", status_code=303)

    @router.post("/poison")
    async def send_poison() -> Response:
        await demo.send_poison()
        return RedirectResponse("/demo?poisoned=true", status_code=303)

    @router.get("/runs/{run_id}")
    async def show_run(request: Request, run_id: UUID, part: Annotated[bool, Query()] = False) -> Response:
        run = demo.run(run_id)
        hops = demo.hops(run)
        return templates.render(
            request,
            "event_path_boxes.html" if part else "demo_run.html",
            run=run,
            hops=hops,
            milliseconds=total_milliseconds(hops),
            is_finished=run.is_over,
            href=f"/demo/runs/{run_id}?part=true",
        )

    return router
