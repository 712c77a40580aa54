"""Notify on the real embedded log and a real mail server: who is told, how often, and what is called sent."""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from email import message_from_bytes
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select

from services.notify.bootstrap import Notify, bootstrap
from services.notify.delivery.smtp import TIMEOUTS_PER_TRY
from services.notify.inbox.commands import acknowledge_item
from services.notify.inbox.domain.items import ItemState
from services.notify.inbox.reader.entries import InboxEntry, inbox_entries
from services.notify.migrations.tables import DELIVERIES, DELIVERY, NOTIFICATIONS, PEOPLE
from services.notify.routing.commands.alerts import route_alerts
from services.notify.settings import NotifySettings
from shared.clock import SimulatedClock
from shared.consuming.consumer_loop import LoopSettings
from shared.consuming.handling import Outcome
from shared.events.alerts import AlertChanged, AlertOpened, AlertResolved, AlertState
from shared.events.catalog import DatasetRegistered, DatasetState
from shared.events.envelope import Event, decode, encode, new_event, tombstone
from shared.events.governance import (
    GrantState,
    PersonChanged,
    PersonState,
    SharingRequestApproved,
    SharingRequestState,
    SharingRequestSubmitted,
)
from shared.events.model import EventModel
from shared.events.notify import AlertAcknowledged, DeliveryDead, DeliveryDeferred, DeliverySent
from shared.events.registry import (
    DATASET_REGISTERED,
    EVENT_TYPES,
    PERSON_CHANGED,
    QUALITY_ALERT_CHANGED,
    QUALITY_ALERT_OPENED,
    QUALITY_ALERT_RESOLVED,
    SHARING_REQUEST_APPROVED,
    SHARING_REQUEST_SUBMITTED,
    EventType,
)
from shared.events.topics import TOPICS
from shared.log.port import OutgoingRecord
from shared.log.sqlite.event_log import SQLiteEventLog
from shared.process.service_runner import ServiceRunner, wait_until_idle
from shared.telemetry.metrics import Metrics
from tests.support.databases import Databases
from tests.support.log_bench import until
from tests.support.mail_server import MailServer, run_mail_server
from tests.support.stepped_clock import set_back

AGENCY, DATASET, STEWARD, REQUESTER = (uuid4() for _ in range(4))
QUICK = LoopSettings(poll_timeout_seconds=0.05, pause_seconds_min=0.02, pause_seconds_max=0.05)


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    with run_mail_server() as server:
        yield server


@dataclass
class Bench:
    """Notify running, with a log to publish to."""

    notify: Notify
    runner: ServiceRunner
    log: SQLiteEventLog
    clock: SimulatedClock
    versions: dict[str, int] = field(default_factory=dict)

    async def publish(self, event_type: EventType, data: EventModel, subject: UUID | str) -> Event:
        version = self.versions[str(subject)] = self.versions.get(str(subject), 0) + 1
        event = new_event(
            event_type, data, subject=str(subject), subjectversion=version, time=self.clock.now()
        )
        await self.send(event)
        return event

    async def send(self, event: Event) -> None:
        headers, value = encode(event)
        record = OutgoingRecord(
            EVENT_TYPES[event.type].topic.name,
            event.subject,
            event.partitionkey or event.subject,
            headers,
            value,
        )
        await self.log.publish([record])

    async def idle(self) -> None:
        await wait_until_idle([self.runner], timeout_seconds=20)

    async def runner_is_quiet(self) -> None:
        """Wait until all is read; messages may still wait for their neighbours."""

        async def drained() -> bool:
            return all([await loop.drained() for loop in self.runner.loops.values()])

        await until(drained)

    async def inbox(self, person_id: UUID, *states: ItemState) -> list[InboxEntry]:
        async with self.notify.service.store.read() as connection:
            return await inbox_entries(connection, person_id, states=states or tuple(ItemState))

    async def emitted(self) -> list[Any]:
        async with self.notify.service.store.read() as connection:
            rows = await connection.execute(select(DELIVERY.outbox).order_by(DELIVERY.outbox.c.id))
            return [
                decode([(name, text.encode()) for name, text in row.headers], row.value).data for row in rows
            ]


