"""The audit of the directory over HTTP: who let whom in, who was turned away, what was changed."""

from datetime import UTC
from typing import Annotated
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Request, Response

from services.governance.adapters.sql_audit import audit_lines
from services.governance.domain.auditing import AuditLine, DirectoryAct
from services.governance.entrypoints.api_access import ADMINISTRATORS
from shared.http.conditional import conditional_response
from shared.http.csv_answers import csv_response
from shared.http.cursors import CursorDependency
from shared.http.viewing import access
from shared.store.engine import Store

__all__ = ["build_audit_api"]

CSV_LINES_MAX = 100_000
_CSV_NAMES = ("happened_at", "act", "actor_id", "person_id", "is_beyond", "details")


def build_audit_api(store: Store) -> APIRouter:
    """Return the route ``/api/v1/directory/audit``, and the audit as CSV for programs and for the page."""
    router = APIRouter(tags=["directory"], dependencies=[access(*ADMINISTRATORS)])

    @router.get("/api/v1/directory/audit")
    async def list_audit(
        request: Request,
        cursors: CursorDependency,
        person_id: UUID | None = None,
        act: DirectoryAct | None = None,
        cursor: Annotated[str | None, Query(max_length=2_048)] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> Response:
        """Acts in the directory, newest first; ids of people only.

        Tokens, sign-in links, rights, erasures, failed sign-ins, refusals, stewardships, visibility.
        ``is_beyond`` marks what was refused because whoever asked does not hold it.
        """
        query = {"list": "audit", "person_id": str(person_id), "act": str(act)}
        position = cursors.decode(cursor, query)
        async with store.read() as connection:
            found = await audit_lines(
                connection,
                limit=limit + 1,
                before=None if position is None else int(position[0]),
                person_id=person_id,
                act=act,
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

    async def answer_csv(person_id: UUID | None, act: DirectoryAct | None) -> Response:
        async with store.read() as connection:
            found = await audit_lines(connection, limit=CSV_LINES_MAX, person_id=person_id, act=act)
        headers = {
            "Cache-Control": "no-store",
            "Content-Disposition": 'attachment; filename="access-log.csv"',
        }
        return csv_response(_CSV_NAMES, (_csv_row(one.line) for one in found), headers=headers)

    @router.get("/api/v1/directory/audit.csv")
    async def download_audit(person_id: UUID | None = None, act: DirectoryAct | None = None) -> Response:
        """The same as CSV, with the same filters: the newest 100,000 acts, times in UTC."""
        return await answer_csv(person_id, act)

    @router.get("/directory/audit.csv", include_in_schema=False)
    async def download_shown(person: UUID | None = None, act: DirectoryAct | None = None) -> Response:
        return await answer_csv(person, act)

    return router


def _csv_row(line: AuditLine) -> list[object]:
    at = line.happened_at.astimezone(UTC).isoformat(timespec="seconds")
    details = orjson.dumps(dict(line.details)).decode()
    people = (str(one) if one else "" for one in (line.actor_id, line.person_id))
    return [at, line.act.value, *people, line.is_beyond, details]
