"""Commands of the inbox: put items before people, note whom to notify, acknowledge, withdraw, delete."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from services.notify.inbox.domain.items import (
    ALERT_TOPICS,
    READ_ONCE_KINDS,
    Change,
    InboxItem,
    ItemState,
    Notification,
    Recipient,
    notification_id,
)
from services.notify.inbox.domain.viewing import no_such_item
from services.notify.inbox.reader.entries import InboxEntry, inbox_entry
from services.notify.inbox.repository import InboxRepository
from shared.clock import Clock
from shared.errors import NotFoundError
from shared.events.notify import AlertAcknowledged
from shared.events.registry import ALERT_ACKNOWLEDGED
from shared.jobs.wake_signal import WakeSignal
from shared.store.engine import Store
from shared.store.unit_of_work import UnitOfWork

__all__ = [
    "Announcement",
    "Inbox",
    "acknowledge_entry",
    "acknowledge_item",
    "announce",
    "announce_recovery",
    "delete_finished",
    "escalate_items",
    "hand_over",
    "withdraw_items",
]

ROWS_PER_TURN = 500


@dataclass(frozen=True, slots=True)
class Inbox:
    """What the commands of the inbox work with. ``group_wait``: what comes within it goes in one message."""

    clock: Clock
    items: InboxRepository
    wake_signal: WakeSignal
    group_wait: timedelta


@dataclass(frozen=True, slots=True)
class Announcement:
    """What changed about an item, and whom to notify of it."""

    item: InboxItem
    change: Change
    recipients: Sequence[Recipient]


async def announce(
    work: UnitOfWork,
    inbox: Inbox,
    announcements: Sequence[Announcement],
    *,
    wait: timedelta | None = None,
) -> None:
    """Put items into inboxes, and note to notify their people after ``wait``, by default the group wait."""
    await inbox.items.add_recipients(work, {news.item.item_id: news.recipients for news in announcements})
    not_before = inbox.clock.now() + (inbox.group_wait if wait is None else wait)
    notifications = [
        _notification(announcement, recipient, not_before)
        for announcement in announcements
        for recipient in announcement.recipients
    ]
    await inbox.items.enqueue(work, notifications)
    work.after_commit(inbox.wake_signal.wake)


async def announce_recovery(work: UnitOfWork, inbox: Inbox, item: InboxItem) -> None:
    """Notify those who heard of an alert that it is over; whoever was not notified yet need not be."""
    never_notified = await inbox.items.cancel_pending(work, item.item_id)
    recipients = [
        recipient
        for recipient in await inbox.items.recipients(work, item.item_id)
        if recipient.person_id not in never_notified
    ]
    await announce(work, inbox, [Announcement(item, Change.RESOLVED, recipients)])


async def hand_over(work: UnitOfWork, inbox: Inbox, item: InboxItem, steward: Recipient) -> None:
    """Give an open alert to the steward that its dataset got. Who stood in and was notified keeps it."""
    await inbox.items.withdraw_pending(work, item.item_id, keep=steward.person_id)
    if item.state is ItemState.OPEN:
        await announce(work, inbox, [Announcement(item, Change.OPENED, [steward])])


async def escalate_items(
    work: UnitOfWork, inbox: Inbox, recipients: Mapping[UUID, Sequence[Recipient]], items: Sequence[InboxItem]
) -> None:
    """Give these items to who is next in line, at once; each occurrence of an alert is escalated once."""
    announcements = [Announcement(item, Change.ESCALATED, recipients[item.item_id]) for item in items]
    await announce(work, inbox, announcements, wait=timedelta(0))
    await inbox.items.mark_escalated(work, items)


async def withdraw_items(
    work: UnitOfWork, inbox: Inbox, person_id: UUID, is_lost: Callable[[InboxItem], bool]
) -> None:
    """Take from a person what they may not have any more, whether it was sent or not."""
    items = await inbox.items.items_of(work, person_id)
    lost = [item.item_id for item in items if is_lost(item)]
    if lost:
        await inbox.items.withdraw(work, person_id, lost)


async def acknowledge_item(
    work: UnitOfWork, inbox: InboxRepository, item_id: UUID, person_id: UUID
) -> InboxItem:
    """Acknowledge an item; an event tells the owner of an alert. Raises ``NotFoundError``.

    A summary or an answer that was read is done. An item that somebody has already, or that is done, stays
    as it is, and no event is sent.
    """
    before = (await inbox.items(work, [item_id])).get(item_id)
    if before is None:
        raise NotFoundError(f"No inbox item has the id {item_id}.", what="inbox item", field="item_id")
    if before.state is not ItemState.OPEN:
        return before
    if before.kind in READ_ONCE_KINDS:
        await inbox.close(work, item_id)
        return replace(before, state=ItemState.DONE)
    now = work.clock.now()
    taken = replace(before, state=ItemState.ACKNOWLEDGED, acknowledged_by=person_id, changed_at=now)
    await inbox.store_items(work, [taken])
    if taken.topic in ALERT_TOPICS and taken.dataset_id is not None:
        acknowledged = AlertAcknowledged(
            alert_id=item_id,
            owner_topic=taken.topic,
            dataset_id=taken.dataset_id,
            acknowledged_by=person_id,
            acknowledged_at=now,
        )
        work.emit(ALERT_ACKNOWLEDGED, acknowledged, subject=str(item_id))
    return taken


async def acknowledge_entry(
    store: Store,
    inbox: Inbox,
    person_id: UUID,
    item_id: UUID,
    *,
    check: Callable[[InboxEntry], None] | None = None,
) -> InboxEntry:
    """Acknowledge an item in a person's inbox, and return the entry as it is then.

    ``check`` sees the entry first, and may raise. Raises ``NotFoundError`` for an item that is not in this
    inbox: in the same words whether it is unknown or somebody else's.
    """
    async with store.unit_of_work() as work:
        before = await inbox_entry(work.connection, person_id, item_id)
        if before is None:
            raise no_such_item()
        if check is not None:
            check(before)
        await acknowledge_item(work, inbox.items, item_id, person_id)
        after = await inbox_entry(work.connection, person_id, item_id)
    return after or before


async def delete_finished(store: Store, inbox: Inbox, *, kept: timedelta) -> int:
    """Delete a portion of what was over so long ago; return how many items and messages went."""
    async with store.unit_of_work() as work:
        return await inbox.items.prune(work, before=inbox.clock.now() - kept, limit=ROWS_PER_TURN)


def _notification(announcement: Announcement, recipient: Recipient, not_before: datetime) -> Notification:
    item, change = announcement.item, announcement.change
    return Notification(
        notification_id(item, recipient.person_id, change),
        item.item_id,
        recipient.person_id,
        change,
        recipient.reason,
        not_before,
    )