Start = Callable[..., Any]


@pytest.fixture
async def start(tmp_path: Path, clock: SimulatedClock, databases: Databases) -> AsyncIterator[Start]:
    benches: list[Bench] = []

    async def build(**settings: Any) -> Bench:
        log = SQLiteEventLog(tmp_path, clock=clock)
        await log.open()
        notify = bootstrap(
            NotifySettings(
                **{
                    "group_wait_seconds": 0,
                    "sender_address": "nutmeg@example.gov",
                    "poll_seconds": 0.05,
                    **settings,
                }
            ),
            database_url=await databases.url("notify"),
            clock=clock,
            metrics=Metrics(),
            base_url="https://data.example.gov",
            installation_name="Nutmeg",
            maildir=tmp_path / "mail",
        )
        runner = ServiceRunner(notify.service, log=log, clock=clock, loop_settings=QUICK)
        await log.ensure_topics(list(TOPICS.values()))
        await runner.start()
        bench = Bench(notify, runner, log, clock)
        benches.append(bench)
        await bench.publish(PERSON_CHANGED, person(STEWARD, "steward@example.gov", "steward"), STEWARD)
        await bench.publish(PERSON_CHANGED, person(REQUESTER, "desk@example.org", "requester"), REQUESTER)
        await bench.publish(DATASET_REGISTERED, DatasetRegistered(dataset=dataset(clock)), DATASET)
        await bench.idle()
        return bench

    yield build
    for bench in benches:
        await bench.runner.stop()
        await bench.log.close()


def person(person_id: UUID, email: str | None, role: str) -> PersonChanged:
    agency_id = AGENCY if role == "steward" else None
    return PersonChanged(
        person=PersonState(
            person_id=person_id,
            display_name=f"the {role}",
            email=email,
            grants=[GrantState(role=role, agency_id=agency_id)],
        )
    )


def dataset(clock: SimulatedClock) -> DatasetState:
    return DatasetState(
        dataset_id=DATASET,
        source_id="source",
        identifier="ledger",
        title="Open Expenditures Ledger",
        agency_id=AGENCY,
        agency_name="Comptroller",
        steward_id=STEWARD,
        registered_at=clock.now(),
        metadata_changed_at=clock.now(),
    )


def alert(clock: SimulatedClock, alert_id: UUID, **changes: Any) -> AlertState:
    values = {
        "alert_id": alert_id,
        "dataset_id": DATASET,
        "dataset_title": "Open Expenditures Ledger",
        "agency_id": AGENCY,
        "kind": "row-count-dropped",
        "severity": "warning",
        "state": "open",
        "cause": "60 % of the rows are gone.",
        "next_act": "Publish the whole file again.",
        "opened_at": clock.now(),
        "changed_at": clock.now(),
    }
    return AlertState(**{**values, **changes})


async def test_the_steward_gets_one_mail_with_reason_and_link_and_one_inbox_line(
    start: Start, mail_server: MailServer
) -> None:
    bench: Bench = await start(smtp_host="127.0.0.1", smtp_port=mail_server.port)
    alert_id = uuid4()
    event = await bench.publish(
        QUALITY_ALERT_OPENED, AlertOpened(alert=alert(bench.clock, alert_id)), alert_id
    )
    await bench.send(event)  # the log may bring a record twice
    await bench.idle()
    assert mail_server.recipients == ["steward@example.gov"]
    text = mail_server.accepted[0].get_payload(0).get_payload(decode=True).decode()  # type: ignore[union-attr]
    assert "You are the steward of “Open Expenditures Ledger”." in text
    assert f"https://data.example.gov/inbox/{alert_id}" in text
    (line,) = await bench.inbox(STEWARD, ItemState.OPEN)
    assert line.item.item_id == alert_id
    (sent,) = [one for one in await bench.emitted() if isinstance(one, DeliverySent)]
    assert (sent.delivery.about_id, sent.delivery.person_id) == (alert_id, STEWARD)
    assert "@" not in sent.model_dump_json()


