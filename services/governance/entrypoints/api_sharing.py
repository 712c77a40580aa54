"""Sharing requests over HTTP: ask, follow, answer."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import IntegrityError

from services.governance.adapters.sql_reading import (
    RequestedDatasetView,
    request_seen_by,
    requests_seen_by,
    visible_dataset,
)
from services.governance.adapters.sql_requests import steps_of
from services.governance.commands.sharing import ask_for_data, decide_on_request
from services.governance.domain.sharing import (
    Action,
    NewRequest,
    SharingRequest,
    Status,
)
from services.governance.ports import GovernancePorts, RequestStep
from shared.http.conditional import conditional_response, etag_of, require_if_match
from shared.http.idempotency import Answer, act_once
from shared.http.problems import FieldProblem, ProblemError
from shared.http.viewing import ViewerDependency, access
from shared.identity.viewer import Viewer
from shared.store.engine import Store
from shared.store.unit_of_work import UnitOfWork

__all__ = ["RequestContent", "build_sharing_api", "carry_on", "open_request_once", "public_answer"]

TEXT_MAX = 4_000


class RequestContent(BaseModel):
    """What a requester writes."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    purpose: str = Field(min_length=10, max_length=TEXT_MAX)
    data_wanted: str = Field(min_length=3, max_length=TEXT_MAX)
    legal_basis: str | None = Field(default=None, max_length=TEXT_MAX)
    retention: str | None = Field(default=None, max_length=TEXT_MAX)

    def to_domain(self) -> NewRequest:
        """Return it as the domain's own type; blank texts become absent."""
        return NewRequest(self.purpose, self.data_wanted, self.legal_basis or None, self.retention or None)


class RequestDraft(RequestContent):
    """A request for one dataset."""

    dataset_id: UUID


