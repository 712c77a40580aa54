"""Who may what, over HTTP: people and their grants, tokens, sign-in links.

Everything here is for the chief data officer and operators, and never for programs.
"""

from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from services.governance.adapters.sql_reading import open_token_views, people_views
from services.governance.adapters.sql_sign_in import SqlSignIn
from services.governance.commands.access import (
    erase_person,
    guarded,
    note_letting_in,
    revoke_tokens,
    take_grant,
)
from services.governance.domain.auditing import DirectoryAct
from services.governance.ports import GovernancePorts
from services.governance.settings import GovernanceSettings
from shared.errors import InvalidInputError, NotFoundError
from shared.http.conditional import conditional_response
from shared.http.viewing import ViewerDependency, access, require
from shared.identity.viewer import SCOPE_MEANINGS, Role, TokenScope, Viewer
from shared.store.engine import Store
from shared.store.unit_of_work import UnitOfWork

__all__ = ["ADMINISTRATORS", "AccessDesk", "TokenOrder", "build_access_api"]

ADMINISTRATORS = (Role.CHIEF_DATA_OFFICER, Role.OPERATOR)
_SCOPES_HELP = "Makes it a program's token, which opens this and nothing else: " + "; ".join(
    f"{scope}: {meaning}" for scope, meaning in SCOPE_MEANINGS.items()
)


class TokenOrder(BaseModel):
    """A token to issue. ``days`` may be at most the installation's limit."""

    model_config = ConfigDict(extra="forbid")

    person_id: UUID
    label: str = Field(min_length=1, max_length=120)
    days: int = Field(default=90, ge=1, le=366)
    scopes: list[TokenScope] = Field(
        default_factory=list, max_length=len(TokenScope), description=_SCOPES_HELP
    )


class TokenAnswer(BaseModel):
    """The token, shown this once."""

    token: str
    person_id: UUID
    label: str
    scopes: list[TokenScope]


class CodeOrder(BaseModel):
    """A sign-in link to make for a person."""

    model_config = ConfigDict(extra="forbid")

    person_id: UUID
    uses_max: int = Field(default=1, ge=1, le=1_000)


class CodeAnswer(BaseModel):
    """The path of the sign-in link, shown this once."""

    path: str


class AccessDesk:
    """What pages and API do alike. Each act asks the one guard, and what that refuses is written down."""

    def __init__(
        self, store: Store, ports: GovernancePorts, sign_in: SqlSignIn, settings: GovernanceSettings
    ) -> None:
        self.store = store
        self.ports = ports
        self._sign_in = sign_in
        self._settings = settings

    async def issue_token(self, order: TokenOrder, by: Viewer) -> str:
        """Return a new token. Raises the domain errors of :func:`note_letting_in`."""
        if order.days > self._settings.token_days_max:
            raise InvalidInputError(
                f"The token would live for {order.days} days.",
                field="days",
                fix=f"Ask for {self._settings.token_days_max} days or fewer.",
                code="too_long",
            )

        async def act(work: UnitOfWork) -> str:
            await note_letting_in(
                work,
                self.ports,
                DirectoryAct.TOKEN_ISSUED,
                order.person_id,
                by=by,
                scopes=order.scopes,
                days=order.days,
            )
            return await self._sign_in.issue_token(
                work,
                order.person_id,
                label=order.label,
                lifetime=timedelta(days=order.days),
                issued_by=by.person_id,
                scopes=order.scopes,
            )

        return await guarded(self.store, self.ports, by, act)

    async def make_link(self, order: CodeOrder, by: Viewer) -> str:
        """Return the path of a new sign-in link. Raises as :meth:`issue_token` does."""

        async def act(work: UnitOfWork) -> str:
            await note_letting_in(
                work, self.ports, DirectoryAct.LINK_MADE, order.person_id, by=by, uses_max=order.uses_max
            )
            code = await self._sign_in.issue_code(
                work,
                order.person_id,
                lifetime=timedelta(hours=self._settings.sign_in_code_hours),
                uses_max=order.uses_max,
                issued_by=by.person_id,
            )
            return f"/sign-in/with/{code}"

        return await guarded(self.store, self.ports, by, act)

    async def revoke(self, person_id: UUID, token_id: str | None, by: Viewer) -> None:
        """Revoke one token of a person, or all."""
        async with self.store.unit_of_work() as work:
            await revoke_tokens(work, self.ports, person_id, token_id, by=by)


