"""Datasets and agencies over HTTP, each dataset as DCAT-US too."""

from functools import partial
from uuid import UUID

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from services.catalog.datasets.api.documents import agency_document, dataset_document
from services.catalog.datasets.commands.context import DatasetContext
from services.catalog.datasets.commands.editing import EDITORS, override
from services.catalog.datasets.domain.errors import require_dataset
from services.catalog.datasets.reader.datasets import DatasetReader
from services.catalog.dcat.domain.export import CATALOG_CONTEXT, Installation, export_dataset
from shared.events.catalog import AccessLevel, Visibility
from shared.http.conditional import conditional_response, matches, require_if_match
from shared.http.viewing import ViewerDependency, access
from shared.store.engine import Store

__all__ = [
    "build_datasets_api",
]

JSON_LD = "application/ld+json"


class DatasetDecisions(BaseModel):
    """What a steward or officer decides. A field left out stays; null takes the decision back."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    visibility: Visibility | None = None
    access_level: AccessLevel | None = None
    rights: str | None = Field(default=None, min_length=3, max_length=4_000)


def build_datasets_api(
    store: Store, context: DatasetContext, reader: DatasetReader, installation: Installation
) -> APIRouter:
    """Return the routes below ``/api/v1/datasets`` and ``/api/v1/agencies``."""
    router = APIRouter(tags=["datasets"])
    _add_reading(router, reader, installation)

    @router.patch("/api/v1/datasets/{dataset_id}", dependencies=[access(*EDITORS)])
    async def override_dataset(
        dataset_id: UUID, decisions: DatasetDecisions, request: Request, viewer: ViewerDependency
    ) -> Response:
        """Decide who may see the record, who may get the data, and on what terms. Needs If-Match."""
        changes = {name: getattr(decisions, name) for name in decisions.model_fields_set}
        await override(
            store, context, viewer, dataset_id, changes, require_version=partial(require_if_match, request)
        )
        view = require_dataset(await reader.dataset(dataset_id, viewer), dataset_id)
        return JSONResponse(dataset_document(view), headers={"ETag": view.etag})

    return router


def _add_reading(router: APIRouter, reader: DatasetReader, installation: Installation) -> None:
    @router.get("/api/v1/datasets/{dataset_id}", dependencies=[access("public")])
    async def show_dataset(dataset_id: UUID, request: Request, viewer: ViewerDependency) -> Response:
        """Show one dataset with its columns, cures, quality and freshness."""
        view = require_dataset(await reader.dataset(dataset_id, viewer), dataset_id)
        headers = {"ETag": view.etag, "Cache-Control": "private, no-cache", "Vary": "Authorization, Cookie"}
        if matches(request.headers.get("if-none-match"), view.etag):
            return Response(status_code=304, headers=headers)
        body = orjson.dumps(dataset_document(view))
        return Response(body, media_type="application/json", headers=headers)

    @router.get("/api/v1/datasets/{dataset_id}/dcat", dependencies=[access("public")])
    async def show_dcat(dataset_id: UUID, request: Request, viewer: ViewerDependency) -> Response:
        """Show one dataset as DCAT-US 1.1 in JSON-LD."""
        view = require_dataset(await reader.dataset(dataset_id, viewer), dataset_id)
        document = {"@context": CATALOG_CONTEXT} | export_dataset(view.state, installation)
        return conditional_response(request, document, media_type=JSON_LD)

    @router.get("/api/v1/agencies", dependencies=[access("public")])
    async def list_agencies(request: Request, viewer: ViewerDependency) -> Response:
        """List every agency with its number of datasets."""
        agencies = await reader.agencies(viewer)
        return conditional_response(
            request, {"items": [agency_document(agency) for agency in agencies], "total": len(agencies)}
        )
