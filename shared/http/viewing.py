"""Who looks, and which doors are open to whom.

Every route declares its access, or the application does not start::

    @router.get("/datasets/{id}", dependencies=[access("public")])
    async def show_dataset(id: UUID, viewer: ViewerDependency) -> DatasetDocument: ...

    @router.post("/sources", dependencies=[access(Role.STEWARD, Role.AGENCY_DATA_OFFICER)])

A role opens the door; whether it is held for the agency at hand is asked inside, with :func:`require`. A
program's door is a scope, named beside the roles: ``access(Role.OPERATOR, TokenScope.HARVEST)``. Where a
public route names none of a program's scopes, the program is a visitor.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import quote
from uuid import UUID

from fastapi import Depends
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import TransientError
from shared.http.csrf import CSRFTokens, check_csrf, is_same_site
from shared.http.problems import FieldProblem, ProblemError, away_problem, is_page_request
from shared.identity.principals import Authenticator
from shared.identity.sessions import clear_session, session_cookie
from shared.identity.tokens import AuthenticationError
from shared.identity.viewer import ANONYMOUS, Role, TokenScope, Viewer

__all__ = [
    "Access",
    "AccessWord",
    "ViewerDependency",
    "ViewerMiddleware",
    "access",
    "current_viewer",
    "declared_access",
    "require",
    "scope_missing",
]

AccessWord: TypeAlias = Literal["public", "signed-in"]


class ViewerMiddleware:
    """Finds out once per request who looks, from a Bearer token or the session cookie.

    Sets ``request.state.viewer``, ``.is_bearer`` and ``.csrf_token`` (blank without a cookie session), and
    for streams ``.presented_token`` and ``.presenter``, whose token it is.

    A Bearer token that is not valid is a 401 on every route, whatever cookie comes with it: it never lifts
    the cookie's checks. A bad cookie is one on the API, and on pages it is dropped. The 401 is raised by the
    route's access, so that a stream of bad tokens meets the rate limit first; so is the 503 where the store
    that knows the person is away.
    """

    def __init__(
        self, app: ASGIApp, *, authenticator: Authenticator, csrf_tokens: CSRFTokens, is_https: bool
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._csrf_tokens = csrf_tokens
        self._is_https = is_https
        self._cookie = session_cookie(is_https=is_https)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        state = scope.setdefault("state", {})
        state.update(
            viewer=ANONYMOUS,
            is_bearer=False,
            has_credentials=bool(request.cookies) or "authorization" in request.headers,
            csrf_token="",
            authentication_problem=None,
            presented_token=None,
            presenter=ANONYMOUS,
        )
        try:
            bearer = _bearer_token(request.headers)
            if token := bearer or request.cookies.get(self._cookie):
                viewer = await self._authenticator.authenticate(token)
                state.update(viewer=viewer, is_bearer=bearer is not None)
                state.update(presented_token=token, presenter=viewer)
                if bearer is None and viewer.token_id is not None:
                    state["csrf_token"] = self._csrf_tokens.issue(viewer.token_id)
        except TransientError as error:
            state["authentication_problem"] = away_problem(error)
        except AuthenticationError as error:
            if _names_a_token(request.headers) or request.url.path.startswith("/api/"):
                state["authentication_problem"] = _bad_token(error)
            else:
                send = self._dropping_the_cookie(send)
        await self._app(scope, receive, send)

    def _dropping_the_cookie(self, send: Send) -> Send:
        empty = Response()
        clear_session(empty, is_https=self._is_https)
        dropped = empty.headers["set-cookie"]

        async def send_dropping(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                is_signing_in = any(
                    value.startswith(f"{self._cookie}=") for value in headers.getlist("set-cookie")
                )
                if not is_signing_in:
                    headers.append("set-cookie", dropped)
            await send(message)

        return send_dropping


class Access:
    """What a route asks of who calls it. A dependency: it runs before the route does."""

    def __init__(
        self,
        words: Sequence[AccessWord | Role | TokenScope],
        *,
        takes_cross_site: bool = False,
        body_bytes_max: int | None = None,
    ) -> None:
        if not words:
            raise ValueError('say who may call: access("public"), access("signed-in") or access(Role.…)')
        self.roles = frozenset(word for word in words if isinstance(word, Role))
        self.scopes = frozenset(word for word in words if isinstance(word, TokenScope))
        self.is_public = "public" in words or Role.PUBLIC in words
        self.is_signed_in_enough = "signed-in" in words
        self.takes_cross_site = takes_cross_site
        self.body_bytes_max = body_bytes_max

    async def __call__(self, request: Request) -> AsyncIterator[None]:
        if request.state.authentication_problem is not None:
            raise request.state.authentication_problem
        if self.takes_cross_site and not request.state.is_bearer and not is_same_site(request):
            request.state.viewer = ANONYMOUS
        viewer = current_viewer(request)
        if not self.is_public:
            self._check(request, viewer)
        elif viewer.is_program and not viewer.scopes & self.scopes:
            request.state.viewer = viewer.without_rights()
        # From here on a refused form may be shown again: who sent it may see its page.
        request.state.is_let_in = True
        if not self.takes_cross_site:
            await check_csrf(request)
        try:
            yield
        finally:
            # A form read for its CSRF token may hold open files.
            await request.close()

    def _check(self, request: Request, viewer: Viewer) -> None:
        if not viewer.is_signed_in:
            raise _not_signed_in(request)
        if viewer.is_program:
            if not viewer.scopes & self.scopes:
                raise scope_missing(viewer, self.scopes)
        elif not self.is_signed_in_enough and not viewer.roles & self.roles:
            raise _refusal(viewer, self.roles, self.scopes)


def access(
    *words: AccessWord | Role | TokenScope, takes_cross_site: bool = False, body_bytes_max: int | None = None
) -> Any:
    """Declare who may call a route, or all routes of a router: ``dependencies=[access(…)]``.

    One declaration per route: either its own or its router's. ``takes_cross_site`` lets pages of other
    sites send to it (the usage beacon): never with a cookie's rights. ``body_bytes_max`` replaces the
    application's body limit.
    """
    return Depends(
        Access(words, takes_cross_site=takes_cross_site, body_bytes_max=body_bytes_max),
    )


def declared_access(dependant: Any) -> Iterator[Access]:
    """Yield every access declaration among a route's dependencies."""
    for dependency in dependant.dependencies:
        if isinstance(dependency.call, Access):
            yield dependency.call
        yield from declared_access(dependency)


