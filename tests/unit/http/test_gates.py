"""Wrong hosts, large bodies and floods are turned away; ordinary requests are not."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import APIRouter
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from starlette.requests import Request

from shared.http.local_clients import LocalClients
from shared.http.settings import HTTPSettings
from shared.http.viewing import access
from shared.telemetry.metrics import Metrics
from tests.unit.http.application import build, client

router = APIRouter()


@router.get("/api/v1/thing", dependencies=[access("public")])
async def show_thing() -> dict[str, bool]:
    return {"ok": True}


@router.post("/api/v1/small", dependencies=[access("public")])
async def take_small(body: dict[str, str]) -> dict[str, int]:
    return {"fields": len(body)}


@router.put("/api/v1/sources/{source}/file", dependencies=[access("public", body_bytes_max=5_000_000)])
async def take_file(source: str, request: Request) -> dict[str, int]:
    return {"bytes": sum([len(piece) async for piece in request.stream()])}


async def pieces(total_bytes: int) -> AsyncIterator[bytes]:
    for _ in range(total_bytes // 1000):
        yield b" " * 1000


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8080", 200),
        ("127.0.0.1", 200),
        ("LOCALHOST:9", 200),
        ("[::1]:8080", 200),
        ("data.example.gov", 200),
        ("a.b.example.org", 200),
        ("example.org", 400),
        ("evilexample.org", 400),
        ("attacker.example", 400),
        ("127.0.0.1.attacker.example", 400),
        ("localhost:80@attacker.example", 400),
        ("", 400),
    ],
)
async def test_only_our_own_names_are_answered(host: str, status: int) -> None:
    settings = HTTPSettings(
        base_url="https://data.example.gov",
        allowed_hosts=("127.0.0.1", "localhost", "[::1]", "*.example.org"),
    )
    async with client(build(router, settings=settings)) as http:
        answer = await http.get("/api/v1/thing", headers={"Host": host})
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("10.1.2.3:8080", 200),
        ("10.1.2.3", 200),
        ("[fd00::7]:8080", 200),
        ("10.2.0.1", 400),
        ("[fd01::7]", 400),
        ("10.1.2.3.attacker.example", 400),
        ("10.1.0.0/16", 400),
        ("167838211", 400),
    ],
)
async def test_addresses_of_a_network_that_is_named_are_answered(host: str, status: int) -> None:
    settings = HTTPSettings(allowed_hosts=("10.1.0.0/16", "fd00::/16"))
    async with client(build(router, settings=settings)) as http:
        answer = await http.get("/api/v1/thing", headers={"Host": host})
    assert answer.status_code == status


def test_a_network_that_is_none_is_refused_at_the_start() -> None:
    with pytest.raises(ValidationError, match=r"10\.1\.2\.3/16 has host bits set"):
        HTTPSettings(allowed_hosts=("10.1.2.3/16",))


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_body_above_the_limit_is_refused_however_it_is_sent(is_streamed: bool) -> None:
    metrics = Metrics()
    app = build(router, settings=HTTPSettings(body_bytes_max=10_000), metrics=metrics)
    content: Any = pieces(20_000) if is_streamed else b"x" * 20_000
    async with client(app) as http:
        answer = await http.post(
            "/api/v1/small", content=content, headers={"content-type": "application/json"}
        )
    assert answer.status_code == 413
    assert answer.json()["type"] == "urn:nutmeg:problem:too-large"
    assert "10,000 bytes" in answer.json()["detail"]
    assert metrics.value("nutmeg_http_refusals_total", reason="size") == 1


async def test_a_route_may_take_more_than_the_others() -> None:
    app = build(router, settings=HTTPSettings(body_bytes_max=10_000))
    async with client(app) as http:
        taken = await http.put("/api/v1/sources/ct/file", content=pieces(4_000_000))
        refused = await http.put("/api/v1/sources/ct/file", content=pieces(6_000_000))
        other = await http.post("/api/v1/sources/ct/file", content=b"x" * 20_000)
    assert taken.json() == {"bytes": 4_000_000}
    assert refused.status_code == 413
    assert other.status_code == 413


async def test_a_client_above_its_rate_is_told_when_to_come_back_and_others_are_not() -> None:
    metrics = Metrics()
    app = build(router, settings=HTTPSettings(rate_limit="3/hour"), metrics=metrics)
    async with client(app, address="198.51.100.7") as http:
        answers = [await http.get("/api/v1/thing") for _ in range(4)]
    async with client(app, address="198.51.100.8") as http:
        other = await http.get("/api/v1/thing")
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[0].headers["ratelimit-policy"] == '"default";q=3;w=3600'
    assert [answer.headers["ratelimit"].split(";")[1] for answer in answers] == ["r=2", "r=1", "r=0", "r=0"]
    assert 0 < int(answers[3].headers["retry-after"]) <= 3600
    assert answers[3].json()["type"] == "urn:nutmeg:problem:too-many-requests"
    assert other.status_code == 200
    assert metrics.value("nutmeg_http_refusals_total", reason="rate") == 1


async def test_signed_in_clients_behind_one_address_do_not_share_a_rate() -> None:
    app = build(router, settings=HTTPSettings(rate_limit="1/hour"))
    statuses = []
    for token in ("steward-token", "operator-token", "steward-token"):
        async with client(app, token=token, address="198.51.100.7") as http:
            statuses.append((await http.get("/api/v1/thing")).status_code)
    assert statuses == [200, 200, 429]


async def test_a_stream_of_bad_tokens_meets_the_rate_limit_of_its_address() -> None:
    app = build(router, settings=HTTPSettings(rate_limit="2/hour"))
    statuses = []
    for number in range(3):
        async with client(app, token=f"guess-{number}", address="198.51.100.7") as http:
            statuses.append((await http.get("/api/v1/thing")).status_code)
    assert statuses == [401, 401, 429]


async def test_addresses_of_one_ipv6_subscriber_share_a_rate() -> None:
    app = build(router, settings=HTTPSettings(rate_limit="1/hour"))
    statuses = []
    for address in ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1"):
        async with client(app, address=address) as http:
            statuses.append((await http.get("/api/v1/thing")).status_code)
    assert statuses == [200, 429, 200]


async def test_this_machine_s_own_clients_are_not_limited_unless_a_proxy_speaks_for_others() -> None:
    app = build(router, settings=HTTPSettings(rate_limit="1/hour"))
    async with client(app) as http:
        own = [(await http.get("/api/v1/thing")).status_code for _ in range(3)]
        forwarded = {"X-Forwarded-For": "198.51.100.7"}
        others = [(await http.get("/api/v1/thing", headers=forwarded)).status_code for _ in range(2)]
    assert own == [200, 200, 200]
    assert others == [200, 429]


@given(st.text(max_size=50))
def test_no_client_address_makes_the_check_fail(address: str) -> None:
    scope = {"type": "http", "headers": [], "client": (address, 1)}
    assert LocalClients(HTTPSettings(), (), Metrics()).is_exempt(scope) in (True, False)


@pytest.mark.parametrize(
    "wrong",
    [{"base_url": "data.example.gov"}, {"base_url": "https://u:p@example.gov"}, {"rate_limit": "many"}],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        HTTPSettings(**wrong)  # type: ignore[arg-type]
