"""Commands that route sharing requests: to who may decide, and every answer to the requester."""

from datetime import timedelta

from services.notify.delivery.commands import redact_messages
from services.notify.inbox.commands import Announcement, announce
from services.notify.inbox.domain.items import Change, item_of_answer, item_of_request
from services.notify.routing.commands.context import RoutingContext, awaited_person, find_owners
from services.notify.routing.domain.recipients import requester
from shared.consuming.handling import Answer, Outcome
from shared.errors import InvalidEventError, NotReadyError
from shared.events.envelope import Event
from shared.events.governance import (
    SharingRequestApproved,
    SharingRequestDenied,
    SharingRequestRedacted,
    SharingRequestReturned,
    SharingRequestState,
    SharingRequestSubmitted,
    SharingRequestWithdrawn,
)
from shared.events.registry import EVENT_TYPES
from shared.store.unit_of_work import UnitOfWork

__all__ = ["redact_request", "route_request"]

REQUESTER_PATIENCE = timedelta(minutes=30)
"""How long an answer waits for its requester to be known: nobody stands in for them."""

REQUEST_EVENTS = (
    SharingRequestSubmitted,
    SharingRequestReturned,
    SharingRequestApproved,
    SharingRequestDenied,
    SharingRequestWithdrawn,
)


async def route_request(event: Event, work: UnitOfWork, context: RoutingContext) -> Answer:
    """Tell the agency of a new request, and the requester of every answer."""
    if event.data is None:
        return Outcome.IGNORED
    request = _request_of(event)
    topic = EVENT_TYPES[event.type].topic.name
    version = event.subjectversion or 0
    item = item_of_request(request, topic=topic, version=version)
    answer = item_of_answer(request, topic=topic, version=version)
    now = timedelta(0)
    if isinstance(event.data, SharingRequestSubmitted):
        owners, missing = await find_owners(work, context, [item], request=request)
        if missing:
            return missing[item.item_id]
        await context.inbox.items.store_items(work, [item, answer])
        await announce(
            work, context.inbox, [Announcement(item, Change.SUBMITTED, owners[item.item_id])], wait=now
        )
    elif isinstance(event.data, SharingRequestWithdrawn):
        await context.inbox.items.store_items(work, [item, answer])
        await context.inbox.items.cancel_pending(work, item.item_id)
    else:
        if request.requester_id not in await context.people.directory(work):
            return NotReadyError(awaited_person(request.requester_id), patience=REQUESTER_PATIENCE)
        await context.inbox.items.store_items(work, [item, answer])
        asker = requester(request.requester_id, request.dataset_title)
        await announce(work, context.inbox, [Announcement(answer, Change.DECIDED, asker)], wait=now)
    return Outcome.APPLIED


async def redact_request(event: Event, work: UnitOfWork, context: RoutingContext) -> Outcome:
    """Take the words of an erased person out of what was told of a request, sent or not."""
    request = event.payload(SharingRequestRedacted).request
    topic = EVENT_TYPES[event.type].topic.name
    for build in (item_of_request, item_of_answer):
        item = build(request, topic=topic, version=event.subjectversion or 0)
        await redact_messages(work, context.kept, item.item_id, item.details)
    work.after_commit(context.inbox.wake_signal.wake)
    return Outcome.APPLIED


def _request_of(event: Event) -> SharingRequestState:
    if isinstance(event.data, REQUEST_EVENTS):
        return event.data.request
    raise InvalidEventError(f"{event.type} {event.id} carries no sharing request")
