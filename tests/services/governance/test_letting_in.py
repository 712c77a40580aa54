"""Governance over HTTP: forms sent twice, links opened by machines, and the audit of who let whom in."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from services.governance.adapters.sql_audit import audit_lines
from services.governance.bootstrap import Governance, bootstrap
from services.governance.commands import add_person
from services.governance.domain.auditing import AuditLine, DirectoryAct
from services.governance.entrypoints import api_directory
from services.governance.handlers import remember_and_reconcile
from services.governance.settings import GovernanceSettings
from shared.clock import SimulatedClock
from shared.events.catalog import DatasetRegistered, DatasetState
from shared.events.envelope import new_event
from shared.events.governance import GrantState
from shared.events.registry import DATASET_REGISTERED
from shared.http.app import build_app
from shared.http.settings import HTTPSettings
from shared.identity.signing_key import SigningKey
from shared.identity.viewer import Role
from shared.telemetry.metrics import Metrics
from tests.support.catalog_service import always_ready
from tests.support.databases import Databases

DATASET = UUID(int=40)
WISH = {"purpose": "Whether graduates earn more.", "data_wanted": "Years 2019 to 2024.", "legal_basis": ""}


@dataclass(frozen=True, slots=True)
class Desk:
    """Governance with its HTTP application, and people of every kind."""

    governance: Governance
    client: httpx.AsyncClient
    people: dict[Role, UUID]

    async def bearer(self, role: Role) -> dict[str, str]:
        """The header of a program that acts as the person of this role."""
        async with self.governance.service.store.unit_of_work() as work:
            lifetime = GovernanceSettings().session_lifetime
            token = await self.governance.sign_in.issue_token(
                work, self.people[role], label="test", lifetime=lifetime
            )
        return {"Authorization": f"Bearer {token}"}

    async def audit(self) -> list[AuditLine]:
        """Every line, newest first."""
        async with self.governance.service.store.read() as connection:
            return [one.line for one in await audit_lines(connection, limit=100)]


@pytest.fixture
async def desk(tmp_path: Path, clock: SimulatedClock, databases: Databases) -> AsyncIterator[Desk]:
    key = SigningKey.load_or_create(tmp_path / "signing-key")
    url = await databases.url("governance")
    built = bootstrap(GovernanceSettings(), database_url=url, clock=clock, signing_key=key)
    await built.service.store.open()
    state = DatasetState(
        dataset_id=DATASET,
        source_id="source",
        identifier="outcomes",
        title="Outcomes",
        publisher_name="Office",
        access_level="restricted public",
        registered_at=clock.now(),
        metadata_changed_at=clock.now(),
    )
    event = new_event(
        DATASET_REGISTERED,
        DatasetRegistered(dataset=state),
        subject=str(DATASET),
        subjectversion=1,
        time=clock.now(),
    )
    async with built.service.store.unit_of_work() as work:
        await remember_and_reconcile([event], work, built.ports)
        for role in (Role.REQUESTER, Role.OPERATOR, Role.SERVICE, Role.CHIEF_DATA_OFFICER):
            await add_person(
                work,
                built.ports,
                email=f"{role}@example.gov",
                display_name=f"Person {role}",
                grants=[GrantState(role=role)],
            )
        ids = await built.ports.directory.person_ids_by_email(work, [f"{role}@example.gov" for role in Role])
    app = build_app(
        title="Governance",
        routers=built.service.routers,
        authenticator=built.authenticator,
        signing_key=key,
        metrics=Metrics(),
        clock=clock,
        installation="Test Nutmeg",
        settings=HTTPSettings(),
        readiness=always_ready,
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield Desk(built, client, {Role(email.partition("@")[0]): ids[email] for email in ids})
    await built.service.store.close()


async def signed_in(desk: Desk, role: Role) -> None:
    """Sign the client's browser in by a link."""
    operator = await desk.bearer(Role.OPERATOR)
    order = {"person_id": str(desk.people[role])}
    path = (await desk.client.post("/api/v1/sign-in-codes", json=order, headers=operator)).json()["path"]
    assert (await desk.client.post(path, data={"next": "/"})).status_code == 303


