"""What notify does with news that it cannot place yet: it waits for the rest, and holds up nothing else."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from services.notify.inbox.domain.items import ItemState
from services.notify.migrations.tables import DELIVERY, NOTIFICATIONS
from services.notify.routing.commands.context import DIRECTORY_PATIENCE
from services.notify.routing.commands.requests import REQUESTER_PATIENCE
from shared.clock import SimulatedClock
from shared.consuming.consumer_state import LoopState
from shared.consuming.dead_letters import DeadLetters
from shared.events.alerts import AlertOpened, AlertResolved
from shared.events.catalog import DatasetChanged, DatasetRegistered, HarvestHeld
from shared.events.envelope import tombstone
from shared.events.governance import (
    SharingRequestApproved,
    SharingRequestState,
    SharingRequestSubmitted,
)
from shared.events.quality import BaselineSummarised
from shared.events.registry import (
    BASELINE_SUMMARISED,
    DATASET_CHANGED,
    DATASET_REGISTERED,
    HARVEST_HELD,
    PERSON_CHANGED,
    QUALITY_ALERT_OPENED,
    QUALITY_ALERT_RESOLVED,
    SHARING_REQUEST_APPROVED,
    SHARING_REQUEST_SUBMITTED,
)
from tests.services.notify.test_notify_service import (
    DATASET,
    REQUESTER,
    STEWARD,
    Bench,
    Start,
    alert,
    dataset,
    mail_server,
    person,
    start,
)
from tests.support.log_bench import until

__all__ = ["mail_server", "start"]


async def waits_for(bench: Bench) -> list[str]:
    async with bench.notify.service.store.read() as connection:
        rows = await connection.scalars(select(DELIVERY.waiting_events.c.waits_for))
        return sorted(rows)


async def nothing_waits(bench: Bench) -> bool:
    return await waits_for(bench) == []


async def recipients(bench: Bench, *people: UUID) -> list[UUID]:
    return [one for one in people if await bench.inbox(one, ItemState.OPEN)]


async def open_alert(bench: Bench, **changes: Any) -> UUID:
    alert_id = uuid4()
    await bench.publish(
        QUALITY_ALERT_OPENED, AlertOpened(alert=alert(bench.clock, alert_id, **changes)), alert_id
    )
    return alert_id


def request(clock: SimulatedClock, requester_id: UUID, status: str = "approved") -> SharingRequestState:
    return SharingRequestState(
        request_id=uuid4(),
        dataset_id=DATASET,
        dataset_title="Open Expenditures Ledger",
        requester_id=requester_id,
        status=status,
        purpose="A study.",
        data_wanted="All rows.",
        submitted_at=clock.now(),
        changed_at=clock.now(),
    )


async def letters(bench: Bench) -> Sequence[str]:
    operator = DeadLetters(log=bench.log, stores={"notify": bench.notify.service.store})
    return [f"{view.letter.reason}: {view.letter.detail}" for view in (await operator.list()).items]


def states(bench: Bench) -> set[LoopState]:
    return {loop.status().state for loop in bench.runner.loops.values()}


async def test_an_alert_that_overtakes_its_dataset_holds_up_no_other_and_then_reaches_the_steward(
    start: Start,
) -> None:
    bench: Bench = await start()
    late = uuid4()
    await open_alert(bench, dataset_id=late)
    other = await open_alert(bench)
    await until(lambda: inbox_is(bench, STEWARD, [other]))
    assert await waits_for(bench) == [f"dataset {late}"]
    assert states(bench) == {LoopState.RUNNING}
    state = dataset(bench.clock).model_copy(update={"dataset_id": late})
    await bench.publish(DATASET_REGISTERED, DatasetRegistered(dataset=state), late)
    await bench.idle()
    assert await nothing_waits(bench)
    assert len(await bench.inbox(STEWARD, ItemState.OPEN)) == 2


async def inbox_is(bench: Bench, person_id: UUID, items: list[UUID]) -> bool:
    lines = await bench.inbox(person_id, ItemState.OPEN)
    return [line.item.item_id for line in lines] == items


async def test_an_alert_waits_for_a_steward_who_is_not_known_yet(start: Start) -> None:
    bench: Bench = await start()
    newcomer, chief, dataset_id = uuid4(), uuid4(), uuid4()
    await bench.publish(PERSON_CHANGED, person(chief, "chief@example.gov", "chief-data-officer"), chief)
    state = dataset(bench.clock).model_copy(update={"dataset_id": dataset_id, "steward_id": newcomer})
    await bench.publish(DATASET_REGISTERED, DatasetRegistered(dataset=state), dataset_id)
    await bench.idle()
    await open_alert(bench, dataset_id=dataset_id)
    await bench.idle()
    assert await waits_for(bench) == [f"person {newcomer}"]
    await bench.publish(PERSON_CHANGED, person(newcomer, "new@example.gov", "steward"), newcomer)
    await bench.idle()
    assert await recipients(bench, newcomer, chief) == [newcomer]


async def test_whoever_stands_in_is_told_when_the_steward_stays_unknown(start: Start) -> None:
    bench: Bench = await start()
    chief, dataset_id = uuid4(), uuid4()
    await bench.publish(PERSON_CHANGED, person(chief, "chief@example.gov", "chief-data-officer"), chief)
    state = dataset(bench.clock).model_copy(update={"dataset_id": dataset_id, "steward_id": uuid4()})
    await bench.publish(DATASET_REGISTERED, DatasetRegistered(dataset=state), dataset_id)
    await open_alert(bench, dataset_id=dataset_id)
    await bench.idle()
    assert await recipients(bench, chief) == []
    bench.clock.advance(DIRECTORY_PATIENCE)
    await until(lambda: nothing_waits(bench))
    (line,) = await bench.inbox(chief, ItemState.OPEN)
    assert "a steward who is not known any more" in line.reason
    assert await letters(bench) == []


async def test_an_alert_that_is_over_before_its_dataset_is_known_is_told_to_nobody(start: Start) -> None:
    bench: Bench = await start()
    alert_id = await open_alert(bench, dataset_id=uuid4())
    resolved = alert(bench.clock, alert_id, dataset_id=uuid4(), state="resolved")
    await bench.publish(QUALITY_ALERT_RESOLVED, AlertResolved(alert=resolved), alert_id)
    await bench.idle()
    assert await nothing_waits(bench)
    assert await bench.inbox(STEWARD) == []


@pytest.mark.parametrize("is_alert_first", [True, False])
@pytest.mark.parametrize("is_person_first", [True, False])
async def test_an_alert_and_a_stewardship_of_the_same_second_reach_the_steward_in_either_order(
    start: Start, is_alert_first: bool, is_person_first: bool
) -> None:
    bench: Bench = await start(group_wait_seconds=60)
    chief, steward, dataset_id = uuid4(), uuid4(), uuid4()
    await bench.publish(PERSON_CHANGED, person(chief, "chief@example.gov", "chief-data-officer"), chief)
    state = dataset(bench.clock).model_copy(update={"dataset_id": dataset_id, "steward_id": None})
    await bench.publish(DATASET_REGISTERED, DatasetRegistered(dataset=state), dataset_id)
    await bench.runner_is_quiet()
    if is_alert_first:
        await open_alert(bench, dataset_id=dataset_id)
        await bench.runner_is_quiet()
        assert await recipients(bench, chief, steward) == [chief]
    newcomer = person(steward, "steward2@example.gov", "steward")
    with_steward = DatasetChanged(
        dataset=state.model_copy(update={"steward_id": steward}), changed_fields=["steward_id"]
    )
    for is_person in (is_person_first, not is_person_first):
        if is_person:
            await bench.publish(PERSON_CHANGED, newcomer, steward)
        else:
            await bench.publish(DATASET_CHANGED, with_steward, dataset_id)
        await bench.runner_is_quiet()
    if not is_alert_first:
        await open_alert(bench, dataset_id=dataset_id)
        await bench.runner_is_quiet()
    # Nobody had been told yet, so nobody but the steward is.
    assert await recipients(bench, chief, steward) == [steward]
    async with bench.notify.service.store.read() as connection:
        assert list(await connection.scalars(select(NOTIFICATIONS.c.person_id))) == [steward]


async def test_who_was_told_in_place_of_a_steward_keeps_the_alert(start: Start) -> None:
    bench: Bench = await start()
    chief, dataset_id = uuid4(), uuid4()
    await bench.publish(PERSON_CHANGED, person(chief, "chief@example.gov", "chief-data-officer"), chief)
    state = dataset(bench.clock).model_copy(update={"dataset_id": dataset_id, "steward_id": None})
    await bench.publish(DATASET_REGISTERED, DatasetRegistered(dataset=state), dataset_id)
    await open_alert(bench, dataset_id=dataset_id)
    await bench.idle()
    given = DatasetChanged(
        dataset=state.model_copy(update={"steward_id": STEWARD}), changed_fields=["steward_id"]
    )
    await bench.publish(DATASET_CHANGED, given, dataset_id)
    await bench.idle()
    assert await recipients(bench, chief, STEWARD) == [chief, STEWARD]


async def test_an_answer_waits_for_its_requester_and_then_is_a_dead_letter_that_says_so(
    start: Start,
) -> None:
    bench: Bench = await start()
    unknown = request(bench.clock, uuid4())
    await bench.publish(SHARING_REQUEST_APPROVED, SharingRequestApproved(request=unknown), unknown.request_id)
    known = request(bench.clock, REQUESTER)
    await bench.publish(SHARING_REQUEST_APPROVED, SharingRequestApproved(request=known), known.request_id)
    await bench.idle()
    assert await recipients(bench, REQUESTER) == [REQUESTER]
    assert await waits_for(bench) == [f"person {unknown.requester_id}"]
    bench.clock.advance(REQUESTER_PATIENCE)
    await until(lambda: nothing_waits(bench))
    assert await letters(bench) == [f"expired: waited 30 minutes for person {unknown.requester_id}"]
    assert states(bench) == {LoopState.RUNNING}


async def test_the_request_of_an_erased_person_waits_for_nobody(start: Start) -> None:
    bench: Bench = await start()
    erased = request(bench.clock, uuid4())
    decided = request(bench.clock, uuid4()).model_copy(update={"decided_by": erased.requester_id})
    for one in (erased, decided):
        await bench.publish(SHARING_REQUEST_APPROVED, SharingRequestApproved(request=one), one.request_id)
    await bench.idle()
    assert len(await waits_for(bench)) == 2
    gone = str(erased.requester_id)
    await bench.send(tombstone(PERSON_CHANGED, subject=gone, partition_key=gone, time=bench.clock.now()))
    await bench.idle()
    assert await waits_for(bench) == [f"person {decided.requester_id}"]


async def test_a_summary_waits_for_the_steward_and_the_name_of_the_agency(start: Start) -> None:
    bench: Bench = await start()
    summary = BaselineSummarised(
        notice_id=uuid4(),
        steward_id=STEWARD,
        agency_id=uuid4(),
        datasets=3,
        fresh=3,
        late=0,
        stale=0,
        not_applicable=0,
        next_act="Nothing.",
    )
    await bench.publish(BASELINE_SUMMARISED, summary, summary.notice_id)
    await bench.idle()
    assert await waits_for(bench) == [f"agency {summary.agency_id}"]
    bench.clock.advance(DIRECTORY_PATIENCE)
    await until(lambda: nothing_waits(bench))
    assert await recipients(bench, STEWARD) == [STEWARD]


async def test_a_held_harvest_waits_for_somebody_who_operates_the_installation(start: Start) -> None:
    bench: Bench = await start()
    held = HarvestHeld(harvest_id=uuid4(), source_id="source", known=10, missing=9)
    await bench.publish(HARVEST_HELD, held, held.harvest_id)
    await bench.idle()
    assert await waits_for(bench) == ["an operator"]
    operator = uuid4()
    await bench.publish(PERSON_CHANGED, person(operator, "op@example.gov", "operator"), operator)
    await bench.idle()
    assert await recipients(bench, operator) == [operator]


async def test_a_request_that_nobody_can_be_asked_about_waits_for_anybody(start: Start) -> None:
    bench: Bench = await start()
    dataset_id = uuid4()
    state = dataset(bench.clock).model_copy(update={"dataset_id": dataset_id, "steward_id": None})
    await bench.publish(DATASET_REGISTERED, DatasetRegistered(dataset=state), dataset_id)
    asked = request(bench.clock, REQUESTER, "submitted").model_copy(update={"dataset_id": dataset_id})
    await bench.publish(SHARING_REQUEST_SUBMITTED, SharingRequestSubmitted(request=asked), asked.request_id)
    await bench.idle()
    assert await waits_for(bench) == ["anybody to tell"]
    chief = uuid4()
    await bench.publish(PERSON_CHANGED, person(chief, "chief@example.gov", "chief-data-officer"), chief)
    await bench.idle()
    assert await recipients(bench, chief) == [chief]
