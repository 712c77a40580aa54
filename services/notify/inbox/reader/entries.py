"""What the inbox's page and API read: always one person's own entries."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify.inbox.domain.items import InboxItem, ItemState
from services.notify.inbox.domain.rows import item_of_row
from services.notify.migrations.tables import DELIVERIES, INBOX_ENTRIES, INBOX_ITEMS, NOTIFICATIONS, PEOPLE

__all__ = [
    "DeliveryView",
    "InboxEntry",
    "deliveries_by_state",
    "inbox_entries",
    "inbox_entry",
    "messages_about",
    "messages_of",
]

ENTRIES_MAX = 200


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """One item in one person's inbox. ``acknowledged_by`` is a name, where it is known."""

    item: InboxItem
    reason: str
    put_at: datetime
    acknowledged_by: str | None


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """A message about an item, with its real result."""

    change: str
    channel: str
    state: str
    attempts: int
    result: str | None
    created_at: datetime
    finished_at: datetime | None
    next_attempt_at: datetime | None


async def inbox_entries(
    connection: AsyncConnection, person_id: UUID, *, states: tuple[ItemState, ...]
) -> list[InboxEntry]:
    """Return a person's entries in these states, worst first, then newest; at most 200."""
    worst_first = case({"error": 0, "warning": 1, "info": 2}, value=INBOX_ITEMS.c.severity, else_=1)
    statement = (
        _entries_of(person_id)
        .where(INBOX_ITEMS.c.state.in_([state.value for state in states]))
        .order_by(worst_first, INBOX_ITEMS.c.changed_at.desc(), INBOX_ITEMS.c.item_id)
        .limit(ENTRIES_MAX)
    )
    return [_entry(row) for row in await connection.execute(statement)]


async def inbox_entry(connection: AsyncConnection, person_id: UUID, item_id: UUID) -> InboxEntry | None:
    """Return one entry, or ``None`` if the person has none for this item."""
    statement = _entries_of(person_id).where(INBOX_ITEMS.c.item_id == item_id)
    row = (await connection.execute(statement)).one_or_none()
    return _entry(row) if row is not None else None


async def inbox_counts(connection: AsyncConnection, person_id: UUID) -> dict[str, int]:
    """Return how many entries a person has, by state."""
    rows = await connection.execute(
        select(INBOX_ITEMS.c.state, func.count().label("entries"))
        .join(INBOX_ENTRIES, INBOX_ENTRIES.c.item_id == INBOX_ITEMS.c.item_id)
        .where(INBOX_ENTRIES.c.person_id == person_id)
        .group_by(INBOX_ITEMS.c.state)
    )
    return {row.state: row.entries for row in rows}


async def messages_about(connection: AsyncConnection, person_id: UUID, item_id: UUID) -> list[DeliveryView]:
    """Return the messages that this person got, or waits for, about an item; oldest first."""
    rows = await connection.execute(
        select(NOTIFICATIONS.c.change, DELIVERIES)
        .join(DELIVERIES, DELIVERIES.c.delivery_id == NOTIFICATIONS.c.delivery_id)
        .where(NOTIFICATIONS.c.person_id == person_id, NOTIFICATIONS.c.item_id == item_id)
        .order_by(DELIVERIES.c.created_at)
    )
    return [
        DeliveryView(
            row.change,
            row.channel,
            row.state,
            row.attempts,
            row.result,
            row.created_at,
            row.finished_at,
            row.next_attempt_at,
        )
        for row in rows
    ]


async def deliveries_by_state(connection: AsyncConnection) -> dict[tuple[str, str], int]:
    """Return how many messages there are, by channel and state; for operators."""
    rows = await connection.execute(
        select(DELIVERIES.c.channel, DELIVERIES.c.state, func.count().label("messages")).group_by(
            DELIVERIES.c.channel, DELIVERIES.c.state
        )
    )
    return {(row.channel, row.state): row.messages for row in rows}


async def messages_of(connection: AsyncConnection, person_id: UUID) -> dict[str, list[dict[str, Any]]]:
    """Return all that is kept of one person, for that person: their inbox, and what was or will be sent."""
    entries = await connection.execute(_entries_of(person_id).order_by(INBOX_ENTRIES.c.put_at))
    told = await connection.execute(
        select(NOTIFICATIONS)
        .where(NOTIFICATIONS.c.person_id == person_id)
        .order_by(NOTIFICATIONS.c.not_before)
    )
    messages = await connection.execute(
        select(DELIVERIES).where(DELIVERIES.c.person_id == person_id).order_by(DELIVERIES.c.created_at)
    )
    parts = {"inbox": entries, "notifications": told, "messages": messages}
    return {
        name: [{str(column): value for column, value in row.items()} for row in rows.mappings()]
        for name, rows in parts.items()
    }


def _entries_of(person_id: UUID) -> Select[Any]:
    return (
        select(
            INBOX_ITEMS,
            INBOX_ENTRIES.c.reason,
            INBOX_ENTRIES.c.put_at,
            PEOPLE.c.display_name.label("acknowledged_by_name"),
        )
        .join(INBOX_ENTRIES, INBOX_ENTRIES.c.item_id == INBOX_ITEMS.c.item_id)
        .outerjoin(PEOPLE, PEOPLE.c.person_id == INBOX_ITEMS.c.acknowledged_by)
        .where(INBOX_ENTRIES.c.person_id == person_id)
    )


def _entry(row: Any) -> InboxEntry:
    return InboxEntry(item_of_row(row), row.reason, row.put_at, row.acknowledged_by_name)
