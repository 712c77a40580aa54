"""What is done beside events: send what is due, take charge of a matter, pass on, put away."""

import asyncio
import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Literal
from uuid import UUID, uuid5

import structlog

from services.notify.domain.mail import Sending, compose, message_id, next_attempt
from services.notify.domain.matters import (
    ALERT_TOPICS,
    READ_ONCE_KINDS,
    Change,
    Matter,
    MatterState,
    telling_id,
)
from services.notify.domain.routing import Ownership, Recipient, next_in_line, owners_of
from services.notify.ports import (
    DeferredError,
    KeptMail,
    MailTransport,
    MatterBook,
    NotifyPorts,
    RefusedError,
    Telling,
)
from shared.clock import Clock
from shared.errors import NotFoundError
from shared.events.notify import AlertAcknowledged, Delivery, DeliveryDead, DeliveryDeferred, DeliverySent
from shared.events.registry import ALERT_ACKNOWLEDGED, DELIVERY_DEAD, DELIVERY_DEFERRED, DELIVERY_SENT
from shared.store.engine import Store
from shared.store.unit_of_work import UnitOfWork
from shared.telemetry.measuring import Measurements

__all__ = ["MessageOffice", "Sender", "acknowledge", "pass_on_neglected", "prune_what_is_over"]

PEOPLE_PER_TURN = 10
MESSAGES_PER_TURN = 20
MATTERS_PER_TURN = 50
ROWS_PER_TURN = 500

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
    kept_mail: KeptMail
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
        if tried == 0 and (gathered := await self.gather_due()):
            # People without an address have no message to send, but there may be more behind them.
            return await self.send_due() or gathered
        return tried

    async def change_kept(self) -> int:
        """Remove or write anew some messages that an erasure reached; return how many."""
        async with self.store.unit_of_work() as work:
            removed, changed = await self.kept_mail.due(work, MESSAGES_PER_TURN)
            for delivery_id in removed:
                await self.transport.remove(message_id(delivery_id, self.sender.domain))
            for sending in changed:
                await self.transport.rewrite(self._composed(sending))
        return len(removed) + len(changed)

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
            try:
                attempt = await self._try(sending)
            except asyncio.CancelledError:
                async with self.store.unit_of_work() as work:
                    await self.book.give_back(work, sending.delivery_id)
                raise
            async with self.store.unit_of_work() as work:
                await self._settle(work, sending, attempt)
                following = await self._lease(work) if tried < MESSAGES_PER_TURN else None
            self._told(sending, attempt)
            sending = following
        return tried

    async def _lease(self, work: UnitOfWork) -> Sending | None:
        leased = await self.book.lease(work, self.clock.now(), lease_for=self.lease, limit=1)
        return leased[0] if leased else None

    def _composed(self, sending: Sending) -> EmailMessage:
        return compose(
            sending,
            sender=self.sender.address,
            base_url=self.sender.base_url,
            domain=self.sender.domain,
            installation=self.sender.installation,
        )

    async def _try(self, sending: Sending) -> _Attempt:
        """Hand one message over, and return what became of it."""
        if sending.address is None or not sending.told:
            return _Attempt("dead", "the person has no address any more")
        try:
            return _Attempt("sent", await self.transport.send(self._composed(sending)))
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
    """Take charge of a matter; an alert's owner is told by an event. Raises ``NotFoundError``.

    A summary or an answer that was read is done. A matter that somebody has already, or that is done, stays
    as it is and nothing is told.
    """
    before = (await book.matters(work, [matter_id])).get(matter_id)
    if before is None:
        raise NotFoundError(f"No matter has the id {matter_id}.", what="matter", field="matter_id")
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


async def hand_over_alerts(work: UnitOfWork, ports: NotifyPorts, dataset_ids: Collection[UUID]) -> None:
    """Tell the stewards that these datasets got of the alerts that are open on them.

    An alert and the news of who answers for its dataset come in either order. Whoever was to stand in and
    has not been told yet need not be; who was told keeps it.
    """
    matters = await ports.book.open_alerts_of(work, dataset_ids)
    if not matters:
        return
    directory = await ports.people.directory(work)
    owned = await ports.people.ownership(work, {one.dataset_id for one in matters if one.dataset_id})
    not_before = ports.clock.now() + ports.group_wait
    for matter in matters:
        ownership = owned.get(matter.dataset_id) if matter.dataset_id else None
        if ownership is None or ownership.steward_id is None or ownership.steward_id not in directory:
            continue
        (steward,) = owners_of(ownership, directory)
        await ports.book.withdraw_unheard(work, matter.matter_id, keep=steward.person_id)
        if matter.state is MatterState.OPEN:
            await _hand_over(work, ports, matter, steward, not_before)
    work.after_commit(ports.bell.ring)


async def _hand_over(
    work: UnitOfWork, ports: NotifyPorts, matter: Matter, steward: Recipient, not_before: datetime
) -> None:
    identity = telling_id(matter, steward.person_id, Change.OPENED)
    telling = Telling(
        identity, matter.matter_id, steward.person_id, Change.OPENED, steward.reason, not_before
    )
    await ports.book.put_in_inbox(work, {matter.matter_id: [steward]})
    await ports.book.tell(work, [telling])


async def pass_on_neglected(store: Store, ports: NotifyPorts, *, after: timedelta) -> int:
    """Give error alerts that nobody took since people were told to who is next in line; return how many.

    Each occurrence of an alert is passed on once.
    """
    now = ports.clock.now()
    async with store.unit_of_work() as work:
        matters = await ports.book.neglected(work, told_before=now - after, limit=MATTERS_PER_TURN)
        if not matters:
            return 0
        readers = await _next_readers(work, ports, matters, after)
        await ports.book.put_in_inbox(work, readers)
        tellings = [
            Telling(
                telling_id(matter, one.person_id, Change.ESCALATED),
                matter.matter_id,
                one.person_id,
                Change.ESCALATED,
                one.reason,
                now,
            )
            for matter in matters
            for one in readers[matter.matter_id]
        ]
        await ports.book.tell(work, tellings)
        await ports.book.mark_passed_on(work, matters)
        work.after_commit(ports.bell.ring)
    return len(matters)


async def prune_what_is_over(store: Store, ports: NotifyPorts, *, kept: timedelta) -> int:
    """Delete a portion of what was over so long ago; return how many matters and messages went."""
    async with store.unit_of_work() as work:
        return await ports.book.prune(work, before=ports.clock.now() - kept, limit=ROWS_PER_TURN)


async def _next_readers(
    work: UnitOfWork, ports: NotifyPorts, matters: list[Matter], after: timedelta
) -> dict[UUID, list[Recipient]]:
    directory = await ports.people.directory(work)
    dataset_ids = {matter.dataset_id for matter in matters if matter.dataset_id is not None}
    known = await ports.people.ownership(work, dataset_ids)
    readers = {}
    for matter in matters:
        ownership = known.get(matter.dataset_id) if matter.dataset_id else None
        told = {one.person_id for one in await ports.book.readers(work, matter.matter_id)}
        readers[matter.matter_id] = next_in_line(
            ownership or Ownership(matter.title, None, matter.agency_id, None),
            directory,
            told=told,
            why=f"Nobody has taken charge of this for {after.days} days",
        )
    return readers
