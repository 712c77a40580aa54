"""What is done beside events: gather what is due into messages, send them, take charge of a matter."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID, uuid5

import structlog

from services.notify.domain.mail import Sending, compose, next_attempt
from services.notify.domain.matters import ALERT_TOPICS, READ_ONCE_KINDS, Matter, MatterState
from services.notify.ports import DeferredError, MailTransport, MatterBook, RefusedError
from shared.clock import Clock
from shared.events.notify import AlertAcknowledged, Delivery, DeliveryDead, DeliveryDeferred, DeliverySent
from shared.events.registry import ALERT_ACKNOWLEDGED, DELIVERY_DEAD, DELIVERY_DEFERRED, DELIVERY_SENT
from shared.store.engine import Store
from shared.store.unit_of_work import UnitOfWork
from shared.telemetry.measuring import Measurements

__all__ = ["MessageOffice", "Sender", "acknowledge"]

PEOPLE_PER_TURN = 10
MESSAGES_PER_TURN = 20

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Sender:
    """Who writes: the addresses and names that stand on every message."""

    address: str
    base_url: str
    installation: str

    @property
    def domain(self) -> str:
        """The part of the address that Message-IDs end with."""
        return self.address.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What became of one attempt. ``again_at``: when a deferred message is tried again."""

    state: Literal["sent", "deferred", "dead"]
    words: str
    again_at: datetime | None = None


@dataclass(slots=True)
class MessageOffice:
    """Turns what is to be told into messages, and sees each one through.

    ``lease``: how long a message is taken for; longer than a try may take, or it is sent twice.
    """

    store: Store
    book: MatterBook
    transport: MailTransport
    sender: Sender
    clock: Clock
    metrics: Measurements
    lease: timedelta
    random: Callable[[], float] = field(default=random.random)

    async def deliver_due(self) -> int:
        """Send what is due, or if nothing is, make messages to send next; return how many it was.

        Messages are made for a few people at a time, whoever waits longest first: what comes for somebody
        while others are served then goes into the same message.
        """
        return await self.send_due() or await self.gather_due()

    async def gather_due(self) -> int:
        """Make one message per person of all that is due to be told; return how many people that was."""
        async with self.store.unit_of_work() as work:
            now = self.clock.now()
            people = await self.book.due_people(work, now, PEOPLE_PER_TURN)
            if people:
                await self.book.gather(work, people, now, channel=self.transport.channel)
        return len(people)

    async def send_due(self) -> int:
        """Send some messages that are due, one after another; return how many were tried.

        A process that is killed between a server's answer and the row that keeps it sends that message
        again. Side by side, it would be all that were under way. The row and the next message's lease are
        one transaction: a busy post waits for the disk once per message.
        """
        async with self.store.unit_of_work() as work:
            sending = await self._lease(work)
        tried = 0
        while sending is not None:
            tried += 1
            attempt = await self._try(sending)
            async with self.store.unit_of_work() as work:
                await self._settle(work, sending, attempt)
                following = await self._lease(work) if tried < MESSAGES_PER_TURN else None
            self._told(sending, attempt)
            sending = following
        return tried

    async def _lease(self, work: UnitOfWork) -> Sending | None:
        leased = await self.book.lease(work, self.clock.now(), lease_for=self.lease, limit=1)
        return leased[0] if leased else None

    async def _try(self, sending: Sending) -> _Attempt:
        """Hand one message over, and return what became of it."""
        if sending.address is None or not sending.told:
            return _Attempt("dead", "the person has no address any more")
        message = compose(
            sending,
            sender=self.sender.address,
            base_url=self.sender.base_url,
            domain=self.sender.domain,
            installation=self.sender.installation,
        )
        try:
            return _Attempt("sent", await self.transport.send(message))
        except RefusedError as error:
            return _Attempt("dead", str(error))
        except DeferredError as error:
            at = next_attempt(sending.attempts + 1, self.clock.now(), jitter=self.random())
            if at is None:
                return _Attempt("dead", f"given up after {sending.attempts + 1} attempts: {error}")
            return _Attempt("deferred", str(error), at)

    async def _settle(self, work: UnitOfWork, sending: Sending, attempt: _Attempt) -> None:
        """Write what became of a message, and tell it once per matter."""
        await self.book.settle(
            work, sending, state=attempt.state, result=attempt.words, next_attempt_at=attempt.again_at
        )
        for delivery in self._deliveries(sending, attempt.words):
            subject = str(delivery.delivery_id)
            if attempt.again_at is not None:
                deferred = DeliveryDeferred(delivery=delivery, next_attempt_at=attempt.again_at)
                work.emit(DELIVERY_DEFERRED, deferred, subject=subject)
            elif attempt.state == "sent":
                work.emit(DELIVERY_SENT, DeliverySent(delivery=delivery), subject=subject)
            else:
                work.emit(DELIVERY_DEAD, DeliveryDead(delivery=delivery), subject=subject)

    def _told(self, sending: Sending, attempt: _Attempt) -> None:
        """Count what became of a message, and log what somebody may have to look into."""
        self.metrics.count("nutmeg_deliveries_total", channel=self.transport.channel, outcome=attempt.state)
        told = {"delivery_id": str(sending.delivery_id), "result": attempt.words}
        if attempt.state == "deferred":
            logger.warning("delivery deferred", **told)
        elif attempt.state == "dead":
            logger.error("delivery dead", **told)

    def _deliveries(self, sending: Sending, words: str) -> list[Delivery]:
        """One event per matter in the message, so that each matter's path can be followed to its end."""
        return [
            Delivery(
                delivery_id=uuid5(sending.delivery_id, str(one.matter.matter_id)),
                about_id=one.matter.matter_id,
                about_kind=one.matter.kind,
                dataset_id=one.matter.dataset_id,
                person_id=sending.person_id,
                channel=self.transport.channel,
                attempts=sending.attempts + 1,
                result=words,
                occurred_at=self.clock.now(),
            )
            for one in sending.told
        ]


async def acknowledge(work: UnitOfWork, book: MatterBook, matter_id: UUID, person_id: UUID) -> Matter:
    """Take charge of a matter; an alert's owner is told by an event. Raises ``LookupError``.

    A summary or an answer that was read is done. A matter that somebody has already, or that is done, stays
    as it is and nothing is told.
    """
    before = (await book.matters(work, [matter_id])).get(matter_id)
    if before is None:
        raise LookupError(f"no matter has the id {matter_id}")
    if before.state is not MatterState.OPEN:
        return before
    if before.kind in READ_ONCE_KINDS:
        await book.close(work, matter_id)
        return replace(before, state=MatterState.DONE)
    now = work.clock.now()
    taken = await book.acknowledge(work, matter_id, person_id=person_id, at=now)
    if taken.topic in ALERT_TOPICS and taken.dataset_id is not None:
        acknowledged = AlertAcknowledged(
            alert_id=matter_id,
            owner_topic=taken.topic,
            dataset_id=taken.dataset_id,
            acknowledged_by=person_id,
            acknowledged_at=now,
        )
        work.emit(ALERT_ACKNOWLEDGED, acknowledged, subject=str(matter_id))
    return taken
