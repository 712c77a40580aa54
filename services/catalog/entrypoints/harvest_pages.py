"""Harvests for operators: how far each one is, what was refused and how to mend it, and what is held."""

from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from services.catalog.domain.harvest_job import OPEN_STATUSES
from services.catalog.domain.views import HarvestStatus, HarvestView
from services.catalog.entrypoints.api_harvests import confirm_held
from services.catalog.entrypoints.pages import TEMPLATES
from services.catalog.entrypoints.words import Told
from services.catalog.ports import CatalogPorts, CatalogReader
from shared.http.problems import ProblemError
from shared.http.viewing import access
from shared.identity.viewer import Role
from shared.store.engine import Store
from shared.web.templating import build_templates

__all__ = ["build_harvest_pages"]

STATUSES: dict[HarvestStatus, Told] = {
    "queued": Told("neutral", "Waiting"),
    "running": Told("info", "Running"),
    "completed": Told("ok", "Completed"),
    "held": Told("warn", "Held"),
    "failed": Told("bad", "Failed"),
    "parked": Told("bad", "Parked"),
}


def build_harvest_pages(store: Store, ports: CatalogPorts, reader: CatalogReader) -> APIRouter:
    """Return the page routes below ``/harvests``."""
    templates = build_templates(TEMPLATES)
    templates.environment.globals.update(STATUSES=STATUSES, OPEN_STATUSES=OPEN_STATUSES)
    router = APIRouter(include_in_schema=False, dependencies=[access(Role.OPERATOR, Role.CHIEF_DATA_OFFICER)])

    async def found(harvest_id: UUID) -> HarvestView:
        view = await reader.harvest(harvest_id)
        if view is None:
            raise ProblemError(
                404,
                "harvest-not-found",
                "There is no such harvest",
                "It may belong to another installation.",
                next_steps=[("All harvests", "/harvests")],
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
        await confirm_held(store, ports, harvest_id)
        return RedirectResponse(f"/harvests/{harvest_id}", status_code=303)

    return router
