"""Refuses query parameters that an operation of the API does not have: a misspelt filter would not filter.

What an operation has is what its route and dependencies declare. Pages take anything: links to them are
passed around, and gather parameters of their own on the way.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, params
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute, iter_route_contexts
from rapidfuzz import fuzz
from starlette.requests import Request

from shared.http.problems import FieldProblem, ProblemError

__all__ = ["QueryParameters", "refuse_unknown_parameters"]

API_PREFIX = "/api/v1/"
TOLD_MAX = 10
CHARACTERS_TOLD_MAX = 100
SEE_DESCRIPTION = "Nothing was looked up or changed; see /api/v1/openapi.json for what is taken here."
ELSEWHERE = (params.Path, params.Header, params.Cookie)


class QueryParameters:
    """What each operation of an application takes in its query."""

    def __init__(self, app: FastAPI) -> None:
        self._routes: list[APIRoute] = []
        """Kept, so that no other object can get the id of one."""
        self._names: dict[int, frozenset[str]] = {}
        for context in iter_route_contexts(app.routes):
            route = context.original_route
            if isinstance(route, APIRoute):
                self._routes.append(route)
                self._names[id(route)] = self.of(route) | _declared(getattr(context, "dependant", None))

    def of(self, route: object) -> frozenset[str]:
        """Return the names that a route takes, wherever it is included."""
        return self._names.get(id(route), frozenset())


async def refuse_unknown_parameters(request: Request) -> None:
    """A dependency of every route. Raises the 422 problem naming each parameter, and those there are."""
    if not request.query_params or not request.url.path.startswith(API_PREFIX):
        return
    known: QueryParameters = request.app.state.query_parameters
    names = known.of(request.scope.get("route"))
    unknown = [name for name in dict.fromkeys(request.query_params.keys()) if name not in names]
    if unknown:
        count = "1 parameter is" if len(unknown) == 1 else f"{len(unknown)} parameters are"
        raise ProblemError(
            422,
            "unknown-parameter",
            "The address has a parameter that is not known here",
            f"{count} not known. {SEE_DESCRIPTION}",
            errors=_problems(unknown[:TOLD_MAX], names),
        )


def _problems(unknown: Iterable[str], names: Collection[str]) -> Sequence[FieldProblem]:
    return [
        FieldProblem(
            "This operation has no such parameter.",
            f"Use one of {', '.join(_nearest_first(name, names))}." if names else "Remove it.",
            parameter=name[:CHARACTERS_TOLD_MAX],
            code="unknown",
        )
        for name in unknown
    ]


def _nearest_first(name: str, names: Collection[str]) -> list[str]:
    asked = name[:CHARACTERS_TOLD_MAX].lower()
    likeness: Mapping[str, float] = {one: fuzz.ratio(asked, one.lower()) for one in names}
    return sorted(names, key=lambda one: (-likeness[one], one))


def _declared(dependant: Any) -> frozenset[str]:
    if dependant is None:
        return frozenset()
    # Fields of a model that is taken from the query have no place of their own.
    flat = get_flat_params(dependant)
    return frozenset(field.alias for field in flat if not isinstance(field.field_info, ELSEWHERE))
