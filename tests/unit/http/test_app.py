"""The stack as a whole: headers, ids, logs, metrics, compression and probes."""

from collections.abc import Sequence

import pytest
from fastapi import APIRouter
from structlog.testing import capture_logs

from shared.http.settings import HTTPSettings
from shared.http.viewing import access
from shared.telemetry.metrics import Metrics
from shared.telemetry.tracing import current_traceparent, parse_traceparent
from tests.unit.http.application import build, client

inner = APIRouter()


@inner.get("/things/{thing}")
async def show_thing(thing: int, q: str = "") -> dict[str, str | None]:
    return {"searched": q, "traceparent": current_traceparent(), "filler": "x" * 5000}


router = APIRouter(prefix="/api/v1", dependencies=[access("public")])
router.include_router(inner, prefix="/nested")

THING = "/api/v1/nested/things/7"
TEMPLATE = "/api/v1/nested/things/{thing}"


@pytest.mark.parametrize("path", [THING, "/nothing", "/static/nutmeg.css", "/healthz"])
async def test_every_answer_carries_the_security_headers(path: str) -> None:
    async with client(build(router)) as http:
        headers = (await http.get(path)).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert "strict-transport-security" not in headers


@pytest.mark.parametrize(
    ("path", "expected"),
    [(THING, "private, no-cache"), ("/healthz", "private, no-cache"), ("/nothing", "no-store")],
)
async def test_no_shared_cache_keeps_an_answer_that_does_not_allow_it(path: str, expected: str) -> None:
    async with client(build(router)) as http:
        assert (await http.get(path)).headers["cache-control"] == expected


async def test_hsts_is_sent_where_people_come_by_https() -> None:
    app = build(router, settings=HTTPSettings(base_url="https://data.example.gov"))
    async with client(app, base_url="https://data.example.gov") as http:
        headers = (await http.get(THING)).headers
    assert headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"


@pytest.mark.parametrize(
    ("given", "is_kept"),
    [("0a1b2c3d-job.7", True), ("short", False), ("has spaces in it", False), ("x" * 200, False)],
)
async def test_a_sane_request_id_is_kept_and_any_other_is_replaced(given: str, is_kept: bool) -> None:
    async with client(build(router)) as http:
        answer = (await http.get(THING, headers={"X-Request-ID": given})).headers["x-request-id"]
    assert (answer == given) is is_kept
    assert len(answer) >= 8


async def test_a_request_continues_the_trace_that_it_came_with() -> None:
    given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    async with client(build(router)) as http:
        inside = (await http.get(THING, headers={"traceparent": given})).json()["traceparent"]
    parsed = parse_traceparent(inside)
    assert parsed is not None
    assert parsed.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert inside != given


async def test_requests_are_counted_by_route_template_and_never_by_address() -> None:
    metrics = Metrics()
    async with client(build(router, metrics=metrics)) as http:
        for path in (THING, "/api/v1/nested/things/8", "/api/v1/nested/things/x", "/a", "/b"):
            await http.get(path)
        await http.get("/static/nutmeg.css")
        await http.request("BREW", THING)
    count = metrics.value
    assert count("nutmeg_http_requests_total", method="GET", route=TEMPLATE, status="200") == 2
    assert count("nutmeg_http_requests_total", method="GET", route=TEMPLATE, status="422") == 1
    assert count("nutmeg_http_requests_total", method="GET", route="unmatched", status="404") == 2
    assert count("nutmeg_http_requests_total", method="GET", route="/static", status="200") == 1
    assert count("nutmeg_http_requests_total", method="other", route=TEMPLATE, status="405") == 1
    assert count("nutmeg_http_request_seconds", method="GET", route=TEMPLATE) == 3


async def test_the_access_log_names_the_template_and_not_what_was_searched_for() -> None:
    with capture_logs() as logs:
        async with client(build(router)) as http:
            await http.get(f"{THING}?q=my+own+illness")
            await http.get("/healthz")
    (line,) = logs
    assert (line["event"], line["route"], line["status"]) == ("request", TEMPLATE, 200)
    assert "illness" not in str(line)


async def test_large_answers_are_compressed_for_those_who_can_read_it() -> None:
    async with client(build(router)) as http:
        packed = await http.get(THING, headers={"Accept-Encoding": "gzip"})
        plain = await http.get(THING, headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.json()["filler"] == plain.json()["filler"]


async def test_readiness_is_503_with_its_causes_until_there_are_none() -> None:
    causes: list[str] = ["the index is being rebuilt"]

    async def readiness() -> Sequence[str]:
        return causes

    async with client(build(router, readiness=readiness)) as http:
        before = await http.get("/readyz")
        alive = await http.get("/healthz")
        causes.clear()
        after = await http.get("/readyz")
    assert (before.status_code, before.json()["causes"]) == (503, ["the index is being rebuilt"])
    assert alive.status_code == 200
    assert after.status_code == 200


async def test_what_does_not_work_beside_serving_is_told_and_takes_no_page_away() -> None:
    async def troubles() -> Sequence[str]:
        return ["consumer usage.counting is stopped"]

    async with client(build(router, troubles=troubles)) as http:
        answer = await http.get("/readyz")
    told = {"status": "degraded", "causes": ["consumer usage.counting is stopped"]}
    assert (answer.status_code, answer.json()) == (200, told)


@pytest.mark.parametrize(
    ("address", "headers", "token", "status"),
    [
        ("127.0.0.1", {}, None, 200),
        ("::1", {}, None, 200),
        ("::ffff:127.0.0.1", {}, None, 200),
        ("127.0.0.1", {"X-Forwarded-For": "198.51.100.7"}, None, 401),
        ("127.0.0.1", {"Forwarded": "for=127.0.0.1"}, None, 401),
        ("198.51.100.7", {}, None, 401),
        ("198.51.100.7", {"X-Forwarded-For": "127.0.0.1"}, None, 401),
        ("198.51.100.7", {}, "steward-token", 403),
        ("198.51.100.7", {}, "operator-token", 200),
    ],
)
async def test_metrics_are_for_this_machine_and_for_operators(
    address: str, headers: dict[str, str], token: str | None, status: int
) -> None:
    async with client(build(router), address=address, token=token) as http:
        answer = await http.get("/metrics", headers=headers)
    assert answer.status_code == status
    assert (b"nutmeg_http_requests_total" in answer.content) is (status == 200)
