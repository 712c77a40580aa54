"""Messages and what became of them, on SQLite and PostgreSQL alike."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
from sqlalchemy import ColumnElement, Integer, and_, bindparam, case, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify.delivery.domain import ATTEMPTS_MAX, NotifiedItem, OutgoingEmail, longest_wait
from services.notify.inbox.domain.items import OPEN_DELIVERIES, Change, InboxItem, ItemState
from services.notify.inbox.domain.rows import item_of_row, row_of_item
from services.notify.migrations.tables import DELIVERIES, INBOX_ITEMS, NOTIFICATIONS, PEOPLE
from shared.jobs.parking import DEATHS_MAX
from shared.store.due_times import is_due, is_due_by
from shared.store.types import UTCDateTime
from shared.store.unit_of_work import UnitOfWork

__all__ = ["DeliveryRepository", "email_of", "notified_items"]

GROUP_WAIT_MAX = timedelta(hours=1)
"""As long as the settings let an item wait for its neighbours."""


class DeliveryRepository:
    """Keeps messages with their real results, made of the notifications that are due."""

    async def due_people(self, work: UnitOfWork, now: datetime, limit: int) -> list[UUID]:
        """Return people who have a notification due, whoever waits longest first."""
        rows = await work.connection.scalars(
            select(NOTIFICATIONS.c.person_id)
            .where(_is_notification_due(now))
            .group_by(NOTIFICATIONS.c.person_id)
            .order_by(func.min(NOTIFICATIONS.c.not_before))
            .limit(limit)
        )
        return list(rows)

    async def batch(
        self, work: UnitOfWork, person_ids: Sequence[UUID], now: datetime, *, channel: str
    ) -> None:
        """Put all that waits for each of these people into one message to send."""
        rows = (
            await work.connection.execute(
                select(NOTIFICATIONS, INBOX_ITEMS)
                .join(INBOX_ITEMS, INBOX_ITEMS.c.item_id == NOTIFICATIONS.c.item_id)
                .where(NOTIFICATIONS.c.person_id.in_(person_ids), NOTIFICATIONS.c.delivery_id.is_(None))
                .order_by(NOTIFICATIONS.c.not_before, NOTIFICATIONS.c.notification_id)
            )
        ).all()
        if not rows:
            return
        with_address = select(PEOPLE.c.person_id).where(
            PEOPLE.c.person_id.in_(person_ids), PEOPLE.c.email.is_not(None), PEOPLE.c.email != ""
        )
        reachable = set(await work.connection.scalars(with_address))
        deliveries = {row.person_id: uuid4() for row in rows}
        await work.connection.execute(
            insert(DELIVERIES),
            [
                _delivery_row(delivery_id, person_id, now, channel if person_id in reachable else None)
                for person_id, delivery_id in deliveries.items()
            ],
        )
        await work.connection.execute(
            update(NOTIFICATIONS)
            .where(NOTIFICATIONS.c.notification_id == bindparam("told"))
            .values(delivery_id=bindparam("in_delivery"), snapshot=bindparam("as_told")),
            [
                {
                    "told": row.notification_id,
                    "in_delivery": deliveries[row.person_id],
                    "as_told": _snapshot(item_of_row(row)),
                }
                for row in rows
            ],
        )

    async def lease(
        self, work: UnitOfWork, now: datetime, *, lease_for: timedelta, limit: int
    ) -> list[OutgoingEmail]:
        """Take messages that are due, so that nobody else sends them meanwhile."""
        moments = _send_moments(now, lease_for)
        rows = (await work.connection.execute(_NEXT_TO_SEND, {**moments, "limit": limit})).all()
        if not rows:
            return []
        ids = [row.delivery_id for row in rows]
        await work.connection.execute(
            _LEASE, [{"leased": delivery_id, "until": now + lease_for} for delivery_id in ids]
        )
        told = await notified_items(work.connection, ids)
        return [email_of(row, told.get(row.delivery_id, ())) for row in rows]

    async def release_leases(self, work: UnitOfWork) -> None:
        """Give up every lease: for the start of a process that knows itself to be the only sender."""
        await work.connection.execute(
            update(DELIVERIES).where(DELIVERIES.c.leased_until.is_not(None)).values(leased_until=None)
        )

    async def record_result(
        self,
        work: UnitOfWork,
        email: OutgoingEmail,
        *,
        state: str,
        result: str,
        next_attempt_at: datetime | None,
    ) -> None:
        """Write the real result of an attempt and release the lease."""
        await work.connection.execute(
            _RECORD_RESULT,
            {
                "settled": email.delivery_id,
                "in_state": state,
                "tries": email.attempts + 1,
                "words": result,
                "again_at": next_attempt_at,
                "at": None if next_attempt_at else work.clock.now(),
            },
        )

    async def give_back(self, work: UnitOfWork, delivery_id: UUID) -> None:
        """Release the lease of an attempt that was begun and not made: no process died on it."""
        await work.connection.execute(
            update(DELIVERIES)
            .where(DELIVERIES.c.delivery_id == delivery_id)
            .values(leased_until=None, deaths=DELIVERIES.c.deaths - 1)
        )

    async def count_due(self, connection: AsyncConnection, now: datetime, *, lease_for: timedelta) -> int:
        """Return how many notifications may be batched and messages may be tried at ``now``."""
        notifications = await connection.scalar(
            select(func.count()).select_from(NOTIFICATIONS).where(_is_notification_due(now))
        )
        messages = await connection.scalar(_COUNT_TO_SEND, _send_moments(now, lease_for))
        return (notifications or 0) + (messages or 0)

    async def count_waiting(self, connection: AsyncConnection) -> int:
        """Return how many notifications wait to be batched, due or not."""
        waiting = await connection.scalar(
            select(func.count()).select_from(NOTIFICATIONS).where(NOTIFICATIONS.c.delivery_id.is_(None))
        )
        return waiting or 0


def _is_notification_due(now: datetime) -> ColumnElement[bool]:
    return and_(
        NOTIFICATIONS.c.delivery_id.is_(None), is_due(NOTIFICATIONS.c.not_before, now, longest=GROUP_WAIT_MAX)
    )


def _is_to_send() -> ColumnElement[bool]:
    """With the parameters that :func:`_send_moments` gives."""
    message = DELIVERIES.c
    now, lease_latest = (bindparam(name, type_=UTCDateTime) for name in ("now", "lease_latest"))
    # Each try waits longer than the one before.
    latest = {tries: bindparam(f"latest_{tries}", type_=UTCDateTime) for tries in range(ATTEMPTS_MAX)}
    wait_latest = case(latest, value=message.attempts, else_=now)
    return and_(
        message.state.in_(OPEN_DELIVERIES),
        message.deaths < DEATHS_MAX,
        is_due_by(message.next_attempt_at, now, latest=wait_latest),
        or_(message.leased_until.is_(None), is_due_by(message.leased_until, now, latest=lease_latest)),
    )


def _send_moments(now: datetime, lease_for: timedelta) -> dict[str, datetime]:
    latest = {f"latest_{tries}": now + longest_wait(tries) for tries in range(ATTEMPTS_MAX)}
    return {"now": now, "lease_latest": now + lease_for, **latest}


# Kept, since each is run for every message, and to build one takes longer than to run it.
_COUNT_TO_SEND = select(func.count()).select_from(DELIVERIES).where(_is_to_send())
_NEXT_TO_SEND = (
    select(DELIVERIES, PEOPLE.c.email, PEOPLE.c.display_name)
    .outerjoin(PEOPLE, PEOPLE.c.person_id == DELIVERIES.c.person_id)
    .where(_is_to_send())
    .order_by(DELIVERIES.c.next_attempt_at)
    .limit(bindparam("limit", type_=Integer))
    .with_for_update(skip_locked=True, of=DELIVERIES)
)
_LEASE = (
    update(DELIVERIES)
    .where(DELIVERIES.c.delivery_id == bindparam("leased"))
    .values(leased_until=bindparam("until"), deaths=DELIVERIES.c.deaths + 1)
)
_RECORD_RESULT = (
    update(DELIVERIES)
    .where(DELIVERIES.c.delivery_id == bindparam("settled"))
    .values(
        state=bindparam("in_state"),
        attempts=bindparam("tries"),
        result=bindparam("words"),
        next_attempt_at=bindparam("again_at"),
        leased_until=None,
        deaths=0,
        finished_at=bindparam("at"),
    )
)
_TOLD = (
    select(NOTIFICATIONS)
    .where(NOTIFICATIONS.c.delivery_id.in_(bindparam("ids", expanding=True)))
    .order_by(NOTIFICATIONS.c.not_before, NOTIFICATIONS.c.notification_id)
)


async def notified_items(
    connection: AsyncConnection, delivery_ids: Collection[UUID]
) -> dict[UUID, tuple[NotifiedItem, ...]]:
    """Return what each message tells, in order."""
    rows = await connection.execute(_TOLD, {"ids": list(delivery_ids)})
    told: dict[UUID, tuple[NotifiedItem, ...]] = {}
    for row in rows:
        notified = NotifiedItem(_from_snapshot(row.snapshot), Change(row.change), row.reason)
        told[row.delivery_id] = (*told.get(row.delivery_id, ()), notified)
    return told


def _delivery_row(delivery_id: UUID, person_id: UUID, now: datetime, channel: str | None) -> dict[str, Any]:
    """Somebody without an address (``channel``: None) reads the inbox; that is all there is to deliver."""
    return {
        "delivery_id": delivery_id,
        "person_id": person_id,
        "channel": channel or "inbox",
        "state": "queued" if channel else "sent",
        "attempts": 0,
        "result": None if channel else "in the inbox",
        "created_at": now,
        "next_attempt_at": now if channel else None,
        "leased_until": None,
        "deaths": 0,
        "finished_at": None if channel else now,
    }


def _snapshot(item: InboxItem) -> Any:
    return orjson.loads(orjson.dumps(row_of_item(item)))


def _from_snapshot(document: Mapping[str, Any]) -> InboxItem:
    ids = {
        name: UUID(document[name]) if document[name] else None
        for name in ("item_id", "dataset_id", "agency_id", "acknowledged_by", "requester_id")
    }
    moments = {name: datetime.fromisoformat(document[name]) for name in ("opened_at", "changed_at")}
    details = tuple((name, expected, observed) for name, expected, observed in document["details"])
    links = tuple((words, path) for words, path in document["links"])
    return InboxItem(
        **{
            **document,
            **ids,
            **moments,
            "state": ItemState(document["state"]),
            "details": details,
            "links": links,
        }
    )


def email_of(row: Any, items: tuple[NotifiedItem, ...]) -> OutgoingEmail:
    """Return the message in a row of ``deliveries``, joined with ``people``."""
    return OutgoingEmail(
        delivery_id=row.delivery_id,
        person_id=row.person_id,
        address=row.email,
        display_name=row.display_name or "",
        items=items,
        attempts=row.attempts,
        created_at=row.created_at,
    )
