"""Commands that route what a harvest leaves: the first quality check, and a feed that waits for a person."""

from datetime import datetime, timedelta

from services.notify.inbox.commands import Announcement, announce
from services.notify.inbox.domain.items import Change, Recipient, item_of_baseline, item_of_held_harvest
from services.notify.routing.commands.context import (
    ANYBODY,
    DIRECTORY_PATIENCE,
    OPERATOR,
    RoutingContext,
    awaited_agency,
    awaited_person,
)
from services.notify.routing.domain.overviews import item_of_overview, overviews
from services.notify.routing.domain.recipients import Ownership, agency_officers, operators
from shared.consuming.handling import Answer, Outcome
from shared.errors import NotReadyError
from shared.events.catalog import HarvestCompleted, HarvestHeld
from shared.events.envelope import Event
from shared.events.quality import BaselineSummarised
from shared.events.registry import EVENT_TYPES
from shared.store.unit_of_work import UnitOfWork

__all__ = ["close_held_harvest", "route_baseline", "route_held_harvest"]

OPERATOR_PATIENCE = timedelta(hours=1)
"""How long a held harvest waits for an operator to be known."""


async def route_baseline(event: Event, work: UnitOfWork, context: RoutingContext) -> Answer:
    """Give a steward the one summary of a first harvest, and those who answer for agencies theirs."""
    summary = event.payload(BaselineSummarised)
    topic = EVENT_TYPES[event.type].topic.name
    if summary.agencies:
        return await _announce_overviews(work, context, summary, topic, event.time)
    item = item_of_baseline(summary, topic=topic, now=event.time)
    names = await context.people.agency_names(work, [summary.agency_id] if summary.agency_id else [])
    agency_name = names.get(summary.agency_id) if summary.agency_id else None
    ownership = Ownership("your datasets", summary.steward_id, summary.agency_id, agency_name)
    directory = await context.people.directory(work)
    if work.may_wait and summary.steward_id is not None and summary.steward_id not in directory:
        return NotReadyError(awaited_person(summary.steward_id), patience=DIRECTORY_PATIENCE)
    if work.may_wait and summary.agency_id is not None and agency_name is None:
        return NotReadyError(awaited_agency(summary.agency_id), patience=DIRECTORY_PATIENCE)
    if summary.steward_id is not None and summary.steward_id in directory:
        recipients = [Recipient(summary.steward_id, "You are the steward of these datasets.")]
    else:
        nobody = "These datasets have no steward"
        recipients = agency_officers(ownership.agency_id, agency_name, directory, nobody)
        recipients = recipients or operators(directory, f"{nobody}, and nobody answers for their agency")
    await context.inbox.items.store_items(work, [item])
    await announce(work, context.inbox, [Announcement(item, Change.NOTICED, recipients)])
    return Outcome.APPLIED


async def route_held_harvest(event: Event, work: UnitOfWork, context: RoutingContext) -> Answer:
    """Ask the operators to look at a feed that lost more than half of its datasets."""
    held = event.payload(HarvestHeld)
    topic = EVENT_TYPES[event.type].topic.name
    item = item_of_held_harvest(held, topic=topic, now=event.time)
    directory = await context.people.directory(work)
    recipients = operators(directory, f"The harvest of {held.source_id} waits for a person")
    if not recipients:
        return NotReadyError(OPERATOR, patience=OPERATOR_PATIENCE)
    await context.inbox.items.store_items(work, [item])
    await announce(work, context.inbox, [Announcement(item, Change.OPENED, recipients)])
    return Outcome.APPLIED


async def close_held_harvest(event: Event, work: UnitOfWork, context: RoutingContext) -> Outcome:
    """A harvest that was held and then ran through concerns nobody any more."""
    completed = event.payload(HarvestCompleted)
    closed = await context.inbox.items.close(work, completed.harvest_id)
    return Outcome.APPLIED if closed else Outcome.IGNORED


async def _announce_overviews(
    work: UnitOfWork, context: RoutingContext, summary: BaselineSummarised, topic: str, now: datetime
) -> Answer:
    people = overviews(summary, await context.people.directory(work))
    agency_ids = [line.agency_id for line in summary.agencies if line.agency_id]
    names = await context.people.agency_names(work, agency_ids)
    unnamed = [agency_id for agency_id in agency_ids if agency_id not in names]
    if work.may_wait and unnamed:
        return NotReadyError(awaited_agency(unnamed[0]), patience=DIRECTORY_PATIENCE)
    if work.may_wait and not people:
        return NotReadyError(ANYBODY, patience=DIRECTORY_PATIENCE)
    announcements = [
        Announcement(
            item_of_overview(summary, overview, names, topic=topic, now=now),
            Change.NOTICED,
            [overview.recipient],
        )
        for overview in people
    ]
    await context.inbox.items.store_items(work, [announcement.item for announcement in announcements])
    await announce(work, context.inbox, announcements)
    return Outcome.APPLIED
