"""What routing works with, and the names by which a record waits for a dataset, a person or an agency."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from services.notify.delivery.commands import KeptMessages
from services.notify.inbox.commands import Inbox
from services.notify.inbox.domain.items import InboxItem, Recipient
from services.notify.routing.domain.recipients import KnownPeople, Ownership, operators, owners_of
from services.notify.routing.repository import FreshnessRepository, PeopleRepository
from shared.datasets.read_model import KnownDatasets
from shared.errors import NotReadyError
from shared.events.governance import PersonState, SharingRequestState
from shared.identity.principals import Principals
from shared.identity.viewer import Role
from shared.store.unit_of_work import UnitOfWork

__all__ = [
    "ANYBODY",
    "DIRECTORY_PATIENCE",
    "OPERATOR",
    "RoutingContext",
    "arrivals_of",
    "awaited_agency",
    "awaited_dataset",
    "awaited_person",
    "find_owners",
]

DIRECTORY_PATIENCE = timedelta(minutes=2)
"""How long an item waits for its dataset and steward to be known, before whoever stands in is told."""

ANYBODY = "anybody to tell"
OPERATOR = "an operator"
"""What a record can wait for, beside a dataset, a person or an agency."""


@dataclass(frozen=True, slots=True)
class RoutingContext:
    """What the commands of routing work with."""

    datasets: KnownDatasets
    principals: Principals
    people: PeopleRepository
    freshness: FreshnessRepository
    kept: KeptMessages
    inbox: Inbox


async def find_owners(
    work: UnitOfWork,
    context: RoutingContext,
    items: Sequence[InboxItem],
    *,
    request: SharingRequestState | None = None,
) -> tuple[dict[UUID, list[Recipient]], dict[UUID, NotReadyError]]:
    """Who answers for each item, by its id; and what is waited for where that can't be told yet.

    A ``request`` comes only to those who may decide on it.
    """
    if not items:
        return {}, {}
    everybody = await context.people.directory(work)
    directory = everybody if request is None else everybody.deciding_on(request)
    exclude = None if request is None else request.requester_id
    dataset_ids = {item.dataset_id for item in items if item.dataset_id is not None}
    known = await context.people.ownership(work, dataset_ids)
    owners: dict[UUID, list[Recipient]] = {}
    missing: dict[UUID, NotReadyError] = {}
    for item in items:
        ownership = known.get(item.dataset_id) if item.dataset_id else None
        waits_for = _missing(item, ownership, everybody) if work.may_wait else None
        if waits_for is not None:
            missing[item.item_id] = NotReadyError(waits_for, patience=DIRECTORY_PATIENCE)
            continue
        ownership = ownership or Ownership(item.title, None, item.agency_id, None)
        recipients = owners_of(ownership, directory, exclude=exclude)
        # Nobody may be left: then those who run the installation have to see that nobody answers for it.
        nobody = f"Nobody answers for “{ownership.title}”"
        owners[item.item_id] = recipients or operators(everybody.without(exclude), nobody)
        if work.may_wait and not owners[item.item_id]:
            missing[item.item_id] = NotReadyError(ANYBODY, patience=DIRECTORY_PATIENCE)
    return owners, missing


def arrivals_of(people: Sequence[PersonState]) -> set[str]:
    """Return what these people may be waited for as."""
    arrived = {awaited_person(person.person_id) for person in people}
    roles = {grant.role for person in people for grant in person.grants}
    if roles:
        arrived.add(ANYBODY)
    if Role.OPERATOR in roles:
        arrived.add(OPERATOR)
    return arrived


def awaited_dataset(dataset_id: UUID | str) -> str:
    """Return how a record names a dataset that it waits for."""
    return f"dataset {dataset_id}"


def awaited_person(person_id: UUID) -> str:
    """Return how a record names a person that it waits for."""
    return f"person {person_id}"


def awaited_agency(agency_id: UUID | str) -> str:
    """Return how a record names an agency that it waits for."""
    return f"agency {agency_id}"


def _missing(item: InboxItem, ownership: Ownership | None, directory: KnownPeople) -> str | None:
    """Return what has to be known before an item can be routed; None if all is."""
    if ownership is None:
        return awaited_dataset(item.dataset_id) if item.dataset_id else None
    if ownership.steward_id is not None and ownership.steward_id not in directory:
        return awaited_person(ownership.steward_id)
    return None
