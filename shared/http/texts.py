"""Refuses NUL characters in what people and programs send: PostgreSQL has no place for one in a text.

SQLite would take it, and the installation could not be moved to a cluster any more.
"""

from collections.abc import Iterator
from typing import Any

from starlette.requests import Request

from shared.bounded_json import loads
from shared.http.json_bodies import BODY_LIMITS
from shared.http.problems import FieldProblem, ProblemError

__all__ = ["refuse_nul_characters"]

NUL = "\0"
DETAIL = "holds a NUL character (U+0000)"
CURE = "Remove it."
FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")


async def refuse_nul_characters(request: Request) -> None:
    """A dependency of every route. Feeds and files that are streamed are cleaned where they are read.

    Raises the 422 problem naming each field.
    """
    found = [
        FieldProblem(DETAIL, CURE, parameter=name, code="nul")
        for name, value in (*request.query_params.multi_items(), *request.path_params.items())
        if NUL in str(value)
    ]
    if getattr(request.scope.get("route"), "body_field", None) is not None:
        found += [
            FieldProblem(DETAIL, CURE, pointer=pointer, code="nul") for pointer in await _in_body(request)
        ]
    if found:
        raise ProblemError(
            422, "text", "A text holds a character that cannot be kept", f"{CURE} It is U+0000.", errors=found
        )


async def _in_body(request: Request) -> list[str]:
    """Pointers (RFC 6901) of texts with a NUL. The body has been read by now, and was fit to be read."""
    if request.headers.get("content-type", "").startswith(FORM_TYPES):
        fields = (await request.form()).multi_items()
        return [f"#/{name}" for name, value in fields if isinstance(value, str) and NUL in value]
    body = await request.body()
    return list(_pointers(loads(body, BODY_LIMITS), "#")) if b"\\u0000" in body else []


def _pointers(value: Any, at: str) -> Iterator[str]:
    if isinstance(value, str) and NUL in value:
        yield at
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from _pointers(each, f"{at}/{str(name).replace('~', '~0').replace('/', '~1')}")
            if NUL in name:
                yield at
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _pointers(each, f"{at}/{index}")