async def form_of(desk: Desk) -> dict[str, str]:
    """The hidden fields of a fresh request form."""
    page = await desk.client.get(f"/sharing-requests/new?dataset={DATASET}")
    found = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text)
    return {name: value for name, value in found if name in {"csrf_token", "form_key", "dataset"}}


async def test_a_form_sent_twice_opens_one_request_and_shows_it_both_times(desk: Desk) -> None:
    await signed_in(desk, Role.REQUESTER)
    form = await form_of(desk) | WISH
    answers = await asyncio.gather(*(desk.client.post("/sharing-requests/new", data=form) for _ in range(3)))
    assert {answer.status_code for answer in answers} == {303}
    assert len({answer.headers["location"] for answer in answers}) == 1
    listed = (await desk.client.get("/api/v1/sharing-requests")).json()["items"]
    assert [f"/sharing-requests/{one['request_id']}" for one in listed] == [answers[0].headers["location"]]

    other = await desk.client.post("/sharing-requests/new", data=await form_of(desk) | WISH)
    assert other.headers["location"] != answers[0].headers["location"], "another form is another request"


async def test_a_form_sent_again_with_other_words_is_refused_with_the_way_on(desk: Desk) -> None:
    await signed_in(desk, Role.REQUESTER)
    form = await form_of(desk) | WISH
    first = await desk.client.post("/sharing-requests/new", data=form)
    changed = form | {"purpose": "Something else entirely."}
    again = await desk.client.post("/sharing-requests/new", data=changed, headers={"Accept": "text/html"})
    assert again.status_code == 409
    assert first.headers["location"] in again.text
    assert f"/sharing-requests/new?dataset={DATASET}" in again.text
    assert len((await desk.client.get("/api/v1/sharing-requests")).json()["items"]) == 1


async def test_a_form_with_a_mistake_keeps_its_key(desk: Desk) -> None:
    await signed_in(desk, Role.REQUESTER)
    form = await form_of(desk)
    page = await desk.client.post("/sharing-requests/new", data=form | {"purpose": "short"})
    assert page.status_code == 422
    assert f'name="form_key" value="{form["form_key"]}"' in page.text


async def test_the_key_of_somebody_elses_form_opens_a_request_of_ones_own(desk: Desk) -> None:
    await signed_in(desk, Role.REQUESTER)
    key = (await form_of(desk))["form_key"]
    first = await desk.client.post(
        "/sharing-requests/new", data=await form_of(desk) | WISH | {"form_key": key}
    )
    desk.client.cookies.clear()
    await signed_in(desk, Role.SERVICE)
    stolen = await desk.client.post(
        "/sharing-requests/new", data=await form_of(desk) | WISH | {"form_key": key}
    )
    assert stolen.status_code == 303
    assert stolen.headers["location"] != first.headers["location"]


async def test_opening_a_sign_in_link_uses_nothing_up_and_its_button_does(desk: Desk) -> None:
    operator = await desk.bearer(Role.OPERATOR)
    order = {"person_id": str(desk.people[Role.REQUESTER])}
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


async def test_letting_in_somebody_with_wider_rights_is_marked_in_the_audit(desk: Desk) -> None:
    operator = await desk.bearer(Role.OPERATOR)
    chief = str(desk.people[Role.CHIEF_DATA_OFFICER])
    token = {"person_id": chief, "label": "a laptop", "days": 9}
    assert (await desk.client.post("/api/v1/tokens", json=token, headers=operator)).status_code == 201
    asker = {"person_id": str(desk.people[Role.REQUESTER]), "uses_max": 3}
    assert (await desk.client.post("/api/v1/sign-in-codes", json=asker, headers=operator)).status_code == 201
    link, issued = (await desk.audit())[:2]
    operator_id = desk.people[Role.OPERATOR]
    assert (issued.act, issued.actor_id, issued.is_beyond) == (DirectoryAct.TOKEN_ISSUED, operator_id, True)
    assert (issued.person_id, issued.details) == (UUID(chief), {"days": 9})
    assert (link.act, link.is_beyond, link.details) == (DirectoryAct.LINK_MADE, False, {"uses_max": 3})
    listed = await desk.client.get("/api/v1/tokens", params={"person_id": chief}, headers=operator)
    assert [one["issued_by"] for one in listed.json()["items"]] == [str(operator_id)]


