"""No request hands a database an integer that it cannot take: each one that a route takes has its bounds."""

from collections.abc import Iterator
from typing import Any

import annotated_types
from fastapi import APIRouter, FastAPI
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import BaseModel, SecretStr

from services.host.bootstrap_cluster import CLUSTER_SERVICES
from services.host.operations.api import build_operations_api
from shared.process.context import cluster_context
from shared.process.settings import ClusterSettings
from shared.store.types import SIGNED_64_BITS_MAX


def test_every_integer_of_a_request_is_bounded_to_what_both_databases_take() -> None:
    settings = ClusterSettings(
        database_url=SecretStr("postgresql+asyncpg://one:secret@127.0.0.1/one"),
        signing_key=SecretStr("ab" * 32),
    )
    for build in CLUSTER_SERVICES.values():
        assert unbounded(*build(cluster_context(settings)).service.routers) == []
    assert unbounded(build_operations_api(None)) == []  # type: ignore[arg-type]  # routes only


def test_one_without_bounds_is_noticed() -> None:
    class Order(BaseModel):
        many: list[int | None]
        large: int

    router = APIRouter()

    @router.post("/orders/{number}")
    async def take(number: int, order: Order) -> None:
        """Take an order."""

    assert unbounded(router) == [
        "/orders/{number}: large",
        "/orders/{number}: many",
        "/orders/{number}: number",
    ]


def unbounded(*routers: APIRouter) -> list[str]:
    """Return the integers that routes take without an upper bound, each with its route."""
    app = FastAPI(openapi_url=None)
    for router in routers:
        app.include_router(router)
    return sorted(
        f"{route.path}: {name}"
        for route in iter_route_contexts(app.routes)
        if isinstance(route.original_route, APIRoute)
        for name in fields_of(route.original_route)
    )


def fields_of(route: APIRoute) -> Iterator[str]:
    """Yield the names of a route's integers without an upper bound."""
    for field in (*get_flat_params(route.dependant), *([route.body_field] if route.body_field else [])):
        yield from unbounded_in(field.name, field.field_info.annotation, field.field_info.metadata)


def unbounded_in(name: str, annotation: Any, metadata: list[Any]) -> Iterator[str]:
    """Yield ``name`` for an integer above all bounds, and those within a model."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for inner, info in annotation.model_fields.items():
            yield from unbounded_in(inner, info.annotation, info.metadata)
        return
    bounds: list[Any] = [each.le for each in metadata if isinstance(each, annotated_types.Le)]
    bounds += [each.lt for each in metadata if isinstance(each, annotated_types.Lt)]
    if annotation is int and not any(bound <= SIGNED_64_BITS_MAX for bound in bounds):
        yield name
    for inner in getattr(annotation, "__args__", ()):
        yield from unbounded_in(name, inner, [*metadata, *getattr(inner, "__metadata__", ())])
