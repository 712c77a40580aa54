"""Whoever answers for agencies is told of all that is theirs, and sees what waits on it."""

from dataclasses import astuple
from datetime import UTC, datetime
from uuid import UUID, uuid4

from sqlalchemy import select

from services.notify.inbox.reader.workload import workload_of
from services.notify.migrations.tables import INBOX_ITEMS
from shared.events.alerts import AlertOpened, AlertResolved
from shared.events.envelope import tombstone
from shared.events.governance import (
    AgencyChanged,
    AgencyState,
    GrantState,
    PersonChanged,
    PersonState,
    SharingRequestApproved,
    SharingRequestState,
    SharingRequestSubmitted,
)
from shared.events.quality import AgencySummaryLine, BaselineSummarised, Measurement, MeasurementRecorded
from shared.events.registry import (
    AGENCY_CHANGED,
    BASELINE_SUMMARISED,
    MEASUREMENT_RECORDED,
    PERSON_CHANGED,
    QUALITY_ALERT_OPENED,
    QUALITY_ALERT_RESOLVED,
    SHARING_REQUEST_APPROVED,
    SHARING_REQUEST_SUBMITTED,
)
from shared.identity.viewer import Grant, Role, Viewer
from tests.services.notify.test_notify_service import (
    AGENCY,
    DATASET,
    REQUESTER,
    STEWARD,
    Bench,
    Start,
    alert,
    mail_server,
    start,
)
from tests.support.mail_server import MailServer

__all__ = ["mail_server", "start"]


def measured(status: str) -> MeasurementRecorded:
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    return MeasurementRecorded(
        measurement=Measurement(dataset_id=DATASET, kind="freshness", status=status, measured_at=moment)
    )


def asked(bench: Bench) -> SharingRequestState:
    """A request that waits for the agency."""
    return SharingRequestState(
        request_id=uuid4(),
        dataset_id=DATASET,
        dataset_title="Open Expenditures Ledger",
        agency_id=AGENCY,
        requester_id=REQUESTER,
        status="submitted",
        purpose="to study",
        data_wanted="rows",
        submitted_at=bench.clock.now(),
        changed_at=bench.clock.now(),
    )


async def test_whoever_answers_for_all_sees_all_that_waits(start: Start, mail_server: MailServer) -> None:
    bench: Bench = await start(smtp_host="127.0.0.1", smtp_port=mail_server.port)
    officer, other, chief = (uuid4() for _ in range(3))
    roles = {
        officer: ("officer@example.gov", "agency-data-officer", AGENCY),
        other: ("other@example.gov", "agency-data-officer", uuid4()),
        chief: ("chief@example.gov", "chief-data-officer", None),
    }
    for person_id, (email, role, agency_id) in roles.items():
        grant = GrantState(role=role, agency_id=agency_id)
        state = PersonState(person_id=person_id, display_name=role, email=email, grants=[grant])
        await bench.publish(PERSON_CHANGED, PersonChanged(person=state), person_id)
    agency = AgencyState(agency_id=AGENCY, code="OSC", name="Comptroller", aliases=[])
    await bench.publish(AGENCY_CHANGED, AgencyChanged(agency=agency), AGENCY)
    await bench.idle()
    viewers = {
        person_id: Viewer(person_id, frozenset({Grant(Role(role), agency_id)}))
        for person_id, (_, role, agency_id) in roles.items()
    }
    viewers[STEWARD] = Viewer(STEWARD, frozenset({Grant(Role.STEWARD, AGENCY)}))
    viewers[REQUESTER] = Viewer(REQUESTER, frozenset({Grant(Role.REQUESTER)}))

    async def workloads() -> dict[UUID, tuple[int, ...] | None]:
        async with bench.notify.service.store.read() as connection:
            found = {one: await workload_of(connection, viewer) for one, viewer in viewers.items()}
        return {one: None if load is None else astuple(load) for one, load in found.items()}

    nothing = (1, 0, 0, 0, 0)
    everybody = {officer: nothing, other: (0,) * 5, chief: nothing, STEWARD: nothing, REQUESTER: None}
    assert await workloads() == everybody

    key = f"{DATASET}/freshness"
    await bench.publish(MEASUREMENT_RECORDED, measured("stale"), key)
    alert_id = uuid4()
    opened = AlertOpened(alert=alert(bench.clock, alert_id))
    await bench.publish(QUALITY_ALERT_OPENED, opened, alert_id)
    request = asked(bench)
    await bench.publish(
        SHARING_REQUEST_SUBMITTED, SharingRequestSubmitted(request=request), request.request_id
    )
    await bench.idle()
    waiting = (1, 1, 1, 0, 1)
    theirs = {officer: waiting, chief: waiting, STEWARD: waiting}
    assert await workloads() == everybody | theirs
    await bench.publish(MEASUREMENT_RECORDED, measured("late"), key)
    await bench.publish(
        QUALITY_ALERT_RESOLVED, AlertResolved(alert=alert(bench.clock, alert_id, state="resolved")), alert_id
    )
    approved = request.model_copy(update={"status": "approved", "decision_reason": "Yes."})
    await bench.publish(
        SHARING_REQUEST_APPROVED, SharingRequestApproved(request=approved), request.request_id
    )
    await bench.idle()
    assert (await workloads())[officer] == (1, 0, 0, 1, 0)
    await bench.publish(MEASUREMENT_RECORDED, measured("ok"), key)
    await bench.idle()
    assert await workloads() == everybody
    erased = tombstone(
        PERSON_CHANGED,
        subject=str(REQUESTER),
        partition_key=str(REQUESTER),
        time=bench.clock.now(),
        subjectversion=9,
    )
    await bench.send(erased)
    await bench.idle()
    async with bench.notify.service.store.read() as connection:
        kept = set(await connection.scalars(select(INBOX_ITEMS.c.requester_id)))
    assert kept == {None}


async def test_a_data_officer_gets_one_summary_of_a_first_harvest_in_one_mail(
    start: Start, mail_server: MailServer
) -> None:
    bench: Bench = await start(smtp_host="127.0.0.1", smtp_port=mail_server.port)
    officer, roads, health = (uuid4() for _ in range(3))
    grants = [GrantState(role="agency-data-officer", agency_id=one) for one in (roads, health)]
    state = PersonState(person_id=officer, display_name="O", email="officer@example.gov", grants=grants)
    await bench.publish(PERSON_CHANGED, PersonChanged(person=state), officer)
    others = uuid4()
    for one in (roads, health, others):
        agency = AgencyState(agency_id=one, code=one.hex[:6], name=f"Agency {one.hex[:6]}", aliases=[])
        await bench.publish(AGENCY_CHANGED, AgencyChanged(agency=agency), one)
    await bench.idle()
    lines = [
        AgencySummaryLine(
            agency_id=one, datasets=4, fresh=1, late=1, stale=2, not_applicable=0, without_steward=1
        )
        for one in (roads, health, others)
    ]
    notice = BaselineSummarised(
        notice_id=uuid4(),
        datasets=12,
        fresh=3,
        late=3,
        stale=6,
        not_applicable=0,
        next_act="",
        agencies=lines,
    )
    for _ in range(2):
        await bench.publish(BASELINE_SUMMARISED, notice, notice.notice_id)
    await bench.idle()
    assert mail_server.recipients == ["officer@example.gov"]
    (line,) = await bench.inbox(officer)
    assert line.item.title == "First quality check: 2 agencies"
    assert line.reason == "You are the data officer of these agencies."
    assert line.item.links[0][0] == "Out of date (4)"
    assert await bench.inbox(STEWARD) == []
