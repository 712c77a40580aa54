"""What notify keeps about a person: for that person, and for the chief data officer and operators."""

from typing import Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Response

from services.notify.inbox.domain.viewing import person_of
from services.notify.inbox.reader.entries import messages_of
from shared.http.viewing import ViewerDependency, access, require
from shared.identity.viewer import Role
from shared.store.engine import Store

__all__ = ["build_personal_data_api"]

_OFFICERS = (Role.CHIEF_DATA_OFFICER, Role.OPERATOR)


def build_personal_data_api(store: Store) -> APIRouter:
    """Return the routes of personal data."""
    router = APIRouter(tags=["inbox"])

    async def export(person_id: UUID) -> Response:
        async with store.read() as connection:
            return _download(await messages_of(connection, person_id))

    @router.get("/api/v1/inbox/me/data", dependencies=[access("signed-in")])
    async def export_own(viewer: ViewerDependency) -> Response:
        """Your inbox, and every message that was made for you."""
        return await export(person_of(viewer))

    @router.get("/api/v1/inbox/people/{person_id}/data", dependencies=[access(*_OFFICERS)])
    async def export_any(person_id: UUID, viewer: ViewerDependency) -> Response:
        """A person's inbox, and every message that was made for them."""
        require(viewer, *_OFFICERS)
        return await export(person_id)

    return router


def _download(document: dict[str, Any]) -> Response:
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": 'attachment; filename="your-data-messages.json"',
    }
    body = orjson.dumps(document, option=orjson.OPT_INDENT_2)
    return Response(body, media_type="application/json", headers=headers)