async def test_fifteen_alerts_within_the_wait_are_one_mail(start: Start, mail_server: MailServer) -> None:
    bench: Bench = await start(smtp_host="127.0.0.1", smtp_port=mail_server.port, group_wait_seconds=0.5)
    for _ in range(15):
        alert_id = uuid4()
        await bench.publish(QUALITY_ALERT_OPENED, AlertOpened(alert=alert(bench.clock, alert_id)), alert_id)
    await bench.idle()
    assert len(mail_server.accepted) == 1
    assert "15 items" in mail_server.accepted[0]["Subject"]
    assert len(await bench.inbox(STEWARD, ItemState.OPEN)) == 15


async def test_what_opens_and_recovers_within_the_wait_is_told_to_nobody(
    start: Start, mail_server: MailServer
) -> None:
    bench: Bench = await start(smtp_host="127.0.0.1", smtp_port=mail_server.port, group_wait_seconds=0.5)
    alert_id = uuid4()
    await bench.publish(QUALITY_ALERT_OPENED, AlertOpened(alert=alert(bench.clock, alert_id)), alert_id)
    resolved = alert(bench.clock, alert_id, state="resolved", resolved_at=bench.clock.now())
    await bench.publish(QUALITY_ALERT_RESOLVED, AlertResolved(alert=resolved), alert_id)
    await bench.idle()
    assert mail_server.attempts == 0
    assert await bench.inbox(STEWARD, ItemState.OPEN) == []
    assert len(await bench.inbox(STEWARD, ItemState.DONE)) == 1


async def test_a_batch_with_all_the_life_of_an_alert_leaves_what_holds_at_its_end(start: Start) -> None:
    bench: Bench = await start(group_wait_seconds=60)
    first, second = uuid4(), uuid4()
    again = alert(bench.clock, first, occurrences=2)
    told: list[tuple[EventType, EventModel, UUID]] = [
        (QUALITY_ALERT_OPENED, AlertOpened(alert=alert(bench.clock, first)), first),
        (QUALITY_ALERT_RESOLVED, AlertResolved(alert=alert(bench.clock, first, state="resolved")), first),
        (QUALITY_ALERT_OPENED, AlertOpened(alert=again), first),
        (QUALITY_ALERT_OPENED, AlertOpened(alert=alert(bench.clock, second)), second),
    ]
    batch = [
        new_event(kind, data, subject=str(subject), subjectversion=version, time=bench.clock.now())
        for version, (kind, data, subject) in enumerate(told, start=1)
    ]
    async with bench.notify.service.store.unit_of_work() as work:
        assert await route_alerts(batch, work, bench.notify.context) == [Outcome.APPLIED] * len(batch)
        rows = (await work.connection.execute(select(NOTIFICATIONS.c.item_id, NOTIFICATIONS.c.change))).all()
    assert sorted(rows) == sorted([(first, "opened"), (second, "opened")])
    lines = await bench.inbox(STEWARD, ItemState.OPEN)
    assert {(line.item.item_id, line.item.occurrences) for line in lines} == {(first, 2), (second, 1)}


