"""Whoever loses a role loses at once what came to them by it: inbox lines and mail that was not sent."""

from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from services.notify.inbox.domain.items import InboxItem, ItemState
from services.notify.migrations.tables import DELIVERIES, NOTIFICATIONS
from services.notify.routing.domain.entitlement import is_lost
from shared.clock import SimulatedClock
from shared.events.alerts import AlertOpened
from shared.events.governance import GrantState, PersonChanged, PersonState
from shared.events.registry import PERSON_CHANGED, QUALITY_ALERT_OPENED
from shared.identity.viewer import Grant, Role
from tests.services.notify.test_notify_service import AGENCY, STEWARD, Bench, Start, alert, start
from tests.support.mail_server import MailServer, run_mail_server

__all__ = ["start"]

OTHER = uuid4()
STEWARD_HERE, STEWARD_THERE = Grant(Role.STEWARD, AGENCY), Grant(Role.STEWARD, OTHER)
CHIEF, OPERATOR = Grant(Role.CHIEF_DATA_OFFICER), Grant(Role.OPERATOR)
REQUESTER = Grant(Role.REQUESTER)


@pytest.mark.parametrize(
    ("kind", "agency_id", "before", "after", "lost"),
    [
        ("late", AGENCY, {STEWARD_HERE}, set(), True),
        ("late", AGENCY, {STEWARD_HERE, STEWARD_THERE}, {STEWARD_THERE}, True),
        ("late", AGENCY, {STEWARD_HERE, STEWARD_THERE}, {STEWARD_HERE}, False),
        ("late", AGENCY, {STEWARD_HERE, CHIEF}, {CHIEF}, False),
        ("late", AGENCY, {REQUESTER}, set(), False),
        ("sharing-request-submitted", AGENCY, {CHIEF}, {REQUESTER}, True),
        ("answer-approved", AGENCY, {STEWARD_HERE}, set(), False),
        ("harvest-held", None, {OPERATOR}, {CHIEF}, True),
        ("harvest-held", None, {OPERATOR, CHIEF}, {OPERATOR}, False),
        ("baseline-summary", None, {STEWARD_HERE, STEWARD_THERE}, {STEWARD_THERE}, True),
        ("baseline-summary", None, {CHIEF, STEWARD_HERE}, {CHIEF}, False),
    ],
)
def test_what_is_lost_with_a_role(
    clock: SimulatedClock,
    kind: str,
    agency_id: UUID | None,
    before: set[Grant],
    after: set[Grant],
    lost: bool,
) -> None:
    item = InboxItem(
        item_id=uuid4(),
        kind=kind,
        topic="any",
        title="Ledger",
        cause="It is late.",
        next_act="Publish it.",
        severity="warning",
        state=ItemState.OPEN,
        opened_at=clock.now(),
        changed_at=clock.now(),
        version=1,
        agency_id=agency_id,
    )
    assert is_lost(item, before, after) is lost


def steward_with(*grants: GrantState) -> PersonChanged:
    return PersonChanged(
        person=PersonState(
            person_id=STEWARD, display_name="the steward", email="steward@example.gov", grants=list(grants)
        )
    )


async def opened(bench: Bench, agency_id: UUID) -> UUID:
    alert_id = uuid4()
    state = alert(bench.clock, alert_id, agency_id=agency_id)
    await bench.publish(QUALITY_ALERT_OPENED, AlertOpened(alert=state), alert_id)
    return alert_id


async def waiting(bench: Bench) -> tuple[int, int]:
    """How many things are to be told, and how many messages there are."""
    async with bench.notify.service.store.read() as connection:
        told = (await connection.execute(select(NOTIFICATIONS.c.item_id))).all()
        return len(told), len((await connection.execute(select(DELIVERIES.c.delivery_id))).all())


async def test_a_role_taken_takes_the_inbox_line_and_what_was_not_told_yet(start: Start) -> None:
    with run_mail_server() as server:
        bench: Bench = await start(smtp_host="127.0.0.1", smtp_port=server.port, group_wait_seconds=600)
        await opened(bench, AGENCY)
        await bench.runner_is_quiet()
        assert len(await bench.inbox(STEWARD)) == 1
        assert await waiting(bench) == (1, 0)
        await bench.publish(PERSON_CHANGED, steward_with(), STEWARD)
        await bench.runner_is_quiet()
        assert await bench.inbox(STEWARD) == []
        assert await waiting(bench) == (0, 0)
        assert server.accepted == []


async def test_a_message_that_waits_for_another_try_goes_out_without_what_was_lost(start: Start) -> None:
    with run_mail_server() as server:
        server.answers = ["451 try later"]
        bench: Bench = await start(smtp_host="127.0.0.1", smtp_port=server.port, group_wait_seconds=1)
        both = GrantState(role="steward", agency_id=AGENCY), GrantState(role="steward", agency_id=OTHER)
        await bench.publish(PERSON_CHANGED, steward_with(*both), STEWARD)
        lost, kept = await opened(bench, AGENCY), await opened(bench, OTHER)
        await bench.idle()
        assert await waiting(bench) == (2, 1)
        await bench.publish(PERSON_CHANGED, steward_with(both[1]), STEWARD)
        await bench.idle()
        assert await waiting(bench) == (1, 1)
        await _try_again(bench, server)
        text = str(server.accepted[0])
        assert str(kept) in text
        assert str(lost) not in text


async def test_a_message_of_which_nothing_is_left_is_not_sent(start: Start) -> None:
    with run_mail_server() as server:
        server.answers = ["451 try later"]
        bench: Bench = await start(smtp_host="127.0.0.1", smtp_port=server.port)
        await opened(bench, AGENCY)
        await bench.idle()
        assert await waiting(bench) == (1, 1)
        await bench.publish(PERSON_CHANGED, steward_with(), STEWARD)
        await bench.idle()
        assert await waiting(bench) == (0, 0)
        assert server.accepted == []


async def _try_again(bench: Bench, server: MailServer) -> None:
    async with bench.notify.service.store.read() as connection:
        due = await connection.scalar(select(DELIVERIES.c.next_attempt_at))
    assert due is not None
    bench.clock.advance(due - bench.clock.now())
    await bench.idle()
    assert len(server.accepted) == 1
