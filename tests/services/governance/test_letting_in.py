"""Governance over HTTP: forms sent twice, links opened by machines, and the audit of who let whom in."""

import asyncio
import re
from uuid import UUID, uuid4

import pytest

from services.governance.domain.auditing import DirectoryAct
from services.governance.entrypoints import api_directory
from shared.identity.viewer import TokenScope
from tests.support.governance_desk import DATASET, Desk

WISH = {"purpose": "Whether graduates earn more.", "data_wanted": "Years 2019 to 2024.", "legal_basis": ""}


async def signed_in(desk: Desk, who: str) -> None:
    """Sign the client's browser in by a link."""
    administrator = await desk.bearer("administrator")
    order = {"person_id": str(desk.people[who])}
    path = (await desk.client.post("/api/v1/sign-in-codes", json=order, headers=administrator)).json()["path"]
    assert (await desk.client.post(path, data={"next": "/"})).status_code == 303


async def form_of(desk: Desk) -> dict[str, str]:
    """The hidden fields of a fresh request form."""
    page = await desk.client.get(f"/sharing-requests/new?dataset={DATASET}")
    found = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text)
    return {name: value for name, value in found if name in {"csrf_token", "form_key", "dataset"}}


async def test_a_form_sent_twice_opens_one_request_and_shows_it_both_times(desk: Desk) -> None:
    await signed_in(desk, "requester")
    form = await form_of(desk) | WISH
    answers = await asyncio.gather(*(desk.client.post("/sharing-requests/new", data=form) for _ in range(3)))
    assert {answer.status_code for answer in answers} == {303}
    assert len({answer.headers["location"] for answer in answers}) == 1
    listed = (await desk.client.get("/api/v1/sharing-requests")).json()["items"]
    assert [f"/sharing-requests/{one['request_id']}" for one in listed] == [answers[0].headers["location"]]

    other = await desk.client.post("/sharing-requests/new", data=await form_of(desk) | WISH)
    assert other.headers["location"] != answers[0].headers["location"], "another form is another request"


async def test_a_form_sent_again_with_other_words_is_refused_with_the_way_on(desk: Desk) -> None:
    await signed_in(desk, "requester")
    form = await form_of(desk) | WISH
    first = await desk.client.post("/sharing-requests/new", data=form)
    changed = form | {"purpose": "Something else entirely."}
    again = await desk.client.post("/sharing-requests/new", data=changed, headers={"Accept": "text/html"})
    assert again.status_code == 409
    assert first.headers["location"] in again.text
    assert f"/sharing-requests/new?dataset={DATASET}" in again.text
    assert len((await desk.client.get("/api/v1/sharing-requests")).json()["items"]) == 1


async def test_a_form_with_a_mistake_keeps_its_key(desk: Desk) -> None:
    await signed_in(desk, "requester")
    form = await form_of(desk)
    page = await desk.client.post("/sharing-requests/new", data=form | {"purpose": "short"})
    assert page.status_code == 422
    assert f'name="form_key" value="{form["form_key"]}"' in page.text


async def test_the_key_of_somebody_elses_form_opens_a_request_of_ones_own(desk: Desk) -> None:
    await signed_in(desk, "requester")
    key = (await form_of(desk))["form_key"]
    first = await desk.client.post(
        "/sharing-requests/new", data=await form_of(desk) | WISH | {"form_key": key}
    )
    desk.client.cookies.clear()
    await signed_in(desk, "program")
    stolen = await desk.client.post(
        "/sharing-requests/new", data=await form_of(desk) | WISH | {"form_key": key}
    )
    assert stolen.status_code == 303
    assert stolen.headers["location"] != first.headers["location"]


async def test_opening_a_sign_in_link_uses_nothing_up_and_its_button_does(desk: Desk) -> None:
    operator = await desk.bearer("operator")
    order = {"person_id": str(desk.people["requester"])}
    path = (await desk.client.post("/api/v1/sign-in-codes", json=order, headers=operator)).json()["path"]
    for method in ("GET", "HEAD", "GET"):
        opened = await desk.client.request(method, path, params={"next": "/inbox"})
        assert opened.status_code in {200, 405}
        assert "set-cookie" not in opened.headers
    page = await desk.client.get(path, params={"next": "/inbox"})
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"
    assert f'<form method="post" action="{path}"' in page.text
    foreign = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert (await desk.client.post(path, headers=foreign)).status_code == 403
    entered = await desk.client.post(path, data={"next": "/inbox"})
    assert (entered.status_code, entered.headers["location"]) == (303, "/inbox")
    assert "nutmeg_session" in entered.headers["set-cookie"]
    desk.client.cookies.clear()
    assert (await desk.client.post(path)).status_code == 410
    assert (await desk.client.get(path)).status_code == 200, "whether a link still works is not told"


