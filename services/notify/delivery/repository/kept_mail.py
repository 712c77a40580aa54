"""What an erasure changes of messages that were made, on SQLAlchemy: SQLite and PostgreSQL alike."""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify.delivery.domain import OutgoingEmail
from services.notify.delivery.repository.deliveries import email_of, notified_items
from services.notify.migrations.tables import (
    DELIVERIES,
    INBOX_ITEMS,
    KEPT_MAIL_CHANGES,
    NOTIFICATIONS,
    PEOPLE,
)
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert

__all__ = ["KeptMailRepository"]


class KeptMailRepository:
    """Knows which messages an erasure has to change where they are kept."""

    async def redact(self, work: UnitOfWork, item_id: UUID, details: Sequence[tuple[str, str, str]]) -> None:
        """Replace the details of an item, also in what was told of it; messages made of it are to change."""
        lines = [list(line) for line in details]
        await work.connection.execute(
            update(INBOX_ITEMS).where(INBOX_ITEMS.c.item_id == item_id).values(details=lines)
        )
        rows = await work.connection.execute(select(NOTIFICATIONS).where(NOTIFICATIONS.c.item_id == item_id))
        deliveries = set()
        for row in rows.all():
            if row.snapshot is None:
                continue
            deliveries.add(row.delivery_id)
            await work.connection.execute(
                update(NOTIFICATIONS)
                .where(NOTIFICATIONS.c.notification_id == row.notification_id)
                .values(snapshot={**row.snapshot, "details": lines})
            )
        await self._note(work, deliveries, is_removed=False)

    async def forget(self, work: UnitOfWork, person_ids: Collection[UUID]) -> None:
        """Have all messages to these people removed. Before their deliveries are deleted."""
        theirs = select(DELIVERIES.c.delivery_id).where(DELIVERIES.c.person_id.in_(list(person_ids)))
        await self._note(work, set(await work.connection.scalars(theirs)), is_removed=True)

    async def due(self, work: UnitOfWork, limit: int) -> tuple[list[UUID], list[OutgoingEmail]]:
        """Take some: ids of messages to remove, and messages as they read now."""
        table = KEPT_MAIL_CHANGES
        rows = (
            await work.connection.execute(select(table).limit(limit).with_for_update(skip_locked=True))
        ).all()
        ids = [row.delivery_id for row in rows]
        removed = [row.delivery_id for row in rows if row.is_removed]
        wanted = [row.delivery_id for row in rows if not row.is_removed]
        found = await work.connection.execute(
            select(DELIVERIES, PEOPLE.c.email, PEOPLE.c.display_name)
            .outerjoin(PEOPLE, PEOPLE.c.person_id == DELIVERIES.c.person_id)
            .where(DELIVERIES.c.delivery_id.in_(wanted))
        )
        told = await notified_items(work.connection, wanted)
        changed = [email_of(row, told.get(row.delivery_id, ())) for row in found.all()]
        await work.connection.execute(delete(table).where(table.c.delivery_id.in_(ids)))
        return removed, changed

    async def count(self, connection: AsyncConnection) -> int:
        """Return how many messages are to be changed or removed."""
        return await connection.scalar(select(func.count()).select_from(KEPT_MAIL_CHANGES)) or 0

    async def _note(self, work: UnitOfWork, delivery_ids: Collection[UUID], *, is_removed: bool) -> None:
        rows = [
            {"delivery_id": delivery_id, "is_removed": is_removed}
            for delivery_id in delivery_ids
            if delivery_id is not None
        ]
        # A message that is to go is not written again for another reason.
        await upsert(work.connection, KEPT_MAIL_CHANGES, rows, update=["is_removed"] if is_removed else [])
