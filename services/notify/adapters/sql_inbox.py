"""What the inbox's page and API read: always one person's own lines."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify.adapters.sql_matters import matter_of_row
from services.notify.domain.matters import Matter, MatterState
from services.notify.migrations.tables import DELIVERIES, INBOX_LINES, MATTERS, PEOPLE, TELLINGS

__all__ = [
    "DeliveryView",
    "InboxLine",
    "deliveries_by_state",
    "inbox_line",
    "inbox_lines",
    "messages_of",
    "told_about",
]

LINES_MAX = 200


@dataclass(frozen=True, slots=True)
class InboxLine:
    """One matter in one person's inbox. ``acknowledged_by`` is a name, where it is known."""

    matter: Matter
    reason: str
    put_at: datetime
    acknowledged_by: str | None


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """A message about a matter, with its real result."""

    change: str
    channel: str
    state: str
    attempts: int
    result: str | None
    created_at: datetime
    finished_at: datetime | None
    next_attempt_at: datetime | None


async def inbox_lines(
    connection: AsyncConnection, person_id: UUID, *, states: tuple[MatterState, ...]
) -> list[InboxLine]:
    """Return a person's lines in these states, worst first, then newest; at most 200."""
    worst_first = case({"error": 0, "warning": 1, "info": 2}, value=MATTERS.c.severity, else_=1)
    statement = (
        _lines_of(person_id)
        .where(MATTERS.c.state.in_([state.value for state in states]))
        .order_by(worst_first, MATTERS.c.changed_at.desc(), MATTERS.c.matter_id)
        .limit(LINES_MAX)
    )
    return [_line(row) for row in await connection.execute(statement)]


async def inbox_line(connection: AsyncConnection, person_id: UUID, matter_id: UUID) -> InboxLine | None:
    """Return one line, or ``None`` if the person has none for this matter."""
    statement = _lines_of(person_id).where(MATTERS.c.matter_id == matter_id)
    row = (await connection.execute(statement)).one_or_none()
    return _line(row) if row is not None else None


async def inbox_counts(connection: AsyncConnection, person_id: UUID) -> dict[str, int]:
    """Return how many lines a person has, by state."""
    rows = await connection.execute(
        select(MATTERS.c.state, func.count().label("lines"))
        .join(INBOX_LINES, INBOX_LINES.c.matter_id == MATTERS.c.matter_id)
        .where(INBOX_LINES.c.person_id == person_id)
        .group_by(MATTERS.c.state)
    )
    return {row.state: row.lines for row in rows}


async def told_about(connection: AsyncConnection, person_id: UUID, matter_id: UUID) -> list[DeliveryView]:
    """Return the messages that this person got, or waits for, about a matter; oldest first."""
    rows = await connection.execute(
        select(TELLINGS.c.change, DELIVERIES)
        .join(DELIVERIES, DELIVERIES.c.delivery_id == TELLINGS.c.delivery_id)
        .where(TELLINGS.c.person_id == person_id, TELLINGS.c.matter_id == matter_id)
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
    lines = await connection.execute(_lines_of(person_id).order_by(INBOX_LINES.c.put_at))
    told = await connection.execute(
        select(TELLINGS).where(TELLINGS.c.person_id == person_id).order_by(TELLINGS.c.not_before)
    )
    messages = await connection.execute(
        select(DELIVERIES).where(DELIVERIES.c.person_id == person_id).order_by(DELIVERIES.c.created_at)
    )
    parts = {"inbox": lines, "notifications": told, "messages": messages}
    return {
        name: [{str(column): value for column, value in row.items()} for row in rows.mappings()]
        for name, rows in parts.items()
    }


def _lines_of(person_id: UUID) -> Select[Any]:
    return (
        select(
            MATTERS,
            INBOX_LINES.c.reason,
            INBOX_LINES.c.put_at,
            PEOPLE.c.display_name.label("acknowledged_by_name"),
        )
        .join(INBOX_LINES, INBOX_LINES.c.matter_id == MATTERS.c.matter_id)
        .outerjoin(PEOPLE, PEOPLE.c.person_id == MATTERS.c.acknowledged_by)
        .where(INBOX_LINES.c.person_id == person_id)
    )


def _line(row: Any) -> InboxLine:
    return InboxLine(matter_of_row(row), row.reason, row.put_at, row.acknowledged_by_name)
