"""What time alone brings: alerts that nobody takes are passed on, and what is over is put away."""

from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select

from services.notify.inbox.commands import acknowledge_item, delete_finished
from services.notify.inbox.domain.items import ItemState
from services.notify.migrations.tables import DELIVERIES, INBOX_ENTRIES, INBOX_ITEMS, NOTIFICATIONS
from services.notify.routing.commands.alerts import escalate_unacknowledged
from services.notify.routing.domain.recipients import KnownPeople, KnownPerson, Ownership, next_in_line
from services.notify.settings import NotifySettings
from shared.events.alerts import AlertChanged, AlertOpened, AlertResolved
from shared.events.governance import GrantState, PersonChanged, PersonState
from shared.events.quality import BaselineSummarised
from shared.events.registry import (
    BASELINE_SUMMARISED,
    PERSON_CHANGED,
    QUALITY_ALERT_CHANGED,
    QUALITY_ALERT_OPENED,
    QUALITY_ALERT_RESOLVED,
)
from shared.identity.viewer import Grant, Role
from tests.services.notify.test_notify_service import (
    AGENCY,
    REQUESTER,
    STEWARD,
    Bench,
    Start,
    alert,
    mail_server,
    person,
    start,
)
from tests.support.mail_server import MailServer

__all__ = ["mail_server", "start"]

OFFICER, CHIEF = UUID(int=8), UUID(int=9)
WEEK = timedelta(days=7)


async def open_error(bench: Bench, alert_id: UUID, **changes: object) -> None:
    opened = alert(bench.clock, alert_id, **{"severity": "error", **changes})
    await bench.publish(QUALITY_ALERT_OPENED, AlertOpened(alert=opened), alert_id)
    await bench.idle()


async def hire_officer(bench: Bench) -> None:
    grant = GrantState(role=Role.AGENCY_DATA_OFFICER, agency_id=AGENCY)
    state = PersonState(
        person_id=OFFICER, display_name="officer", email="officer@example.gov", grants=[grant]
    )
    officer = PersonChanged(person=state)
    await bench.publish(PERSON_CHANGED, officer, OFFICER)
    await bench.publish(PERSON_CHANGED, person(CHIEF, "chief@example.gov", Role.CHIEF_DATA_OFFICER), CHIEF)
    await bench.idle()


async def escalate(bench: Bench) -> int:
    passed = await escalate_unacknowledged(bench.notify.service.store, bench.notify.context, after=WEEK)
    await bench.idle()
    return passed


async def test_an_error_that_nobody_takes_for_a_week_goes_to_the_data_officer_once(
    start: Start, mail_server: MailServer
) -> None:
    bench: Bench = await start(smtp_host="127.0.0.1", smtp_port=mail_server.port, escalation_days=0)
    await hire_officer(bench)
    alert_id = uuid4()
    await open_error(bench, alert_id)
    bench.clock.advance(timedelta(days=6))
    assert await escalate(bench) == 0
    bench.clock.advance(timedelta(days=1, seconds=1))
    assert [await escalate(bench) for _ in range(3)] == [1, 0, 0]
    (line,) = await bench.inbox(OFFICER)
    expected = "Nobody has taken charge of this for 7 days, and you are the data officer of Comptroller."
    assert (line.item.item_id, line.reason) == (alert_id, expected)
    assert len(mail_server.accepted) == 2, "the steward's and the officer's"
    assert await bench.inbox(CHIEF) == []

    over = alert(bench.clock, alert_id, severity="error", state="resolved")
    await bench.publish(QUALITY_ALERT_RESOLVED, AlertResolved(alert=over), alert_id)
    await bench.idle()
    assert len(mail_server.accepted) == 4, "both hear that it is over"
    await open_error(bench, alert_id, occurrences=2)
    bench.clock.advance(2 * WEEK)
    assert await escalate(bench) == 1, "another occurrence is passed on again"


