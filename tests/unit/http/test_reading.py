"""HEAD wherever there is GET, dates, and what pages of other sites may read."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fastapi import APIRouter
from starlette.responses import FileResponse, HTMLResponse, Response, StreamingResponse

from shared.http.viewing import access
from shared.identity.viewer import Role
from shared.telemetry.metrics import Metrics
from tests.unit.http.application import build, client

router = APIRouter()


@router.get("/api/v1/thing", dependencies=[access("public")])
async def show_thing() -> dict[str, str]:
    return {"text": "x" * 3_000}


@router.post("/api/v1/thing", dependencies=[access("signed-in")])
async def change_thing() -> None:
    return None


@router.get("/page", dependencies=[access("public")])
async def show_page() -> Response:
    return HTMLResponse("<p>A page</p>")


@router.get("/api/v1/inside", dependencies=[access(Role.OPERATOR)])
async def show_inside() -> dict[str, bool]:
    return {"ok": True}


@router.get("/api/v1/file", dependencies=[access("public")])
async def show_file() -> Response:
    return FileResponse(Path(__file__), media_type="text/plain")


made: list[int] = []


@router.get("/api/v1/long", dependencies=[access("public")])
async def show_long() -> Response:
    async def lines() -> AsyncIterator[bytes]:
        for number in range(100_000):
            made.append(number)
            yield b"line\n"

    return StreamingResponse(lines(), media_type="text/csv")


@pytest.mark.parametrize(
    "path", ["/api/v1/thing", "/page", "/api/v1/file", "/healthz", "/api/v1/openapi.json"]
)
async def test_head_is_get_without_its_body(path: str) -> None:
    metrics = Metrics()
    app = build(router, metrics=metrics)
    async with client(app) as http:
        got, head = await http.get(path), await http.head(path)
        missing = await http.head("/api/v1/nothing")
    assert (head.status_code, head.content, missing.status_code) == (200, b"", 404)
    changing = {"date", "x-request-id", "traceparent", "ratelimit"}
    assert {k: v for k, v in head.headers.items() if k not in changing} == {
        k: v for k, v in got.headers.items() if k not in changing
    }
    assert metrics.value("nutmeg_http_requests_total", method="HEAD", route=path, status="200") == 1


async def test_head_of_a_long_answer_does_not_make_it() -> None:
    made.clear()
    async with client(build(router)) as http:
        assert (await http.head("/api/v1/long")).headers["content-type"].startswith("text/csv")
    assert len(made) < 1_000


async def test_what_was_not_modified_since_is_not_sent_again() -> None:
    async with client(build(router)) as http:
        modified = (await http.get("/api/v1/file")).headers["last-modified"]
        same = await http.get("/api/v1/file", headers={"If-Modified-Since": modified})
        older = await http.get("/api/v1/file", headers={"If-Modified-Since": "Mon, 01 Jan 2001 00:00:00 GMT"})
        wrong = await http.get("/api/v1/file", headers={"If-Modified-Since": "yesterday"})
        tagged = await http.get(
            "/api/v1/file", headers={"If-Modified-Since": modified, "If-None-Match": '"other"'}
        )
    assert (same.status_code, same.content, same.headers["last-modified"]) == (304, b"", modified)
    assert "content-length" not in same.headers
    assert [answer.status_code for answer in (older, wrong, tagged)] == [200, 200, 200]


@pytest.mark.parametrize("path", ["/api/v1/thing", "/api/v1/file", "/api/v1/openapi.json"])
async def test_scripts_of_other_sites_read_what_anybody_may_read(path: str) -> None:
    async with client(build(router)) as http:
        answer = await http.get(path, headers={"Origin": "https://other.example"})
        asked = await http.options(
            path, headers={"Origin": "https://other.example", "Access-Control-Request-Method": "GET"}
        )
    for one in (answer, asked):
        assert one.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in one.headers
    assert "ETag" in answer.headers["access-control-expose-headers"]
    assert asked.status_code == 204
    assert "POST" not in asked.headers["access-control-allow-methods"]
    assert "authorization" not in asked.headers["access-control-allow-headers"].lower()


async def test_no_other_site_reads_what_a_person_sees_nor_pages_nor_the_inside() -> None:
    app = build(router)
    answers = []
    async with client(app, cookie="steward-token") as http:
        answers.append(await http.get("/api/v1/thing"))
    async with client(app, token="operator-token") as http:
        answers += [await http.get("/api/v1/thing"), await http.get("/api/v1/inside")]
    async with client(app) as http:
        answers += [await http.get(path) for path in ("/page", "/api/v1/inside", "/metrics", "/healthz")]
        answers += [await http.options("/api/v1/inside"), await http.options("/metrics")]
    assert [one.headers.get("access-control-allow-origin") for one in answers] == [None] * len(answers)


async def test_options_and_405_name_the_methods_there_are() -> None:
    async with client(build(router)) as http:
        options, wrong = await http.options("/api/v1/thing"), await http.delete("/api/v1/inside")
        missing = await http.options("/api/v1/nothing")
    assert options.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert missing.status_code == 404
