"""Commands that keep whom notify knows: people, agencies, whose datasets are, and which are late."""

from collections.abc import Collection, Sequence
from functools import partial
from uuid import UUID

from services.notify.delivery.commands import remove_messages_to
from services.notify.inbox.commands import hand_over, withdraw_items
from services.notify.routing.commands.context import (
    RoutingContext,
    arrivals_of,
    awaited_agency,
    awaited_dataset,
)
from services.notify.routing.domain.entitlement import is_lost
from services.notify.routing.domain.recipients import KnownPeople, owners_of
from shared.consuming.handling import Outcome
from shared.consuming.waiting_events import forget_waiting, wake_waiting
from shared.events.envelope import Event
from shared.events.governance import AgencyChanged, PersonChanged
from shared.events.quality import MeasurementRecorded
from shared.events.registry import SHARING_REQUEST_SUBMITTED
from shared.identity.principals import remember_people
from shared.store.unit_of_work import UnitOfWork

__all__ = [
    "hand_over_alerts",
    "remember_addresses",
    "remember_agencies",
    "remember_datasets",
    "remember_freshness",
]


async def remember_datasets(
    batch: Sequence[Event], work: UnitOfWork, context: RoutingContext
) -> list[Outcome]:
    """Keep whose datasets are; a steward that a dataset gets has its open alerts from then on."""
    dataset_ids = {UUID(event.subject) for event in batch}
    before = await context.people.ownership(work, dataset_ids)
    outcomes = await context.datasets.remember(batch, work)
    after = await context.people.ownership(work, dataset_ids)
    await wake_waiting(work, {awaited_dataset(dataset_id) for dataset_id in after.keys() - before.keys()})
    given = {
        dataset_id
        for dataset_id, ownership in after.items()
        if ownership.steward_id is not None
        and dataset_id in before
        and before[dataset_id].steward_id != ownership.steward_id
    }
    await hand_over_alerts(work, context, given)
    return outcomes


async def remember_addresses(
    batch: Sequence[Event], work: UnitOfWork, context: RoutingContext
) -> Sequence[Outcome] | None:
    """Keep who people are and where they read; an erased person goes with all that is theirs."""
    newest = {
        UUID(event.subject): event.payload(PersonChanged).person if event.data is not None else None
        for event in batch
    }
    known = await context.people.directory(work)
    people = [person for person in newest.values() if person is not None]
    erased = [key for key, person in newest.items() if person is None]
    await context.people.put_people(work, people)
    if erased:
        await remove_messages_to(work, context.kept, erased)
        work.after_commit(context.inbox.wake_signal.wake)
    await context.people.erase_people(work, erased)
    await forget_waiting(work, SHARING_REQUEST_SUBMITTED.topic.name, [_wrote(key) for key in erased])
    await wake_waiting(work, arrivals_of(people))
    new = {person.person_id for person in people if person.person_id not in known}
    await _withdraw_lost(work, context, known, {person.person_id for person in people})
    await hand_over_alerts(work, context, await context.people.stewarded_by(work, new))
    return await remember_people(batch, work, context.principals)


async def remember_agencies(batch: Sequence[Event], work: UnitOfWork, context: RoutingContext) -> None:
    """Keep the names of agencies."""
    newest = {event.subject: event.payload(AgencyChanged).agency for event in batch if event.data is not None}
    await context.people.put_agencies(work, list(newest.values()))
    await wake_waiting(work, {awaited_agency(agency_id) for agency_id in newest})


async def remember_freshness(
    batch: Sequence[Event], work: UnitOfWork, context: RoutingContext
) -> list[Outcome]:
    """Keep which datasets are late or out of date, for the counts of whoever answers for them."""
    statuses: dict[UUID, str | None] = {}
    outcomes = []
    for event in batch:
        dataset_id, _, kind = event.subject.partition("/")
        is_freshness = kind == "freshness"
        if is_freshness:
            ended = event.data is None
            status = None if ended else event.payload(MeasurementRecorded).measurement.status
            statuses[UUID(dataset_id)] = status
        outcomes.append(Outcome.APPLIED if is_freshness else Outcome.IGNORED)
    await context.freshness.put(work, statuses)
    return outcomes


async def hand_over_alerts(work: UnitOfWork, context: RoutingContext, dataset_ids: Collection[UUID]) -> None:
    """Give the stewards that these datasets got the alerts that are open on them.

    An alert and the news of who answers for its dataset come in either order.
    """
    items = await context.inbox.items.open_alerts_of(work, dataset_ids)
    if not items:
        return
    directory = await context.people.directory(work)
    owned = await context.people.ownership(work, {item.dataset_id for item in items if item.dataset_id})
    for item in items:
        ownership = owned.get(item.dataset_id) if item.dataset_id else None
        if ownership is None or ownership.steward_id is None or ownership.steward_id not in directory:
            continue
        (steward,) = owners_of(ownership, directory)
        await hand_over(work, context.inbox, item, steward)


async def _withdraw_lost(
    work: UnitOfWork, context: RoutingContext, known: KnownPeople, changed: Collection[UUID]
) -> None:
    """Take from people what came to them by rights that they have no more, whether it was sent or not."""
    before = {person.person_id: person.grants for person in known.people if person.person_id in changed}
    after = await context.people.grants_of(work, list(before))
    for person_id, grants in before.items():
        left = after.get(person_id, frozenset())
        if not grants <= left:
            await withdraw_items(work, context.inbox, person_id, partial(is_lost, before=grants, after=left))


def _wrote(person_id: UUID) -> str:
    """How the payload of a request names who wrote it."""
    return f'"requester_id":"{person_id}"'
