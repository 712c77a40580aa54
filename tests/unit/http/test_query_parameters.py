"""Parameters that an operation of the API does not have are refused, and pages take any."""

from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, FastAPI, Query
from pydantic import BaseModel

from shared.http.query_parameters import CHARACTERS_TOLD_MAX, TOLD_MAX
from shared.http.viewing import access
from tests.unit.http.application import build, client


class Filters(BaseModel):
    """A model in the query, with a name that Python could not have."""

    agency: str = ""
    media_type: Annotated[str, Query(alias="media-type")] = ""


def zone(tz: str = "UTC") -> str:
    return tz


def page_size(limit: int = 20) -> int:
    return limit


things = APIRouter()


@things.get("/things/{thing}")
async def show_thing(
    thing: int,
    filters: Annotated[Filters, Query()],
    size: Annotated[int, Depends(page_size)],
    sort: str = "",
    q: Annotated[list[str] | None, Query()] = None,
) -> list[object]:
    return [thing, filters.agency, filters.media_type, size, sort, q]


@things.delete("/things/{thing}")
async def delete_thing(thing: int) -> int:
    return thing


def application() -> FastAPI:
    # Included by a router with a parameter of its own, as operations are.
    api = APIRouter(prefix="/api/v1", dependencies=[access("public"), Depends(zone)])
    api.include_router(things, prefix="/nested")
    both = APIRouter()
    both.include_router(api)
    both.include_router(things, prefix="/pages", dependencies=[access("public")])
    return build(both)


PATH = "/api/v1/nested/things/7"


async def test_everything_that_is_declared_is_taken_wherever_it_is() -> None:
    query = "agency=dot&media-type=csv&limit=5&sort=title&tz=CET&q=a&q=b"
    async with client(application()) as http:
        answer = await http.get(f"{PATH}?{query}")
    assert answer.json() == [7, "dot", "csv", 5, "title", ["a", "b"]]


@pytest.mark.parametrize(
    ("query", "parameter", "nearest"),
    [
        ("limits=5", "limits", "limit"),
        ("LIMIT=5", "LIMIT", "limit"),
        ("media_type=csv", "media_type", "media-type"),
        ("agncy=dot&sort=title", "agncy", "agency"),
        ("thing=8", "thing", "tz"),
    ],
)
async def test_an_unknown_parameter_is_named_with_those_there_are_the_nearest_first(
    query: str, parameter: str, nearest: str
) -> None:
    async with client(application()) as http:
        answer = await http.get(f"{PATH}?{query}")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == "urn:nutmeg:problem:unknown-parameter"
    (error,) = problem["errors"]
    assert (error["parameter"], error["code"]) == (parameter, "unknown")
    assert error["cure"].startswith(f"Use one of {nearest}, ")
    for name in ("agency", "limit", "media-type", "q", "sort", "tz"):
        assert name in error["cure"]


async def test_where_there_is_no_parameter_the_cure_is_to_leave_it_out_before_anything_is_done() -> None:
    api = APIRouter(prefix="/api/v1", dependencies=[access("public")])
    api.include_router(things)
    async with client(build(api)) as http:
        answer = await http.delete("/api/v1/things/7?agency=dot")
    assert answer.status_code == 422
    assert [error["cure"] for error in answer.json()["errors"]] == ["Remove it."]


async def test_many_and_long_unknown_parameters_are_told_in_bounds() -> None:
    long = "x" * 500
    query = "&".join([f"{long}=1", *(f"n{number}=1" for number in range(50)), "n1=2"])
    async with client(application()) as http:
        problem = (await http.get(f"{PATH}?{query}")).json()
    assert problem["detail"].startswith("51 parameters are not known.")
    assert len(problem["errors"]) == TOLD_MAX
    assert problem["errors"][0]["parameter"] == "x" * CHARACTERS_TOLD_MAX


async def test_a_page_takes_whatever_a_link_gathered_on_its_way() -> None:
    async with client(application()) as http:
        answer = await http.get("/pages/things/7?utm_source=mail&sort=title")
    assert answer.json() == [7, "", "", 20, "title", None]
