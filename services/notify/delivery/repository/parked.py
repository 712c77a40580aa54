"""Messages on which processes died, on SQLAlchemy: SQLite and PostgreSQL alike."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, or_, select, update

from services.notify.inbox.domain.items import OPEN_DELIVERIES
from services.notify.migrations.tables import DELIVERIES
from shared.jobs.parking import DEATHS_MAX, PARKED_BECAUSE, JobQueue, ParkedJob
from shared.store.due_times import is_due
from shared.store.engine import Store
from shared.store.unit_of_work import UnitOfWork

__all__ = ["ParkedDeliveries", "delivery_queue"]

DELIVERIES_QUEUE = "notify.post"


@dataclass(frozen=True, slots=True)
class ParkedDeliveries:
    """Reads and releases them. ``lease``: for how long a message is taken; before that it is in hand."""

    store: Store
    lease: timedelta

    async def list(self, limit: int) -> list[ParkedJob]:
        """Return the latest ones first. Nobody's address is told: an operator needs the id alone."""
        message = DELIVERIES.c
        async with self.store.read() as connection:
            rows = await connection.execute(
                select(message.delivery_id, message.channel, message.created_at)
                .where(self._are_parked())
                .order_by(message.created_at.desc(), message.delivery_id)
                .limit(limit)
            )
            return [
                ParkedJob(row.delivery_id, f"Message by {row.channel}", PARKED_BECAUSE, row.created_at)
                for row in rows
            ]

    async def count(self) -> int:
        """Return how many there are."""
        async with self.store.read() as connection:
            statement = select(func.count()).select_from(DELIVERIES).where(self._are_parked())
            return await connection.scalar(statement) or 0

    async def release(self, work: UnitOfWork, delivery_id: UUID) -> bool:
        """Make a message due, as if nobody had tried it; false if it is not parked."""
        released = await work.connection.execute(
            update(DELIVERIES)
            .where(DELIVERIES.c.delivery_id == delivery_id, self._are_parked())
            .values(deaths=0, leased_until=None, next_attempt_at=work.clock.now())
        )
        return bool(released.rowcount)

    def _are_parked(self) -> ColumnElement[bool]:
        message, now = DELIVERIES.c, self.store.clock.now()
        return and_(
            message.state.in_(OPEN_DELIVERIES),
            message.deaths >= DEATHS_MAX,
            or_(message.leased_until.is_(None), is_due(message.leased_until, now, longest=self.lease)),
        )


def delivery_queue(parked: ParkedDeliveries) -> JobQueue:
    """Return the queue of messages, as operators see it."""

    async def release(job_id: UUID) -> bool:
        async with parked.store.unit_of_work() as work:
            return await parked.release(work, job_id)

    return JobQueue(DELIVERIES_QUEUE, parked.list, parked.count, release)
