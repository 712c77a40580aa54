"""Cross-site request forgery: a browser signs requests in by its cookie, also those of foreign pages.

Two locks on every unsafe request that does not carry its own Bearer token: the browser must not say that
it comes from another site (Sec-Fetch-Site, else Origin), and a cookie-signed one must carry the token
that only our own pages know (hidden field ``csrf_token`` or header ``X-CSRF-Token``).
"""

import hashlib
import hmac
import secrets
from urllib.parse import urlsplit

from starlette.requests import Request

from shared.http.problems import FORM_MEDIA_TYPES, FieldProblem, ProblemError
from shared.identity.signing_key import SigningKey
from shared.telemetry.measuring import Measurements

__all__ = ["CSRF_FIELD", "CSRF_HEADER", "CSRFTokens", "check_csrf", "is_form", "is_same_site"]

CSRF_FIELD = "csrf_token"
CSRF_HEADER = "X-CSRF-Token"

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class CSRFTokens:
    """Makes and checks the tokens of a session. They are bound to its sign-in token, so nothing is stored.

    Each page gets a token with a salt of its own: a compressed page then leaks nothing of it (BREACH).
    """

    def __init__(self, key: SigningKey) -> None:
        self._secret = key.derive("csrf")

    def issue(self, token_id: str) -> str:
        """Return a token for the session with this sign-in token."""
        return self._salted(secrets.token_hex(8), token_id)

    def is_valid(self, given: str, token_id: str) -> bool:
        """Tell whether ``given`` was issued for this session."""
        salt = given.partition(".")[0]
        return hmac.compare_digest(given.encode(), self._salted(salt, token_id).encode())

    def _salted(self, salt: str, token_id: str) -> str:
        mark = hmac.new(self._secret, f"{salt}.{token_id}".encode(), hashlib.sha256)
        return f"{salt}.{mark.hexdigest()}"


async def check_csrf(request: Request) -> None:
    """Let a request pass, or raise the 403 problem. Form fields are read at most once per request."""
    if request.method in _SAFE_METHODS or request.state.is_bearer:
        return
    if not is_same_site(request):
        raise _refusal(request, "The request comes from a page of another site.", "Origin")
    token_id = request.state.viewer.token_id
    if token_id is None:
        return
    tokens: CSRFTokens = request.app.state.csrf_tokens
    given = request.headers.get(CSRF_HEADER) or await _form_field(request)
    if not tokens.is_valid(given, token_id):
        raise _refusal(request, "The form is out of date, or was not one of ours.", CSRF_HEADER)


def is_same_site(request: Request) -> bool:
    """Tell whether a request comes from our own pages, or from no page at all."""
    fetch_site = request.headers.get("sec-fetch-site")
    if fetch_site is not None:
        return fetch_site in ("same-origin", "none")
    origin = request.headers.get("origin")
    if origin is None:
        # No browser leaves both out on an unsafe request; a program does, and has no foreign cookie.
        return True
    own = urlsplit(request.app.state.http_settings.base_url).netloc
    return urlsplit(origin).netloc.lower() in (request.headers.get("host", "").lower(), own.lower())


def is_form(request: Request) -> bool:
    """Tell whether the body is a form, whose fields are read with ``await request.form()``."""
    return request.headers.get("content-type", "").startswith(FORM_MEDIA_TYPES)


async def _form_field(request: Request) -> str:
    if not is_form(request):
        return ""
    form = await request.form()
    value = form.get(CSRF_FIELD)
    return value if isinstance(value, str) else ""


def _refusal(request: Request, detail: str, header: str) -> ProblemError:
    metrics: Measurements = request.app.state.metrics
    metrics.count("nutmeg_http_refusals_total", reason="csrf")
    cure = f"Open the page again and send its form, or send its {CSRF_FIELD} in {CSRF_HEADER}."
    return ProblemError(
        403,
        "csrf",
        "This request was not sent from our own page",
        f"{detail} {cure}",
        errors=[FieldProblem(detail, cure, header=header, code="csrf")],
        next_steps=[("Go back, load the page again and send the form once more", "")],
    )