async def test_letting_in_somebody_with_wider_rights_is_refused_and_written_down(desk: Desk) -> None:
    operator = await desk.bearer("operator")
    chief = str(desk.people["chief"])
    for path, more in (("/api/v1/tokens", {"label": "a laptop"}), ("/api/v1/sign-in-codes", {})):
        refused = await desk.client.post(path, json={"person_id": chief, **more}, headers=operator)
        assert refused.status_code == 403, refused.text
        assert "chief-data-officer" in refused.json()["detail"]
        line = (await desk.audit())[0]
        assert (line.act, line.actor_id, line.is_beyond) == (
            DirectoryAct.REFUSED,
            desk.people["operator"],
            True,
        )
    asker = {"person_id": str(desk.people["requester"]), "uses_max": 3}
    assert (await desk.client.post("/api/v1/sign-in-codes", json=asker, headers=operator)).status_code == 201
    token = {"person_id": chief, "label": "a laptop", "days": 9}
    chief_itself = await desk.bearer("chief")
    assert (await desk.client.post("/api/v1/tokens", json=token, headers=chief_itself)).status_code == 201
    issued, link = (await desk.audit())[:2]
    assert (link.act, link.is_beyond, link.details) == (DirectoryAct.LINK_MADE, False, {"uses_max": 3})
    assert (issued.person_id, issued.details) == (UUID(chief), {"days": 9})
    listed = await desk.client.get("/api/v1/tokens", params={"person_id": chief}, headers=operator)
    assert chief in [one["issued_by"] for one in listed.json()["items"]]


async def test_a_program_has_no_rights_in_the_directory_whatever_its_scopes(desk: Desk) -> None:
    before = await desk.audit()
    rows = "email,display_name,role,agency_code\nprogram@example.gov,Me,operator,\n"
    for scopes in ([], list(TokenScope)):
        program = await desk.bearer("program", scopes)
        for path, more in (("/api/v1/tokens", {"label": "x"}), ("/api/v1/sign-in-codes", {})):
            order = {"person_id": str(desk.people["requester"]), **more}
            refused = await desk.client.post(path, json=order, headers=program)
            assert refused.status_code == 403, refused.text
        imported = await desk.client.post("/api/v1/directory/imports/people", content=rows, headers=program)
        assert imported.status_code == 403
    assert await desk.audit() == before


async def test_an_import_gives_what_the_importer_holds_and_refuses_the_other_rows(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = await desk.bearer("operator")
    rows = (
        "email,display_name,role,agency_code\n"
        "me@example.gov,Me,chief-data-officer,\n"
        "operator@example.gov,Person operator,service,\n"
        "other@example.gov,Other,operator,DOT\n"
        "you@example.gov,You,operator,\n"
    )
    path = "/api/v1/directory/imports/people"
    with monkeypatch.context() as patch:
        patch.setattr(api_directory, "PUBLISHED_WITHIN_SECONDS", 0.1)
        answer = await desk.client.post(path, content=rows, headers=operator)
    told = answer.json()
    assert (answer.status_code, told["changed"], told["published"]) == (200, 1, False)
    # Lines that cannot be read come before those that the guard refuses.
    assert [(one["line"], one["field"]) for one in told["problems"]] == [
        (4, "agency_code"),
        (2, "role"),
        (3, "role"),
    ]
    assert "themselves" in told["problems"][2]["message"]
    given, own, beyond = (await desk.audit())[:3]
    assert (given.act, given.details) == (DirectoryAct.GRANTED, {"roles": ["operator of *"]})
    assert [(one.act, one.is_beyond) for one in (own, beyond)] == [
        (DirectoryAct.REFUSED, False),
        (DirectoryAct.REFUSED, True),
    ]
    person = f"/api/v1/directory/people/{given.person_id}"
    for path in (f"{person}/grants/operator", f"/api/v1/people/{given.person_id}/tokens", person):
        assert (await desk.client.delete(path, headers=operator)).status_code == 204, path
    acts = [one.act for one in (await desk.audit())[:3]]
    assert acts == [DirectoryAct.ERASED, DirectoryAct.TOKENS_REVOKED, DirectoryAct.GRANT_TAKEN]
    listed = await desk.client.get("/api/v1/directory/audit", headers=operator)
    assert "you@example.gov" not in listed.text
    page = await desk.client.get("/directory/audit", headers=operator)
    assert "an erased person" in page.text
    assert "Beyond their own rights" in page.text


async def test_the_audit_is_read_in_pages_and_by_administrators_alone(desk: Desk) -> None:
    operator = await desk.bearer("operator")
    for number in range(1, 6):
        order = {"person_id": str(desk.people["requester"]), "uses_max": number}
        await desk.client.post("/api/v1/sign-in-codes", json=order, headers=operator)
    seen: list[int] = []
    cursor: str | None = None
    while True:
        params = {"limit": "2", "person_id": str(desk.people["operator"])}
        if cursor is not None:
            params["cursor"] = cursor
        page = (await desk.client.get("/api/v1/directory/audit", params=params, headers=operator)).json()
        seen += [one["details"]["uses_max"] for one in page["items"] if "uses_max" in one["details"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [5, 4, 3, 2, 1]
    for who in ("requester", "officer", "program"):
        for path in ("/api/v1/directory/audit", "/directory/audit", "/directory/audit.csv"):
            answer = await desk.client.get(path, headers=await desk.bearer(who))
            assert answer.status_code == 403
    assert (await desk.client.get("/api/v1/directory/audit")).status_code == 401


async def test_coming_in_by_a_link_names_who_made_it(desk: Desk) -> None:
    await signed_in(desk, "requester")
    used = (await desk.audit())[0]
    assert (used.act, used.actor_id) == (DirectoryAct.LINK_USED, desk.people["requester"])
    assert used.details == {"made_by": str(desk.people["administrator"])}
    await desk.client.get("/sign-in/with/" + uuid4().hex)
    assert (await desk.audit())[0] == used
