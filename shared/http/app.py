"""The one way to build an HTTP application: every service and the one-process host call :func:`build_app`.

Layers, from the outside in; each is there for those inside it:

1. client, scheme and host as a trusted proxy tells them, where there is one
2. security headers (on every answer, errors too)
3. request id, trace, access log, metrics, and the answer to what nobody handled
4. HEAD wherever there is GET, and what has not been modified
5. Host header
6. compression
7. body size
8. who looks (token or cookie)
9. rate limit (it counts per token, so it comes after 8)
10. what pages of other sites may read
11. problems made of exceptions, then the routes, each behind its declared access (CSRF included)
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from limits import parse
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import Lifespan

from shared.clock import Clock
from shared.http.csrf import CSRFTokens
from shared.http.cursors import CursorCodec
from shared.http.forms import form_shown_again, remember_form
from shared.http.gates import BodyLimitMiddleware, BodyLimitOverride, HostMiddleware, RateLimitMiddleware
from shared.http.json_bodies import JSONBodyMiddleware, RawBodyRoute
from shared.http.local_clients import LocalClients
from shared.http.networks import Network
from shared.http.probes import Readiness, no_troubles, probe_router
from shared.http.problem_pages import problem_page
from shared.http.problems import ProblemDocument, install_problem_handlers, problem_responses
from shared.http.proxies import TrustedProxyMiddleware
from shared.http.query_parameters import QueryParameters, refuse_unknown_parameters
from shared.http.reading import CrossOriginMiddleware, ReadableRoute, ReadingMiddleware
from shared.http.request_context import RequestContextMiddleware
from shared.http.security_contact import security_contact_router
from shared.http.security_headers import SecurityHeadersMiddleware
from shared.http.settings import HTTPSettings
from shared.http.streams import EventStreams
from shared.http.texts import refuse_nul_characters
from shared.http.viewing import Access, ViewerMiddleware, declared_access
from shared.identity.principals import Authenticator
from shared.identity.signing_key import SigningKey
from shared.telemetry.metrics import Metrics
from shared.web.static_files import mount_static
from shared.web.templating import build_templates

__all__ = ["OPENAPI_PATH", "build_app", "routes_without_access"]

OPENAPI_PATH = "/api/v1/openapi.json"
COMPRESSED_BYTES_MIN = 1024


def build_app(
    *,
    title: str,
    routers: Sequence[APIRouter],
    authenticator: Authenticator,
    signing_key: SigningKey,
    metrics: Metrics,
    clock: Clock,
    installation: str,
    settings: HTTPSettings,
    readiness: Readiness,
    version: str = "0.1.0",
    lifespan: Lifespan[FastAPI] | None = None,
    before_scrape: Sequence[Callable[[], Awaitable[None]]] = (),
    trusted_proxies: Sequence[Network] = (),
    troubles: Readiness = no_troubles,
) -> FastAPI:
    """Build the application. Raises ``ValueError`` for a route without exactly one declared access.

    ``readiness`` returns why the process cannot serve, nothing when it can, and ``troubles`` what else does
    not work in it; ``before_scrape`` is awaited before each reading of the metrics, to set gauges that only a
    query can tell. ``trusted_proxies`` are the
    networks whose forwarding headers count.
    """
    csrf_tokens = CSRFTokens(signing_key)
    local_clients = LocalClients(settings, trusted_proxies, metrics)
    facts = _RouteFacts()
    app = FastAPI(
        title=title,
        version=version,
        lifespan=lifespan,
        openapi_url=OPENAPI_PATH,
        docs_url=None,
        redoc_url=None,
        dependencies=[
            Depends(remember_form),
            Depends(refuse_nul_characters),
            Depends(refuse_unknown_parameters),
        ],
        responses=problem_responses(400, 401, 403, 404, 422, 429, 503),
        middleware=[
            *([Middleware(TrustedProxyMiddleware, networks=trusted_proxies)] if trusted_proxies else []),
            *_layers(authenticator, csrf_tokens, metrics, settings, facts, local_clients),
        ],
    )
    app.state.http_settings = settings
    app.state.installation_name = installation
    app.state.now = clock.now
    app.state.csrf_tokens = csrf_tokens
    app.state.metrics = metrics
    app.state.cursors = CursorCodec(signing_key)
    app.state.event_streams = EventStreams(settings, authenticator, metrics)
    app.state.trusted_proxies = tuple(trusted_proxies)
    app.state.idempotent_requests_running = set()
    app.state.render_problem_page = problem_page(build_templates())
    app.state.show_form_again = form_shown_again
    install_problem_handlers(app)
    for router in (
        *routers,
        security_contact_router(settings, clock),
        probe_router(metrics, readiness, before_scrape, local_clients, troubles),
    ):
        app.include_router(router)
    mount_static(app)
    _describe_problems(app)
    _refuse_undeclared(app)
    facts.learn(app)
    app.state.query_parameters = QueryParameters(app)
    return app


@dataclass(frozen=True, slots=True)
class _RouteFacts:
    """What layers know of the routes. They are built before the routes are there, and learn it then."""

    overrides: list[BodyLimitOverride] = field(default_factory=list)
    raw_routes: list[RawBodyRoute] = field(default_factory=list)
    reads: list[ReadableRoute] = field(default_factory=list)

    def learn(self, app: FastAPI) -> None:
        self.overrides.extend(_body_limits(app))
        self.raw_routes.extend(_raw_body_routes(app))
        self.reads.extend(_readable_routes(app))


def routes_without_access(app: FastAPI) -> list[str]:
    """Return the routes of included routers that do not declare exactly one access."""
    return [
        f"{'/'.join(sorted(route.methods or ()))} {route.path}"
        for route in iter_route_contexts(app.routes)
        if _is_ours(route) and len(_access_of(route)) != 1
    ]


def _refuse_undeclared(app: FastAPI) -> None:
    if undeclared := routes_without_access(app):
        raise ValueError(
            "these routes do not say who may call them, or say it twice; give each (or its router) "
            f'dependencies=[access("public")] or access(Role.…): {", ".join(undeclared)}'
        )


def _is_ours(route: RouteContext) -> bool:
    return isinstance(route.original_route, APIRoute) or (
        # A plain Starlette route knows no dependencies, hence no access; only OpenAPI's own may be one.
        route.methods is not None and route.path != OPENAPI_PATH
    )


def _access_of(route: RouteContext) -> list[Access]:
    dependant = getattr(route, "dependant", None)
    return [] if dependant is None else list(declared_access(dependant))


def _readable_routes(app: FastAPI) -> list[ReadableRoute]:
    return [
        ReadableRoute(
            route.path_regex,
            frozenset(route.methods or ()),
            is_public=route.path == OPENAPI_PATH
            or (any(access.is_public for access in _access_of(route)) and not _is_probe(route)),
        )
        for route in iter_route_contexts(app.routes)
        if route.methods
    ]


def _is_probe(route: RouteContext) -> bool:
    # What they tell is for machines of the installation: no page of another site may read it.
    return "operations" in (getattr(route, "tags", None) or ())


def _body_limits(app: FastAPI) -> list[BodyLimitOverride]:
    return [
        BodyLimitOverride(route.path_regex, frozenset(route.methods or ()), access.body_bytes_max)
        for route in iter_route_contexts(app.routes)
        for access in _access_of(route)
        if access.body_bytes_max is not None
    ]


def _raw_body_routes(app: FastAPI) -> list[RawBodyRoute]:
    return [
        RawBodyRoute(route.path_regex, frozenset(route.methods or ()))
        for route in iter_route_contexts(app.routes)
        if isinstance(route.original_route, APIRoute) and route.original_route.body_field is None
    ]


def _layers(
    authenticator: Authenticator,
    csrf_tokens: CSRFTokens,
    metrics: Metrics,
    settings: HTTPSettings,
    facts: _RouteFacts,
    local_clients: LocalClients,
) -> list[Middleware]:
    layers = [
        Middleware(SecurityHeadersMiddleware, is_https=settings.is_https),
        Middleware(RequestContextMiddleware, metrics=metrics),
        Middleware(ReadingMiddleware),
        Middleware(HostMiddleware, hosts=settings.hosts, metrics=metrics),
        Middleware(GZipMiddleware, minimum_size=COMPRESSED_BYTES_MIN, compresslevel=5),
        Middleware(
            BodyLimitMiddleware,
            bytes_max=settings.body_bytes_max,
            overrides=facts.overrides,
            metrics=metrics,
        ),
        Middleware(JSONBodyMiddleware, raw_routes=facts.raw_routes, metrics=metrics),
        Middleware(
            ViewerMiddleware,
            authenticator=authenticator,
            csrf_tokens=csrf_tokens,
            is_https=settings.is_https,
        ),
    ]
    if settings.rate_limit:
        layers.append(
            Middleware(
                RateLimitMiddleware,
                limit=parse(settings.rate_limit),
                local_clients=local_clients,
                metrics=metrics,
            )
        )
    return [*layers, Middleware(CrossOriginMiddleware, reads=facts.reads)]


def _add_usual_answers(method: str, responses: dict[str, Any]) -> None:
    """Add what a route may answer because of its method: what has changed or gone, and what is too large."""
    statuses = (410,) if method == "get" else (409, 410, 412, 413, 428)
    for status, response in problem_responses(*statuses).items():
        responses.setdefault(str(status), response)
    if method == "get":
        responses.setdefault("304", {"description": "Not modified since the ETag that was sent"})


def _describe_problems(app: FastAPI) -> None:
    """Make OpenAPI tell the problem schema, and that errors are problems."""
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        document = describe()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        if "ProblemDocument" not in schemas:
            schema = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(schema.pop("$defs", {}))
            schemas["ProblemDocument"] = schema
            for operations in document.get("paths", {}).values():
                for method, operation in operations.items():
                    _add_usual_answers(method, operation["responses"])
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI documents this as the way to extend it
