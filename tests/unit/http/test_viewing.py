"""Doors are shut unless a route opens them, and open to whom it says."""

from typing import Any

import pytest
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from shared.http.app import routes_without_access
from shared.http.viewing import ViewerDependency, access, require
from shared.identity.viewer import Role, TokenScope
from tests.unit.http.application import AGENCY, AWAY_TOKEN, build, client

router = APIRouter()


@router.get("/api/v1/open", dependencies=[access("public")])
async def show_open(viewer: ViewerDependency) -> dict[str, str]:
    return {"viewer": viewer.display_name}


@router.get("/page", dependencies=[access("public")])
async def show_page(viewer: ViewerDependency) -> dict[str, str]:
    return {"viewer": viewer.display_name}


@router.get("/api/v1/mine", dependencies=[access("signed-in")])
async def show_mine(viewer: ViewerDependency) -> dict[str, str]:
    return {"viewer": viewer.display_name}


@router.get("/inbox", dependencies=[access("signed-in")])
async def show_inbox() -> None:
    return None


@router.get("/api/v1/operations", dependencies=[access(Role.OPERATOR)])
async def show_operations() -> dict[str, bool]:
    return {"ok": True}


@router.get("/api/v1/agency", dependencies=[access(Role.STEWARD, Role.OPERATOR)])
async def show_agency(viewer: ViewerDependency, of_all: bool = False) -> dict[str, bool]:
    require(viewer, Role.STEWARD, agency_id=None if of_all else AGENCY)
    return {"ok": True}


@router.get("/api/v1/harvesting", dependencies=[access(Role.OPERATOR, TokenScope.HARVEST)])
async def show_harvesting(viewer: ViewerDependency, of_all: bool = False) -> dict[str, bool]:
    require(viewer, Role.OPERATOR, scope=TokenScope.HARVEST)
    return {"ok": True}


@router.get("/api/v1/seen", dependencies=[access("public", TokenScope.HARVEST)])
async def show_seen(viewer: ViewerDependency) -> dict[str, bool]:
    return {"agency": viewer.may_see("agency", AGENCY), "government": viewer.may_see("government", None)}


@pytest.mark.parametrize(
    ("path", "token", "missing"),
    [
        ("/api/v1/harvesting", "metrics-token", "the scope harvest; this one has metrics"),
        ("/api/v1/harvesting", "unscoped-token", "the scope harvest; this one has no scope"),
        ("/api/v1/operations", "harvest-token", "No scope of a program's token opens this"),
        ("/api/v1/mine", "harvest-token", "No scope of a program's token opens this"),
        ("/metrics", "harvest-token", "the scope metrics; this one has harvest"),
        ("/metrics", "unscoped-token", "the scope metrics; this one has no scope"),
    ],
)
async def test_a_program_is_refused_outside_its_scopes_by_the_name_of_the_missing_one(
    path: str, token: str, missing: str
) -> None:
    async with client(build(router), token=token, address="203.0.113.9") as http:
        answer = await http.get(path)
    assert answer.status_code == 403
    assert answer.json()["type"].endswith("missing-scope")
    assert missing in answer.json()["detail"]
    assert answer.json()["errors"][0]["code"] == "missing_scope"


async def test_a_program_is_let_in_where_a_route_names_its_scope_and_is_a_visitor_on_public_ones() -> None:
    app = build(router)
    async with client(app, token="harvest-token", address="203.0.113.9") as http:
        assert (await http.get("/api/v1/harvesting")).status_code == 200
        assert (await http.get("/api/v1/seen")).json() == {"agency": True, "government": True}
        assert (await http.get("/api/v1/open")).json() == {"viewer": "Requester"}
    async with client(app, token="metrics-token", address="203.0.113.9") as http:
        assert (await http.get("/metrics")).status_code == 200
        assert (await http.get("/api/v1/seen")).json() == {"agency": False, "government": False}


