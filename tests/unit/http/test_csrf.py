"""Foreign pages cannot act with a browser's cookie."""

from typing import Annotated

import pytest
from fastapi import APIRouter, Form
from starlette.requests import Request

from shared.http.csrf import CSRFTokens
from shared.http.viewing import ViewerDependency, access
from shared.telemetry.metrics import Metrics
from tests.unit.http.application import SIGNING_KEY, STEWARD, build, client

router = APIRouter()


@router.get("/form", dependencies=[access("public")])
async def show_form(request: Request) -> dict[str, str]:
    return {"csrf_token": request.state.csrf_token}


@router.post("/declared-form", dependencies=[access("public")])
async def take_declared_form(title: Annotated[str, Form()]) -> dict[str, str]:
    return {"title": title}


@router.post("/read-form", dependencies=[access("signed-in")])
async def read_form(request: Request) -> dict[str, str]:
    form = await request.form()
    return {"title": str(form["title"])}


@router.post("/api/v1/json", dependencies=[access("signed-in")])
async def take_json(body: dict[str, str]) -> dict[str, str]:
    return body


@router.post("/api/v1/hits", dependencies=[access("public", takes_cross_site=True)])
async def take_hit(viewer: ViewerDependency) -> dict[str, bool]:
    return {"is_signed_in": viewer.is_signed_in}


TOKEN_ID = STEWARD.token_id or ""


@pytest.mark.parametrize("path", ["/declared-form", "/read-form"])
@pytest.mark.parametrize("is_multipart", [False, True])
async def test_our_own_form_is_taken_and_its_fields_reach_the_route(path: str, is_multipart: bool) -> None:
    async with client(build(router), cookie="steward-token") as http:
        token = (await http.get("/form")).json()["csrf_token"]
        fields = {"title": "Lead in water", "csrf_token": token}
        files = {"file": ("a.csv", b"a,b\n1,2\n")} if is_multipart else None
        answer = await http.post(path, data=fields, files=files)
    assert answer.status_code == 200
    assert answer.json() == {"title": "Lead in water"}


@pytest.mark.parametrize("token", [None, "", "x", ".", "0123456789abcdef." + "0" * 64, "é.ü"])
async def test_a_form_without_the_right_token_is_refused(token: str | None) -> None:
    async with client(build(router), cookie="steward-token") as http:
        fields = {"title": "x"} | ({} if token is None else {"csrf_token": token})
        answer = await http.post("/read-form", data=fields)
    assert answer.status_code == 403
    assert answer.json()["type"] == "urn:nutmeg:problem:csrf"


async def test_the_token_of_another_session_is_refused() -> None:
    foreign = CSRFTokens(SIGNING_KEY).issue("operator-token-id")
    metrics = Metrics()
    async with client(build(router, metrics=metrics), cookie="steward-token") as http:
        answer = await http.post("/read-form", data={"title": "x", "csrf_token": foreign})
    assert answer.status_code == 403
    assert metrics.value("nutmeg_http_refusals_total", reason="csrf") == 1


async def test_a_script_of_our_own_page_sends_the_token_in_a_header() -> None:
    token = CSRFTokens(SIGNING_KEY).issue(TOKEN_ID)
    async with client(build(router), cookie="steward-token") as http:
        refused = await http.post("/api/v1/json", json={"a": "b"})
        taken = await http.post("/api/v1/json", json={"a": "b"}, headers={"X-CSRF-Token": token})
    assert (refused.status_code, taken.status_code) == (403, 200)


async def test_a_bearer_token_needs_no_csrf_token_from_anywhere() -> None:
    headers = {"Origin": "https://elsewhere.example", "Sec-Fetch-Site": "cross-site"}
    async with client(build(router), token="steward-token") as http:
        answer = await http.post("/api/v1/json", json={"a": "b"}, headers=headers)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "http://127.0.0.1:8080"}, 200),
        ({"Origin": "http://127.0.0.1:9999"}, 403),
        ({"Origin": "https://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
@pytest.mark.parametrize("cookie", [None, "steward-token"])
async def test_what_the_browser_says_of_the_page_decides_even_with_the_right_token(
    headers: dict[str, str], status: int, cookie: str | None
) -> None:
    fields = {"title": "x", "csrf_token": CSRFTokens(SIGNING_KEY).issue(TOKEN_ID)}
    async with client(build(router), cookie=cookie) as http:
        answer = await http.post("/declared-form", data=fields, headers=headers)
    assert answer.status_code == status


async def test_a_beacon_from_a_foreign_page_is_taken_without_the_cookie_s_rights() -> None:
    app = build(router)
    async with client(app, cookie="steward-token") as http:
        foreign = await http.post("/api/v1/hits", headers={"Sec-Fetch-Site": "cross-site"})
        own = await http.post("/api/v1/hits", headers={"Sec-Fetch-Site": "same-origin"})
    assert foreign.json() == {"is_signed_in": False}
    assert own.json() == {"is_signed_in": True}


def test_every_page_has_a_token_of_its_own() -> None:
    tokens = CSRFTokens(SIGNING_KEY)
    first, second = tokens.issue(TOKEN_ID), tokens.issue(TOKEN_ID)
    assert first != second
    assert tokens.is_valid(first, TOKEN_ID)
    assert tokens.is_valid(second, TOKEN_ID)