async def test_acknowledging_tells_the_owner_once_and_mails_nobody(
    start: Start, mail_server: MailServer
) -> None:
    bench: Bench = await start(smtp_host="127.0.0.1", smtp_port=mail_server.port)
    alert_id = uuid4()
    await bench.publish(QUALITY_ALERT_OPENED, AlertOpened(alert=alert(bench.clock, alert_id)), alert_id)
    await bench.idle()
    for _ in range(2):
        async with bench.notify.service.store.unit_of_work() as work:
            await acknowledge_item(work, bench.notify.context.inbox.items, alert_id, STEWARD)
    taken = alert(bench.clock, alert_id, state="acknowledged", acknowledged_by=STEWARD)
    await bench.publish(QUALITY_ALERT_CHANGED, AlertChanged(alert=taken, change="acknowledged"), alert_id)
    await bench.idle()
    told = [one for one in await bench.emitted() if isinstance(one, AlertAcknowledged)]
    assert [(one.alert_id, one.owner_topic) for one in told] == [(alert_id, TOPICS["quality.alerts"].name)]
    assert len(mail_server.accepted) == 1
    (line,) = await bench.inbox(STEWARD)
    assert (line.item.state, line.acknowledged_by) == (ItemState.ACKNOWLEDGED, "the steward")


@pytest.mark.parametrize(
    ("answer", "outcome", "state"),
    [("451 try later", DeliveryDeferred, "deferred"), ("550 no such person", DeliveryDead, "dead")],
)
async def test_a_message_that_was_not_taken_is_never_called_sent(
    start: Start, mail_server: MailServer, answer: str, outcome: type, state: str
) -> None:
    mail_server.answers = [answer]
    bench: Bench = await start(smtp_host="127.0.0.1", smtp_port=mail_server.port)
    alert_id = uuid4()
    await bench.publish(QUALITY_ALERT_OPENED, AlertOpened(alert=alert(bench.clock, alert_id)), alert_id)
    await bench.idle()
    assert [type(one) for one in await bench.emitted()] == [outcome]
    async with bench.notify.service.store.read() as connection:
        row = (await connection.execute(select(DELIVERIES))).one()
    assert (row.state, row.attempts) == (state, 1)
    assert answer.split(" ", 1)[1] in row.result
    if state == "deferred":
        bench.clock.advance(row.next_attempt_at - bench.clock.now())
        await until(lambda: len(mail_server.accepted) == 1)
        await bench.idle()
        assert isinstance((await bench.emitted())[-1], DeliverySent)


async def test_a_clock_that_is_set_back_holds_up_no_message(start: Start, mail_server: MailServer) -> None:
    mail_server.answers = ["451 try later"]
    bench: Bench = await start(smtp_host="127.0.0.1", smtp_port=mail_server.port, group_wait_seconds=2)
    deferred, waiting = uuid4(), uuid4()
    await bench.publish(QUALITY_ALERT_OPENED, AlertOpened(alert=alert(bench.clock, deferred)), deferred)
    await bench.idle()
    assert {type(one) for one in await bench.emitted()} == {DeliveryDeferred}
    await bench.publish(QUALITY_ALERT_OPENED, AlertOpened(alert=alert(bench.clock, waiting)), waiting)
    set_back(bench.clock, timedelta(hours=3))
    await until(lambda: len(mail_server.accepted) == 2)
    await bench.idle()
    sent = [one.delivery.about_id for one in await bench.emitted() if isinstance(one, DeliverySent)]
    assert sorted(sent, key=str) == sorted((deferred, waiting), key=str)


async def test_an_alert_from_before_a_clock_was_set_back_holds_up_no_other(start: Start) -> None:
    bench: Bench = await start()
    opened, unknown = uuid4(), alert(bench.clock, uuid4(), dataset_id=uuid4())
    set_back(bench.clock, timedelta(hours=3))
    await bench.publish(QUALITY_ALERT_OPENED, AlertOpened(alert=unknown), unknown.alert_id)
    await bench.publish(QUALITY_ALERT_OPENED, AlertOpened(alert=alert(bench.clock, opened)), opened)
    await bench.idle()
    (line,) = await bench.inbox(STEWARD, ItemState.OPEN)
    assert line.item.item_id == opened


async def test_a_message_is_taken_for_longer_than_a_try_may_take(start: Start) -> None:
    bench: Bench = await start(smtp_host="127.0.0.1", smtp_port=9, smtp_timeout_seconds=120)
    assert bench.notify.dispatcher.lease > TIMEOUTS_PER_TRY * timedelta(seconds=120)