def current_viewer(request: Request) -> Viewer:
    """Return who looks; ``ANONYMOUS`` without a sign-in."""
    viewer: Viewer = getattr(request.state, "viewer", ANONYMOUS)
    return viewer


async def _viewer_of(request: Request) -> Viewer:
    """As a coroutine: a dependency that is none is sent to a thread and waited for, at every request."""
    return current_viewer(request)


ViewerDependency = Annotated[Viewer, Depends(_viewer_of)]


def require(
    viewer: Viewer, *roles: Role, agency_id: UUID | None = None, scope: TokenScope | None = None
) -> None:
    """Raise the 403 problem (401 without a sign-in) unless one of ``roles`` is held for the agency.

    Without ``agency_id`` the role must be held for all agencies. A program needs ``scope`` in place of them.
    """
    if not viewer.is_signed_in:
        raise _not_signed_in(None)
    if viewer.is_program:
        if scope is None or not viewer.may_as_program(scope, agency_id=agency_id):
            raise scope_missing(viewer, frozenset() if scope is None else frozenset({scope}))
    elif not viewer.has(*roles, agency_id=agency_id):
        raise _refusal(viewer, frozenset(roles), frozenset() if scope is None else frozenset({scope}))


def _refusal(viewer: Viewer, roles: frozenset[Role], scopes: frozenset[TokenScope]) -> ProblemError:
    # A program's owner who comes without a scope is told of the scope: the role would not help.
    if scopes and Role.SERVICE in viewer.roles:
        return scope_missing(viewer, scopes)
    return _not_allowed(roles)


def scope_missing(viewer: Viewer, scopes: frozenset[TokenScope]) -> ProblemError:
    """The 403 that names the scope a program's token would need, and those that it has."""
    has = f"has {', '.join(sorted(viewer.scopes))}" if viewer.scopes else "has no scope"
    if scopes:
        needed = " or ".join(sorted(scopes))
        detail = f"It takes a token with the scope {needed}; this one {has}."
        cure = f"Issue a token with it: nutmeg token issue ADDRESS --scope {min(scopes)}."
    else:
        detail = f"No scope of a program's token opens this; this one {has}."
        cure = "A person does this, with a token of their own."
    return ProblemError(
        403,
        "missing-scope",
        "The token may not be used for this",
        f"{detail} {cure}",
        errors=[FieldProblem(detail, cure, header="Authorization", code="missing_scope")],
    )


_SCHEMES_OF_OTHERS = frozenset({"basic", "digest", "negotiate", "ntlm"})
"""What a proxy in front asks of browsers, which then send it to us too. It changes nothing here."""


def _names_a_token(headers: Headers) -> bool:
    values = headers.getlist("authorization")
    return any(value.partition(" ")[0].lower() not in _SCHEMES_OF_OTHERS for value in values)


def _bearer_token(headers: Headers) -> str | None:
    """Return the token that a program sends; ``None`` where it sends none.

    Raises ``AuthenticationError`` for an ``Authorization`` that is no Bearer token, or is not the only one.
    """
    if not _names_a_token(headers):
        return None
    values = headers.getlist("authorization")
    scheme, _, token = values[0].partition(" ")
    if len(values) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise AuthenticationError("malformed", "The Authorization header is not: Bearer and a token.")
    return token.strip()


def _bad_token(error: AuthenticationError) -> ProblemError:
    return ProblemError(
        401,
        f"token-{error.reason}",
        "The token is not accepted",
        str(error),
        errors=[FieldProblem(str(error), "Get a new token.", header="Authorization", code=error.reason)],
        headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
    )


def _not_signed_in(request: Request | None) -> ProblemError:
    next_steps = []
    if request is not None and is_page_request(request):
        back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        back = back if request.method in ("GET", "HEAD") else "/"
        next_steps = [("Sign in", f"/sign-in?next={quote(back, safe='')}")]
    return ProblemError(
        401,
        "unauthenticated",
        "Sign in to do this",
        "This needs somebody who is signed in. Programs send Authorization: Bearer with their token.",
        headers={"WWW-Authenticate": "Bearer"},
        next_steps=next_steps,
    )


def _not_allowed(roles: frozenset[Role]) -> ProblemError:
    names = ", ".join(sorted(role.value.replace("-", " ") for role in roles))
    return ProblemError(
        403,
        "forbidden",
        "You may not do this",
        f"It takes one of these roles, for the agency concerned: {names}. An operator can grant one.",
    )