class StepBody(BaseModel):
    """A step to take on a request. A decision needs a reason; sending it in again needs content."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    reason: str | None = Field(default=None, max_length=TEXT_MAX)
    content: RequestContent | None = None


def build_sharing_api(store: Store, ports: GovernancePorts) -> APIRouter:
    """Return the routes below ``/api/v1/sharing-requests``."""
    router = APIRouter(
        prefix="/api/v1/sharing-requests", tags=["sharing requests"], dependencies=[access("signed-in")]
    )

    @router.post("", status_code=201)
    async def ask(draft: RequestDraft, request: Request, viewer: ViewerDependency) -> Response:
        """Ask for data. For public data the answer is where to get it, and no request is opened."""

        async def act(work: UnitOfWork) -> Answer:
            dataset, opened = await open_request(work, ports, viewer, draft.dataset_id, draft.to_domain())
            if opened is None:
                return Answer(200, public_answer(dataset))
            body = _document(opened, [])
            return Answer(201, body, {"Location": f"/api/v1/sharing-requests/{opened.request_id}"})

        return await act_once(request, viewer, store, act)

    @router.get("")
    async def list_requests(
        request: Request, viewer: ViewerDependency, status: Annotated[Status | None, Query()] = None
    ) -> Response:
        """Your own requests, and those that you may decide on; newest change first."""
        async with store.read() as connection:
            found = await requests_seen_by(connection, viewer, status=status)
        return conditional_response(request, {"items": [_document(one, []) for one in found]})

    @router.get("/{request_id}")
    async def show(request_id: UUID, request: Request, viewer: ViewerDependency) -> Response:
        """One request with every step so far."""
        async with store.read() as connection:
            found = await request_seen_by(connection, viewer, request_id)
            if found is None:
                raise no_such_request()
            steps = await steps_of(connection, request_id)
        response = conditional_response(request, _document(found, steps))
        response.headers["ETag"] = etag_of(_version(found))
        return response

    @router.post("/{request_id}/{action}")
    async def act_on(
        request_id: UUID, action: Action, step: StepBody, request: Request, viewer: ViewerDependency
    ) -> Response:
        """Return, approve, deny, resubmit or withdraw. ``If-Match`` names the version you decided on."""
        async with store.read() as connection:
            found = await request_seen_by(connection, viewer, request_id)
        if found is None:
            raise no_such_request()
        require_if_match(request, etag_of(_version(found)))
        content = step.content.to_domain() if step.content else None
        after = await carry_on(
            store,
            ports,
            request_id,
            action,
            viewer=viewer,
            reason=step.reason,
            content=content,
            version=found.version,
        )
        async with store.read() as connection:
            steps = await steps_of(connection, request_id)
        headers = {"ETag": etag_of(_version(after))}
        return Answer(200, _document(after, steps), headers).response()

    return router


async def open_request(
    work: UnitOfWork,
    ports: GovernancePorts,
    viewer: Viewer,
    dataset_id: UUID,
    content: NewRequest,
    form_key: str | None = None,
) -> tuple[RequestedDatasetView, SharingRequest | None]:
    """Open a request, unless the data is public. Raises the 404 problem for a dataset nobody may see."""
    dataset = await visible_dataset(work.connection, viewer, dataset_id)
    if dataset is None or viewer.person_id is None:
        raise no_such_dataset()
    if dataset.access_level == "public":
        return dataset, None
    request = await ask_for_data(
        work,
        ports,
        content,
        dataset_id=dataset.dataset_id,
        dataset_title=dataset.title,
        agency_id=dataset.agency_id,
        requester_id=viewer.person_id,
        form_key=form_key,
    )
    return dataset, request


async def open_request_once(
    store: Store,
    ports: GovernancePorts,
    viewer: Viewer,
    dataset_id: UUID,
    content: NewRequest,
    *,
    form_key: str,
) -> tuple[RequestedDatasetView, SharingRequest | None]:
    """Open the request of a form: sent twice, even at the same moment, it opens one.

    Raises ``FormSentBeforeError`` where the form was sent before with other words.
    """
    try:
        async with store.unit_of_work() as work:
            return await open_request(work, ports, viewer, dataset_id, content, form_key)
    except IntegrityError:
        # The same form went in at the same moment through another process: its request is there now.
        async with store.unit_of_work() as work:
            return await open_request(work, ports, viewer, dataset_id, content, form_key)


async def carry_on(
    store: Store,
    ports: GovernancePorts,
    request_id: UUID,
    action: Action,
    *,
    viewer: Viewer,
    reason: str | None,
    content: NewRequest | None = None,
    version: int | None = None,
) -> SharingRequest:
    """Take a step, in one unit of work; on ``version`` alone, if given."""
    async with store.unit_of_work() as work:
        return await decide_on_request(
            work,
            ports,
            request_id,
            action,
            viewer=viewer,
            reason=reason,
            content=content,
            version=version,
        )


def public_answer(dataset: RequestedDatasetView) -> dict[str, Any]:
    """Return what is answered for data that anybody may have already."""
    return {
        "answer": "here-it-is",
        "detail": "This data is public. You need no agreement and no request.",
        "dataset_id": str(dataset.dataset_id),
        "title": dataset.title,
        "href": f"/datasets/{dataset.dataset_id}",
        "landing_page": dataset.landing_page,
    }


def no_such_dataset() -> ProblemError:
    """The same words for an unknown and a hidden dataset: nothing is told of what is hidden."""
    cure = "Look it up in the catalogue and use its id."
    return ProblemError(
        404,
        "not-found",
        "There is no such dataset",
        "No dataset that you may see has this id.",
        errors=[FieldProblem("unknown dataset", cure, pointer="#/dataset_id", code="unknown")],
    )


def no_such_request() -> ProblemError:
    """The same words for an unknown request and one of somebody else."""
    return ProblemError(
        404, "not-found", "There is no such request", "No request that you may see has this id."
    )


def _version(request: SharingRequest) -> dict[str, Any]:
    return {"request_id": str(request.request_id), "version": request.version}


def _document(request: SharingRequest, steps: list[RequestStep]) -> dict[str, Any]:
    return {
        "request_id": str(request.request_id),
        "dataset_id": str(request.dataset_id),
        "dataset_title": request.dataset_title,
        "status": request.status.value,
        "purpose": request.content.purpose,
        "data_wanted": request.content.data_wanted,
        "legal_basis": request.content.legal_basis,
        "retention": request.content.retention,
        "submitted_at": request.submitted_at.isoformat(),
        "changed_at": request.changed_at.isoformat(),
        "due_on": request.due_on.isoformat(),
        "decision_reason": request.decision_reason,
        "version": request.version,
        "steps": [
            {"action": step.action, "reason": step.reason, "happened_at": step.happened_at.isoformat()}
            for step in steps
        ],
    }
