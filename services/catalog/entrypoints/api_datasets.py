"""The catalogue over HTTP: search, datasets, agencies, and the catalogue as DCAT-US."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from services.catalog.adapters.export_files import ExportFiles
from services.catalog.commands.editing import decide, describe_columns
from services.catalog.domain.dcat_export import CATALOG_CONTEXT, Installation, export_dataset
from services.catalog.domain.dictionary import DICTIONARY_LIMITS, parse_dictionary
from services.catalog.domain.entry import CatalogEntry, Decisions
from services.catalog.domain.search import (
    FACET_LIMIT_MAX,
    Facet,
    InvalidSearchError,
    SearchQuery,
    SortOrder,
)
from services.catalog.entrypoints.answers import index_away, not_found, shown, wrong_search
from services.catalog.entrypoints.documents import agency_document, dataset_document, search_document
from services.catalog.entrypoints.filter_values import refuse_unknown_values
from services.catalog.ports import CatalogIndexError, CatalogPorts, CatalogReader
from shared.bounded_json import InvalidJSONError, JSONBoundError, loads
from shared.events.catalog import AccessLevel, Column, Visibility
from shared.http.conditional import conditional_response, matches, require_if_match
from shared.http.page_links import link_pages
from shared.http.problems import FieldProblem, ProblemError
from shared.http.viewing import ViewerDependency, access, require
from shared.identity.viewer import Role, Viewer
from shared.store.engine import Store
from shared.store.unit_of_work import UnitOfWork

__all__ = ["build_datasets_api", "search_query"]

JSON_LD = "application/ld+json"

_EDITORS = (Role.STEWARD, Role.AGENCY_DATA_OFFICER, Role.CHIEF_DATA_OFFICER)

Values = Annotated[list[str] | None, Query(max_length=100)]


class DatasetDecisions(BaseModel):
    """What a steward or officer decides. A field left out stays; null takes the decision back."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    visibility: Visibility | None = None
    access_level: AccessLevel | None = None
    rights: str | None = Field(default=None, min_length=3, max_length=4_000)


def build_datasets_api(
    store: Store, ports: CatalogPorts, reader: CatalogReader, exports: ExportFiles, installation: Installation
) -> APIRouter:
    """Return the routes below ``/api/v1/datasets`` and ``/api/v1/agencies``, and ``/data.json``."""
    router = APIRouter(tags=["catalogue"])
    _add_search(router, reader)
    _add_reading(router, reader, installation)
    _add_writing(router, store, ports, reader)

    @router.get("/api/v1/agencies", dependencies=[access("public")])
    async def list_agencies(request: Request, viewer: ViewerDependency) -> Response:
        """List every agency with its number of datasets."""
        agencies = await reader.agencies(viewer)
        return conditional_response(
            request, {"items": [agency_document(agency) for agency in agencies], "total": len(agencies)}
        )

    @router.get("/data.json", dependencies=[access("public")])
    async def export_catalogue(request: Request) -> Response:
        """Give the public catalogue as DCAT-US 1.1 (non-federal)."""
        path, etag = await exports.catalogue()
        headers = {"ETag": etag, "Cache-Control": "public, no-cache"}
        if matches(request.headers.get("if-none-match"), etag):
            return Response(status_code=304, headers=headers)
        return FileResponse(path, media_type="application/json", headers=headers)

    return router


def search_query(
    filters: Mapping[Facet, Sequence[str] | None],
    *,
    text: str,
    sort: SortOrder,
    size: int,
    cursor: str | None,
    facet_limit: int | None = None,
) -> SearchQuery:
    """A query from what a request holds. Raises the 400 problem naming the parameter."""
    try:
        return SearchQuery(
            text=text,
            filters={facet: frozenset(values) for facet, values in filters.items() if values},
            sort=sort,
            size=size,
            cursor=cursor or None,
            facet_limit=facet_limit,
        )
    except InvalidSearchError as error:
        raise wrong_search(error) from error


def _add_search(router: APIRouter, reader: CatalogReader) -> None:
    @router.get("/api/v1/datasets", dependencies=[access("public")])
    async def search_datasets(
        request: Request,
        viewer: ViewerDependency,
        q: Annotated[str, Query(max_length=1_000)] = "",
        agency: Values = None,
        theme: Values = None,
        keyword: Values = None,
        format: Values = None,  # noqa: A002 - the name of the parameter
        access: Values = None,
        condition: Values = None,
        freshness: Values = None,
        license: Values = None,  # noqa: A002 - the name of the parameter
        sort: SortOrder = "relevance",
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        cursor: Annotated[str | None, Query(max_length=4_096)] = None,
        explain: bool = False,
        facet_limit: Annotated[int | None, Query(ge=1, le=FACET_LIMIT_MAX)] = None,
    ) -> Response:
        """Search: words, filters (values of one are alternatives), facets with counts, pages by cursor.

        ``facet_limit`` is how many values are listed under each facet, in place of 50 (keywords: 20).
        """
        filters: dict[Facet, list[str] | None] = {
            "agency": agency,
            "theme": theme,
            "keyword": keyword,
            "format": format,
            "access_level": access,
            "condition": condition,
            "freshness": freshness,
            "license": license,
        }
        query = search_query(filters, text=q, sort=sort, size=limit, cursor=cursor, facet_limit=facet_limit)
        try:
            view = await reader.search(query, viewer)
        except InvalidSearchError as error:
            raise wrong_search(error) from error
        except CatalogIndexError as error:
            raise index_away() from error
        await refuse_unknown_values(reader, query, viewer, view)
        document = search_document(view)
        if not explain:
            for result in document["results"]:
                del result["explain"]
        response = conditional_response(request, document)
        link_pages(request, response, view.next_cursor)
        return response

    @router.get("/api/v1/datasets/suggest", dependencies=[access("public")])
    async def suggest_titles(
        request: Request,
        viewer: ViewerDependency,
        prefix: Annotated[str, Query(max_length=200)] = "",
        limit: Annotated[int, Query(ge=1, le=20)] = 8,
    ) -> Response:
        """Suggest titles with words that begin like those typed."""
        try:
            found = await reader.suggest(prefix, viewer, limit)
        except CatalogIndexError as error:
            raise index_away() from error
        items = [{"id": str(one.dataset_id), "title": one.title} for one in found]
        return conditional_response(request, {"items": items})


