"""Commands of delivery: make messages of what is due, send them, and keep what really became of each."""

import asyncio
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Literal
from uuid import UUID, uuid5

import structlog

from services.notify.delivery.domain import (
    DeferredError,
    MailTransport,
    OutgoingEmail,
    RefusedError,
    compose,
    message_id,
    next_attempt,
)
from services.notify.delivery.repository.deliveries import DeliveryRepository
from services.notify.delivery.repository.kept_mail import KeptMailRepository
from shared.clock import Clock
from shared.events.notify import Delivery, DeliveryDead, DeliveryDeferred, DeliverySent
from shared.events.registry import DELIVERY_DEAD, DELIVERY_DEFERRED, DELIVERY_SENT
from shared.store.engine import Store
from shared.store.unit_of_work import UnitOfWork
from shared.telemetry.measuring import Measurements

__all__ = [
    "DeliveryWorker",
    "EmailDispatcher",
    "KeptMessages",
    "Sender",
    "redact_messages",
    "remove_messages_to",
]

PEOPLE_PER_TURN = 10
MESSAGES_PER_TURN = 20
REST_SECONDS = 1.0
"""What comes so soon after other mail finds the mail server's connection still open."""

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
class EmailDispatcher:
    """Turns notifications into messages, and sees each one through.

    ``lease``: how long a message is taken for; longer than a try may take, or it is sent twice.
    """

    store: Store
    deliveries: DeliveryRepository
    kept_mail: KeptMailRepository
    transport: MailTransport
    sender: Sender
    clock: Clock
    metrics: Measurements
    lease: timedelta
    random: Callable[[], float] = field(default=random.random)

    async def deliver_due(self) -> int:
        """Send what is due; if nothing is, make messages and send those. Return how many it was.

        Messages are made for a few people at a time, whoever waits longest first: what comes for somebody
        while others are served then goes into the same message.
        """
        tried = await self.send_due()
        if tried == 0 and (batched := await self.batch_due()):
            # People without an address have no message to send, but there may be more behind them.
            return await self.send_due() or batched
        return tried

    async def change_kept(self) -> int:
        """Remove or write anew some messages that an erasure reached; return how many."""
        async with self.store.unit_of_work() as work:
            removed, changed = await self.kept_mail.due(work, MESSAGES_PER_TURN)
            for delivery_id in removed:
                await self.transport.remove(message_id(delivery_id, self.sender.domain))
            for email in changed:
                await self.transport.rewrite(self._composed(email))
        return len(removed) + len(changed)

    async def batch_due(self) -> int:
        """Make one message per person of all notifications that are due; return how many people that was."""
        async with self.store.unit_of_work() as work:
            now = self.clock.now()
            people = await self.deliveries.due_people(work, now, PEOPLE_PER_TURN)
            if people:
                await self.deliveries.batch(work, people, now, channel=self.transport.channel)
        return len(people)

    async def send_due(self) -> int:
        """Send some messages that are due, one after another; return how many were tried.

        A process that is killed between a server's answer and the row that keeps it sends that message
        again. Side by side, it would be all that were under way. The row and the next message's lease are
        one transaction: a busy worker waits for the disk once per message.
        """
        async with self.store.unit_of_work() as work:
            email = await self._lease(work)
        tried = 0
        while email is not None:
            tried += 1
            try:
                attempt = await self._try(email)
            except asyncio.CancelledError:
                async with self.store.unit_of_work() as work:
                    await self.deliveries.give_back(work, email.delivery_id)
                raise
            async with self.store.unit_of_work() as work:
                await self._record_result(work, email, attempt)
                following = await self._lease(work) if tried < MESSAGES_PER_TURN else None
            self._report(email, attempt)
            email = following
        return tried

    async def _lease(self, work: UnitOfWork) -> OutgoingEmail | None:
        leased = await self.deliveries.lease(work, self.clock.now(), lease_for=self.lease, limit=1)
        return leased[0] if leased else None

    def _composed(self, email: OutgoingEmail) -> EmailMessage:
        return compose(
            email,
            sender=self.sender.address,
            base_url=self.sender.base_url,
            domain=self.sender.domain,
            installation=self.sender.installation,
        )

    async def _try(self, email: OutgoingEmail) -> _Attempt:
        """Hand one message over, and return what became of it."""
        if email.address is None or not email.items:
            return _Attempt("dead", "the person has no address any more")
        try:
            return _Attempt("sent", await self.transport.send(self._composed(email)))
        except RefusedError as error:
            return _Attempt("dead", str(error))
        except DeferredError as error:
            at = next_attempt(email.attempts + 1, self.clock.now(), jitter=self.random())
            if at is None:
                return _Attempt("dead", f"given up after {email.attempts + 1} attempts: {error}")
            return _Attempt("deferred", str(error), at)

    async def _record_result(self, work: UnitOfWork, email: OutgoingEmail, attempt: _Attempt) -> None:
        """Write what became of a message, and tell it once per item."""
        await self.deliveries.record_result(
            work, email, state=attempt.state, result=attempt.words, next_attempt_at=attempt.again_at
        )
        for delivery in self._deliveries(email, attempt.words):
            subject = str(delivery.delivery_id)
            if attempt.again_at is not None:
                deferred = DeliveryDeferred(delivery=delivery, next_attempt_at=attempt.again_at)
                work.emit(DELIVERY_DEFERRED, deferred, subject=subject)
            elif attempt.state == "sent":
                work.emit(DELIVERY_SENT, DeliverySent(delivery=delivery), subject=subject)
            else:
                work.emit(DELIVERY_DEAD, DeliveryDead(delivery=delivery), subject=subject)

    def _report(self, email: OutgoingEmail, attempt: _Attempt) -> None:
        """Count what became of a message, and log what somebody may have to look into."""
        self.metrics.count("nutmeg_deliveries_total", channel=self.transport.channel, outcome=attempt.state)
        facts = {"delivery_id": str(email.delivery_id), "result": attempt.words}
        if attempt.state == "deferred":
            logger.warning("delivery deferred", **facts)
        elif attempt.state == "dead":
            logger.error("delivery dead", **facts)

    def _deliveries(self, email: OutgoingEmail, words: str) -> list[Delivery]:
        """One event per item in the message, so that each item's path can be followed to its end."""
        return [
            Delivery(
                delivery_id=uuid5(email.delivery_id, str(notified.item.item_id)),
                about_id=notified.item.item_id,
                about_kind=notified.item.kind,
                dataset_id=notified.item.dataset_id,
                person_id=email.person_id,
                channel=self.transport.channel,
                attempts=email.attempts + 1,
                result=words,
                occurred_at=self.clock.now(),
            )
            for notified in email.items
        ]


