"""Conditional requests (RFC 9110, section 13): read only what changed, write only what you have read."""

import hashlib
from typing import Any

import orjson
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from shared.http.problems import FieldProblem, ProblemError

__all__ = ["conditional_response", "etag_of", "matches", "require_if_match"]

JSON_MEDIA_TYPE = "application/json"


def etag_of(representation: Any) -> str:
    """Return the strong ETag of a JSON value, a pydantic model or bytes: equal content, equal tag."""
    return f'"{hashlib.sha256(_canonical(representation)).hexdigest()[:32]}"'


def matches(header: str | None, etag: str) -> bool:
    """Tell whether an If-Match or If-None-Match header names ``etag`` (weak tags compare by value)."""
    if header is None:
        return False
    names = {name.strip().removeprefix("W/") for name in header.split(",")}
    return "*" in names or etag in names


def conditional_response(
    request: Request,
    representation: Any,
    *,
    media_type: str = JSON_MEDIA_TYPE,
    cache_control: str = "private, no-cache",
) -> Response:
    """Answer with the representation and its ETag, or 304 without a body where the client has it.

    ``private`` is the default because most answers depend on who asks.
    """
    body = _canonical(representation)
    etag = etag_of(body)
    headers = {"ETag": etag, "Cache-Control": cache_control, "Vary": "Authorization, Cookie"}
    if matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media_type, headers=headers)


def require_if_match(request: Request, etag: str) -> None:
    """Let a write go on only if its If-Match names the current ``etag``.

    Raises the 428 problem without the header (RFC 6585), the 412 problem with another tag.
    """
    header = request.headers.get("if-match")
    if header is None:
        cure = "Read it first, and send its ETag back in If-Match."
        raise ProblemError(
            428,
            "precondition-required",
            "Say which version you are changing",
            cure,
            errors=[FieldProblem("missing", cure, header="If-Match", code="missing")],
        )
    # If-Match compares strongly: a weak tag never matches (RFC 9110, section 13.1.1).
    if not matches(header.replace("W/", "W-"), etag):
        cure = "Read it again, make your change on the new version, and send that."
        raise ProblemError(
            412,
            "precondition-failed",
            "Somebody else changed it in the meantime",
            f"Nothing of yours was saved. {cure}",
            errors=[FieldProblem("not the current version", cure, header="If-Match", code="stale")],
            headers={"ETag": etag},
        )


def _canonical(representation: Any) -> bytes:
    if isinstance(representation, bytes):
        return representation
    if isinstance(representation, BaseModel):
        representation = representation.model_dump(mode="json")
    return orjson.dumps(representation, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
