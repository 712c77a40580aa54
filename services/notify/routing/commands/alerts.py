"""Commands that route alerts: to the steward or who stands in, and on to who is next in line."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import groupby
from uuid import UUID

from services.notify.inbox.commands import Announcement, announce, announce_recovery, escalate_items
from services.notify.inbox.domain.items import (
    Change,
    InboxItem,
    Recipient,
    change_between,
    item_of_alert,
    still_taken,
)
from services.notify.routing.commands.context import RoutingContext, find_owners
from services.notify.routing.domain.recipients import Ownership, next_in_line
from shared.consuming.handling import Answer, Outcome
from shared.errors import InvalidEventError
from shared.events.alerts import AlertChanged, AlertOpened, AlertResolved
from shared.events.envelope import Event
from shared.events.registry import EVENT_TYPES
from shared.store.engine import Store
from shared.store.unit_of_work import UnitOfWork

__all__ = ["escalate_unacknowledged", "route_alerts"]

ITEMS_PER_TURN = 50


async def route_alerts(batch: Sequence[Event], work: UnitOfWork, context: RoutingContext) -> list[Answer]:
    """Tell the steward (or who stands in) that a dataset degraded; tell those who heard that it recovered.

    An alert whose dataset or steward is not known yet waits for them: this group reads other topics than the
    one that keeps the directory, and may be ahead of it.
    """
    carried = [_item_of_alert(event) for event in batch]
    items = [item for item in carried if item is not None]
    known = await context.inbox.items.items(work, {item.item_id for item in items})
    owners, missing = await find_owners(work, context, items)
    outcomes: list[Answer] = []
    news: list[tuple[InboxItem, Change]] = []
    changed: dict[UUID, InboxItem] = {}
    for item in carried:
        before = known.get(item.item_id) if item is not None else None
        change = change_between(before, item) if item is not None else None
        if item is None or (before is None and change is None):
            outcomes.append(Outcome.IGNORED)
            continue
        if change not in {None, Change.RESOLVED} and item.item_id in missing:
            outcomes.append(missing[item.item_id])
            continue
        item = still_taken(before, item, change)
        known[item.item_id] = changed[item.item_id] = item
        if change is not None:
            news.append((item, change))
        outcomes.append(Outcome.APPLIED)
    await context.inbox.items.store_items(work, list(changed.values()))
    for is_recovery, group in groupby(news, key=lambda pair: pair[1] is Change.RESOLVED):
        if is_recovery:
            for item, _ in group:
                await announce_recovery(work, context.inbox, item)
        else:
            announcements = [Announcement(item, change, owners[item.item_id]) for item, change in group]
            await announce(work, context.inbox, announcements)
    return outcomes


async def escalate_unacknowledged(store: Store, context: RoutingContext, *, after: timedelta) -> int:
    """Escalate high-severity alerts that nobody acknowledged since people were notified; return how many.

    Each occurrence of an alert is escalated once, to who is next in line.
    """
    now = context.inbox.clock.now()
    async with store.unit_of_work() as work:
        items = await context.inbox.items.unacknowledged(
            work, notified_before=now - after, limit=ITEMS_PER_TURN
        )
        if not items:
            return 0
        recipients = await _next_recipients(work, context, items, after)
        await escalate_items(work, context.inbox, recipients, items)
    return len(items)


async def _next_recipients(
    work: UnitOfWork, context: RoutingContext, items: list[InboxItem], after: timedelta
) -> dict[UUID, list[Recipient]]:
    directory = await context.people.directory(work)
    dataset_ids = {item.dataset_id for item in items if item.dataset_id is not None}
    known = await context.people.ownership(work, dataset_ids)
    recipients = {}
    for item in items:
        ownership = known.get(item.dataset_id) if item.dataset_id else None
        entries = await context.inbox.items.recipients(work, item.item_id)
        recipients[item.item_id] = next_in_line(
            ownership or Ownership(item.title, None, item.agency_id, None),
            directory,
            told={recipient.person_id for recipient in entries},
            why=f"Nobody has taken charge of this for {after.days} days",
        )
    return recipients


def _item_of_alert(event: Event) -> InboxItem | None:
    """None for the end of an alert's key, which is no news."""
    if event.data is None:
        return None
    if isinstance(event.data, AlertOpened | AlertChanged | AlertResolved):
        topic = EVENT_TYPES[event.type].topic.name
        return item_of_alert(event.data.alert, topic=topic, version=event.subjectversion or 0)
    raise InvalidEventError(f"{event.type} {event.id} carries no alert")
