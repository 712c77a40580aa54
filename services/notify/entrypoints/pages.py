"""The inbox as pages: one line per matter, worst first; act in place; done things leave and can be found."""

from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from services.notify.adapters.sql_inbox import inbox_counts, inbox_line, inbox_lines, told_about
from services.notify.adapters.sql_workload import workload_of
from services.notify.domain.matters import READ_ONCE_KINDS, MatterState
from services.notify.entrypoints.api import no_such_matter, person_of, take_charge
from services.notify.entrypoints.workload import workload_links
from services.notify.ports import NotifyPorts
from shared.http.viewing import ViewerDependency, access
from shared.store.engine import Store
from shared.web.templating import build_templates

__all__ = ["build_pages"]

TEMPLATES = Path(__file__).parent / "templates"

SEVERITY_KINDS = {"error": ("bad", "Serious"), "warning": ("warn", "Look soon"), "info": ("info", "To know")}
DELIVERY_KINDS = {"sent": "ok", "queued": "info", "deferred": "warn", "dead": "bad"}
DELIVERY_WORDS = {
    "sent": "accepted by the mail server",
    "queued": "waiting to be sent",
    "deferred": "not taken yet; tried again",
    "dead": "could not be delivered",
}
CHANGE_WORDS = {
    "opened": "It began",
    "worsened": "It got worse",
    "resolved": "It is over",
    "submitted": "A request came in",
    "decided": "The request was answered",
    "noticed": "For your information",
}


def build_pages(store: Store, ports: NotifyPorts) -> APIRouter:
    """Return the routes below ``/inbox``."""
    templates = build_templates(TEMPLATES)
    router = APIRouter(include_in_schema=False, dependencies=[access("signed-in")])

    @router.get("/inbox")
    async def show_inbox(
        request: Request,
        viewer: ViewerDependency,
        state: Annotated[Literal["open", "done"], Query()] = "open",
    ) -> Response:
        person_id = person_of(viewer)
        wanted = (MatterState.DONE,) if state == "done" else (MatterState.OPEN, MatterState.ACKNOWLEDGED)
        async with store.read() as connection:
            lines = await inbox_lines(connection, person_id, states=wanted)
            counts = await inbox_counts(connection, person_id)
            workload = await workload_of(connection, viewer)
        return templates.render(
            request,
            "inbox.html",
            open_lines=[one for one in lines if one.matter.state is not MatterState.ACKNOWLEDGED],
            taken_lines=[one for one in lines if one.matter.state is MatterState.ACKNOWLEDGED],
            counts=counts,
            workload=None if workload is None else workload_links(workload, viewer),
            state=state,
            kinds=SEVERITY_KINDS,
            read_once_kinds=READ_ONCE_KINDS,
        )

    @router.get("/inbox/{matter_id}")
    async def show_matter(matter_id: UUID, request: Request, viewer: ViewerDependency) -> Response:
        person_id = person_of(viewer)
        async with store.read() as connection:
            line = await inbox_line(connection, person_id, matter_id)
            if line is None:
                raise no_such_matter()
            told = await told_about(connection, person_id, matter_id)
        details = line.matter.details
        has_expectations = any(expected for _, expected, _ in details)
        return templates.render(
            request,
            "matter.html",
            line=line,
            has_expectations=has_expectations,
            evidence=details if has_expectations else [(name, observed) for name, _, observed in details],
            told=told,
            kinds=SEVERITY_KINDS,
            read_once_kinds=READ_ONCE_KINDS,
            delivery_kinds=DELIVERY_KINDS,
            delivery_words=DELIVERY_WORDS,
            change_words=CHANGE_WORDS,
        )

    @router.post("/inbox/{matter_id}/acknowledge")
    async def take(
        matter_id: UUID, viewer: ViewerDependency, back: Annotated[Literal["list", "matter"], Form()] = "list"
    ) -> Response:
        await take_charge(store, ports, viewer, matter_id)
        return RedirectResponse("/inbox" if back == "list" else f"/inbox/{matter_id}", status_code=303)

    return router
