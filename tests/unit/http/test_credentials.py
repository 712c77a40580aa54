"""A cookie keeps its checks, private pages are kept nowhere, and who finds a weakness finds an address."""

from datetime import UTC, datetime

import pytest
from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

from shared.http.security_contact import SECURITY_TXT, operator_notices
from shared.http.settings import HTTPSettings
from shared.http.viewing import ViewerDependency, access
from shared.identity.sessions import set_session
from tests.unit.http.application import build, client

router = APIRouter()
HTTPS = HTTPSettings(base_url="https://data.example.gov")


@router.post("/api/v1/thing", dependencies=[access("signed-in")])
async def change_thing(viewer: ViewerDependency) -> dict[str, str]:
    return {"viewer": viewer.display_name}


@router.get("/page", dependencies=[access("public")])
async def show_page(viewer: ViewerDependency) -> Response:
    return HTMLResponse(f"<p>{viewer.display_name}</p>")


@router.get("/tagged", dependencies=[access("public")])
async def show_tagged() -> Response:
    return HTMLResponse("<p>tagged</p>", headers={"Cache-Control": "private, no-cache", "ETag": '"1"'})


@router.get("/open", dependencies=[access("public")])
async def show_open() -> Response:
    return HTMLResponse("<p>open</p>", headers={"Cache-Control": "public, max-age=60"})


@router.get("/enter", dependencies=[access("public")])
async def enter() -> Response:
    response = HTMLResponse("<p>Welcome</p>")
    set_session(response, "steward-token", is_https=True)
    return response


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "Bearer nonsense", "Token steward-token", "steward-token", "Bearer  "]
)
@pytest.mark.parametrize("path", ["/api/v1/thing", "/page"])
async def test_a_header_without_a_valid_token_is_401_and_never_the_cookie_s_rights(
    header: str, path: str
) -> None:
    async with client(build(router), cookie="steward-token") as http:
        method = "POST" if path.startswith("/api/") else "GET"
        answer = await http.request(method, path, headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_what_a_proxy_asks_of_browsers_lifts_no_check_of_the_cookie() -> None:
    async with client(build(router), cookie="steward-token") as http:
        basic = {"Authorization": "Basic dTpw"}
        assert (await http.get("/page", headers=basic)).text == "<p>Steward</p>"
        assert (await http.post("/api/v1/thing", headers=basic)).status_code == 403  # no CSRF token
        both = [("Authorization", "Basic dTpw"), ("Authorization", "Bearer steward-token")]
        assert (await http.post("/api/v1/thing", headers=both)).status_code == 401


async def test_a_valid_token_needs_no_token_of_a_form() -> None:
    async with client(build(router), cookie="operator-token", token="steward-token") as http:
        answer = await http.post("/api/v1/thing")
    assert answer.json() == {"viewer": "Steward"}


async def test_private_pages_are_kept_nowhere() -> None:
    app = build(router)
    async with client(app, cookie="steward-token") as http:
        private = [await http.get(path) for path in ("/page", "/tagged")]
        shared = await http.get("/open")
    async with client(app, token="steward-token") as http:
        private.append(await http.get("/page"))
    async with client(app) as http:
        private.append(await http.get("/enter"))
        anybody = await http.get("/tagged")
    assert {answer.headers["cache-control"] for answer in private} == {"no-store"}
    assert shared.headers["cache-control"] == "public, max-age=60"
    assert anybody.headers["cache-control"] == "private, no-cache"


async def test_under_https_the_cookie_is_this_host_s_own() -> None:
    base = "https://data.example.gov"
    app = build(router, settings=HTTPS)
    async with client(app, base_url=base) as http:
        (given,) = (await http.get("/enter")).headers.get_list("set-cookie")
        assert given.startswith("__Host-nutmeg_session=steward-token;")
        assert "Secure" in given
        assert "Path=/" in given
        assert "domain" not in given.lower()
        assert (await http.get("/page")).text == "<p>Steward</p>"
    async with client(app, base_url=base, cookie="steward-token") as http:
        assert (await http.get("/page")).text == "<p>Visitor</p>"  # a neighbor may have planted that name


async def test_a_security_contact_is_told_as_rfc_9116_wants_it() -> None:
    settings = HTTPSettings(security_contact="mailto:security@example.gov")
    async with client(build(router, settings=settings)) as http:
        answer = await http.get(SECURITY_TXT)
    fields = dict(line.split(": ", 1) for line in answer.text.splitlines())
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert fields["Contact"] == "mailto:security@example.gov"
    assert fields["Canonical"] == "http://127.0.0.1:8080/.well-known/security.txt"
    assert datetime.fromisoformat(fields["Expires"]).tzinfo == UTC
    assert operator_notices(settings) == ()


async def test_without_one_there_is_no_file_and_the_operator_is_told() -> None:
    async with client(build(router)) as http:
        assert (await http.get(SECURITY_TXT)).status_code == 404
    assert "NUTMEG_HTTP_SECURITY_CONTACT" in operator_notices(HTTPSettings())[0]
    with pytest.raises(ValueError, match="mailto:"):
        HTTPSettings(security_contact="security@example.gov")
