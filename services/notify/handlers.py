"""What notify does with what happened: note it, put it in the right inboxes, and note whom to tell.

Nothing is sent here: a message is a row that a work sends later, so a slow mail server holds up no event.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import TypeAlias
from uuid import UUID

from services.notify.commands import hand_over_alerts
from services.notify.domain.entitlement import is_lost
from services.notify.domain.matters import (
    Change,
    Matter,
    change_between,
    matter_of_alert,
    matter_of_answer,
    matter_of_baseline,
    matter_of_held_harvest,
    matter_of_request,
    still_taken,
    telling_id,
)
from services.notify.domain.overviews import matter_of_overview, overviews
from services.notify.domain.routing import (
    Directory,
    Ownership,
    Recipient,
    agency_officers,
    operators,
    owners_of,
    requester,
)
from services.notify.ports import NotifyPorts, Telling
from shared.consuming.handling import Answer, Handlers, Outcome, for_each
from shared.consuming.waiting_events import forget_waiting, wake_waiting
from shared.errors import InvalidEventError, NotReadyError
from shared.events.alerts import AlertChanged, AlertOpened, AlertResolved
from shared.events.catalog import HarvestCompleted, HarvestHeld
from shared.events.envelope import Event
from shared.events.governance import (
    AgencyChanged,
    PersonChanged,
    PersonState,
    SharingRequestApproved,
    SharingRequestDenied,
    SharingRequestRedacted,
    SharingRequestReturned,
    SharingRequestState,
    SharingRequestSubmitted,
    SharingRequestWithdrawn,
)
from shared.events.quality import BaselineSummarised, MeasurementRecorded
from shared.events.registry import (
    AGENCY_CHANGED,
    BASELINE_SUMMARISED,
    DATASET_CHANGED,
    DATASET_REGISTERED,
    DATASET_RETIRED,
    EVENT_TYPES,
    HARVEST_COMPLETED,
    HARVEST_HELD,
    MEASUREMENT_RECORDED,
    PERSON_CHANGED,
    QUALITY_ALERT_CHANGED,
    QUALITY_ALERT_OPENED,
    QUALITY_ALERT_RESOLVED,
    SHARING_REQUEST_APPROVED,
    SHARING_REQUEST_DENIED,
    SHARING_REQUEST_REDACTED,
    SHARING_REQUEST_RETURNED,
    SHARING_REQUEST_SUBMITTED,
    SHARING_REQUEST_WITHDRAWN,
    USAGE_ALERT_CHANGED,
    USAGE_ALERT_OPENED,
    USAGE_ALERT_RESOLVED,
)
from shared.identity.principals import remember_people
from shared.identity.viewer import Role
from shared.store.unit_of_work import UnitOfWork

__all__ = ["DIRECTORY_HANDLERS", "ROUTING_HANDLERS"]

DIRECTORY_PATIENCE = timedelta(minutes=2)
"""How long a matter waits for its dataset and steward to be known, before whoever stands in is told."""
REQUESTER_PATIENCE = timedelta(minutes=30)
"""How long an answer waits for its requester to be known: nobody stands in for them."""
OPERATOR_PATIENCE = timedelta(hours=1)
"""How long a held harvest waits for an operator to be known."""

ANYBODY = "anybody to tell"
OPERATOR = "an operator"
"""What a record can wait for, beside a dataset, a person or an agency."""

_News: TypeAlias = tuple[Matter, Change]

REQUEST_EVENTS = (
    SharingRequestSubmitted,
    SharingRequestReturned,
    SharingRequestApproved,
    SharingRequestDenied,
    SharingRequestWithdrawn,
)


async def remember_datasets(batch: Sequence[Event], work: UnitOfWork, ports: NotifyPorts) -> list[Outcome]:
    """Keep whose datasets are; a steward that a dataset gets has its open alerts from then on."""
    dataset_ids = {UUID(event.subject) for event in batch}
    before = await ports.people.ownership(work, dataset_ids)
    outcomes = await ports.datasets.remember(batch, work)
    after = await ports.people.ownership(work, dataset_ids)
    await wake_waiting(work, {_dataset(dataset_id) for dataset_id in after.keys() - before.keys()})
    given = {
        dataset_id
        for dataset_id, ownership in after.items()
        if ownership.steward_id is not None
        and dataset_id in before
        and before[dataset_id].steward_id != ownership.steward_id
    }
    await hand_over_alerts(work, ports, given)
    return outcomes


async def remember_addresses(
    batch: Sequence[Event], work: UnitOfWork, ports: NotifyPorts
) -> Sequence[Outcome] | None:
    """Keep who people are and where they read; an erased person goes with all that is theirs."""
    newest = {
        UUID(event.subject): event.payload(PersonChanged).person if event.data is not None else None
        for event in batch
    }
    known = await ports.people.directory(work)
    people = [person for person in newest.values() if person is not None]
    erased = [key for key, person in newest.items() if person is None]
    await ports.people.put_people(work, people)
    if erased:
        await ports.kept_mail.forget(work, erased)
        work.after_commit(ports.bell.ring)
    await ports.people.erase_people(work, erased)
    await forget_waiting(work, SHARING_REQUEST_SUBMITTED.topic.name, [_wrote(key) for key in erased])
    await wake_waiting(work, _arrived(people))
    new = {person.person_id for person in people if person.person_id not in known}
    await _withdraw_lost(work, ports, known, {person.person_id for person in people})
    await hand_over_alerts(work, ports, await ports.people.stewarded_by(work, new))
    return await remember_people(batch, work, ports.principals)


async def _withdraw_lost(
    work: UnitOfWork, ports: NotifyPorts, known: Directory, changed: Collection[UUID]
) -> None:
    """Take from people what came to them by rights that they have no more, whether it was sent or not."""
    before = {person.person_id: person.grants for person in known.people if person.person_id in changed}
    after = await ports.people.grants_of(work, list(before))
    for person_id, grants in before.items():
        left = after.get(person_id, frozenset())
        if grants <= left:
            continue
        matters = await ports.book.matters_of(work, person_id)
        lost = [matter.matter_id for matter in matters if is_lost(matter, grants, left)]
        if lost:
            await ports.book.withdraw(work, person_id, lost)


async def remember_agencies(batch: Sequence[Event], work: UnitOfWork, ports: NotifyPorts) -> None:
    """Keep the names of agencies."""
    newest = {event.subject: event.payload(AgencyChanged).agency for event in batch if event.data is not None}
    await ports.people.put_agencies(work, list(newest.values()))
    await wake_waiting(work, {_agency(agency_id) for agency_id in newest})


async def route_alerts(batch: Sequence[Event], work: UnitOfWork, ports: NotifyPorts) -> list[Answer]:
    """Tell the steward (or who stands in) that a dataset degraded; tell those who heard that it recovered.

    An alert whose dataset or steward is not known yet waits for them: this group reads other topics than the
    one that keeps the directory, and may be ahead of it.
    """
    found = [_matter_of_alert(event) for event in batch]
    matters = [matter for matter in found if matter is not None]
    known = await ports.book.matters(work, {matter.matter_id for matter in matters})
    owners, missing = await _owners(work, ports, matters)
    outcomes: list[Answer] = []
    news: list[_News] = []
    changed: dict[UUID, Matter] = {}
    for matter in found:
        before = known.get(matter.matter_id) if matter is not None else None
        change = change_between(before, matter) if matter is not None else None
        if matter is None or (before is None and change is None):
            outcomes.append(Outcome.IGNORED)
            continue
        if change not in {None, Change.RESOLVED} and matter.matter_id in missing:
            outcomes.append(missing[matter.matter_id])
            continue
        matter = still_taken(before, matter, change)
        known[matter.matter_id] = changed[matter.matter_id] = matter
        if change is not None:
            news.append((matter, change))
        outcomes.append(Outcome.APPLIED)
    await ports.book.put_matters(work, list(changed.values()))
    for is_recovery, group in groupby(news, key=lambda one: one[1] is Change.RESOLVED):
        if is_recovery:
            for matter, _ in group:
                await _tell_recovery(work, ports, matter)
        else:
            told = [(matter, change, owners[matter.matter_id]) for matter, change in group]
            await _tell_each(work, ports, told, wait=ports.group_wait)
    return outcomes


async def route_request(event: Event, work: UnitOfWork, ports: NotifyPorts) -> Answer:
    """Tell the agency of a new request, and the requester of every answer."""
    if event.data is None:
        return Outcome.IGNORED
    request = _request_of(event)
    topic = EVENT_TYPES[event.type].topic.name
    version = event.subjectversion or 0
    matter = matter_of_request(request, topic=topic, version=version)
    answer = matter_of_answer(request, topic=topic, version=version)
    now = timedelta(0)
    if isinstance(event.data, SharingRequestSubmitted):
        owners, missing = await _owners(work, ports, [matter], request=request)
        if missing:
            return missing[matter.matter_id]
        await ports.book.put_matters(work, [matter, answer])
        await _tell(work, ports, matter, Change.SUBMITTED, owners[matter.matter_id], wait=now)
    elif isinstance(event.data, SharingRequestWithdrawn):
        await ports.book.put_matters(work, [matter, answer])
        await ports.book.take_back(work, matter.matter_id)
    else:
        if request.requester_id not in await ports.people.directory(work):
            return NotReadyError(_person(request.requester_id), patience=REQUESTER_PATIENCE)
        await ports.book.put_matters(work, [matter, answer])
        asker = requester(request.requester_id, request.dataset_title)
        await _tell(work, ports, answer, Change.DECIDED, asker, wait=now)
    return Outcome.APPLIED


async def redact_request(event: Event, work: UnitOfWork, ports: NotifyPorts) -> Outcome:
    """Take the words of an erased person out of what was told of a request, sent or not."""
    request = event.payload(SharingRequestRedacted).request
    topic = EVENT_TYPES[event.type].topic.name
    for build in (matter_of_request, matter_of_answer):
        matter = build(request, topic=topic, version=event.subjectversion or 0)
        await ports.kept_mail.redact(work, matter.matter_id, matter.details)
    work.after_commit(ports.bell.ring)
    return Outcome.APPLIED


async def route_baseline(event: Event, work: UnitOfWork, ports: NotifyPorts) -> Answer:
    """Give a steward the one summary of a first harvest, and those who answer for agencies theirs."""
    summary = event.payload(BaselineSummarised)
    topic = EVENT_TYPES[event.type].topic.name
    if summary.agencies:
        return await _tell_overviews(work, ports, summary, topic, event.time)
    matter = matter_of_baseline(summary, topic=topic, now=event.time)
    names = await ports.people.agency_names(work, [summary.agency_id] if summary.agency_id else [])
    agency_name = names.get(summary.agency_id) if summary.agency_id else None
    ownership = Ownership("your datasets", summary.steward_id, summary.agency_id, agency_name)
    directory = await ports.people.directory(work)
    if work.may_wait and summary.steward_id is not None and summary.steward_id not in directory:
        return NotReadyError(_person(summary.steward_id), patience=DIRECTORY_PATIENCE)
    if work.may_wait and summary.agency_id is not None and agency_name is None:
        return NotReadyError(_agency(summary.agency_id), patience=DIRECTORY_PATIENCE)
    if summary.steward_id is not None and summary.steward_id in directory:
        readers = [Recipient(summary.steward_id, "You are the steward of these datasets.")]
    else:
        nobody = "These datasets have no steward"
        readers = agency_officers(ownership.agency_id, agency_name, directory, nobody)
        readers = readers or operators(directory, f"{nobody}, and nobody answers for their agency")
    await ports.book.put_matters(work, [matter])
    await _tell(work, ports, matter, Change.NOTICED, readers, wait=ports.group_wait)
    return Outcome.APPLIED


async def _tell_overviews(
    work: UnitOfWork, ports: NotifyPorts, summary: BaselineSummarised, topic: str, now: datetime
) -> Answer:
    found = overviews(summary, await ports.people.directory(work))
    agency_ids = [one.agency_id for one in summary.agencies if one.agency_id]
    names = await ports.people.agency_names(work, agency_ids)
    unnamed = [one for one in agency_ids if one not in names]
    if work.may_wait and unnamed:
        return NotReadyError(_agency(unnamed[0]), patience=DIRECTORY_PATIENCE)
    if work.may_wait and not found:
        return NotReadyError(ANYBODY, patience=DIRECTORY_PATIENCE)
    told = [
        (matter_of_overview(summary, one, names, topic=topic, now=now), Change.NOTICED, [one.recipient])
        for one in found
    ]
    await ports.book.put_matters(work, [matter for matter, _, _ in told])
    await _tell_each(work, ports, told, wait=ports.group_wait)
    return Outcome.APPLIED


async def remember_freshness(batch: Sequence[Event], work: UnitOfWork, ports: NotifyPorts) -> list[Outcome]:
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
    await ports.freshness.put(work, statuses)
    return outcomes


async def route_held_harvest(event: Event, work: UnitOfWork, ports: NotifyPorts) -> Answer:
    """Ask the operators to look at a feed that lost more than half of its datasets."""
    held = event.payload(HarvestHeld)
    topic = EVENT_TYPES[event.type].topic.name
    matter = matter_of_held_harvest(held, topic=topic, now=event.time)
    directory = await ports.people.directory(work)
    readers = operators(directory, f"The harvest of {held.source_id} waits for a person")
    if not readers:
        return NotReadyError(OPERATOR, patience=OPERATOR_PATIENCE)
    await ports.book.put_matters(work, [matter])
    await _tell(work, ports, matter, Change.OPENED, readers, wait=ports.group_wait)
    return Outcome.APPLIED


async def close_held_harvest(event: Event, work: UnitOfWork, ports: NotifyPorts) -> Outcome:
    """A harvest that was held and then ran through is a matter no more."""
    completed = event.payload(HarvestCompleted)
    closed = await ports.book.close(work, completed.harvest_id)
    return Outcome.APPLIED if closed else Outcome.IGNORED


async def _owners(
    work: UnitOfWork,
    ports: NotifyPorts,
    matters: Sequence[Matter],
    *,
    request: SharingRequestState | None = None,
) -> tuple[dict[UUID, list[Recipient]], dict[UUID, NotReadyError]]:
    """Who answers for each matter, by its id; and what is waited for where that can't be told yet.

    A ``request`` comes only to those who may decide on it.
    """
    if not matters:
        return {}, {}
    everybody = await ports.people.directory(work)
    directory = everybody if request is None else everybody.deciding_on(request)
    besides = None if request is None else request.requester_id
    dataset_ids = {matter.dataset_id for matter in matters if matter.dataset_id is not None}
    known = await ports.people.ownership(work, dataset_ids)
    owners: dict[UUID, list[Recipient]] = {}
    missing: dict[UUID, NotReadyError] = {}
    for matter in matters:
        ownership = known.get(matter.dataset_id) if matter.dataset_id else None
        waits_for = _missing(matter, ownership, everybody) if work.may_wait else None
        if waits_for is not None:
            missing[matter.matter_id] = NotReadyError(waits_for, patience=DIRECTORY_PATIENCE)
            continue
        ownership = ownership or Ownership(matter.title, None, matter.agency_id, None)
        found = owners_of(ownership, directory, besides=besides)
        # Nobody may be left: then those who run the installation have to see that nobody answers for it.
        nobody = f"Nobody answers for “{ownership.title}”"
        owners[matter.matter_id] = found or operators(everybody.without(besides), nobody)
        if work.may_wait and not owners[matter.matter_id]:
            missing[matter.matter_id] = NotReadyError(ANYBODY, patience=DIRECTORY_PATIENCE)
    return owners, missing


def _missing(matter: Matter, ownership: Ownership | None, directory: Directory) -> str | None:
    """Return what has to be known before a matter can be routed; None if all is."""
    if ownership is None:
        return _dataset(matter.dataset_id) if matter.dataset_id else None
    if ownership.steward_id is not None and ownership.steward_id not in directory:
        return _person(ownership.steward_id)
    return None


def _arrived(people: Sequence[PersonState]) -> set[str]:
    """Return what these people may be waited for as."""
    arrived = {_person(person.person_id) for person in people}
    roles = {grant.role for person in people for grant in person.grants}
    if roles:
        arrived.add(ANYBODY)
    if Role.OPERATOR in roles:
        arrived.add(OPERATOR)
    return arrived


async def _tell(
    work: UnitOfWork,
    ports: NotifyPorts,
    matter: Matter,
    change: Change,
    readers: Sequence[Recipient],
    *,
    wait: timedelta,
) -> None:
    await _tell_each(work, ports, [(matter, change, readers)], wait=wait)


async def _tell_each(
    work: UnitOfWork,
    ports: NotifyPorts,
    told: Sequence[tuple[Matter, Change, Sequence[Recipient]]],
    *,
    wait: timedelta,
) -> None:
    await ports.book.put_in_inbox(work, {matter.matter_id: readers for matter, _, readers in told})
    not_before = ports.clock.now() + wait
    tellings = [
        Telling(
            telling_id(matter, one.person_id, change),
            matter.matter_id,
            one.person_id,
            change,
            one.reason,
            not_before,
        )
        for matter, change, readers in told
        for one in readers
    ]
    await ports.book.tell(work, tellings)
    work.after_commit(ports.bell.ring)


async def _tell_recovery(work: UnitOfWork, ports: NotifyPorts, matter: Matter) -> None:
    # Opened and resolved within the wait: nobody heard of it, so nobody needs to hear that it is over.
    never_heard = await ports.book.take_back(work, matter.matter_id)
    readers = [
        one for one in await ports.book.readers(work, matter.matter_id) if one.person_id not in never_heard
    ]
    await _tell(work, ports, matter, Change.RESOLVED, readers, wait=ports.group_wait)


def _dataset(dataset_id: UUID | str) -> str:
    return f"dataset {dataset_id}"


def _person(person_id: UUID) -> str:
    return f"person {person_id}"


def _agency(agency_id: UUID | str) -> str:
    return f"agency {agency_id}"


def _wrote(person_id: UUID) -> str:
    """How the payload of a request names who wrote it."""
    return f'"requester_id":"{person_id}"'


def _matter_of_alert(event: Event) -> Matter | None:
    """None for the end of an alert's key, which is no news."""
    if event.data is None:
        return None
    if isinstance(event.data, AlertOpened | AlertChanged | AlertResolved):
        topic = EVENT_TYPES[event.type].topic.name
        return matter_of_alert(event.data.alert, topic=topic, version=event.subjectversion or 0)
    raise InvalidEventError(f"{event.type} {event.id} carries no alert")


