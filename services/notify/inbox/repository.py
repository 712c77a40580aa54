"""Inbox items, inbox entries and notifications, on SQLite and PostgreSQL alike."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, bindparam, delete, func, or_, select, update

from services.notify.inbox.domain.items import (
    ALERT_TOPICS,
    OPEN_DELIVERIES,
    READ_ONCE_KINDS,
    Change,
    InboxItem,
    ItemState,
    Notification,
    Recipient,
)
from services.notify.inbox.domain.rows import item_of_row, row_of_item
from services.notify.migrations.tables import DELIVERIES, INBOX_ENTRIES, INBOX_ITEMS, NOTIFICATIONS
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert

__all__ = ["InboxRepository"]

# Kept, since it is run for every message, and to build a statement takes longer than to run it.
_ITEMS = (
    select(INBOX_ITEMS).where(INBOX_ITEMS.c.item_id.in_(bindparam("ids", expanding=True))).with_for_update()
)


class InboxRepository:
    """Keeps inbox items, whose inboxes they are in, and of what people are still to be notified."""

    async def items(self, work: UnitOfWork, item_ids: Collection[UUID]) -> dict[UUID, InboxItem]:
        """Return the last known state of items."""
        if not item_ids:
            return {}
        rows = await work.connection.execute(_ITEMS, {"ids": list(item_ids)})
        return {row.item_id: item_of_row(row) for row in rows}

    async def store_items(self, work: UnitOfWork, items: Sequence[InboxItem]) -> None:
        """Write new states; inbox entries follow the state."""
        await upsert(work.connection, INBOX_ITEMS, [row_of_item(item) for item in items])

    async def add_recipients(self, work: UnitOfWork, recipients: Mapping[UUID, Sequence[Recipient]]) -> None:
        """Put each item, by its id, into the inboxes of its recipients, once."""
        now = work.clock.now()
        rows = [
            {"item_id": item_id, "person_id": recipient.person_id, "reason": recipient.reason, "put_at": now}
            for item_id, entries in recipients.items()
            for recipient in entries
        ]
        await upsert(work.connection, INBOX_ENTRIES, rows, update=[])

    async def items_of(self, work: UnitOfWork, person_id: UUID) -> list[InboxItem]:
        """Return everything in a person's inbox, or that they are still to be notified of."""
        theirs = select(INBOX_ENTRIES.c.item_id).where(INBOX_ENTRIES.c.person_id == person_id)
        notified = select(NOTIFICATIONS.c.item_id).where(NOTIFICATIONS.c.person_id == person_id)
        rows = await work.connection.execute(
            select(INBOX_ITEMS).where(
                or_(INBOX_ITEMS.c.item_id.in_(theirs), INBOX_ITEMS.c.item_id.in_(notified))
            )
        )
        return [item_of_row(row) for row in rows]

    async def withdraw(self, work: UnitOfWork, person_id: UUID, item_ids: Collection[UUID]) -> None:
        """Take items from a person: inbox entries, waiting notifications, and messages not sent yet."""
        waiting = select(DELIVERIES.c.delivery_id).where(
            DELIVERIES.c.person_id == person_id, DELIVERIES.c.state.in_(OPEN_DELIVERIES)
        )
        unsent = or_(NOTIFICATIONS.c.delivery_id.is_(None), NOTIFICATIONS.c.delivery_id.in_(waiting))
        ids = list(item_ids)
        await work.connection.execute(
            delete(INBOX_ENTRIES).where(
                INBOX_ENTRIES.c.person_id == person_id, INBOX_ENTRIES.c.item_id.in_(ids)
            )
        )
        await work.connection.execute(
            delete(NOTIFICATIONS).where(
                NOTIFICATIONS.c.person_id == person_id, NOTIFICATIONS.c.item_id.in_(ids), unsent
            )
        )
        # A message of which nothing is left tells nothing; one with other items goes out without these.
        left = select(NOTIFICATIONS.c.delivery_id).where(NOTIFICATIONS.c.delivery_id.is_not(None))
        await work.connection.execute(
            delete(DELIVERIES).where(
                DELIVERIES.c.person_id == person_id,
                DELIVERIES.c.state.in_(OPEN_DELIVERIES),
                DELIVERIES.c.delivery_id.not_in(left),
            )
        )

    async def recipients(self, work: UnitOfWork, item_id: UUID) -> list[Recipient]:
        """Return whose inboxes the item is in, with the reason."""
        rows = await work.connection.execute(
            select(INBOX_ENTRIES)
            .where(INBOX_ENTRIES.c.item_id == item_id)
            .order_by(INBOX_ENTRIES.c.person_id)
        )
        return [Recipient(row.person_id, row.reason) for row in rows]

    async def enqueue(self, work: UnitOfWork, notifications: Sequence[Notification]) -> None:
        """Add notifications, once per id."""
        rows = [
            {
                "notification_id": notification.notification_id,
                "item_id": notification.item_id,
                "person_id": notification.person_id,
                "change": notification.change.value,
                "reason": notification.reason,
                "not_before": notification.not_before,
                "delivery_id": None,
                "snapshot": None,
            }
            for notification in notifications
        ]
        await upsert(work.connection, NOTIFICATIONS, rows, update=[])

    async def cancel_pending(self, work: UnitOfWork, item_id: UUID) -> set[UUID]:
        """Drop the waiting notifications of an item; return who thereby is never notified of it."""
        waiting = (NOTIFICATIONS.c.item_id == item_id) & NOTIFICATIONS.c.delivery_id.is_(None)
        rows = await work.connection.execute(
            select(NOTIFICATIONS.c.person_id, NOTIFICATIONS.c.change).where(waiting)
        )
        never_notified = {row.person_id for row in rows if row.change == Change.OPENED}
        await work.connection.execute(delete(NOTIFICATIONS).where(waiting))
        return never_notified

    async def open_alerts_of(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> list[InboxItem]:
        """Return the alerts on these datasets that are not over."""
        if not dataset_ids:
            return []
        statement = (
            select(INBOX_ITEMS)
            .where(
                INBOX_ITEMS.c.dataset_id.in_(list(dataset_ids)),
                INBOX_ITEMS.c.topic.in_(ALERT_TOPICS),
                INBOX_ITEMS.c.state != ItemState.DONE.value,
            )
            .order_by(INBOX_ITEMS.c.opened_at, INBOX_ITEMS.c.item_id)
        )
        return [item_of_row(row) for row in await work.connection.execute(statement)]

    async def withdraw_pending(self, work: UnitOfWork, item_id: UUID, *, keep: UUID) -> None:
        """Take an item from those who were not notified of it yet; ``keep`` stays."""
        waiting = (NOTIFICATIONS.c.item_id == item_id) & NOTIFICATIONS.c.delivery_id.is_(None)
        opened = select(NOTIFICATIONS.c.person_id).where(
            waiting, NOTIFICATIONS.c.change == Change.OPENED.value
        )
        pending = [person_id for person_id in await work.connection.scalars(opened) if person_id != keep]
        if not pending:
            return
        for table in (NOTIFICATIONS, INBOX_ENTRIES):
            theirs = (table.c.item_id == item_id) & table.c.person_id.in_(pending)
            await work.connection.execute(delete(table).where(theirs))

    async def close(self, work: UnitOfWork, item_id: UUID) -> bool:
        """Mark an item as done and drop its waiting notifications; false if there is no such item."""
        item = (await self.items(work, [item_id])).get(item_id)
        if item is None:
            return False
        await self.store_items(work, [replace(item, state=ItemState.DONE, changed_at=work.clock.now())])
        await self.cancel_pending(work, item_id)
        return True

    async def unacknowledged(
        self, work: UnitOfWork, *, notified_before: datetime, limit: int
    ) -> list[InboxItem]:
        """Return error alerts, not escalated yet, that nobody acknowledged since people were notified."""
        notified = (
            select(func.max(NOTIFICATIONS.c.not_before))
            .where(
                NOTIFICATIONS.c.item_id == INBOX_ITEMS.c.item_id,
                NOTIFICATIONS.c.change.in_([Change.OPENED.value, Change.WORSENED.value]),
            )
            .scalar_subquery()
        )
        statement = (
            select(INBOX_ITEMS)
            .where(
                INBOX_ITEMS.c.state == ItemState.OPEN.value,
                INBOX_ITEMS.c.severity == "error",
                INBOX_ITEMS.c.topic.in_(ALERT_TOPICS),
                func.coalesce(INBOX_ITEMS.c.escalated_occurrence, 0) < INBOX_ITEMS.c.occurrences,
                notified <= notified_before,
            )
            .order_by(INBOX_ITEMS.c.opened_at, INBOX_ITEMS.c.item_id)
            .limit(limit)
            .with_for_update()
        )
        return [item_of_row(row) for row in await work.connection.execute(statement)]

    async def mark_escalated(self, work: UnitOfWork, items: Sequence[InboxItem]) -> None:
        """Remember that this occurrence of each item was escalated."""
        await work.connection.execute(
            update(INBOX_ITEMS)
            .where(INBOX_ITEMS.c.item_id == bindparam("escalated"))
            .values(escalated_occurrence=bindparam("occurrence")),
            [{"escalated": item.item_id, "occurrence": item.occurrences} for item in items],
        )

    async def prune(self, work: UnitOfWork, *, before: datetime, limit: int) -> int:
        """Delete what was over before a moment: items with their entries, and messages; return how many.

        An item that is open, or that somebody acknowledged, stays however old it is.
        """
        is_over = or_(
            INBOX_ITEMS.c.state == ItemState.DONE.value, INBOX_ITEMS.c.kind.in_(sorted(READ_ONCE_KINDS))
        )
        items = await _ids(
            work, select(INBOX_ITEMS.c.item_id).where(is_over, INBOX_ITEMS.c.changed_at < before).limit(limit)
        )
        deliveries = await _ids(
            work,
            select(DELIVERIES.c.delivery_id).where(DELIVERIES.c.finished_at < before).limit(limit),
        )
        for table, column, ids in (
            (NOTIFICATIONS, NOTIFICATIONS.c.delivery_id, deliveries),
            (DELIVERIES, DELIVERIES.c.delivery_id, deliveries),
            (NOTIFICATIONS, NOTIFICATIONS.c.item_id, items),
            (INBOX_ENTRIES, INBOX_ENTRIES.c.item_id, items),
            (INBOX_ITEMS, INBOX_ITEMS.c.item_id, items),
        ):
            if ids:
                await work.connection.execute(delete(table).where(column.in_(ids)))
        return len(items) + len(deliveries)


async def _ids(work: UnitOfWork, statement: Select[tuple[UUID]]) -> list[UUID]:
    return list(await work.connection.scalars(statement.with_for_update(skip_locked=True)))
