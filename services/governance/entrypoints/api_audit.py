"""The audit over HTTP: who let whom in, and with which rights."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from services.governance.adapters.sql_audit import audit_lines
from shared.http.conditional import conditional_response
from shared.http.cursors import CursorDependency
from shared.http.viewing import access
from shared.identity.viewer import Role
from shared.store.engine import Store

__all__ = ["build_audit_api"]


def build_audit_api(store: Store) -> APIRouter:
    """Return the route ``/api/v1/directory/audit``."""
    router = APIRouter(tags=["directory"], dependencies=[access(Role.CHIEF_DATA_OFFICER, Role.OPERATOR)])

    @router.get("/api/v1/directory/audit")
    async def list_audit(
        request: Request,
        cursors: CursorDependency,
        person_id: UUID | None = None,
        cursor: Annotated[str | None, Query(max_length=2_048)] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> Response:
        """Who let whom in, newest first: tokens, sign-in links, rights, erasures; ids of people only.

        ``is_beyond`` marks rights that whoever gave them did not hold.
        """
        query = {"list": "audit", "person_id": str(person_id)}
        position = cursors.decode(cursor, query)
        async with store.read() as connection:
            found = await audit_lines(
                connection,
                limit=limit + 1,
                before=None if position is None else int(position[0]),
                person_id=person_id,
            )
        shown = found[:limit]
        items = [
            {
                "act": one.line.act.value,
                "actor_id": one.line.actor_id,
                "person_id": one.line.person_id,
                "happened_at": one.line.happened_at,
                "is_beyond": one.line.is_beyond,
                "details": one.line.details,
            }
            for one in shown
        ]
        more = cursors.encode([shown[-1].number], query) if len(found) > limit else None
        return conditional_response(request, {"items": items, "next_cursor": more})

    return router
