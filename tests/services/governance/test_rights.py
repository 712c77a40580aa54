"""Every road that gives rights, walked as everybody: nobody gets more than the giver has.

A new route that changes something has to be entered here, as a road or as one that gives nothing.
"""

from collections.abc import Awaitable, Callable, Mapping

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from services.governance.domain.auditing import DirectoryAct
from services.governance.entrypoints import api_directory
from shared.clock import SimulatedClock
from shared.identity.viewer import TokenScope
from tests.support.governance_desk import CAST, Desk, csrf_of, record, tell_of

Road = Callable[[Desk, Mapping[str, str], str], Awaitable[httpx.Response]]

MAY_GIVE: Mapping[str, set[str]] = {
    "requester": {"chief", "operator", "administrator"},
    "steward": {"chief", "administrator"},
    "officer": {"chief", "administrator"},
    "chief": {"chief", "administrator"},
    "operator": {"operator", "administrator"},
    "program": {"operator", "administrator"},
}
"""By what is given: who may give it, or let in somebody who has it."""

WALKERS = ["nobody", *CAST, "program with scopes"]
GIVES_NOTHING = {
    "POST /sign-in": "takes a token that was issued",
    "POST /sign-in/with/{code}": "takes a link that was made",
    "POST /sign-out": "ends a session",
    "DELETE /api/v1/directory/people/{person_id}": "takes everything",
    "DELETE /api/v1/directory/people/{person_id}/grants/{role}": "takes a right",
    "DELETE /api/v1/people/{person_id}/tokens": "takes tokens",
    "POST /directory/tokens/{person_id}/{token_id}/revoke": "takes a token",
    "POST /api/v1/sharing-requests": "asks",
    "POST /sharing-requests/new": "asks",
    "POST /api/v1/sharing-requests/{request_id}/{action}": "is decided by the agency, see test_sharing",
    "POST /sharing-requests/{request_id}/{action}": "is decided by the agency, see test_sharing",
}


async def import_person(desk: Desk, headers: Mapping[str, str], what: str) -> httpx.Response:
    role, code = CAST[what][0]
    rows = f"email,display_name,role,agency_code\nnew-{what}@example.gov,New,{role},{code}\n"
    return await desk.client.post("/api/v1/directory/imports/people", content=rows, headers=headers)


async def import_officer(desk: Desk, headers: Mapping[str, str], what: str) -> httpx.Response:
    rows = "code,name,data_officer_email\nDOT,Department of Transportation,new-officer@example.gov\n"
    return await desk.client.post("/api/v1/directory/imports/agencies", content=rows, headers=headers)


async def import_steward(desk: Desk, headers: Mapping[str, str], what: str) -> httpx.Response:
    rows = "identifier,agency_code,steward_email\nroads,DOT,new-steward@example.gov\n"
    return await desk.client.post("/api/v1/directory/imports/stewardships", content=rows, headers=headers)


def _order(desk: Desk, what: str) -> dict[str, object]:
    scopes = ["hits"] if what == "program" else []
    return {"person_id": str(desk.people[what]), "label": "x", "days": 1, "scopes": scopes}


async def issue_by_api(desk: Desk, headers: Mapping[str, str], what: str) -> httpx.Response:
    return await desk.client.post("/api/v1/tokens", json=_order(desk, what), headers=headers)


async def issue_by_page(desk: Desk, headers: Mapping[str, str], what: str) -> httpx.Response:
    order = _order(desk, what) | ({"scope_hits": "yes"} if what == "program" else {})
    del order["scopes"]
    return await desk.client.post("/directory/tokens", data=order, headers=headers)


async def make_link(desk: Desk, headers: Mapping[str, str], what: str) -> httpx.Response:
    order = {"person_id": str(desk.people[what])}
    return await desk.client.post("/api/v1/sign-in-codes", json=order, headers=headers)


async def settle_by_api(desk: Desk, headers: Mapping[str, str], what: str) -> httpx.Response:
    body = {"spelling": "Office", "agency_id": str(desk.agencies[what])}
    return await desk.client.post("/api/v1/directory/publishers", json=body, headers=headers)


async def settle_by_page(desk: Desk, headers: Mapping[str, str], what: str) -> httpx.Response:
    body = {"spelling": "Office", "agency_id": str(desk.agencies[what])}
    return await desk.client.post("/directory/publishers", data=body, headers=headers)