class DeliveryWorker:
    """Sends and batches. What waits for its neighbours counts as pending; a later retry does not."""

    def __init__(self, store: Store, dispatcher: EmailDispatcher, clock: Clock) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._clock = clock
        self._rest_at = 0.0

    async def run_once(self) -> int:
        now = self._clock.monotonic_seconds()
        if not await self.due():
            if now >= self._rest_at:
                await self._dispatcher.transport.rest()
            return 0
        self._rest_at = now + REST_SECONDS
        return await self._dispatcher.deliver_due()

    async def due(self) -> int:
        async with self._store.read() as connection:
            return await self._dispatcher.deliveries.count_due(
                connection, self._clock.now(), lease_for=self._dispatcher.lease
            )

    async def pending(self) -> int:
        async with self._store.read() as connection:
            waiting = await self._dispatcher.deliveries.count_waiting(connection)
        return waiting + await self.due()


@dataclass(frozen=True, slots=True)
class KeptMessages:
    """What the commands about messages that are kept work with."""

    repository: KeptMailRepository


async def redact_messages(
    work: UnitOfWork, kept: KeptMessages, item_id: UUID, details: Sequence[tuple[str, str, str]]
) -> None:
    """Replace the details of an item wherever a message carries them, sent or not."""
    await kept.repository.redact(work, item_id, details)


async def remove_messages_to(work: UnitOfWork, kept: KeptMessages, person_ids: Collection[UUID]) -> None:
    """Have all kept messages to erased people removed. Before their deliveries are deleted."""
    await kept.repository.forget(work, person_ids)
