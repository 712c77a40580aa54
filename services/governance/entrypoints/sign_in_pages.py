"""Governance's pages for getting in and out: a token, a sign-in link, signing out."""

from pathlib import Path
from typing import Annotated, TypeAlias
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Query, Request
from fastapi import Path as PathPart
from fastapi.responses import RedirectResponse, Response

from services.governance.adapters.sql_sign_in import SqlSignIn
from services.governance.commands.access import end_session, note_failed_sign_in, note_link_used
from services.governance.ports import SESSION_LABEL, GovernancePorts
from services.governance.settings import GovernanceSettings
from shared.errors import InvalidInputError
from shared.http.forms import FormState, shown_again
from shared.http.problems import ProblemError
from shared.http.viewing import ViewerDependency, access
from shared.identity.principals import Authenticator
from shared.identity.sessions import clear_session, set_session
from shared.identity.tokens import AuthenticationError
from shared.store.engine import Store
from shared.web.templating import Templates, build_templates

__all__ = ["build_sign_in_pages"]

TEMPLATES = Path(__file__).parent / "templates"
TOKEN_CHARACTERS_MAX = 4_096

CodeText: TypeAlias = Annotated[str, PathPart(max_length=100)]


def build_sign_in_pages(
    store: Store,
    ports: GovernancePorts,
    sign_in: SqlSignIn,
    authenticator: Authenticator,
    settings: GovernanceSettings,
) -> APIRouter:
    """Return the page routes for getting in and out. They work without scripts."""
    templates = build_templates(TEMPLATES)
    router = APIRouter(include_in_schema=False)
    _add_token(router, store, ports, authenticator, templates)
    _add_link(router, store, ports, sign_in, settings, templates)
    _add_sign_out(router, store, ports)
    return router


def _add_token(
    router: APIRouter,
    store: Store,
    ports: GovernancePorts,
    authenticator: Authenticator,
    templates: Templates,
) -> None:
    async def show_page(request: Request, form: FormState) -> Response:
        response = templates.render(
            request,
            "sign_in.html",
            status_code=form.status_code,
            next=_local(form.value("next") or "/"),
            form=form,
        )
        # What was typed may be somebody's token, all but a letter.
        response.headers["Cache-Control"] = "no-store"
        return response

    @router.get("/sign-in", dependencies=[access("public")])
    async def show_sign_in(request: Request, next: Annotated[str, Query(max_length=2_000)] = "/") -> Response:  # noqa: A002
        return await show_page(request, FormState({"next": next}))

    @router.post("/sign-in", dependencies=[access("public")])
    @shown_again(show_page, {"token": "Your token"})
    async def take_token(
        request: Request,
        token: Annotated[str, Form(max_length=TOKEN_CHARACTERS_MAX)],
        next: Annotated[str, Form(max_length=2_000)] = "/",  # noqa: A002
    ) -> Response:
        try:
            await _check_person(authenticator, token.strip())
        except AuthenticationError as error:
            async with store.unit_of_work() as work:
                await note_failed_sign_in(work, ports, way="a token", reason=error.reason)
            raise InvalidInputError(str(error), field="token", code=error.reason) from error
        response = RedirectResponse(_local(next), status_code=303)
        set_session(response, token.strip(), is_https=request.app.state.http_settings.is_https)
        return response


def _add_link(
    router: APIRouter,
    store: Store,
    ports: GovernancePorts,
    sign_in: SqlSignIn,
    settings: GovernanceSettings,
    templates: Templates,
) -> None:
    # Mail scanners and link previews open every link with GET: only the button uses the code up.
    @router.get("/sign-in/with/{code}", dependencies=[access("public")])
    async def show_link(
        code: CodeText,
        request: Request,
        next: Annotated[str, Query(max_length=2_000)] = "/",  # noqa: A002
    ) -> Response:
        response = templates.render(request, "sign_in_by_link.html", code=code, next=_local(next))
        # The address is the secret: it goes to no cache and with no link.
        response.headers["Cache-Control"] = "no-store"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    @router.post("/sign-in/with/{code}", dependencies=[access("public")])
    async def use_link(
        code: CodeText,
        request: Request,
        next: Annotated[str, Form(max_length=2_000)] = "/",  # noqa: A002
    ) -> Response:
        async with store.unit_of_work() as work:
            used = await sign_in.use_code(work, code)
            token = ""
            if used is None:
                await note_failed_sign_in(work, ports, way="a link", reason="unknown, expired or used up")
            else:
                token = await sign_in.issue_token(
                    work,
                    used.person_id,
                    label=SESSION_LABEL,
                    lifetime=settings.session_lifetime,
                    issued_by=used.issued_by,
                )
                await note_link_used(work, ports, used.person_id, made_by=used.issued_by)
        if used is None:
            raise ProblemError(
                410,
                "sign-in-link-used",
                "This sign-in link no longer works",
                "A link works for a limited time. Ask whoever sent it for a new one.",
                next_steps=[("Sign in with a token", "/sign-in")],
            )
        response = RedirectResponse(_local(next), status_code=303)
        set_session(
            response,
            token,
            is_https=request.app.state.http_settings.is_https,
            lifetime=settings.session_lifetime,
        )
        return response


def _add_sign_out(router: APIRouter, store: Store, ports: GovernancePorts) -> None:
    @router.post("/sign-out", dependencies=[access("public")])
    async def sign_out(request: Request, viewer: ViewerDependency) -> Response:
        if viewer.person_id is not None and viewer.token_id is not None:
            async with store.unit_of_work() as work:
                await end_session(work, ports, viewer.person_id, viewer.token_id)
        response = RedirectResponse("/", status_code=303)
        clear_session(response, is_https=request.app.state.http_settings.is_https)
        return response


async def _check_person(authenticator: Authenticator, token: str) -> None:
    """Raise ``AuthenticationError`` unless a person may sign in with the token: a program has no browser."""
    if (await authenticator.authenticate(token)).is_program:
        raise AuthenticationError("program", "This is a program's token. Sign in with one of your own.")


def _local(address: str) -> str:
    """Return ``address`` if it leads to a page of this installation, else the home page."""
    parts = urlsplit(address)
    if parts.scheme or parts.netloc or not address.startswith("/") or address.startswith(("//", "/\\")):
        return "/"
    return address