ROADS: Mapping[str, tuple[str, list[Road], set[str]]] = {
    "people": ("POST /api/v1/directory/imports/{kind}", [import_person], set(MAY_GIVE)),
    "agencies": ("POST /api/v1/directory/imports/{kind}", [import_officer], {"officer"}),
    "stewardships": ("POST /api/v1/directory/imports/{kind}", [import_steward], {"steward"}),
    "tokens": ("POST /api/v1/tokens", [issue_by_api], set(MAY_GIVE)),
    "tokens page": ("POST /directory/tokens", [issue_by_page], set(MAY_GIVE)),
    "links": ("POST /api/v1/sign-in-codes", [make_link], set(MAY_GIVE)),
}
"""By name: the route, how it is walked, and what can be given on it."""

SETTLING = {"POST /api/v1/directory/publishers", "POST /directory/publishers"}
MAY_SETTLE = {
    "DOT": {"officer", "chief", "operator", "administrator"},
    "DPH": {"chief", "operator", "administrator"},
}


async def headers_of(desk: Desk, who: str) -> Mapping[str, str]:
    if who == "nobody":
        return {}
    if who == "program with scopes":
        return await desk.bearer("program", list(TokenScope))
    return await desk.bearer(who)


def is_let(answer: httpx.Response) -> bool:
    if answer.status_code == 200 and "/imports/" in str(answer.url):
        return not answer.json()["problems"]
    return answer.is_success or answer.is_redirect


def test_every_route_that_changes_something_is_a_road_or_known_to_give_nothing(desk: Desk) -> None:
    changing = {
        f"{method} {route.path}"
        for route in iter_route_contexts(desk.app.routes)
        for method in (route.methods or set()) - {"GET", "HEAD", "OPTIONS"}
    }
    walked = {route for route, _, _ in ROADS.values()} | SETTLING
    assert changing == walked | set(GIVES_NOTHING)
    assert not walked & set(GIVES_NOTHING)


@pytest.mark.parametrize("who", WALKERS)
async def test_nobody_gives_more_than_they_hold_on_any_road(
    desk: Desk, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_directory, "PUBLISHED_WITHIN_SECONDS", 0.0)
    headers = await headers_of(desk, who)
    held_before = await _grants(desk)
    for name, (_, ways, given) in ROADS.items():
        for what in sorted(given):
            for way in ways:
                answer = await way(desk, headers, what)
                assert is_let(answer) is (who in MAY_GIVE[what]), (who, name, what, answer.text[:500])
                assert answer.status_code != 500
    if who not in {"chief", "operator", "administrator"}:
        assert await _grants(desk) == held_before
    refused = {line.act for line in await desk.audit() if line.actor_id == desk.people.get(who)}
    assert (DirectoryAct.REFUSED in refused) is (who in {"chief", "operator"})


@pytest.mark.parametrize("who", WALKERS)
@pytest.mark.parametrize("code", sorted(MAY_SETTLE))
async def test_page_and_api_give_the_same_answer_on_whose_a_spelling_is(
    desk: Desk, clock: SimulatedClock, who: str, code: str
) -> None:
    headers = await headers_of(desk, who)
    answers = [await way(desk, headers, code) for way in (settle_by_page, settle_by_api)]
    may = who in MAY_SETTLE[code]
    # Once the page has settled it, an officer finds nothing open any more under that name.
    assert [is_let(answers[0]), is_let(answers[1]) or (may and answers[1].status_code == 404)] == [may] * 2
    if not may:
        assert answers[0].status_code == answers[1].status_code in {401, 403}


async def _grants(desk: Desk) -> list[object]:
    answer = await desk.client.get("/api/v1/directory/people", headers=await desk.bearer("administrator"))
    return [(one["person_id"], one["grants"]) for one in answer.json()["items"]]


async def test_who_was_let_in_by_somebody_with_fewer_rights_is_turned_out_when_given_more(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_directory, "PUBLISHED_WITHIN_SECONDS", 0.0)
    operator, chief = await desk.bearer("operator"), await desk.bearer("chief")
    order = {"person_id": str(desk.people["requester"]), "label": "kept back"}
    kept = (await desk.client.post("/api/v1/tokens", json=order, headers=operator)).json()["token"]
    link = await desk.client.post("/api/v1/sign-in-codes", json=order | {"label": None}, headers=operator)
    assert link.status_code == 422
    code = {"person_id": order["person_id"], "uses_max": 9}
    path = (await desk.client.post("/api/v1/sign-in-codes", json=code, headers=operator)).json()["path"]
    own = await desk.bearer("requester")
    rows = "email,display_name,role,agency_code\nrequester@example.gov,Asker,chief-data-officer,\n"
    imported = await desk.client.post("/api/v1/directory/imports/people", content=rows, headers=chief)
    assert imported.json()["problems"] == []
    mine = "/api/v1/sharing-requests"
    assert (await desk.client.get(mine, headers={"Authorization": f"Bearer {kept}"})).status_code == 401
    assert (await desk.visitor().post(path, data={"next": "/"})).status_code == 410
    assert (await desk.client.get(mine, headers=own)).status_code == 200, "one's own token lives on"


