"""The page that describes the API, made of the same OpenAPI document that programs read."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from shared.http.app import OPENAPI_PATH
from shared.http.viewing import access
from shared.web.templating import build_templates

__all__ = ["build_api_docs"]

TEMPLATES = Path(__file__).parent / "templates"
_METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that the API does. ``parameters`` are (name, place, meaning)."""

    method: str
    path: str
    summary: str
    description: str
    parameters: tuple[tuple[str, str, str], ...]
    answers: tuple[str, ...]


def build_api_docs() -> APIRouter:
    """Return the route of ``/docs``."""
    templates = build_templates(TEMPLATES)
    router = APIRouter(include_in_schema=False, dependencies=[access("public")])

    @router.get("/docs")
    async def show_api(request: Request) -> Response:
        document = request.app.openapi()
        return templates.render(
            request,
            "api_docs.html",
            groups=grouped_operations(document),
            version=document["info"]["version"],
            openapi_path=OPENAPI_PATH,
        )

    return router


def grouped_operations(document: Mapping[str, Any]) -> list[tuple[str, list[Operation]]]:
    """Return the operations of an OpenAPI 3.1 document by tag, in the order of their paths."""
    groups: defaultdict[str, list[Operation]] = defaultdict(list)
    for path, item in sorted(document["paths"].items()):
        for method in _METHODS:
            if method in item:
                tag = (item[method].get("tags") or ["other"])[0]
                groups[tag].append(_operation(method, path, item[method]))
    return sorted(groups.items())


def _operation(method: str, path: str, described: Mapping[str, Any]) -> Operation:
    summary, _, rest = described.get("description", "").partition("\n")
    return Operation(
        method=method.upper(),
        path=path,
        summary=summary or described.get("summary", ""),
        description=rest.strip(),
        parameters=tuple(
            (one["name"], one["in"], one.get("description") or _kind(one.get("schema", {})))
            for one in described.get("parameters", ())
        ),
        answers=tuple(code for code in described.get("responses", {}) if not code.startswith("4")),
    )


def _kind(schema: Mapping[str, Any]) -> str:
    kinds = [one.get("type", "") for one in schema.get("anyOf", [schema])]
    return " or ".join(str(kind) for kind in kinds if kind and kind != "null") or "text"
