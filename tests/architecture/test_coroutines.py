"""Nothing that answers requests is sent to a thread: what FastAPI calls is a coroutine, dependencies too."""

import inspect
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import SecretStr

from services.host.bootstrap_cluster import CLUSTER_SERVICES
from shared.http.cursors import CursorDependency
from shared.http.viewing import ViewerDependency
from shared.process.context import cluster_context
from shared.process.settings import ClusterSettings


def calls_of(dependant: Any) -> Iterator[Any]:
    if dependant.call is not None:
        yield dependant.call
    for inner in dependant.dependencies:
        yield from calls_of(inner)


def is_coroutine(call: Any) -> bool:
    called = call if inspect.isroutine(call) else type(call).__call__
    return inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called)


def threaded(*routers: APIRouter) -> list[str]:
    """Return what the routes of routers would run in threads."""
    app = FastAPI(openapi_url=None)
    for router in routers:
        app.include_router(router)
    return [
        f"{route.path}: {getattr(call, '__qualname__', call)}"
        for route in iter_route_contexts(app.routes)
        if isinstance(route.original_route, APIRoute)
        for call in calls_of(route.original_route.dependant)
        if not is_coroutine(call)
    ]


def test_no_route_and_no_dependency_is_run_in_a_thread() -> None:
    settings = ClusterSettings(
        database_url=SecretStr("postgresql+asyncpg://one:secret@127.0.0.1/one"),
        signing_key=SecretStr("ab" * 32),
    )
    for build in CLUSTER_SERVICES.values():
        assert threaded(*build(cluster_context(settings)).service.routers) == []


def test_one_that_would_be_is_noticed() -> None:
    router = APIRouter()

    @router.get("/threaded")
    def answer(viewer: ViewerDependency, cursors: CursorDependency) -> None:
        """Wait in a thread."""

    assert threaded(router) == [f"/threaded: {answer.__qualname__}"]