async def test_a_program_lets_in_nobody_with_more_rights_than_its_own(desk: Desk) -> None:
    program = await desk.bearer(Role.SERVICE)
    before = await desk.audit()
    for path, more in (("/api/v1/tokens", {"label": "x"}), ("/api/v1/sign-in-codes", {})):
        order = {"person_id": str(desk.people[Role.OPERATOR]), **more}
        refused = await desk.client.post(path, json=order, headers=program)
        assert refused.status_code == 403, refused.text
        order["person_id"] = str(desk.people[Role.REQUESTER])
        assert (await desk.client.post(path, json=order, headers=program)).status_code == 201
    assert len(await desk.audit()) == len(before) + 2


async def test_rights_given_by_an_import_are_in_the_audit_and_marked_where_they_go_beyond(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = await desk.bearer(Role.OPERATOR)
    rows = "email,display_name,role,agency_code\nme@example.gov,Me,chief-data-officer,\n"
    path = "/api/v1/directory/imports/people"
    with monkeypatch.context() as patch:
        patch.setattr(api_directory, "PUBLISHED_WITHIN_SECONDS", 0.1)
        answer = await desk.client.post(path, content=rows, headers=operator)
    assert (answer.status_code, answer.json()["changed"]) == (200, 1)
    assert answer.json()["published"] is False, "nothing publishes here"
    given = (await desk.audit())[0]
    assert (given.act, given.is_beyond) == (DirectoryAct.GRANTED, True)
    assert given.details == {"roles": ["chief-data-officer of *"]}
    person = f"/api/v1/directory/people/{given.person_id}"
    for path in (f"{person}/grants/chief-data-officer", f"/api/v1/people/{given.person_id}/tokens", person):
        assert (await desk.client.delete(path, headers=operator)).status_code == 204
    acts = [one.act for one in (await desk.audit())[:3]]
    assert acts == [DirectoryAct.ERASED, DirectoryAct.TOKENS_REVOKED, DirectoryAct.GRANT_TAKEN]
    told = await desk.client.get("/api/v1/directory/audit", headers=operator)
    assert "me@example.gov" not in told.text
    page = await desk.client.get("/directory/audit", headers=operator)
    assert "an erased person" in page.text
    assert "Beyond their own rights" in page.text


async def test_the_audit_is_read_in_pages_and_by_administrators_alone(desk: Desk) -> None:
    operator = await desk.bearer(Role.OPERATOR)
    for number in range(1, 6):
        order = {"person_id": str(desk.people[Role.REQUESTER]), "uses_max": number}
        await desk.client.post("/api/v1/sign-in-codes", json=order, headers=operator)
    seen: list[int] = []
    cursor: str | None = None
    while True:
        params = {"limit": "2", "person_id": str(desk.people[Role.OPERATOR])}
        if cursor is not None:
            params["cursor"] = cursor
        page = (await desk.client.get("/api/v1/directory/audit", params=params, headers=operator)).json()
        seen += [one["details"]["uses_max"] for one in page["items"] if "uses_max" in one["details"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [5, 4, 3, 2, 1]
    for role in (Role.REQUESTER, Role.SERVICE):
        for path in ("/api/v1/directory/audit", "/directory/audit"):
            answer = await desk.client.get(path, headers=await desk.bearer(role))
            assert answer.status_code == 403
    assert (await desk.client.get("/api/v1/directory/audit")).status_code == 401


async def test_coming_in_by_a_link_names_who_made_it(desk: Desk) -> None:
    await signed_in(desk, Role.REQUESTER)
    used = (await desk.audit())[0]
    assert (used.act, used.actor_id) == (DirectoryAct.LINK_USED, desk.people[Role.REQUESTER])
    assert used.details == {"made_by": str(desk.people[Role.OPERATOR])}
    await desk.client.get("/sign-in/with/" + uuid4().hex)
    assert (await desk.audit())[0] == used
