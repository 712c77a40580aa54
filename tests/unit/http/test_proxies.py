"""Forwarding headers count from proxies that are trusted, and from nobody else."""

from ipaddress import ip_network
from typing import Any

import pytest
from fastapi import APIRouter
from starlette.requests import Request

from shared.http.settings import HTTPSettings
from shared.http.viewing import access
from tests.unit.http.application import build, client

PROXIES = (ip_network("10.1.0.0/16"), ip_network("2001:db8:9::/48"))
EDGE, VISITOR, STRANGER = "10.1.2.3", "198.51.100.7", "203.0.113.9"
SETTINGS = HTTPSettings(base_url="https://data.example.gov", rate_limit="2/hour")

router = APIRouter()


@router.get("/api/v1/me", dependencies=[access("public")])
async def tell_who_asks(request: Request) -> dict[str, Any]:
    return {"client": request.client.host if request.client else None, "url": str(request.url)}


async def asked(
    headers: dict[str, str], *, peer: str = EDGE, trusted: Any = PROXIES
) -> tuple[Any, dict[str, Any]]:
    app = build(router, settings=SETTINGS, trusted_proxies=trusted)
    async with client(app, address=peer) as http:
        answer = await http.get("/api/v1/me", headers=headers)
    return answer.status_code, answer.json()


@pytest.mark.parametrize("peer", [EDGE, f"::ffff:{EDGE}", "2001:db8:9::1"])
async def test_a_trusted_proxy_says_who_asks_and_how(peer: str) -> None:
    told = {
        "X-Forwarded-For": VISITOR,
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "data.example.gov",
    }
    status, answer = await asked(told, peer=peer)
    assert (status, answer) == (200, {"client": VISITOR, "url": "https://data.example.gov/api/v1/me"})


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        (STRANGER, PROXIES),
        (EDGE, ()),
        ("127.0.0.1", PROXIES),
        ("2001:db8:8::1", PROXIES),
        pytest.param("2002:a01:203::1", PROXIES, id="6to4 around a trusted address"),
    ],
)
async def test_what_a_peer_that_is_not_trusted_says_of_itself_is_ignored(peer: str, trusted: Any) -> None:
    told = {
        "X-Forwarded-For": VISITOR,
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "data.example.gov",
    }
    _, answer = await asked(told, peer=peer, trusted=trusted)
    assert answer == {"client": peer, "url": "http://127.0.0.1:8080/api/v1/me"}


async def test_an_address_that_the_client_put_in_front_is_not_taken_for_its_own() -> None:
    _, answer = await asked({"X-Forwarded-For": f"1.2.3.4, {VISITOR}, 10.1.0.9"})
    assert answer["client"] == VISITOR


async def test_a_proxy_without_headers_asks_for_itself() -> None:
    _, answer = await asked({})
    assert answer["client"] == EDGE


async def test_a_host_that_is_not_ours_is_refused_also_from_a_trusted_proxy() -> None:
    status, _ = await asked({"X-Forwarded-Host": "data.example.gov, attacker.example"})
    assert status == 400


async def test_visitors_behind_a_trusted_proxy_have_a_rate_each_and_none_can_change_its_own() -> None:
    app = build(router, settings=SETTINGS, trusted_proxies=PROXIES)

    async def statuses(peer: str, *forwarded: str) -> list[int]:
        async with client(app, address=peer) as http:
            return [
                (await http.get("/api/v1/me", headers={"X-Forwarded-For": each})).status_code
                for each in forwarded
            ]

    assert await statuses(EDGE, VISITOR, VISITOR, VISITOR, "198.51.100.8") == [200, 200, 429, 200]
    assert await statuses(STRANGER, "192.0.2.1", "192.0.2.2", "192.0.2.3") == [200, 200, 429]


async def test_metrics_are_not_shown_to_one_who_claims_to_be_this_machine() -> None:
    app = build(router, settings=SETTINGS, trusted_proxies=PROXIES)
    async with client(app, address=EDGE) as http:
        assert (await http.get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"})).status_code == 401
