"""The directory over HTTP: agencies, people, stewardships, publishers to settle, tokens.

Everything here is for data officers and operators. Imports take CSV as the request's body.
"""

from datetime import timedelta
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from services.governance.adapters.sql_reading import (
    agency_views,
    open_publishers,
    open_token_views,
    people_views,
)
from services.governance.adapters.sql_sign_in import SqlSignIn
from services.governance.commands import (
    ImportReport,
    erase_person,
    import_agencies,
    import_people,
    import_stewardships,
    note_letting_in,
    revoke_tokens,
    settle_publisher,
    take_grant,
)
from services.governance.domain.auditing import DirectoryAct
from services.governance.domain.directory_import import (
    parse_agencies,
    parse_people,
    parse_stewardships,
)
from services.governance.ports import GovernancePorts
from services.governance.settings import GovernanceSettings
from shared.bus.publication import has_published
from shared.errors import NotFoundError
from shared.http.conditional import conditional_response
from shared.http.problems import FieldProblem, ProblemError
from shared.http.viewing import ViewerDependency, access, require
from shared.identity.viewer import Role
from shared.store.engine import Store
from shared.store.unit_of_work import UnitOfWork

__all__ = ["build_directory_api"]

IMPORT_BYTES_MAX = 64 * 1024 * 1024
PROBLEMS_MAX = 100
PUBLISHED_WITHIN_SECONDS = 5.0

_ADMINISTRATORS = (Role.CHIEF_DATA_OFFICER, Role.OPERATOR, Role.SERVICE)


class ImportProblem(BaseModel):
    """A row that was not taken."""

    line: int
    field: str
    message: str
    cure: str


class ImportAnswer(BaseModel):
    """What an import did. ``problems`` holds the first 100; ``refused`` counts all.

    ``published``: whether the changes are on the log, so that a harvest ordered from now on knows them.
    """

    rows: int
    changed: int
    refused: int
    problems: list[ImportProblem]
    published: bool


class PublisherSettlement(BaseModel):
    """A person's word for what a spelling means."""

    model_config = ConfigDict(extra="forbid")

    spelling: str = Field(min_length=1, max_length=1_000)
    agency_id: UUID


class TokenOrder(BaseModel):
    """A token to issue. ``days`` may be at most the installation's limit."""

    model_config = ConfigDict(extra="forbid")

    person_id: UUID
    label: str = Field(min_length=1, max_length=120)
    days: int = Field(default=90, ge=1, le=366)


class TokenAnswer(BaseModel):
    """The token, shown this once."""

    token: str
    person_id: UUID
    label: str


class CodeOrder(BaseModel):
    """A sign-in link to make for a person."""

    model_config = ConfigDict(extra="forbid")

    person_id: UUID
    uses_max: int = Field(default=1, ge=1, le=1_000)


class CodeAnswer(BaseModel):
    """The path of the sign-in link, shown this once."""

    path: str


def build_directory_api(
    store: Store, ports: GovernancePorts, sign_in: SqlSignIn, settings: GovernanceSettings
) -> APIRouter:
    """Return the routes below ``/api/v1/directory`` and ``/api/v1/tokens``."""
    router = APIRouter(
        prefix="/api/v1",
        tags=["directory"],
        dependencies=[access(*_ADMINISTRATORS, Role.AGENCY_DATA_OFFICER)],
    )
    imports = APIRouter(
        prefix="/api/v1/directory",
        tags=["directory"],
        dependencies=[access(*_ADMINISTRATORS, body_bytes_max=IMPORT_BYTES_MAX)],
    )
    _add_imports(imports, store, ports)
    _add_directory(router, store, ports)
    _add_people(router, store, ports)
    _add_tokens(router, store, ports, sign_in, settings)
    _add_links(router, store, ports, sign_in, settings)
    outer = APIRouter()
    outer.include_router(router)
    outer.include_router(imports)
    return outer


def _add_imports(router: APIRouter, store: Store, ports: GovernancePorts) -> None:
    @router.post("/imports/{kind}")
    async def import_directory(
        kind: Literal["agencies", "people", "stewardships"], request: Request, viewer: ViewerDependency
    ) -> ImportAnswer:
        """Import a CSV file: ``agencies``, ``people`` or ``stewardships``. Repeating it changes nothing."""
        require(viewer, *_ADMINISTRATORS)
        text = await _csv_text(request)
        async with store.unit_of_work() as work:
            if kind == "agencies":
                report = await import_agencies(work, ports, parse_agencies(text), by=viewer)
            elif kind == "people":
                report = await import_people(work, ports, parse_people(text), by=viewer)
            else:
                report = await import_stewardships(work, ports, parse_stewardships(text), by=viewer)
        published = await has_published(store, seconds_max=PUBLISHED_WITHIN_SECONDS)
        return _import_answer(report, published=published)


def _add_directory(router: APIRouter, store: Store, ports: GovernancePorts) -> None:
    @router.get("/directory/agencies")
    async def list_agencies(request: Request) -> Response:
        """Every agency with every spelling known for it."""
        async with store.read() as connection:
            return conditional_response(request, {"items": await agency_views(connection)})

    @router.get("/directory/publishers")
    async def list_open_publishers(request: Request) -> Response:
        """Publishers' spellings that a person has to settle, with candidates."""
        async with store.read() as connection:
            found = await open_publishers(connection)
        items = [
            {
                "spelling": one.spelling,
                "datasets": one.datasets,
                "first_seen_at": one.first_seen_at,
                "candidates": [
                    {"agency_id": agency_id, "name": name, "similarity": similarity}
                    for agency_id, name, similarity in one.candidates
                ],
            }
            for one in found
        ]
        return conditional_response(request, {"items": items})

    @router.post("/directory/publishers", status_code=204)
    async def settle(settlement: PublisherSettlement, viewer: ViewerDependency) -> None:
        """Say which agency a spelling means; its datasets follow."""
        require(viewer, *_ADMINISTRATORS, Role.AGENCY_DATA_OFFICER, agency_id=settlement.agency_id)
        async with store.unit_of_work() as work:
            await settle_publisher(work, ports, spelling=settlement.spelling, agency_id=settlement.agency_id)


