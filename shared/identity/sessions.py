"""The cookie that carries a person's token in a browser."""

from datetime import timedelta

from starlette.responses import Response

__all__ = ["SESSION_LIFETIME", "clear_session", "session_cookie", "set_session"]

SESSION_LIFETIME = timedelta(hours=12)
_NAME = "nutmeg_session"


def session_cookie(*, is_https: bool) -> str:
    """Return the cookie's name.

    Under https a browser takes a ``__Host-`` cookie from this very host alone, by https (RFC 6265bis, section
    4.1.3.2): no neighbor below the same domain can plant one.
    """
    return f"__Host-{_NAME}" if is_https else _NAME


def set_session(
    response: Response, token: str, *, is_https: bool, lifetime: timedelta = SESSION_LIFETIME
) -> None:
    """Sign the browser in for ``lifetime``, the token's. SameSite=Lax: links from mails arrive signed in."""
    response.set_cookie(
        session_cookie(is_https=is_https),
        token,
        max_age=int(lifetime.total_seconds()),
        path="/",
        secure=is_https,
        httponly=True,
        samesite="lax",
    )


def clear_session(response: Response, *, is_https: bool) -> None:
    """Sign the browser out."""
    response.delete_cookie(
        session_cookie(is_https=is_https), path="/", secure=is_https, httponly=True, samesite="lax"
    )