@pytest.mark.parametrize(
    ("path", "token", "status"),
    [
        ("/api/v1/open", None, 200),
        ("/api/v1/open", "steward-token", 200),
        ("/api/v1/open", "bad-token", 401),
        ("/page", "bad-token", 401),
        ("/api/v1/mine", None, 401),
        ("/api/v1/mine", "steward-token", 200),
        ("/api/v1/operations", None, 401),
        ("/api/v1/operations", "steward-token", 403),
        ("/api/v1/operations", "operator-token", 200),
        ("/api/v1/agency", "steward-token", 200),
        ("/api/v1/agency?of_all=true", "steward-token", 403),
        ("/api/v1/agency", "operator-token", 403),
    ],
)
async def test_a_bearer_token_opens_the_doors_of_its_roles(path: str, token: str | None, status: int) -> None:
    async with client(build(router), token=token) as http:
        answer = await http.get(path)
    assert answer.status_code == status
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_cookie_signs_a_browser_in_on_pages_and_api() -> None:
    async with client(build(router), cookie="steward-token") as http:
        answers = [await http.get(path) for path in ("/page", "/api/v1/mine")]
    assert [answer.json() for answer in answers] == [{"viewer": "Steward"}] * 2


async def test_a_store_of_people_that_is_away_is_told_as_passing_and_signs_nobody_out() -> None:
    async with client(build(router), token=AWAY_TOKEN) as program:
        answers = [await program.get("/api/v1/open")]
    async with client(build(router), cookie=AWAY_TOKEN) as browser:
        answers += [await browser.get(path) for path in ("/api/v1/mine", "/page")]
    assert {(answer.status_code, answer.headers["retry-after"]) for answer in answers} == {(503, "5")}
    assert not any("set-cookie" in answer.headers for answer in answers)


async def test_an_expired_cookie_is_dropped_on_pages_and_refused_on_the_api() -> None:
    async with client(build(router), cookie="old-token") as http:
        page = await http.get("/page")
        answer = await http.get("/api/v1/open")
    assert page.json() == {"viewer": "Visitor"}
    assert 'nutmeg_session=""' in page.headers["set-cookie"]
    assert "Max-Age=0" in page.headers["set-cookie"]
    assert answer.status_code == 401
    assert answer.json()["type"] == "urn:nutmeg:problem:token-expired"


async def test_an_anonymous_browser_is_shown_the_way_to_sign_in_and_back() -> None:
    async with client(build(router)) as http:
        page = await http.get("/inbox?state=open", headers={"Accept": "text/html"})
    assert page.status_code == 401
    assert "/sign-in?next=%2Finbox%3Fstate%3Dopen" in page.text


def undeclared() -> APIRouter:
    forgotten = APIRouter()

    @forgotten.get("/api/v1/forgotten")
    async def show() -> None:
        return None

    return forgotten


def declared_twice() -> APIRouter:
    twice = APIRouter(dependencies=[access("public")])

    @twice.get("/api/v1/twice", dependencies=[access(Role.OPERATOR)])
    async def show() -> None:
        return None

    return twice


def nested_and_undeclared() -> APIRouter:
    outer = APIRouter(prefix="/api/v1")
    outer.include_router(undeclared(), prefix="/inner")
    return outer


def plain_starlette() -> APIRouter:
    async def show(request: Request) -> PlainTextResponse:
        return PlainTextResponse("anyone")

    plain = APIRouter()
    plain.add_route("/plain", show)
    return plain


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (undeclared, "GET /api/v1/forgotten"),
        (declared_twice, "GET /api/v1/twice"),
        (nested_and_undeclared, "/inner/api/v1/forgotten"),
        (plain_starlette, "/plain"),
    ],
)
def test_an_application_with_a_route_that_does_not_say_who_may_call_it_once_does_not_start(
    make: Any, named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        build(make())


def test_every_route_of_a_started_application_declares_its_access() -> None:
    assert routes_without_access(build(router)) == []


def test_access_to_nobody_in_particular_is_refused() -> None:
    with pytest.raises(ValueError, match="say who may call"):
        access()