def _add_people(router: APIRouter, store: Store, ports: GovernancePorts) -> None:
    @router.get("/directory/people")
    async def list_people(request: Request, viewer: ViewerDependency) -> Response:
        """Every person with their grants. Personal data: for the chief data officer and operators."""
        require(viewer, *_ADMINISTRATORS)
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
        """Take one grant of a person away, in every service."""
        require(viewer, *_ADMINISTRATORS)
        async with store.unit_of_work() as work:
            agency_id = None if agency == "*" else await _agency_of_code(work, ports, agency)
            await take_grant(work, ports, person_id, role, agency_id, by=viewer)

    @router.delete("/directory/people/{person_id}", status_code=204)
    async def erase(person_id: UUID, viewer: ViewerDependency) -> None:
        """Erase a person here and, by a tombstone, in every service. It can't be undone."""
        require(viewer, *_ADMINISTRATORS)
        async with store.unit_of_work() as work:
            await erase_person(work, ports, person_id, by=viewer)


def _add_tokens(
    router: APIRouter,
    store: Store,
    ports: GovernancePorts,
    sign_in: SqlSignIn,
    settings: GovernanceSettings,
) -> None:
    @router.post("/tokens", status_code=201)
    async def issue_token(order: TokenOrder, viewer: ViewerDependency, response: Response) -> TokenAnswer:
        """Issue a token for a person or a program. It is shown once and never kept."""
        require(viewer, *_ADMINISTRATORS)
        if order.days > settings.token_days_max:
            cure = f"Ask for {settings.token_days_max} days or fewer."
            raise ProblemError(
                422,
                "validation",
                "The token would live too long",
                cure,
                errors=[FieldProblem("too many days", cure, pointer="#/days", code="too_long")],
            )
        async with store.unit_of_work() as work:
            await note_letting_in(
                work, ports, DirectoryAct.TOKEN_ISSUED, order.person_id, by=viewer, days=order.days
            )
            token = await sign_in.issue_token(
                work,
                order.person_id,
                label=order.label,
                lifetime=timedelta(days=order.days),
                issued_by=viewer.person_id,
            )
        response.headers["Cache-Control"] = "no-store"
        return TokenAnswer(token=token, person_id=order.person_id, label=order.label)

    @router.get("/tokens")
    async def list_tokens(
        request: Request, viewer: ViewerDependency, person_id: Annotated[UUID | None, Query()] = None
    ) -> Response:
        """Tokens that were issued: ids, labels, times and who issued them, never the tokens themselves."""
        require(viewer, *_ADMINISTRATORS)
        async with store.read() as connection:
            tokens = await open_token_views(connection, person_id)
        return conditional_response(request, {"items": tokens})

    @router.delete("/people/{person_id}/tokens", status_code=204)
    async def revoke(
        person_id: UUID, viewer: ViewerDependency, token_id: Annotated[str | None, Query()] = None
    ) -> None:
        """Revoke one token of a person, or all that were issued so far."""
        require(viewer, *_ADMINISTRATORS)
        async with store.unit_of_work() as work:
            await revoke_tokens(work, ports, person_id, token_id, by=viewer)


def _add_links(
    router: APIRouter,
    store: Store,
    ports: GovernancePorts,
    sign_in: SqlSignIn,
    settings: GovernanceSettings,
) -> None:
    @router.post("/sign-in-codes", status_code=201)
    async def make_sign_in_link(order: CodeOrder, viewer: ViewerDependency, response: Response) -> CodeAnswer:
        """Make a sign-in link for a person. Whoever opens it and presses its button is signed in as them."""
        require(viewer, *_ADMINISTRATORS)
        lifetime = timedelta(hours=settings.sign_in_code_hours)
        async with store.unit_of_work() as work:
            await note_letting_in(
                work, ports, DirectoryAct.LINK_MADE, order.person_id, by=viewer, uses_max=order.uses_max
            )
            code = await sign_in.issue_code(
                work,
                order.person_id,
                lifetime=lifetime,
                uses_max=order.uses_max,
                issued_by=viewer.person_id,
            )
        response.headers["Cache-Control"] = "no-store"
        return CodeAnswer(path=f"/sign-in/with/{code}")


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


async def _csv_text(request: Request) -> str:
    body = await request.body()
    try:
        # No text of any language holds a NUL, and PostgreSQL takes none: it is no CSV.
        return body.replace(b"\0", b"\xff").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        cure = "Save the file as CSV in UTF-8 and send it again."
        raise ProblemError(
            422,
            "encoding",
            "The file is not UTF-8",
            f"Byte {error.start} can't be read. {cure}",
            errors=[FieldProblem(f"byte {error.start} can't be read", cure, pointer="#", code="encoding")],
        ) from error


def _import_answer(report: ImportReport, *, published: bool) -> ImportAnswer:
    problems = [
        ImportProblem(line=one.line, field=one.field, message=one.message, cure=one.cure)
        for one in report.problems[:PROBLEMS_MAX]
    ]
    return ImportAnswer(
        rows=report.rows,
        changed=report.changed,
        refused=len(report.problems),
        problems=problems,
        published=published,
    )
