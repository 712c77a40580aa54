"""Problems as RFC 9457 tells them: ``application/problem+json`` for programs, a page for people.

A problem names what is wrong, where, and the cure. ``type`` is ``urn:nutmeg:problem:<slug>``, the same in
every installation, so that programs can compare it. Extension members are ``errors`` and ``request_id``.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeAlias

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.errors import (
    ConflictError,
    DomainError,
    GoneError,
    InvalidInputError,
    NotAllowedError,
    NotFoundError,
    NutmegError,
    TransientError,
)

__all__ = [
    "FORM_MEDIA_TYPES",
    "PROBLEM_MEDIA_TYPE",
    "FieldProblem",
    "ProblemDocument",
    "ProblemError",
    "ProblemPage",
    "RefusedBodyError",
    "away_problem",
    "domain_problem",
    "install_problem_handlers",
    "is_page_request",
    "problem_response",
    "problem_responses",
    "unexpected_problem",
]

PROBLEM_MEDIA_TYPE = "application/problem+json"
FORM_MEDIA_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")
ERRORS_MAX = 100

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One thing that is wrong in a request, and what cures it.

    At most one place is given: ``pointer`` (JSON pointer into the body, ``#/title``), ``parameter`` (of
    the path, the query or a form) or ``header``. ``code`` is a stable word for programs.
    """

    detail: str
    cure: str = ""
    pointer: str | None = None
    parameter: str | None = None
    header: str | None = None
    code: str = "invalid"

    @property
    def place(self) -> str:
        """Name the place for a person."""
        return self.parameter or self.header or (self.pointer or "").removeprefix("#/") or "the request"

    def document(self) -> dict[str, str]:
        """Return the members that are set."""
        members = {
            "pointer": self.pointer,
            "parameter": self.parameter,
            "header": self.header,
            "detail": self.detail,
            "cure": self.cure,
            "code": self.code,
        }
        return {name: value for name, value in members.items() if value}


