"""Alerts over HTTP, for those who answer for the data and for programs that watch."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from services.quality.alerts.domain.findings import AlertKind
from services.quality.alerts.reader import AlertFilter, alert_document, alert_seen_by, alerts_seen_by
from shared.errors import NotFoundError
from shared.http.conditional import conditional_response
from shared.http.cursors import CursorDependency
from shared.http.viewing import ViewerDependency, access
from shared.identity.viewer import STEWARDING_ROLES, TokenScope
from shared.store.engine import Store

__all__ = ["build_alerts_api"]

ALERTS_PER_PAGE_MAX = 200

AlertStateWord = Literal["open", "acknowledged", "resolved"]


def build_alerts_api(store: Store) -> APIRouter:
    """Return the routes below ``/api/v1/quality/alerts``."""
    router = APIRouter(prefix="/api/v1/quality", tags=["quality"])

    @router.get("/alerts", dependencies=[access(*STEWARDING_ROLES, TokenScope.EVENTS)])
    async def list_alerts(
        request: Request,
        viewer: ViewerDependency,
        cursors: CursorDependency,
        state: Annotated[AlertStateWord | None, Query()] = None,
        kind: Annotated[AlertKind | None, Query()] = None,
        agency: Annotated[UUID | None, Query()] = None,
        limit: Annotated[int, Query(ge=1, le=ALERTS_PER_PAGE_MAX)] = 50,
        cursor: Annotated[str | None, Query()] = None,
    ) -> Response:
        """Alerts of your agency, or of all if you answer for all; the latest change first."""
        query = {"list": "alerts", "state": state, "kind": kind, "agency": str(agency) if agency else None}
        position = cursors.decode(cursor, query)
        after = None if position is None else (datetime.fromisoformat(position[0]), UUID(position[1]))
        wanted = AlertFilter(state=state, kind=kind, agency_id=agency)
        async with store.read() as connection:
            alerts = await alerts_seen_by(connection, viewer, wanted, after=after, count_max=limit + 1)
        page, next_cursor = alerts[:limit], None
        if len(alerts) > limit:
            last = page[-1].state
            next_cursor = cursors.encode([last.changed_at.isoformat(), str(last.alert_id)], query)
        return conditional_response(
            request, {"items": [alert_document(alert) for alert in page], "next_cursor": next_cursor}
        )

    @router.get("/alerts/{alert_id}", dependencies=[access(*STEWARDING_ROLES, TokenScope.EVENTS)])
    async def show_alert(alert_id: UUID, request: Request, viewer: ViewerDependency) -> Response:
        """One alert with its evidence."""
        async with store.read() as connection:
            alert = await alert_seen_by(connection, viewer, alert_id)
        if alert is None:
            raise NotFoundError(
                "There is no alert with this id that you may see.", what="alert", field="alert_id"
            )
        return conditional_response(request, alert_document(alert))

    return router
