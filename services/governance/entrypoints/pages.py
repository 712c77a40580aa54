"""Governance's pages of requests: asking for data, following and deciding a request."""

import secrets
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import ValidationError

from services.governance.adapters.sql_reading import (
    display_names,
    request_seen_by,
    requests_seen_by,
    visible_dataset,
)
from services.governance.adapters.sql_requests import steps_of
from services.governance.domain.sharing import (
    Action,
    FormSentBeforeError,
    NewRequest,
    SharingRequest,
    Status,
    may_act,
)
from services.governance.entrypoints.api_sharing import (
    RequestContent,
    carry_on,
    no_such_dataset,
    no_such_request,
    open_request_once,
)
from services.governance.ports import GovernancePorts, RequestStep
from shared.http.forms import NEW_FORM, FormState, shown_again, uuid_in
from shared.http.problems import FieldProblem, ProblemError
from shared.http.viewing import ViewerDependency, access, current_viewer
from shared.identity.rules import AllOf, Not
from shared.identity.sharing_rights import IS_REQUESTER, MAY_DECIDE, WAITS_FOR_VIEWER
from shared.identity.viewer import Viewer
from shared.store.engine import Store
from shared.web.elements import Step as TrackerStep
from shared.web.templating import Templates, build_templates

__all__ = ["build_pages"]

TEMPLATES = Path(__file__).parent / "templates"
FORM_KEY_BYTES = 16
FORM_KEY_CHARACTERS_MAX = 100
TEXT_CHARACTERS_MAX = 20_000
VERSION_MAX = 2**31 - 1

_OTHERS = AllOf((Not(IS_REQUESTER), Not(WAITS_FOR_VIEWER)))

STATUS_KINDS = {
    Status.SUBMITTED: "info",
    Status.RETURNED: "warn",
    Status.APPROVED: "ok",
    Status.DENIED: "bad",
    Status.WITHDRAWN: "unknown",
}
STEP_TITLES = {
    "submit": "Sent in",
    "resubmit": "Sent in again",
    "return": "Returned to the requester",
    "approve": "Approved",
    "deny": "Denied",
    "withdraw": "Withdrawn",
}

CONTENT_LABELS = {
    "purpose": "What is the data for?",
    "data_wanted": "Which data do you need?",
    "legal_basis": "Law or agreement",
    "retention": "Kept and destroyed",
}
_ASKED = {
    "purpose": "what the data is for",
    "data_wanted": "which data you need",
    "legal_basis": "the legal basis",
    "retention": "how long you keep it",
}

Text = Annotated[str, Form(max_length=TEXT_CHARACTERS_MAX)]


def build_pages(
    store: Store,
    ports: GovernancePorts,
) -> APIRouter:
    """Return the page routes. Forms carry a CSRF token; every page works without scripts."""
    templates = build_templates(TEMPLATES)
    router = APIRouter(include_in_schema=False)
    _add_asking(router, store, ports, templates)
    _add_following(router, store, ports, templates)
    return router


def _add_asking(router: APIRouter, store: Store, ports: GovernancePorts, templates: Templates) -> None:
    async def show_page(request: Request, viewer: Viewer, dataset_id: UUID, form: FormState) -> Response:
        async with store.read() as connection:
            found = await visible_dataset(connection, viewer, dataset_id)
        if found is None:
            raise no_such_dataset()
        template = "here_it_is.html" if found.access_level == "public" else "ask.html"
        # A form that was sent before opened its request: what is written now can only be another one.
        is_used = form.problem is not None and form.problem.slug == FormSentBeforeError.slug
        form_key = "" if is_used else form.value("form_key")
        form_key = form_key or secrets.token_urlsafe(FORM_KEY_BYTES)
        return templates.render(
            request, template, status_code=form.status_code, dataset=found, form=form, form_key=form_key
        )

    async def show_again(request: Request, form: FormState) -> Response:
        return await show_page(request, current_viewer(request), uuid_in(form.value("dataset")), form)

    @router.get("/sharing-requests/new", dependencies=[access("signed-in")])
    async def show_form(request: Request, viewer: ViewerDependency, dataset: UUID) -> Response:
        return await show_page(request, viewer, dataset, NEW_FORM)

    @router.post("/sharing-requests/new", dependencies=[access("signed-in")])
    @shown_again(show_again, CONTENT_LABELS)
    async def take_form(
        request: Request,
        viewer: ViewerDependency,
        dataset: Annotated[UUID, Form()],
        form_key: Annotated[str, Form(min_length=1, max_length=FORM_KEY_CHARACTERS_MAX)],
        purpose: Text = "",
        data_wanted: Text = "",
        legal_basis: Text = "",
        retention: Text = "",
    ) -> Response:
        content = _content(purpose, data_wanted, legal_basis, retention)
        found, opened = await open_request_once(store, ports, viewer, dataset, content, form_key=form_key)
        if opened is None:
            return templates.render(request, "here_it_is.html", dataset=found)
        return RedirectResponse(f"/sharing-requests/{opened.request_id}", status_code=303)


