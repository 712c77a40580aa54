"""The inbox as pages: one line per item, worst first; act in place; done things leave and can be found."""

from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from services.notify.inbox.commands import Inbox, acknowledge_entry
from services.notify.inbox.domain.items import READ_ONCE_KINDS, ItemState
from services.notify.inbox.domain.viewing import no_such_item, person_of
from services.notify.inbox.domain.workload import workload_links
from services.notify.inbox.reader.entries import inbox_counts, inbox_entries, inbox_entry, messages_about
from services.notify.inbox.reader.workload import workload_of
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


def build_pages(store: Store, inbox: Inbox) -> APIRouter:
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
        wanted = (ItemState.DONE,) if state == "done" else (ItemState.OPEN, ItemState.ACKNOWLEDGED)
        async with store.read() as connection:
            entries = await inbox_entries(connection, person_id, states=wanted)
            counts = await inbox_counts(connection, person_id)
            workload = await workload_of(connection, viewer)
        return templates.render(
            request,
            "inbox.html",
            open_entries=[entry for entry in entries if entry.item.state is not ItemState.ACKNOWLEDGED],
            acknowledged_entries=[entry for entry in entries if entry.item.state is ItemState.ACKNOWLEDGED],
            counts=counts,
            workload=None if workload is None else workload_links(workload, viewer),
            state=state,
            kinds=SEVERITY_KINDS,
            read_once_kinds=READ_ONCE_KINDS,
        )

    @router.get("/inbox/{item_id}")
    async def show_item(item_id: UUID, request: Request, viewer: ViewerDependency) -> Response:
        person_id = person_of(viewer)
        async with store.read() as connection:
            entry = await inbox_entry(connection, person_id, item_id)
            if entry is None:
                raise no_such_item()
            messages = await messages_about(connection, person_id, item_id)
        details = entry.item.details
        has_expectations = any(expected for _, expected, _ in details)
        return templates.render(
            request,
            "item.html",
            entry=entry,
            has_expectations=has_expectations,
            evidence=details if has_expectations else [(name, observed) for name, _, observed in details],
            messages=messages,
            kinds=SEVERITY_KINDS,
            read_once_kinds=READ_ONCE_KINDS,
            delivery_kinds=DELIVERY_KINDS,
            delivery_words=DELIVERY_WORDS,
            change_words=CHANGE_WORDS,
        )

    @router.post("/inbox/{item_id}/acknowledge")
    async def acknowledge(
        item_id: UUID, viewer: ViewerDependency, back: Annotated[Literal["list", "item"], Form()] = "list"
    ) -> Response:
        await acknowledge_entry(store, inbox, person_of(viewer), item_id)
        return RedirectResponse("/inbox" if back == "list" else f"/inbox/{item_id}", status_code=303)

    return router
