"""The headers that tell a browser to trust nothing but this installation's own pages.

Names and values follow the OWASP Secure Headers project. A route may set its own value of any of them.
"""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["CONTENT_SECURITY_POLICY", "SecurityHeadersMiddleware"]

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    # Most answers depend on who asks; none may stand in a cache that others share, unless a route says so.
    "Cache-Control": "private, no-cache",
}
_HSTS = "max-age=31536000; includeSubDomains"


class SecurityHeadersMiddleware:
    """Adds the headers to every answer, errors included. HSTS only where people come by https."""

    def __init__(self, app: ASGIApp, *, is_https: bool) -> None:
        self._app = app
        self._headers = _HEADERS | ({"Strict-Transport-Security": _HSTS} if is_https else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                if _is_personal(scope, headers):
                    headers["Cache-Control"] = "no-store"
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _is_personal(scope: Scope, headers: MutableHeaders) -> bool:
    """Whether the answer was made for one person's browser, or gives it a cookie.

    Not even that browser keeps it: after a sign-out, the next person at it must not go back to it.
    """
    if "set-cookie" in headers:
        return True
    viewer = scope.get("state", {}).get("viewer")
    if viewer is None or not viewer.is_signed_in or headers["cache-control"].startswith("public"):
        return False
    is_page = headers.get("content-type", "").startswith("text/html")
    return is_page or not scope["state"]["is_bearer"]