def _add_following(router: APIRouter, store: Store, ports: GovernancePorts, templates: Templates) -> None:
    @router.get("/sharing-requests", dependencies=[access("public")])
    async def show_list(request: Request, viewer: ViewerDependency) -> Response:
        async with store.read() as connection:
            own = await requests_seen_by(connection, viewer, rule=IS_REQUESTER)
            to_decide = await requests_seen_by(connection, viewer, rule=WAITS_FOR_VIEWER)
            decided = await requests_seen_by(connection, viewer, rule=_OTHERS)
        return templates.render(
            request, "requests.html", own=own, to_decide=to_decide, decided=decided, kinds=STATUS_KINDS
        )

    async def show_page(request: Request, viewer: Viewer, request_id: UUID, form: FormState) -> Response:
        async with store.read() as connection:
            found = await request_seen_by(connection, viewer, request_id)
            if found is None:
                raise no_such_request()
            steps = await steps_of(connection, request_id)
            names = await display_names(connection, [step.person_id for step in steps])
        return templates.render(
            request,
            "request.html",
            status_code=form.status_code,
            form=form,
            sharing_request=found,
            steps=_tracker(found, steps, names, is_decider=MAY_DECIDE.holds(viewer, found)),
            may_decide=WAITS_FOR_VIEWER.holds(viewer, found),
            may_resubmit=may_act(viewer, found, Action.RESUBMIT),
            may_withdraw=may_act(viewer, found, Action.WITHDRAW),
            kind=STATUS_KINDS[found.status],
        )

    async def show_again(request: Request, form: FormState) -> Response:
        return await show_page(
            request, current_viewer(request), uuid_in(request.path_params["request_id"]), form
        )

    @router.get("/sharing-requests/{request_id}", dependencies=[access("signed-in")])
    async def show_tracker(request_id: UUID, request: Request, viewer: ViewerDependency) -> Response:
        return await show_page(request, viewer, request_id, NEW_FORM)

    @router.post("/sharing-requests/{request_id}/{action}", dependencies=[access("signed-in")])
    @shown_again(show_again, {"reason": "Reason", **CONTENT_LABELS})
    async def take_step(
        request_id: UUID,
        action: Action,
        viewer: ViewerDependency,
        version: Annotated[int | None, Form(ge=1, le=VERSION_MAX)] = None,
        reason: Text = "",
        purpose: Text = "",
        data_wanted: Text = "",
        legal_basis: Text = "",
        retention: Text = "",
    ) -> Response:
        content = None
        if action is Action.RESUBMIT:
            content = _content(purpose, data_wanted, legal_basis, retention)
        await carry_on(
            store,
            ports,
            request_id,
            action,
            viewer=viewer,
            reason=reason or None,
            content=content,
            version=version,
        )
        return RedirectResponse(f"/sharing-requests/{request_id}", status_code=303)


def _content(purpose: str, data_wanted: str, legal_basis: str, retention: str) -> NewRequest:
    """Return what a requester wrote. Raises the 422 problem that names each field."""
    values = {
        "purpose": purpose,
        "data_wanted": data_wanted,
        "legal_basis": legal_basis,
        "retention": retention,
    }
    try:
        return RequestContent.model_validate(values).to_domain()
    except ValidationError as error:
        problems = [
            FieldProblem(
                f"Tell us {_ASKED[str(one['loc'][0])]}: {_words(one)}",
                parameter=str(one["loc"][0]),
                code=one["type"],
            )
            for one in error.errors()
        ]
        raise ProblemError(
            422,
            "validation",
            "Something is missing",
            " ".join(one.detail for one in problems),
            errors=problems,
        ) from error


def _words(error: Any) -> str:
    context = error.get("ctx") or {}
    if "min_length" in context:
        return f"at least {context['min_length']} characters."
    if "max_length" in context:
        return f"at most {context['max_length']:,} characters."
    return f"{error['msg']}."


def _tracker(
    request: SharingRequest, steps: list[RequestStep], names: dict[UUID, str], *, is_decider: bool
) -> list[TrackerStep]:
    done = [
        TrackerStep(
            title=STEP_TITLES[step.action],
            state="stopped" if step.action in {"deny", "withdraw"} else "done",
            note=" · ".join(
                part for part in (_who(request, step, names, is_decider=is_decider), step.reason) if part
            ),
            at=step.happened_at,
        )
        for step in steps
    ]
    if request.status is Status.SUBMITTED:
        done.append(
            TrackerStep("Being decided", "current", note=f"An answer is due by {request.due_on:%d %B %Y}.")
        )
    if request.status is Status.RETURNED:
        done.append(TrackerStep("Waiting for the requester", "current"))
    return done


def _who(request: SharingRequest, step: RequestStep, names: dict[UUID, str], *, is_decider: bool) -> str:
    # The requester's name is for those who decide; a decider's is a role, and may be told to both.
    if step.person_id == request.requester_id and not is_decider:
        return ""
    return names.get(step.person_id, "")