def build_access_api(desk: AccessDesk) -> APIRouter:
    """Return the routes of people, tokens and sign-in links."""
    router = APIRouter(prefix="/api/v1", tags=["directory"], dependencies=[access(*ADMINISTRATORS)])
    _add_people(router, desk.store, desk.ports)
    _add_tokens(router, desk)
    return router


def _add_people(router: APIRouter, store: Store, ports: GovernancePorts) -> None:
    @router.get("/directory/people")
    async def list_people(request: Request, viewer: ViewerDependency) -> Response:
        """Every person with their grants. Personal data: for the chief data officer and operators."""
        require(viewer, *ADMINISTRATORS)
        async with store.read() as connection:
            people = await people_views(connection)
        return conditional_response(request, {"items": people})

    @router.delete("/directory/people/{person_id}/grants/{role}", status_code=204)
    async def take_one_grant(
        person_id: UUID,
        role: Role,
        viewer: ViewerDependency,
        agency: Annotated[str, Query(max_length=300, description="Code, or * for all agencies.")] = "*",
    ) -> None:
        """Take one grant of a person away, in every service. The last operator's is refused."""
        require(viewer, *ADMINISTRATORS)
        async with store.unit_of_work() as work:
            agency_id = None if agency == "*" else await _agency_of_code(work, ports, agency)
            await take_grant(work, ports, person_id, role, agency_id, by=viewer)

    @router.delete("/directory/people/{person_id}", status_code=204)
    async def erase(person_id: UUID, viewer: ViewerDependency) -> None:
        """Erase a person here and, by a tombstone, in every service. It can't be undone."""
        require(viewer, *ADMINISTRATORS)
        async with store.unit_of_work() as work:
            await erase_person(work, ports, person_id, by=viewer)


def _add_tokens(router: APIRouter, desk: AccessDesk) -> None:
    @router.post("/tokens", status_code=201)
    async def issue_token(order: TokenOrder, viewer: ViewerDependency, response: Response) -> TokenAnswer:
        """Issue a token for a person or, with scopes, for a program. It is shown once and never kept."""
        require(viewer, *ADMINISTRATORS)
        token = await desk.issue_token(order, viewer)
        response.headers["Cache-Control"] = "no-store"
        return TokenAnswer(token=token, person_id=order.person_id, label=order.label, scopes=order.scopes)

    @router.get("/tokens")
    async def list_tokens(
        request: Request, viewer: ViewerDependency, person_id: Annotated[UUID | None, Query()] = None
    ) -> Response:
        """Tokens that were issued: ids, labels, scopes, times and issuers, never the tokens themselves."""
        require(viewer, *ADMINISTRATORS)
        async with desk.store.read() as connection:
            tokens = await open_token_views(connection, person_id)
        return conditional_response(request, {"items": tokens})

    @router.delete("/people/{person_id}/tokens", status_code=204)
    async def revoke(
        person_id: UUID, viewer: ViewerDependency, token_id: Annotated[str | None, Query()] = None
    ) -> None:
        """Revoke one token of a person, or all that were issued so far. The last operator's is refused."""
        require(viewer, *ADMINISTRATORS)
        await desk.revoke(person_id, token_id, viewer)

    @router.post("/sign-in-codes", status_code=201)
    async def make_sign_in_link(order: CodeOrder, viewer: ViewerDependency, response: Response) -> CodeAnswer:
        """Make a sign-in link for a person. Whoever opens it and presses its button is signed in as them."""
        require(viewer, *ADMINISTRATORS)
        path = await desk.make_link(order, viewer)
        response.headers["Cache-Control"] = "no-store"
        return CodeAnswer(path=path)


async def _agency_of_code(work: UnitOfWork, ports: GovernancePorts, code: str) -> UUID:
    for agency in await ports.directory.agencies(work):
        if agency.code == code:
            return agency.agency_id
    raise NotFoundError(
        f"No agency has the code {code!r}.",
        what="agency",
        field="agency",
        fix="Use the code of a known agency.",
    )
