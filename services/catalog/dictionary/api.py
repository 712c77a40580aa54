"""The data dictionary of a dataset over HTTP."""

from functools import partial
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from services.catalog.datasets.commands.context import DatasetContext
from services.catalog.datasets.commands.editing import EDITORS
from services.catalog.datasets.domain.errors import require_dataset
from services.catalog.datasets.reader.datasets import DatasetReader
from services.catalog.dictionary.commands import put_dictionary
from services.catalog.dictionary.domain import DICTIONARY_LIMITS, parse_dictionary
from shared.bounded_json import InvalidJSONError, JSONBoundError, loads
from shared.events.catalog import Column
from shared.http.conditional import require_if_match
from shared.http.problems import FieldProblem, ProblemError
from shared.http.viewing import ViewerDependency, access
from shared.store.engine import Store

__all__ = ["build_dictionary_api"]


def build_dictionary_api(store: Store, context: DatasetContext, reader: DatasetReader) -> APIRouter:
    """Return the route ``/api/v1/datasets/{id}/columns``."""
    router = APIRouter(tags=["datasets"])

    @router.put(
        "/api/v1/datasets/{dataset_id}/columns",
        dependencies=[access(*EDITORS, body_bytes_max=DICTIONARY_LIMITS.bytes_max)],
    )
    async def put_columns(dataset_id: UUID, request: Request, viewer: ViewerDependency) -> Response:
        """Give the data dictionary: a Table Schema, a Data Package or a Socrata view. Needs If-Match."""
        columns = _columns_in(await request.body())
        await put_dictionary(
            store, context, viewer, dataset_id, columns, require_version=partial(require_if_match, request)
        )
        view = require_dataset(await reader.dataset(dataset_id, viewer), dataset_id)
        return JSONResponse(
            {
                "columns": [column.model_dump(mode="json") for column in view.state.columns],
                "version": view.version,
            },
            headers={"ETag": view.etag},
        )

    return router


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
