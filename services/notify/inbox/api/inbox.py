"""The inbox over HTTP: what concerns me, and taking charge of it."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from services.notify.inbox.commands import Inbox, acknowledge_entry
from services.notify.inbox.domain.items import ItemState
from services.notify.inbox.domain.viewing import no_such_item, person_of
from services.notify.inbox.domain.workload import workload_document
from services.notify.inbox.reader.entries import (
    InboxEntry,
    inbox_counts,
    inbox_entries,
    inbox_entry,
    messages_about,
)
from services.notify.inbox.reader.workload import workload_of
from shared.http.conditional import conditional_response, etag_of, require_if_match
from shared.http.idempotency import Answer
from shared.http.viewing import ViewerDependency, access
from shared.store.engine import Store

__all__ = ["build_api"]

StateFilter = Literal["open", "acknowledged", "done", "all"]

_STATES = {
    "open": (ItemState.OPEN,),
    "acknowledged": (ItemState.ACKNOWLEDGED,),
    "done": (ItemState.DONE,),
    "all": tuple(ItemState),
}


def build_api(store: Store, inbox: Inbox) -> APIRouter:
    """Return the routes below ``/api/v1/inbox``."""
    router = APIRouter(prefix="/api/v1/inbox", tags=["inbox"], dependencies=[access("signed-in")])

    @router.get("")
    async def list_inbox(
        request: Request, viewer: ViewerDependency, state: Annotated[StateFilter, Query()] = "open"
    ) -> Response:
        """Your items, worst first; at most 200. ``counts`` are of all of them, by state.

        ``workload`` counts what waits on all datasets that you answer for; null if you answer for none.
        """
        person_id = person_of(viewer)
        async with store.read() as connection:
            entries = await inbox_entries(connection, person_id, states=_STATES[state])
            counts = await inbox_counts(connection, person_id)
            workload = await workload_of(connection, viewer)
        document = {
            "items": [_document(entry) for entry in entries],
            "counts": counts,
            "workload": None if workload is None else workload_document(workload, viewer),
        }
        return conditional_response(request, document)

    @router.get("/{item_id}")
    async def show_item(item_id: UUID, request: Request, viewer: ViewerDependency) -> Response:
        """One item of yours, with the messages that were sent to you about it and their real results."""
        person_id = person_of(viewer)
        async with store.read() as connection:
            entry = await inbox_entry(connection, person_id, item_id)
            if entry is None:
                raise no_such_item()
            messages = await messages_about(connection, person_id, item_id)
        response = conditional_response(request, {**_document(entry), "deliveries": messages})
        response.headers["ETag"] = etag_of(_version(entry))
        return response

    @router.post("/{item_id}/acknowledge")
    async def acknowledge(item_id: UUID, request: Request, viewer: ViewerDependency) -> Response:
        """Acknowledge an item. ``If-Match``, if sent, names the state that you have seen."""

        def check(seen: InboxEntry) -> None:
            if "if-match" in request.headers:
                require_if_match(request, etag_of(_version(seen)))

        entry = await acknowledge_entry(store, inbox, person_of(viewer), item_id, check=check)
        return Answer(200, _document(entry), {"ETag": etag_of(_version(entry))}).response()

    return router


def _version(entry: InboxEntry) -> dict[str, Any]:
    item = entry.item
    return {"id": str(item.item_id), "version": item.version, "state": item.state.value}


def _document(entry: InboxEntry) -> dict[str, Any]:
    item = entry.item
    return {
        "id": str(item.item_id),
        "kind": item.kind,
        "title": item.title,
        "cause": item.cause,
        "next_act": item.next_act,
        "severity": item.severity,
        "state": item.state.value,
        "since": item.opened_at.isoformat(),
        "changed_at": item.changed_at.isoformat(),
        "why_me": entry.reason,
        "dataset_id": str(item.dataset_id) if item.dataset_id else None,
        "evidence": [
            {"name": name, "expected": expected or None, "observed": observed or None}
            for name, expected, observed in item.details
        ],
        "acknowledged_by": entry.acknowledged_by,
        "occurrences": item.occurrences,
        "href": item.href,
        "links": [{"label": words, "href": path} for words, path in item.links],
    }
