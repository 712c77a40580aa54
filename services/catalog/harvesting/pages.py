"""Harvests for operators: how far each one is, what was refused and how to mend it, and what is held."""

from pathlib import Path
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from services.catalog.datasets.reader.words import Told
from services.catalog.harvesting.commands.context import HarvestContext
from services.catalog.harvesting.commands.starting import confirm_held
from services.catalog.harvesting.domain.jobs import OPEN_STATUSES
from services.catalog.harvesting.domain.views import HarvestStatus, HarvestView
from services.catalog.harvesting.reader.harvests import HarvestReader
from shared.errors import NotFoundError
from shared.http.viewing import access
from shared.identity.viewer import Role
from shared.store.engine import Store
from shared.web.templating import build_templates

__all__ = ["build_harvest_pages"]

TEMPLATES = Path(__file__).parent / "templates"

STATUSES: dict[HarvestStatus, Told] = {
    "queued": Told("neutral", "Waiting"),
    "running": Told("info", "Running"),
    "completed": Told("ok", "Completed"),
    "held": Told("warn", "Held"),
    "failed": Told("bad", "Failed"),
    "parked": Told("bad", "Parked"),
}


def build_harvest_pages(store: Store, context: HarvestContext, reader: HarvestReader) -> APIRouter:
    """Return the page routes below ``/harvests``."""
    templates = build_templates(TEMPLATES)
    templates.environment.globals.update(STATUSES=STATUSES, OPEN_STATUSES=OPEN_STATUSES)
    router = APIRouter(include_in_schema=False, dependencies=[access(Role.OPERATOR, Role.CHIEF_DATA_OFFICER)])

    async def found(harvest_id: UUID) -> HarvestView:
        view = await reader.harvest(harvest_id)
        if view is None:
            raise NotFoundError(
                "No harvest here has this id.",
                what="harvest",
                fix="It may belong to another installation.",
                next_steps=(("All harvests", "/harvests"),),
            )
        return view

    @router.get("/harvests")
    async def list_harvests(request: Request) -> Response:
        return templates.render(request, "harvests.html", harvests=await reader.harvests())

    @router.get("/harvests/{harvest_id}")
    async def show_harvest(harvest_id: UUID, request: Request) -> Response:
        return templates.render(request, "harvest.html", harvest=await found(harvest_id))

    @router.get("/harvests/{harvest_id}/progress")
    async def show_progress(harvest_id: UUID, request: Request) -> Response:
        return templates.render(request, "harvest_progress.html", harvest=await found(harvest_id))

    @router.post("/harvests/{harvest_id}/confirm")
    async def confirm_harvest(harvest_id: UUID) -> Response:
        await confirm_held(store, context, harvest_id)
        return RedirectResponse(f"/harvests/{harvest_id}", status_code=303)

    return router
