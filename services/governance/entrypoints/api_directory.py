"""The directory over HTTP: imports, agencies, publishers to settle.

Everything here is for data officers and operators. Imports take CSV as the request's body.
"""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from services.governance.adapters.sql_reading import agency_views, open_publishers
from services.governance.commands.access import guarded
from services.governance.commands.directory import (
    ImportReport,
    import_agencies,
    import_people,
    import_stewardships,
    settle_publisher,
)
from services.governance.domain.csv_rows import RowProblem
from services.governance.domain.directory_import import (
    parse_agencies,
    parse_people,
    parse_stewardships,
)
from services.governance.ports import GovernancePorts
from shared.http.conditional import conditional_response
from shared.http.problems import FieldProblem, ProblemError
from shared.http.viewing import ViewerDependency, access, require
from shared.identity.viewer import Role, Viewer
from shared.outbox.outbox_drained import outbox_drained
from shared.store.engine import Store
from shared.store.unit_of_work import UnitOfWork

__all__ = ["build_directory_api", "settle"]

IMPORT_BYTES_MAX = 64 * 1024 * 1024
PROBLEMS_MAX = 100
PUBLISHED_WITHIN_SECONDS = 5.0

_ADMINISTRATORS = (Role.CHIEF_DATA_OFFICER, Role.OPERATOR)


class ImportProblem(BaseModel):
    """A row that was not taken."""

    line: int
    field: str
    message: str
    cure: str


class ImportAnswer(BaseModel):
    """What an import did. ``problems`` holds the first 100; ``refused`` counts all.

    ``notes`` are the first 100 on rows that were taken, ``noted`` counts all: datasets not harvested yet.
    ``published``: whether the changes are on the log, so that a harvest ordered from now on knows them.
    """

    rows: int
    changed: int
    refused: int
    problems: list[ImportProblem]
    noted: int
    notes: list[ImportProblem]
    published: bool


class PublisherSettlement(BaseModel):
    """A person's word for what a spelling means."""

    model_config = ConfigDict(extra="forbid")

    spelling: str = Field(min_length=1, max_length=1_000)
    agency_id: UUID


def build_directory_api(store: Store, ports: GovernancePorts) -> APIRouter:
    """Return the routes for imports, agencies and publishers, below ``/api/v1/directory``."""
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
        published = await outbox_drained(store, seconds_max=PUBLISHED_WITHIN_SECONDS)
        return _import_answer(report, published=published)


def _add_directory(router: APIRouter, store: Store, ports: GovernancePorts) -> None:
    @router.get("/directory/agencies")
    async def list_agencies(request: Request, viewer: ViewerDependency) -> Response:
        """Every agency with every spelling known for it."""
        async with store.read() as connection:
            return conditional_response(request, {"items": await agency_views(connection, viewer)})

    @router.get("/directory/publishers")
    async def list_open_publishers(request: Request, viewer: ViewerDependency) -> Response:
        """Publishers' spellings that a person has to settle, with candidates."""
        async with store.read() as connection:
            found = await open_publishers(connection, viewer)
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
    async def settle_spelling(settlement: PublisherSettlement, viewer: ViewerDependency) -> None:
        """Say which agency a spelling means; its datasets follow."""
        await settle(store, ports, viewer, settlement.spelling, settlement.agency_id)


async def settle(
    store: Store, ports: GovernancePorts, viewer: Viewer, spelling: str, agency_id: UUID
) -> None:
    """Settle a spelling for whoever looks: the page and the API alike."""

    async def act(work: UnitOfWork) -> None:
        await settle_publisher(work, ports, spelling=spelling, agency_id=agency_id, by=viewer)

    await guarded(store, ports, viewer, act)


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
    def shown(problems: Sequence[RowProblem]) -> list[ImportProblem]:
        return [
            ImportProblem(line=one.line, field=one.field, message=one.message, cure=one.cure)
            for one in problems[:PROBLEMS_MAX]
        ]

    return ImportAnswer(
        rows=report.rows,
        changed=report.changed,
        refused=len(report.problems),
        problems=shown(report.problems),
        noted=len(report.notes),
        notes=shown(report.notes),
        published=published,
    )