async def test_a_mail_server_that_is_down_holds_up_no_event(start: Start) -> None:
    bench: Bench = await start(smtp_host="127.0.0.1", smtp_port=9)
    for _ in range(3):
        alert_id = uuid4()
        await bench.publish(QUALITY_ALERT_OPENED, AlertOpened(alert=alert(bench.clock, alert_id)), alert_id)
    await bench.idle()
    assert len(await bench.inbox(STEWARD, ItemState.OPEN)) == 3
    assert {type(one) for one in await bench.emitted()} == {DeliveryDeferred}


async def test_the_requester_is_always_told_the_outcome(start: Start, mail_server: MailServer) -> None:
    bench: Bench = await start(smtp_host="127.0.0.1", smtp_port=mail_server.port)
    request = SharingRequestState(
        request_id=uuid4(),
        dataset_id=DATASET,
        dataset_title="Open Expenditures Ledger",
        agency_id=AGENCY,
        requester_id=REQUESTER,
        status="approved",
        purpose="to study",
        data_wanted="rows",
        submitted_at=bench.clock.now(),
        changed_at=bench.clock.now(),
        decision_reason="Go ahead.",
    )
    await bench.publish(SHARING_REQUEST_APPROVED, SharingRequestApproved(request=request), request.request_id)
    await bench.idle()
    assert mail_server.recipients == ["desk@example.org"]
    assert "approved" in mail_server.accepted[0]["Subject"]


async def test_a_stewards_own_request_comes_to_somebody_else(start: Start) -> None:
    bench: Bench = await start()
    chief = uuid4()
    await bench.publish(PERSON_CHANGED, person(chief, "chief@example.gov", "chief-data-officer"), chief)
    await bench.idle()
    request = SharingRequestState(
        request_id=uuid4(),
        dataset_id=DATASET,
        dataset_title="Open Expenditures Ledger",
        agency_id=AGENCY,
        requester_id=STEWARD,
        status="submitted",
        purpose="to study",
        data_wanted="rows",
        submitted_at=bench.clock.now(),
        changed_at=bench.clock.now(),
    )
    await bench.publish(
        SHARING_REQUEST_SUBMITTED, SharingRequestSubmitted(request=request), request.request_id
    )
    await bench.idle()
    assert await bench.inbox(STEWARD, ItemState.OPEN) == []
    assert len(await bench.inbox(chief, ItemState.OPEN)) == 1


async def test_without_a_mail_server_messages_are_files_in_a_maildir(start: Start, tmp_path: Path) -> None:
    bench: Bench = await start()
    alert_id = uuid4()
    await bench.publish(QUALITY_ALERT_OPENED, AlertOpened(alert=alert(bench.clock, alert_id)), alert_id)
    await bench.idle()
    (kept,) = (tmp_path / "mail" / "new").iterdir()
    assert message_from_bytes(kept.read_bytes())["To"] == "steward@example.gov"


async def test_an_erased_person_leaves_no_address_and_no_line(start: Start) -> None:
    bench: Bench = await start()
    alert_id = uuid4()
    await bench.publish(QUALITY_ALERT_OPENED, AlertOpened(alert=alert(bench.clock, alert_id)), alert_id)
    await bench.idle()
    await bench.send(
        tombstone(
            PERSON_CHANGED,
            subject=str(STEWARD),
            partition_key=str(STEWARD),
            time=bench.clock.now(),
            subjectversion=9,
        )
    )
    await bench.idle()
    assert await bench.inbox(STEWARD) == []
    async with bench.notify.service.store.read() as connection:
        assert await connection.scalar(select(func.count()).where(PEOPLE.c.person_id == STEWARD)) == 0
        assert await connection.scalar(select(func.count()).select_from(DELIVERIES)) == 0
