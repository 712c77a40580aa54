"""Loopback is this machine only where no proxy can stand behind it."""

from ipaddress import ip_network

import pytest
import structlog
from fastapi import APIRouter

from shared.http.settings import HTTPSettings
from shared.http.viewing import access
from shared.telemetry.metrics import Metrics
from tests.unit.http.application import build, client

router = APIRouter(dependencies=[access("public")])
PUBLIC = "https://data.example.gov"


@router.get("/api/v1/thing")
async def show_thing() -> dict[str, bool]:
    return {"ok": True}


def settings(**changes: str) -> HTTPSettings:
    return HTTPSettings(rate_limit="2/hour", **changes)  # type: ignore[arg-type]


async def statuses(app_settings: HTTPSettings, headers: dict[str, str], **options: str) -> list[int]:
    """Three requests for a thing, then one for the metrics."""
    async with client(build(router, settings=app_settings), **options) as http:
        found = [(await http.get("/api/v1/thing", headers=headers)).status_code for _ in range(3)]
        return [*found, (await http.get("/metrics", headers=headers)).status_code]


async def test_programs_of_this_machine_are_not_limited_where_people_come_by_loopback() -> None:
    assert await statuses(settings(), {}) == [200, 200, 200, 200]


async def test_loopback_proves_nothing_where_people_come_by_another_name() -> None:
    # What a proxy sends that sets no header at all: its own address, and the address it connects to as Host.
    assert await statuses(settings(base_url=PUBLIC), {}) == [200, 200, 429, 429]
    host = {"Host": "data.example.gov"}
    assert await statuses(settings(base_url=PUBLIC), host) == [200, 200, 429, 429]


@pytest.mark.parametrize(
    ("mode", "base_url", "expected"),
    [("trusted", PUBLIC, 200), ("untrusted", "http://127.0.0.1:8080", 429), ("auto", PUBLIC, 429)],
)
async def test_an_operator_can_say_it(mode: str, base_url: str, expected: int) -> None:
    found = await statuses(settings(loopback_clients=mode, base_url=base_url), {})
    assert found[2] == expected


@pytest.mark.parametrize(
    "signs",
    [
        {"Via": "1.1 front"},
        {"X-Real-IP": "198.51.100.7"},
        {"X-Forwarded-Host": "data.example.gov"},
        {"X-Forwarded-Proto": "https"},
        {"Host": "localhost:8080", "Referer": "http://data.example.gov/search"},
        {"Origin": "https://data.example.gov"},
    ],
)
async def test_one_request_that_shows_a_proxy_ends_the_trust_and_is_told(signs: dict[str, str]) -> None:
    metrics = Metrics()
    app = build(router, settings=HTTPSettings(rate_limit="3/hour"), metrics=metrics)
    async with client(app) as http:
        assert (await http.get("/metrics")).status_code == 200
        with structlog.testing.capture_logs() as logs:
            await http.get("/api/v1/thing", headers=signs)
            await http.get("/api/v1/thing", headers=signs)
        assert (await http.get("/metrics")).status_code == 401
        assert (await http.get("/api/v1/thing")).status_code == 429
    warned = [log for log in logs if log["event"] == "unannounced_proxy"]
    assert len(warned) == 1
    assert "X-Forwarded-For" in warned[0]["cause"]
    assert metrics.value("nutmeg_http_unannounced_proxy") == 1


async def test_a_link_of_another_site_that_a_person_here_follows_is_no_proxy() -> None:
    metrics = Metrics()
    app = build(router, settings=settings(), metrics=metrics)
    followed = {"Referer": "https://example.org/", "Sec-Fetch-Site": "cross-site"}
    async with client(app) as http:
        assert (await http.get("/api/v1/thing", headers=followed)).status_code == 200
        assert (await http.get("/metrics")).status_code == 200
    assert metrics.value("nutmeg_http_unannounced_proxy") == 0


async def test_what_forwards_by_the_book_is_no_reason_to_warn() -> None:
    metrics = Metrics()
    proxies = (ip_network("127.0.0.1/32"),)
    app = build(router, settings=settings(), metrics=metrics, trusted_proxies=proxies)
    async with client(app) as http:
        forwarded = {"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "http"}
        assert (await http.get("/metrics", headers=forwarded)).status_code == 401
        assert (await http.get("/metrics")).status_code == 401  # a proxy may have forgotten the header
    assert metrics.value("nutmeg_http_unannounced_proxy") == 0