async def test_warnings_and_what_somebody_took_are_not_escalated_and_what_got_worse_gets_its_week(
    start: Start,
) -> None:
    bench: Bench = await start(escalation_days=0)
    await hire_officer(bench)
    warning, taken = uuid4(), uuid4()
    await open_error(bench, warning, severity="warning")
    await open_error(bench, taken)
    async with bench.notify.service.store.unit_of_work() as work:
        await acknowledge_item(work, bench.notify.context.inbox.items, taken, STEWARD)
    bench.clock.advance(2 * WEEK)
    assert await escalate(bench) == 0
    worse = alert(bench.clock, warning, severity="error")
    await bench.publish(QUALITY_ALERT_CHANGED, AlertChanged(alert=worse, change="severity"), warning)
    await bench.idle()
    assert await escalate(bench) == 0
    bench.clock.advance(WEEK + timedelta(seconds=1))
    assert await escalate(bench) == 1


async def test_what_is_over_goes_after_its_time_in_portions_and_what_is_open_stays(start: Start) -> None:
    bench: Bench = await start(escalation_days=0)
    closed, still_open = uuid4(), uuid4()
    for alert_id in (closed, still_open):
        await open_error(bench, alert_id)
    over = alert(bench.clock, closed, severity="error", state="resolved")
    await bench.publish(QUALITY_ALERT_RESOLVED, AlertResolved(alert=over), closed)
    await bench.idle()
    prune = partial(
        delete_finished, bench.notify.service.store, bench.notify.context.inbox, kept=timedelta(days=400)
    )
    bench.clock.advance(timedelta(days=399))
    assert await prune() == 0
    bench.clock.advance(timedelta(days=2))
    assert await prune() > 0
    assert await prune() == 0
    async with bench.notify.service.store.read() as connection:
        kept = {
            table.name: await connection.scalar(select(func.count()).select_from(table))
            for table in (INBOX_ITEMS, INBOX_ENTRIES, NOTIFICATIONS, DELIVERIES)
        }
    assert kept == {"inbox_items": 1, "inbox_entries": 1, "notifications": 0, "deliveries": 0}
    (line,) = await bench.inbox(STEWARD)
    assert (line.item.item_id, line.item.state) == (still_open, ItemState.OPEN)


async def test_a_summary_that_falls_to_nobody_goes_to_the_operators(start: Start) -> None:
    bench: Bench = await start()
    await bench.publish(PERSON_CHANGED, person(OFFICER, "ops@example.gov", Role.OPERATOR), OFFICER)
    await bench.idle()
    summary = BaselineSummarised(
        notice_id=uuid4(),
        steward_id=None,
        agency_id=None,
        datasets=3,
        fresh=1,
        late=1,
        stale=1,
        not_applicable=0,
        mean_completeness=0.5,
        worst=[],
        next_act="Look at them.",
    )
    await bench.publish(BASELINE_SUMMARISED, summary, summary.notice_id)
    await bench.idle()
    (line,) = await bench.inbox(OFFICER)
    assert "nobody answers for their agency, and you operate this installation" in line.reason
    assert await bench.inbox(REQUESTER) == []


def test_the_next_in_line_is_an_officer_who_was_not_told_else_the_chief() -> None:
    directory = KnownPeople(
        [
            KnownPerson(OFFICER, frozenset({Grant(Role.AGENCY_DATA_OFFICER, AGENCY)})),
            KnownPerson(CHIEF, frozenset({Grant(Role.CHIEF_DATA_OFFICER)})),
        ]
    )
    owned = Ownership("Ledger", STEWARD, AGENCY, "Comptroller")
    for told, heard in (((), OFFICER), ((STEWARD,), OFFICER), ((OFFICER,), CHIEF)):
        (found,) = next_in_line(owned, directory, told=told, why="Nobody took it")
        assert found.person_id == heard
    assert next_in_line(owned, directory, told=(OFFICER, CHIEF), why="Nobody took it") == []


@pytest.mark.parametrize(
    ("name", "value"), [("escalation_days", -1), ("escalation_days", 366), ("kept_days", 29)]
)
def test_a_setting_out_of_bounds_is_refused(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=name):
        NotifySettings(**{name: value})  # type: ignore[arg-type]