def _request_of(event: Event) -> SharingRequestState:
    if isinstance(event.data, REQUEST_EVENTS):
        return event.data.request
    raise InvalidEventError(f"{event.type} {event.id} carries no sharing request")


DIRECTORY_HANDLERS: Handlers[NotifyPorts] = {
    DATASET_REGISTERED.name: remember_datasets,
    DATASET_CHANGED.name: remember_datasets,
    DATASET_RETIRED.name: remember_datasets,
    PERSON_CHANGED.name: remember_addresses,
    AGENCY_CHANGED.name: remember_agencies,
    MEASUREMENT_RECORDED.name: remember_freshness,
}

_route_request = for_each(route_request)

ROUTING_HANDLERS: Handlers[NotifyPorts] = {
    QUALITY_ALERT_OPENED.name: route_alerts,
    QUALITY_ALERT_CHANGED.name: route_alerts,
    QUALITY_ALERT_RESOLVED.name: route_alerts,
    USAGE_ALERT_OPENED.name: route_alerts,
    USAGE_ALERT_CHANGED.name: route_alerts,
    USAGE_ALERT_RESOLVED.name: route_alerts,
    SHARING_REQUEST_SUBMITTED.name: _route_request,
    SHARING_REQUEST_RETURNED.name: _route_request,
    SHARING_REQUEST_APPROVED.name: _route_request,
    SHARING_REQUEST_DENIED.name: _route_request,
    SHARING_REQUEST_WITHDRAWN.name: _route_request,
    SHARING_REQUEST_REDACTED.name: for_each(redact_request),
    BASELINE_SUMMARISED.name: for_each(route_baseline),
    HARVEST_HELD.name: for_each(route_held_harvest),
    HARVEST_COMPLETED.name: for_each(close_held_harvest),
}
