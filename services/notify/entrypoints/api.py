"""The inbox over HTTP: what concerns me, and taking charge of it."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from services.notify.adapters.sql_inbox import InboxLine, inbox_counts, inbox_line, inbox_lines, told_about
from services.notify.adapters.sql_workload import workload_of
from services.notify.commands import acknowledge
from services.notify.domain.matters import MatterState
from services.notify.entrypoints.workload import workload_document
from services.notify.ports import NotifyPorts
from shared.http.conditional import conditional_response, etag_of, require_if_match
from shared.http.idempotency import Answer
from shared.http.problems import ProblemError
from shared.http.viewing import ViewerDependency, access
from shared.identity.viewer import Viewer
from shared.store.engine import Store

__all__ = ["build_api", "no_such_matter", "person_of", "take_charge"]

StateFilter = Literal["open", "acknowledged", "done", "all"]

_STATES = {
    "open": (MatterState.OPEN,),
    "acknowledged": (MatterState.ACKNOWLEDGED,),
    "done": (MatterState.DONE,),
    "all": tuple(MatterState),
}


def build_api(store: Store, ports: NotifyPorts) -> APIRouter:
    """Return the routes below ``/api/v1/inbox``."""
    router = APIRouter(prefix="/api/v1/inbox", tags=["inbox"], dependencies=[access("signed-in")])

    @router.get("")
    async def list_inbox(
        request: Request, viewer: ViewerDependency, state: Annotated[StateFilter, Query()] = "open"
    ) -> Response:
        """Your matters, worst first; at most 200. ``counts`` are of all of them, by state.

        ``workload`` counts what waits on all datasets that you answer for; null if you answer for none.
        """
        person_id = person_of(viewer)
        async with store.read() as connection:
            lines = await inbox_lines(connection, person_id, states=_STATES[state])
            counts = await inbox_counts(connection, person_id)
            workload = await workload_of(connection, viewer)
        document = {
            "items": [_document(line) for line in lines],
            "counts": counts,
            "workload": None if workload is None else workload_document(workload, viewer),
        }
        return conditional_response(request, document)

    @router.get("/{matter_id}")
    async def show_matter(matter_id: UUID, request: Request, viewer: ViewerDependency) -> Response:
        """One matter of yours, with the messages that were sent to you about it and their real results."""
        person_id = person_of(viewer)
        async with store.read() as connection:
            line = await inbox_line(connection, person_id, matter_id)
            if line is None:
                raise no_such_matter()
            told = await told_about(connection, person_id, matter_id)
        response = conditional_response(request, {**_document(line), "deliveries": told})
        response.headers["ETag"] = etag_of(_version(line))
        return response

    @router.post("/{matter_id}/acknowledge")
    async def take_charge_of(matter_id: UUID, request: Request, viewer: ViewerDependency) -> Response:
        """Take charge of a matter. ``If-Match``, if sent, names the state that you have seen."""
        line = await take_charge(store, ports, viewer, matter_id, request=request)
        return Answer(200, _document(line), {"ETag": etag_of(_version(line))}).response()

    return router


async def take_charge(
    store: Store, ports: NotifyPorts, viewer: Viewer, matter_id: UUID, *, request: Request | None = None
) -> InboxLine:
    """Acknowledge a matter in the viewer's inbox. Raises the 404 problem for one that is not there."""
    person_id = person_of(viewer)
    async with store.unit_of_work() as work:
        line = await inbox_line(work.connection, person_id, matter_id)
        if line is None:
            raise no_such_matter()
        if request is not None and "if-match" in request.headers:
            require_if_match(request, etag_of(_version(line)))
        await acknowledge(work, ports.book, matter_id, person_id)
        after = await inbox_line(work.connection, person_id, matter_id)
    return after or line


def person_of(viewer: Viewer) -> UUID:
    """Return who looks. The routes let only signed-in people in, so there is always somebody."""
    if viewer.person_id is None:
        raise no_such_matter()
    return viewer.person_id


def no_such_matter() -> ProblemError:
    """The same words for an unknown matter and one in somebody else's inbox."""
    return ProblemError(404, "not-found", "There is no such matter", "Your inbox has nothing with this id.")


def _version(line: InboxLine) -> dict[str, Any]:
    matter = line.matter
    return {"id": str(matter.matter_id), "version": matter.version, "state": matter.state.value}


def _document(line: InboxLine) -> dict[str, Any]:
    matter = line.matter
    return {
        "id": str(matter.matter_id),
        "kind": matter.kind,
        "title": matter.title,
        "cause": matter.cause,
        "next_act": matter.next_act,
        "severity": matter.severity,
        "state": matter.state.value,
        "since": matter.opened_at.isoformat(),
        "changed_at": matter.changed_at.isoformat(),
        "why_me": line.reason,
        "dataset_id": str(matter.dataset_id) if matter.dataset_id else None,
        "evidence": [
            {"name": name, "expected": expected or None, "observed": observed or None}
            for name, expected, observed in matter.details
        ],
        "acknowledged_by": line.acknowledged_by,
        "occurrences": matter.occurrences,
        "href": matter.href,
        "links": [{"label": words, "href": path} for words, path in matter.links],
    }