async def test_a_program_s_token_is_shown_with_its_scopes_wherever_tokens_are(desk: Desk) -> None:
    browser = await desk.browser("operator")
    order = {
        "csrf_token": await csrf_of(browser, "/directory/tokens"),
        "person_id": str(desk.people["program"]),
        "label": "Prometheus",
        "days": "30",
    }
    missing = await browser.post("/directory/tokens", data=order, headers={"Accept": "text/html"})
    assert missing.status_code == 422
    assert "at least one scope" in missing.text
    assert 'value="Prometheus"' in missing.text, "nothing typed is lost"
    issued = await browser.post(
        "/directory/tokens", data=order | {"scope_metrics": "yes", "scope_hits": "yes"}
    )
    assert issued.status_code == 200
    assert "shown once" in issued.text
    page = (await browser.get("/directory/tokens")).text
    assert "hits, metrics" in page
    assert "shown once" not in page
    listed = await browser.get("/api/v1/tokens", params={"person_id": order["person_id"]})
    (token,) = listed.json()["items"]
    assert token["scopes"] == ["hits", "metrics"]
    revoke = f"/directory/tokens/{token['person_id']}/{token['token_id']}/revoke"
    assert (await browser.post(revoke, data={"csrf_token": order["csrf_token"]})).status_code == 303
    assert "Revoked" in (await browser.get("/directory/tokens")).text


async def test_the_last_operator_cannot_lock_everybody_out(desk: Desk) -> None:
    operator = await desk.bearer("operator")
    own = str(desk.people["operator"])
    ways = (
        f"/api/v1/directory/people/{own}/grants/operator",
        f"/api/v1/directory/people/{own}",
        f"/api/v1/people/{own}/tokens",
    )
    for path in ways:
        refused = await desk.client.delete(path, headers=operator)
        assert refused.status_code == 409, path
        assert "lock everybody out" in refused.json()["detail"]
        assert "nutmeg token issue" in refused.json()["detail"]
    assert (await desk.client.get("/api/v1/tokens", headers=operator)).status_code == 200
    (token,) = (await desk.client.get("/api/v1/tokens", headers=operator)).json()["items"]
    single = f"{ways[2]}?token_id={token['token_id']}"
    assert (await desk.client.delete(single, headers=operator)).status_code == 409
    await desk.bearer("administrator")
    assert (await desk.client.delete(ways[0], headers=operator)).status_code == 204


async def test_an_officer_who_names_a_hidden_record_s_publisher_does_not_see_it_by_that(
    desk: Desk, clock: SimulatedClock
) -> None:
    secret = record(clock, 41, publisher_name="Secret Unit", visibility="agency")
    shared = [
        record(clock, 42, publisher_name="Mixed Unit", visibility="public"),
        record(clock, 43, publisher_name="Mixed unit", visibility="agency"),
    ]
    await tell_of(desk.governance, clock, secret, *shared)
    officer, chief = await desk.bearer("officer"), await desk.bearer("chief")
    own = desk.agencies["DOT"]
    path = "/api/v1/directory/publishers"

    listed = {one["spelling"] for one in (await desk.client.get(path, headers=officer)).json()["items"]}
    assert "Secret Unit" not in listed
    assert "Mixed Unit" in listed
    page = await desk.client.get("/directory/publishers", headers=officer)
    assert "Secret Unit" not in page.text
    for spelling, status in (("Secret Unit", 404), ("Mixed Unit", 403), ("Never Heard Of", 404)):
        body = {"spelling": spelling, "agency_id": str(own)}
        for answer in (
            await desk.client.post(path, json=body, headers=officer),
            await desk.client.post("/directory/publishers", data=body, headers=officer),
        ):
            assert answer.status_code == status, (spelling, answer.text)
    body = {"spelling": "Secret Unit", "agency_id": str(own)}
    assert (await desk.client.post(path, json=body, headers=chief)).status_code == 204
    agencies = (await desk.client.get("/api/v1/directory/agencies", headers=officer)).json()["items"]
    assert not any("Secret Unit" in one["aliases"] for one in agencies), "the record is hidden still"
    seen = (await desk.client.get("/api/v1/directory/agencies", headers=chief)).json()["items"]
    assert any("Secret Unit" in one["aliases"] for one in seen)
