"""The cookie that carries a person's token in a browser."""

from datetime import timedelta

from starlette.responses import Response

__all__ = ["SESSION_COOKIE", "SESSION_LIFETIME", "clear_session", "set_session"]

SESSION_COOKIE = "nutmeg_session"
SESSION_LIFETIME = timedelta(hours=12)


def set_session(
    response: Response, token: str, *, is_https: bool, lifetime: timedelta = SESSION_LIFETIME
) -> None:
    """Sign the browser in for ``lifetime``, the token's. SameSite=Lax: links from mails arrive signed in."""
    response.set_cookie(
        SESSION_COOKIE,
        token,
        max_age=int(lifetime.total_seconds()),
        path="/",
        secure=is_https,
        httponly=True,
        samesite="lax",
    )


def clear_session(response: Response, *, is_https: bool) -> None:
    """Sign the browser out."""
    response.delete_cookie(SESSION_COOKIE, path="/", secure=is_https, httponly=True, samesite="lax")
