"""A file profiled while somebody waits. Nothing of it is kept."""

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import TypeAdapter

from services.quality.profiling.commands import Profiling
from services.quality.profiling.domain.files import ProfileError, ProfilerUnavailableError
from services.quality.profiling.domain.profile import Profile
from shared.http.conditional import conditional_response
from shared.http.problems import FieldProblem, ProblemError
from shared.http.viewing import access
from shared.identity.viewer import STEWARDING_ROLES

__all__ = ["build_profiling_api", "profile_document"]

_PROFILE = TypeAdapter(Profile)


def build_profiling_api(profiling: Profiling, *, upload_bytes_max: int) -> APIRouter:
    """Return the route that profiles an upload, of at most so many bytes."""
    router = APIRouter(prefix="/api/v1/quality", tags=["quality"])

    @router.post("/profile", dependencies=[access(*STEWARDING_ROLES, body_bytes_max=upload_bytes_max)])
    async def profile_upload(request: Request) -> Response:
        """Profile the CSV file that is the request's body. Nothing of it is kept."""
        body = await request.body()
        if not body:
            raise _unprofiled("The request has no body.", "Send the file as the request's body.")
        try:
            profile = await profiling.profiler.profile(
                body, request.headers.get("content-type"), profiling.limits
            )
        except ProfileError as error:
            raise _unprofiled(str(error), "Send a table as CSV in UTF-8, with one header row.") from error
        except ProfilerUnavailableError as error:
            raise ProblemError(
                503,
                "unavailable",
                "Files cannot be profiled just now",
                "Try again in a minute.",
                headers={"Retry-After": "60"},
            ) from error
        return conditional_response(request, profile_document(profile), cache_control="no-store")

    return router


def profile_document(profile: Profile) -> dict[str, Any]:
    """Return a whole profile, examples and preview included: for whoever brought the file.

    Text has no minimum and maximum here either: what comes first in the alphabet says nothing.
    """
    document: dict[str, Any] = _PROFILE.dump_python(profile, mode="json")
    for column, shown in zip(profile.columns, document["columns"], strict=True):
        shown["minimum"], shown["maximum"] = column.span
    return document


def _unprofiled(detail: str, cure: str) -> ProblemError:
    return ProblemError(
        422,
        "unreadable-file",
        "The file cannot be profiled",
        detail,
        errors=[FieldProblem(detail, cure, pointer="#", code="unreadable")],
    )
