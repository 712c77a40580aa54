"""A person's own data: one's own for oneself, anybody's for the chief data officer and operators."""

from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Request, Response

from services.governance.adapters.sql_personal_data import personal_data
from services.governance.commands.access import note
from services.governance.domain.auditing import DirectoryAct
from services.governance.entrypoints.api_access import ADMINISTRATORS
from services.governance.ports import GovernancePorts
from shared.errors import NotFoundError
from shared.http.viewing import ViewerDependency, access, require
from shared.identity.viewer import Viewer
from shared.store.engine import Store
from shared.web.templating import build_templates

__all__ = ["build_personal_data"]

TEMPLATES = Path(__file__).parent / "templates"


def build_personal_data(store: Store, ports: GovernancePorts) -> APIRouter:
    """Return the routes of personal data, and the page *Your data*. Each export is written down."""
    templates = build_templates(TEMPLATES)
    router = APIRouter(tags=["directory"])

    async def export(viewer: Viewer, person_id: UUID | None) -> Response:
        async with store.unit_of_work() as work:
            found = None if person_id is None else await personal_data(work.connection, person_id)
            if found is None:
                raise NotFoundError(f"No person has the id {person_id}.", what="person", field="person_id")
            await note(work, ports, DirectoryAct.DATA_EXPORTED, viewer, person_id)
        return _download(found)

    @router.get("/api/v1/directory/me/data", dependencies=[access("signed-in")])
    async def export_own(viewer: ViewerDependency) -> Response:
        """All that the directory keeps about you: rights, tokens, requests, decisions, the access log."""
        return await export(viewer, viewer.person_id)

    @router.get("/api/v1/directory/people/{person_id}/data", dependencies=[access(*ADMINISTRATORS)])
    async def export_any(person_id: UUID, viewer: ViewerDependency) -> Response:
        """All that the directory keeps about a person."""
        require(viewer, *ADMINISTRATORS)
        return await export(viewer, person_id)

    @router.get("/directory/your-data", include_in_schema=False, dependencies=[access("signed-in")])
    async def show_your_data(request: Request) -> Response:
        return templates.render(request, "your_data.html")

    return router


def _download(document: dict[str, Any]) -> Response:
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": 'attachment; filename="your-data-directory.json"',
    }
    body = orjson.dumps(document, option=orjson.OPT_INDENT_2)
    return Response(body, media_type="application/json", headers=headers)
