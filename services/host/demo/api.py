"""The demo over HTTP: the sample's files, the faults that strike them, and the path of what follows.

Only there where the data directory is a demo's. The files are a stand-in for an agency's own server; the
feed is not served, since it holds hidden records too.
"""

import hashlib
from datetime import timedelta
from functools import lru_cache
from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from services.host.demo.runs import DemoRun, total_milliseconds
from services.host.demo.scenario import Demo, degradation_named
from services.host.sample.degradations import link_is_broken
from services.host.sample.feed import build_dictionary, has_open_dictionary
from services.host.sample.rows import generate_rows
from shared.errors import NotFoundError
from shared.http.viewing import access
from shared.identity.viewer import Role

__all__ = ["build_demo_api"]

ADVANCE_SECONDS_MAX = 366 * 86_400
FILES_CACHED_MAX = 8


class DegradeOrder(BaseModel):
    """Which fault: by dataset, by ``how``, or both; by default the ledger loses rows."""

    model_config = ConfigDict(extra="forbid")

    slug: str | None = Field(default=None, max_length=200)
    how: str | None = Field(default=None, max_length=50)


class RepairOrder(BaseModel):
    """Which fault to turn off: by dataset or name; by default all."""

    model_config = ConfigDict(extra="forbid")

    slug: str | None = Field(default=None, max_length=200)


class AdvanceOrder(BaseModel):
    """How far to move the clock."""

    model_config = ConfigDict(extra="forbid")

    seconds: float = Field(gt=0, le=ADVANCE_SECONDS_MAX)


class HopDocument(BaseModel):
    """One box of the path; ``milliseconds`` since the box before, null while it waits."""

    name: str
    detail: str
    state: Literal["done", "waiting", "failed"]
    milliseconds: float | None


class RunDocument(BaseModel):
    """A fault and what came of it so far."""

    id: UUID
    kind: Literal["degrade", "repair"]
    fault: str
    dataset_id: UUID
    dataset_title: str
    is_finished: bool
    failure: str | None
    hops: list[HopDocument]
    total_milliseconds: float | None


def build_demo_api(demo: Demo) -> APIRouter:
    """Return the routes below ``/sample`` and ``/api/v1/demo``."""
    router = APIRouter()
    _add_files(router, demo)
    _add_api(router, demo)
    return router


def _add_files(router: APIRouter, demo: Demo) -> None:
    @router.get("/sample/files/{name}.csv", include_in_schema=False, dependencies=[access("public")])
    async def serve_file(request: Request, name: str) -> Response:
        degraded = demo.degraded
        if link_is_broken(name, degraded):
            raise _no_file()
        try:
            text = _rows(name, degraded)
        except NotFoundError as error:
            raise _no_file() from error
        return _tagged(request, text.encode(), "text/csv; charset=utf-8")

    @router.get("/sample/dictionaries/{name}.json", include_in_schema=False, dependencies=[access("public")])
    async def serve_dictionary(name: str) -> Response:
        try:
            dictionary = build_dictionary(name) if has_open_dictionary(name) else None
        except NotFoundError as error:
            raise _no_file() from error
        if dictionary is None:
            raise _no_file()
        return JSONResponse(dictionary)


def _add_api(router: APIRouter, demo: Demo) -> None:
    api = APIRouter(
        prefix="/api/v1/demo",
        tags=["demo"],
        dependencies=[access(Role.OPERATOR, Role.CHIEF_DATA_OFFICER)],
    )

    @api.post("/degrade", status_code=202)
    async def degrade(order: DegradeOrder) -> RunDocument:
        """Make a sample dataset worse and harvest again; follow the run to see the alert arrive."""
        run = await demo.degrade(degradation_named(order.slug, order.how))
        return _document(run, demo)

    @api.post("/repair", status_code=202)
    async def repair(order: RepairOrder) -> list[RunDocument]:
        """Take faults back and harvest again; the alerts resolve."""
        name = degradation_named(order.slug, None) if order.slug else None
        runs = await demo.repair(name)
        return [_document(run, demo) for run in runs]

    @api.post("/poison", status_code=202)
    async def poison() -> dict[str, str]:
        """Put a record on the log that cannot be handled; it becomes a dead letter."""
        await demo.send_poison()
        return {"dead_letters": "/api/v1/ops/dead-letters"}

    @api.post("/advance")
    async def advance(order: AdvanceOrder) -> dict[str, str]:
        """Move the simulated clock, and answer once what became due is done."""
        await demo.advance(timedelta(seconds=order.seconds))
        return {"now": demo.now().isoformat()}

    @api.post("/sign-in-links")
    async def make_links() -> dict[str, Any]:
        """Make new links that sign in as one of the demo's roles."""
        links = await demo.sign_in_links()
        return {"items": [{"label": link.label, "url": link.url} for link in links]}

    @api.get("/runs/{run_id}")
    async def show_run(run_id: UUID) -> RunDocument:
        """Tell how far a run has come."""
        return _document(demo.run(run_id), demo)

    router.include_router(api)


@lru_cache(maxsize=FILES_CACHED_MAX)
def _rows(slug: str, degraded: frozenset[str]) -> str:
    return generate_rows(slug, degraded)


def _tagged(request: Request, body: bytes, media_type: str) -> Response:
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media_type, headers=headers)


def _document(run: DemoRun, demo: Demo) -> RunDocument:
    hops = demo.hops(run)
    return RunDocument(
        id=run.run_id,
        kind=run.kind,
        fault=run.degradation.name,
        dataset_id=run.dataset_id,
        dataset_title=run.dataset_title,
        is_finished=run.is_over,
        failure=run.failure,
        hops=[
            HopDocument(name=hop.name, detail=hop.detail, state=hop.state, milliseconds=hop.milliseconds)
            for hop in hops
        ],
        total_milliseconds=total_milliseconds(hops),
    )


def _no_file() -> NotFoundError:
    return NotFoundError(
        "The sample has no file at this address.", what="file", field="name", fix="See /data.json."
    )
