"""The access log: what is written down beside rights, and how it leaves as CSV."""

import csv
import io
from datetime import timedelta

import pytest

from services.governance.commands.access import take_grant
from services.governance.domain.auditing import AuditLine, DirectoryAct
from services.governance.entrypoints import api_directory
from services.governance.handlers import remember_and_reconcile
from shared.clock import SimulatedClock
from shared.events.catalog import DatasetChanged
from shared.events.envelope import new_event
from shared.events.registry import DATASET_CHANGED
from shared.identity.viewer import Role, TokenScope
from tests.support.governance_desk import Desk, record

STEWARDSHIPS = "/api/v1/directory/imports/stewardships"


async def test_sign_ins_that_fail_are_written_down_and_those_of_a_minute_share_a_line(
    desk: Desk, clock: SimulatedClock
) -> None:
    for _ in range(3):
        answer = await desk.client.post("/sign-in", data={"token": "nonsense"})
        assert answer.status_code == 422
    assert (await desk.client.post("/sign-in/with/unknown")).status_code == 410
    program = (await desk.bearer("program", [TokenScope.HITS]))["Authorization"].removeprefix("Bearer ")
    refused = await desk.client.post("/sign-in", data={"token": program})
    assert refused.status_code == 422
    assert "set-cookie" not in refused.headers
    failed = [line for line in await desk.audit() if line.act is DirectoryAct.SIGN_IN_FAILED]
    assert [dict(line.details) for line in failed] == [
        {"way": "a token", "reason": "program"},
        {"way": "a link", "reason": "unknown, expired or used up"},
        {"way": "a token", "reason": "malformed", "times": 3},
    ]
    assert all(line.actor_id is None for line in failed)
    clock.advance(timedelta(minutes=2))
    await desk.client.post("/sign-in", data={"token": "nonsense"})
    assert (await desk.audit())[0].details == {"way": "a token", "reason": "malformed"}
    page = await desk.client.get("/directory/audit", headers=await desk.bearer("operator"))
    assert "Somebody unknown did not come in" in page.text


async def test_a_record_that_others_see_than_before_is_written_down_with_who_decided_it(
    desk: Desk, clock: SimulatedClock
) -> None:
    steward = desk.people["steward"]
    for number, (visibility, by) in enumerate(
        (("government", steward), ("government", None), ("public", None))
    ):
        event = new_event(
            DATASET_CHANGED,
            DatasetChanged(
                dataset=record(clock, visibility=visibility), changed_fields=["visibility"], changed_by=by
            ),
            subject=str(record(clock).dataset_id),
            subjectversion=number + 2,
            time=clock.now(),
        )
        async with desk.governance.service.store.unit_of_work() as work:
            await remember_and_reconcile([event], work, desk.governance.ports)
    lines = [line for line in await desk.audit() if line.act is DirectoryAct.VISIBILITY_CHANGED]
    assert [(line.actor_id, line.details["visibility"]) for line in lines] == [
        (None, ["government", "public"]),
        (steward, ["public", "government"]),
    ]


async def test_a_stewardship_s_change_is_written_down_field_by_field(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_directory, "PUBLISHED_WITHIN_SECONDS", 0.0)
    chief = await desk.bearer("chief")
    header = "identifier,agency_code,steward_email,visibility\n"
    for visibility in ("public", "public", "agency"):
        rows = f"{header}roads,DOT,steward@example.gov,{visibility}\n"
        assert (await desk.client.post(STEWARDSHIPS, content=rows, headers=chief)).status_code == 200
    lines = _stewardships(await desk.audit())
    assert [line.details.get("visibility") for line in lines] == [["public", "agency"], [None, "public"]]
    assert {line.actor_id for line in lines} == {desk.people["chief"]}
    assert {line.person_id for line in lines} == {desk.people["steward"]}


async def test_a_steward_who_loses_the_role_is_no_dataset_s_steward_any_more(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_directory, "PUBLISHED_WITHIN_SECONDS", 0.0)
    rows = "identifier,agency_code,steward_email\nroads,DOT,steward@example.gov\n"
    await desk.client.post(STEWARDSHIPS, content=rows, headers=await desk.bearer("chief"))
    store, ports = desk.governance.service.store, desk.governance.ports
    steward = desk.people["steward"]
    async with store.unit_of_work() as work:
        await take_grant(work, ports, steward, Role.STEWARD, desk.agencies["DOT"])
    vacated = _stewardships(await desk.audit())[0]
    assert (vacated.person_id, vacated.details["steward_id"]) == (steward, [str(steward), None])


async def test_the_log_leaves_as_csv_with_its_filters_by_page_and_api(desk: Desk) -> None:
    await desk.client.post("/sign-in", data={"token": "=nonsense"})
    operator = await desk.bearer("operator")
    asker = str(desk.people["requester"])
    order = {"person_id": asker, "uses_max": 2}
    await desk.client.post("/api/v1/sign-in-codes", json=order, headers=operator)
    answers = [
        await desk.client.get("/api/v1/directory/audit.csv", headers=operator, params={"act": "link-made"}),
        await desk.client.get("/directory/audit.csv", headers=operator, params={"act": "link-made"}),
    ]
    for answer in answers:
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        (row,) = csv.DictReader(io.StringIO(answer.text))
        assert (row["act"], row["person_id"]) == ("link-made", asker)
        assert row["details"] == '{"uses_max":2}'
    of_person = await desk.client.get("/directory/audit.csv", headers=operator, params={"person": asker})
    acts = [row["act"] for row in csv.DictReader(io.StringIO(of_person.text))]
    assert acts == ["link-made", "granted"]
    page = await desk.client.get(
        "/directory/audit", headers=operator, params={"act": "link-made", "person": asker}
    )
    assert f"/directory/audit.csv?person={asker}&amp;act=link-made" in page.text
    assert (await desk.client.get("/directory/audit.csv")).status_code == 401


def _stewardships(lines: list[AuditLine]) -> list[AuditLine]:
    return [line for line in lines if line.act is DirectoryAct.STEWARDSHIP_CHANGED]