class ProblemError(NutmegError):
    """Raise it in a route to answer with a problem.

    ``kept`` tells a person what was saved in spite of it; ``next_steps`` are (label, address) pairs.
    """

    def __init__(
        self,
        status: int,
        slug: str,
        title: str,
        detail: str = "",
        *,
        errors: Sequence[FieldProblem] = (),
        headers: Mapping[str, str] | None = None,
        kept: str = "",
        next_steps: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(detail or title)
        self.status = status
        self.slug = slug
        self.title = title
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.kept = kept
        self.next_steps = tuple(next_steps)

    def document(self, request_id: str) -> dict[str, Any]:
        """Return the problem as RFC 9457, section 3."""
        content: dict[str, Any] = {
            "type": f"urn:nutmeg:problem:{self.slug}",
            "title": self.title,
            "status": self.status,
        }
        if self.detail:
            content["detail"] = self.detail
        if self.errors:
            content["errors"] = [error.document() for error in self.errors[:ERRORS_MAX]]
        if request_id:
            content["instance"] = f"urn:nutmeg:request:{request_id}"
            content["request_id"] = request_id
        return content


class RefusedBodyError(HTTPException):
    """A problem found while the body is received, where FastAPI lets no other exception through."""

    def __init__(self, problem: ProblemError) -> None:
        super().__init__(problem.status, problem.detail)
        self.problem = problem


ProblemPage: TypeAlias = Callable[[Request, ProblemError], Response]
"""Renders a problem for a person. Set as ``app.state.render_problem_page``."""


FormAgain: TypeAlias = Callable[[Request, ProblemError], Awaitable[Response | None]]
"""Renders the page of a refused form once more. Set as ``app.state.show_form_again``."""


class _FieldProblemDocument(BaseModel):
    pointer: str | None = None
    parameter: str | None = None
    header: str | None = None
    detail: str
    cure: str | None = None
    code: str


class ProblemDocument(BaseModel):
    """The shape of a problem, for OpenAPI."""

    type: str
    title: str
    status: int
    detail: str | None = None
    instance: str | None = None
    request_id: str | None = None
    errors: list[_FieldProblemDocument] | None = None


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the ``responses`` of a route or router that may answer with these problems."""
    schema = {"$ref": "#/components/schemas/ProblemDocument"}
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {PROBLEM_MEDIA_TYPE: {"schema": schema}},
        }
        for status in statuses
    }


def is_page_request(request: Request) -> bool:
    """Tell whether a person's browser asks for a page, and not a program for an API."""
    accepts_html = "text/html" in request.headers.get("accept", "")
    return accepts_html and not request.url.path.startswith("/api/")


def problem_response(request: Request, problem: ProblemError) -> Response:
    """Return the answer: a page where a person asks and pages are there, else problem+json."""
    render: ProblemPage | None = getattr(request.app.state, "render_problem_page", None)
    if render is not None and is_page_request(request):
        response = render(request, problem)
        response.headers.update(problem.headers)
    else:
        response = JSONResponse(
            problem.document(getattr(request.state, "request_id", "")),
            status_code=problem.status,
            headers=problem.headers,
            media_type=PROBLEM_MEDIA_TYPE,
        )
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def install_problem_handlers(app: FastAPI) -> None:
    """Make every error of ``app`` a problem."""
    app.exception_handler(ProblemError)(_handle_problem)
    app.exception_handler(HTTPException)(_handle_http_error)
    app.exception_handler(RequestValidationError)(_handle_validation_error)
    app.exception_handler(TransientError)(_handle_transient_error)
    app.exception_handler(DomainError)(_handle_domain_error)


def domain_problem(request: Request, error: DomainError) -> ProblemError:
    """Return the problem for what a rule refuses: the only place that knows the status of each kind.

    The field is looked for where the request has it: in its path, its query, its form, else its JSON body.
    """
    status = next(status for kind, status in _STATUSES if isinstance(error, kind))
    errors = []
    if error.field:
        errors = [FieldProblem(error.detail, error.fix, code=error.code, **_place(request, error.field))]
    return ProblemError(
        status, error.slug, error.title, str(error), errors=errors, next_steps=error.next_steps
    )


def _place(request: Request, field: str) -> dict[str, str]:
    is_json = "json" in request.headers.get("content-type", "")
    if not is_json or field in request.path_params or field in request.query_params:
        return {"parameter": field}
    return {"pointer": "#/" + field.replace(".", "/")}


def unexpected_problem() -> ProblemError:
    """Return the problem for an error that nobody foresaw; it tells nothing of the inside."""
    return ProblemError(
        500,
        "internal",
        "Something went wrong on our side",
        "The request could not be completed. The error is recorded under the request id.",
    )


async def _answer(request: Request, problem: ProblemError) -> Response:
    """Return the page of the form that was refused, where there is one; else the problem itself."""
    show_again: FormAgain | None = getattr(request.app.state, "show_form_again", None)
    response = None if show_again is None else await show_again(request, problem)
    if response is None:
        return problem_response(request, problem)
    response.headers.setdefault("Cache-Control", "no-store")
    return response


async def _handle_problem(request: Request, error: ProblemError) -> Response:
    return await _answer(request, error)


async def _handle_http_error(request: Request, error: HTTPException) -> Response:
    if isinstance(error, RefusedBodyError):
        return problem_response(request, error.problem)
    slug, title, detail = _KNOWN_STATUSES.get(
        error.status_code, (f"http-{error.status_code}", HTTPStatus(error.status_code).phrase, "")
    )
    if error.detail and error.detail != HTTPStatus(error.status_code).phrase:
        detail = str(error.detail)
    if error.status_code == 404 and not detail:
        detail = f"There is nothing at {request.url.path}."
    errors = []
    if (error.status_code, error.detail) == (400, _UNREADABLE_BODY):
        cure = _CURES["json_invalid"]
        detail = f"The body cannot be read as JSON. {cure}"
        errors = [FieldProblem("This is no JSON that can be read.", cure, pointer="#", code="json_invalid")]
    headers = dict(error.headers or {})
    if "GET" in (methods := headers.get("Allow", "").split(", ")) and "HEAD" not in methods:
        headers["Allow"] = ", ".join([*methods, "HEAD", "OPTIONS"])
    problem = ProblemError(error.status_code, slug, title, detail, headers=headers, errors=errors)
    return await _answer(request, problem)


def away_problem(error: TransientError) -> ProblemError:
    """Return the problem for a store or index that cannot be reached, and record why."""
    _log.warning("store_away", error=str(error))
    return ProblemError(
        503,
        error.slug,
        error.title,
        error.detail,
        headers={"Retry-After": "5"},
    )


async def _handle_transient_error(request: Request, error: TransientError) -> Response:
    return await _answer(request, away_problem(error))


async def _handle_domain_error(request: Request, error: DomainError) -> Response:
    return await _answer(request, domain_problem(request, error))


async def _handle_validation_error(request: Request, error: RequestValidationError) -> Response:
    problems = [_field_problem(item) for item in error.errors()]
    count = "1 field needs" if len(problems) == 1 else f"{len(problems)} fields need"
    problem = ProblemError(
        422, "validation", "The request is not valid", f"{count} correcting.", errors=problems
    )
    return await _answer(request, problem)


_STATUSES: Sequence[tuple[type[DomainError], int]] = (
    (InvalidInputError, 422),
    (NotAllowedError, 403),
    (NotFoundError, 404),
    (GoneError, 410),
    (ConflictError, 409),
    (DomainError, 422),
)

_UNREADABLE_BODY = "There was an error parsing the body"
"""FastAPI's words for a body that is no text, or is nested too deeply."""

_SEE_DESCRIPTION = "See /api/v1/openapi.json for what is taken here."
"""The cure of a fault that is not named below and does not tell its own."""

_KNOWN_STATUSES: Mapping[int, tuple[str, str, str]] = {
    400: ("bad-request", "The request cannot be read", ""),
    401: ("unauthenticated", "Sign in to do this", ""),
    403: ("forbidden", "You may not do this", ""),
    404: ("not-found", "There is nothing here", ""),
    405: ("method-not-allowed", "This address does not take that method", "See the Allow header."),
    413: ("too-large", "The request is too large", "Send less at once, or in several requests."),
}

_CURES: Mapping[str, str] = {
    "missing": "Add it.",
    "extra_forbidden": "Remove it, or check its spelling.",
    "json_invalid": "Send valid JSON in UTF-8, nested a few levels at most.",
    "string_too_long": "Shorten it to {max_length} characters or fewer.",
    "string_too_short": "Write at least {min_length} characters.",
    "too_long": "Send {max_length} items or fewer.",
    "too_short": "Send at least {min_length} items.",
    "greater_than": "Use a number above {gt}.",
    "greater_than_equal": "Use {ge} or more.",
    "less_than": "Use a number below {lt}.",
    "less_than_equal": "Use {le} or less.",
    "enum": "Use one of {expected}.",
    "literal_error": "Use one of {expected}.",
    "int_parsing": "Write a whole number.",
    "int_type": "Write a whole number.",
    "int_from_float": "Write a whole number.",
    "int_parsing_size": "Write a smaller number.",
    "finite_number": "Write a finite number.",
    "float_type": "Write a number.",
    "float_parsing": "Write a number.",
    "bool_parsing": "Write true or false.",
    "bool_type": "Write true or false.",
    "uuid_type": "Write a UUID, such as 0b0d2c6e-6c1e-4a36-9d0e-2f1f6a2b7c11.",
    "uuid_parsing": "Write a UUID, such as 0b0d2c6e-6c1e-4a36-9d0e-2f1f6a2b7c11.",
    "date_from_datetime_parsing": "Write a date as 2026-03-12.",
    "date_from_datetime_inexact": "Write a date as 2026-03-12.",
    "date_parsing": "Write a date as 2026-03-12.",
    "date_type": "Write a date as 2026-03-12.",
    "datetime_type": "Write a moment as 2026-03-12T14:00:00Z.",
    "datetime_object_invalid": "Write a moment as 2026-03-12T14:00:00Z.",
    "datetime_parsing": "Write a moment as 2026-03-12T14:00:00Z.",
    "datetime_from_date_parsing": "Write a moment as 2026-03-12T14:00:00Z.",
    "timezone_aware": "Add the zone: 2026-03-12T14:00:00Z.",
    "string_type": "Send text.",
    "string_unicode": "Send text in UTF-8.",
    "string_pattern_mismatch": "Write it in the form {pattern}.",
    "list_type": "Send a list.",
    "dict_type": "Send an object.",
    "model_attributes_type": "Send a JSON object, with Content-Type: application/json.",
}


def _field_problem(item: Mapping[str, Any]) -> FieldProblem:
    kind = str(item["type"])
    area, *rest = item["loc"] or ("body",)
    context = {name: value for name, value in (item.get("ctx") or {}).items() if name != "error"}
    try:
        # What our own checks raise tells its cure itself.
        fallback = "" if kind == "value_error" else _SEE_DESCRIPTION
        cure = _CURES.get(kind, fallback).format(**context)
    except KeyError:
        cure = _SEE_DESCRIPTION
    path = [str(part).replace("~", "~0").replace("/", "~1") for part in rest]
    detail = str(item["msg"]).removeprefix("Value error, ")
    if area == "header":
        return FieldProblem(detail, cure, header=".".join(map(str, rest)), code=kind)
    if area in ("query", "path", "cookie"):
        return FieldProblem(detail, cure, parameter=".".join(map(str, rest)), code=kind)
    pointer = "#" if kind == "json_invalid" else "#/" + "/".join(path) if path else "#"
    return FieldProblem(detail, cure, pointer=pointer, code=kind)
