"""Governance's pages of the directory: publishers to settle, tokens, the audit."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from services.governance.adapters.sql_audit import audit_lines
from services.governance.adapters.sql_reading import (
    agency_views,
    display_names,
    open_publishers,
    open_token_views,
    people_views,
)
from services.governance.domain.auditing import DirectoryAct
from services.governance.domain.granting import may_settle_for
from services.governance.entrypoints.api_access import ADMINISTRATORS, AccessDesk, TokenOrder
from services.governance.entrypoints.api_directory import settle
from services.governance.entrypoints.audit_words import ACT_TITLES, audit_words, people_of
from services.governance.entrypoints.pages import TEMPLATES
from shared.http.forms import NEW_FORM, FormState, shown_again
from shared.http.viewing import ViewerDependency, access, current_viewer
from shared.identity.viewer import SCOPE_MEANINGS, Role, TokenScope
from shared.store.types import SIGNED_64_BITS_MAX
from shared.web.templating import Templates, build_templates

__all__ = ["build_directory_pages"]

AUDIT_LINES = 50


def build_directory_pages(desk: AccessDesk) -> APIRouter:
    """Return the page routes below ``/directory``. Forms carry a CSRF token."""
    templates = build_templates(TEMPLATES)
    router = APIRouter(include_in_schema=False)
    _add_publishers(router, desk, templates)
    _add_tokens(router, desk, templates)
    _add_audit(router, desk, templates)
    return router


def _add_publishers(router: APIRouter, desk: AccessDesk, templates: Templates) -> None:
    deciding = access(*ADMINISTRATORS, Role.AGENCY_DATA_OFFICER)

    async def show_page(request: Request, form: FormState) -> Response:
        viewer = current_viewer(request)
        async with desk.store.read() as connection:
            found = await open_publishers(connection, viewer)
            agencies = await agency_views(connection, viewer)
        own = [agency for agency in agencies if may_settle_for(viewer, agency.agency_id)]
        return templates.render(
            request,
            "publishers.html",
            status_code=form.status_code,
            form=form,
            publishers=found,
            agencies=own,
            own_ids={agency.agency_id for agency in own},
        )

    @router.get("/directory/publishers", dependencies=[deciding])
    async def show_publishers(request: Request) -> Response:
        return await show_page(request, NEW_FORM)

    @router.post("/directory/publishers", dependencies=[deciding])
    @shown_again(show_page, {"agency_id": "Agency"})
    async def settle_spelling(
        viewer: ViewerDependency,
        spelling: Annotated[str, Form(max_length=1_000)],
        agency_id: Annotated[UUID, Form()],
    ) -> Response:
        await settle(desk.store, desk.ports, viewer, spelling, agency_id)
        return RedirectResponse("/directory/publishers", status_code=303)


def _add_tokens(router: APIRouter, desk: AccessDesk, templates: Templates) -> None:
    deciding = access(*ADMINISTRATORS)

    async def shown(
        request: Request, form: FormState, *, person: UUID | None = None, token: str = ""
    ) -> Response:
        async with desk.store.read() as connection:
            tokens = await open_token_views(connection, person)
            people = await people_views(connection)
        response = templates.render(
            request,
            "tokens.html",
            status_code=form.status_code,
            form=form,
            tokens=tokens,
            people=people,
            names={one.person_id: one.display_name for one in people},
            scopes=SCOPE_MEANINGS,
            person=person,
            issued=token,
            today=desk.ports.clock.now(),
        )
        response.headers["Cache-Control"] = "no-store"
        return response

    @router.get("/directory/tokens", dependencies=[deciding])
    async def show_tokens(request: Request, person: UUID | None = None) -> Response:
        return await shown(request, NEW_FORM, person=person)

    @router.post("/directory/tokens", dependencies=[deciding])
    @shown_again(shown, {"person_id": "Person or program", "label": "What it is for", "days": "Days"})
    async def issue_token(
        request: Request,
        viewer: ViewerDependency,
        person_id: Annotated[UUID, Form()],
        label: Annotated[str, Form(min_length=1, max_length=120)],
        days: Annotated[int, Form(ge=1, le=366)] = 90,
    ) -> Response:
        sent = await request.form()
        scopes = [scope for scope in TokenScope if sent.get(f"scope_{scope}")]
        order = TokenOrder(person_id=person_id, label=label, days=days, scopes=scopes)
        return await shown(request, NEW_FORM, token=await desk.issue_token(order, viewer))

    @router.post("/directory/tokens/{person_id}/{token_id}/revoke", dependencies=[deciding])
    async def revoke_token(person_id: UUID, token_id: str, viewer: ViewerDependency) -> Response:
        await desk.revoke(person_id, token_id, viewer)
        return RedirectResponse("/directory/tokens", status_code=303)


def _add_audit(router: APIRouter, desk: AccessDesk, templates: Templates) -> None:
    @router.get("/directory/audit", dependencies=[access(*ADMINISTRATORS)])
    async def show_audit(
        request: Request,
        viewer: ViewerDependency,
        before: Annotated[int | None, Query(ge=1, le=SIGNED_64_BITS_MAX)] = None,
        person: UUID | None = None,
        act: DirectoryAct | None = None,
    ) -> Response:
        async with desk.store.read() as connection:
            found = await audit_lines(
                connection, limit=AUDIT_LINES + 1, before=before, person_id=person, act=act
            )
            shown = found[:AUDIT_LINES]
            names = await display_names(connection, list(people_of(one.line for one in shown)))
            agencies = {str(one.agency_id): one.name for one in await agency_views(connection, viewer)}
        older = shown[-1].number if len(found) > AUDIT_LINES else None
        kept = "".join(f"&{name}={value}" for name, value in (("person", person), ("act", act)) if value)
        return templates.render(
            request,
            "audit.html",
            lines=[audit_words(one.line, names, agencies) for one in shown],
            person=person,
            act=act,
            acts=ACT_TITLES,
            names=names,
            before=before,
            older=older,
            filters=kept,
        )
