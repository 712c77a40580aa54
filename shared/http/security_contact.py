"""``/.well-known/security.txt`` (RFC 9116): where somebody who found a weakness can tell it."""

from collections.abc import Sequence
from datetime import timedelta

from fastapi import APIRouter
from starlette.responses import PlainTextResponse, Response

from shared.clock import Clock
from shared.http.problems import ProblemError
from shared.http.settings import HTTPSettings
from shared.http.viewing import access

__all__ = ["SECURITY_TXT", "operator_notices", "security_contact_router"]

SECURITY_TXT = "/.well-known/security.txt"
VALID_FOR = timedelta(days=180)
"""RFC 9116, section 2.5.5, advises less than a year; it is written anew at each request."""


def security_contact_router(settings: HTTPSettings, clock: Clock) -> APIRouter:
    """Return the route. It answers 404 where no contact is set: a made-up one would swallow reports."""
    router = APIRouter(tags=["operations"], dependencies=[access("public")])

    @router.get(SECURITY_TXT, include_in_schema=False)
    async def show_contact() -> Response:
        if not settings.security_contact:
            raise ProblemError(
                404,
                "not-found",
                "There is no security contact",
                "This installation names none. Its operator sets NUTMEG_HTTP_SECURITY_CONTACT.",
            )
        expires = (clock.now() + VALID_FOR).replace(hour=0, minute=0, second=0, microsecond=0)
        lines = (
            f"Contact: {settings.security_contact}",
            f"Expires: {expires.isoformat().replace('+00:00', 'Z')}",
            "Preferred-Languages: en",
            f"Canonical: {settings.base_url}{SECURITY_TXT}",
        )
        return PlainTextResponse("\n".join(lines) + "\n", headers={"Cache-Control": "public, max-age=3600"})

    return router


def operator_notices(settings: HTTPSettings) -> Sequence[str]:
    """Return, in words, what an operator may want to set."""
    if settings.security_contact:
        return ()
    notice = (
        "No contact for security reports is set, so /.well-known/security.txt is not there. "
        "Set NUTMEG_HTTP_SECURITY_CONTACT, for example to mailto:security@example.gov."
    )
    return (notice,)