def _add_reading(router: APIRouter, reader: CatalogReader, installation: Installation) -> None:
    @router.get("/api/v1/datasets/{dataset_id}", dependencies=[access("public")])
    async def show_dataset(dataset_id: UUID, request: Request, viewer: ViewerDependency) -> Response:
        """Show one dataset with its columns, cures, quality and freshness."""
        view = shown(await reader.dataset(dataset_id, viewer), dataset_id)
        headers = {"ETag": view.etag, "Cache-Control": "private, no-cache", "Vary": "Authorization, Cookie"}
        if matches(request.headers.get("if-none-match"), view.etag):
            return Response(status_code=304, headers=headers)
        body = orjson.dumps(dataset_document(view))
        return Response(body, media_type="application/json", headers=headers)

    @router.get("/api/v1/datasets/{dataset_id}/dcat", dependencies=[access("public")])
    async def show_dcat(dataset_id: UUID, request: Request, viewer: ViewerDependency) -> Response:
        """Show one dataset as DCAT-US 1.1 in JSON-LD."""
        view = shown(await reader.dataset(dataset_id, viewer), dataset_id)
        document = {"@context": CATALOG_CONTEXT} | export_dataset(view.state, installation)
        return conditional_response(request, document, media_type=JSON_LD)


def _add_writing(router: APIRouter, store: Store, ports: CatalogPorts, reader: CatalogReader) -> None:
    async def editable(work: UnitOfWork, request: Request, viewer: Viewer, dataset_id: UUID) -> CatalogEntry:
        """The entry under its lock, if the viewer may change it and has read its present version."""
        entry = (await ports.datasets.locked(work, [dataset_id])).get(dataset_id)
        state = None if entry is None else entry.state
        if entry is None or state is None or not viewer.may_see(state.visibility, state.agency_id):
            raise not_found(dataset_id)
        require(viewer, *_EDITORS, agency_id=state.agency_id)
        require_if_match(request, f'"{entry.version}.{entry.document_revision}"')
        return entry

    @router.patch("/api/v1/datasets/{dataset_id}", dependencies=[access(*_EDITORS)])
    async def decide_on_dataset(
        dataset_id: UUID, decisions: DatasetDecisions, request: Request, viewer: ViewerDependency
    ) -> Response:
        """Decide who may see the record, who may get the data, and on what terms. Needs If-Match."""
        async with store.unit_of_work() as work:
            entry = await editable(work, request, viewer, dataset_id)
            given: dict[str, Any] = {name: getattr(decisions, name) for name in decisions.model_fields_set}
            decided: Decisions = replace(entry.decisions, **given)
            await decide(work, ports, dataset_id, decided, by=viewer.person_id)
        return await _answer(reader, viewer, dataset_id)

    @router.put(
        "/api/v1/datasets/{dataset_id}/columns",
        dependencies=[access(*_EDITORS, body_bytes_max=DICTIONARY_LIMITS.bytes_max)],
    )
    async def put_columns(dataset_id: UUID, request: Request, viewer: ViewerDependency) -> Response:
        """Give the data dictionary: a Table Schema, a Data Package or a Socrata view. Needs If-Match."""
        columns = _columns_in(await request.body())
        async with store.unit_of_work() as work:
            await editable(work, request, viewer, dataset_id)
            await describe_columns(work, ports, dataset_id, columns, by_steward=True)
        return await _answer(reader, viewer, dataset_id)


async def _answer(reader: CatalogReader, viewer: Viewer, dataset_id: UUID) -> Response:
    view = shown(await reader.dataset(dataset_id, viewer), dataset_id)
    return Response(
        orjson.dumps(dataset_document(view)), media_type="application/json", headers={"ETag": view.etag}
    )


def _columns_in(body: bytes) -> list[Column]:
    try:
        raw = loads(body, DICTIONARY_LIMITS)
    except InvalidJSONError as error:
        raise _no_dictionary(f"The body is not valid JSON: {error}.") from error
    except JSONBoundError as error:
        raise _no_dictionary(f"The body cannot be taken. {error}") from error
    columns = parse_dictionary({"fields": raw} if isinstance(raw, list) else raw)
    if not columns:
        raise _no_dictionary("No columns were found in the body.")
    return columns


def _no_dictionary(detail: str) -> ProblemError:
    cure = 'Send a Frictionless Table Schema: {"fields": [{"name": "town", "type": "string"}]}.'
    return ProblemError(
        422,
        "data-dictionary",
        "The data dictionary cannot be read",
        detail,
        errors=[FieldProblem(detail, cure, pointer="#/fields", code="dictionary")],
    )
