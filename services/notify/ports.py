"""The roles that notify's handlers and works need.

The book is SQLAlchemy on SQLite and PostgreSQL alike. ``MailTransport`` has two implementations, SMTP and a
Maildir, and one conformance suite: ``tests/conformance/test_mail_transport.py``.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Protocol
from uuid import UUID

from services.notify.domain.mail import Sending
from services.notify.domain.matters import Change, Matter
from services.notify.domain.routing import Directory, Ownership, Recipient
from shared.clock import Clock
from shared.datasets.read_model import KnownDatasets
from shared.events.governance import AgencyState, PersonState
from shared.identity.principals import Principals
from shared.identity.viewer import Grant
from shared.store.unit_of_work import UnitOfWork

__all__ = [
    "Bell",
    "DeferredError",
    "KeptMail",
    "MailTransport",
    "MatterBook",
    "NotifyPorts",
    "PeopleBook",
    "RefusedError",
    "Telling",
]


class DeferredError(Exception):
    """The message was not taken this time; trying again may help. The text is the server's, bounded."""


class RefusedError(Exception):
    """The message will never be taken. The text is the server's, bounded."""


class MailTransport(Protocol):
    """Hands a message to whatever carries it."""

    channel: str

    async def send(self, message: EmailMessage) -> str:
        """Hand over one message; return the receiver's own words.

        Raises ``DeferredError`` (4xx, refused or lost connection, time-out) or ``RefusedError`` (5xx, an
        address that no server takes). Sending the same Message-ID twice is allowed.
        """
        ...

    async def rewrite(self, message: EmailMessage) -> None:
        """Put a message in place of the kept one of the same Message-ID, where this transport keeps any.

        Raises ``DeferredError``. What another server took is its receiver's, and stays.
        """
        ...

    async def remove(self, message_id: str) -> None:
        """Delete the kept message of this Message-ID, as :meth:`rewrite` changes it."""
        ...

    async def rest(self) -> None:
        """Let go of what is kept from one message to the next. Idempotent; the next message may follow."""
        ...


@dataclass(frozen=True, slots=True)
class Telling:
    """One thing to tell one person, not before a moment, so that neighbours go in one message."""

    telling_id: UUID
    matter_id: UUID
    person_id: UUID
    change: Change
    reason: str
    not_before: datetime


class PeopleBook(Protocol):
    """Keeps who people are, where they read, and whose datasets are."""

    async def put_people(self, work: UnitOfWork, people: Sequence[PersonState]) -> None:
        """Write the newest state of people."""
        ...

    async def grants_of(self, work: UnitOfWork, person_ids: Collection[UUID]) -> dict[UUID, frozenset[Grant]]:
        """Return what these people may, as was last told; unknown ones are left out."""
        ...

    async def erase_people(self, work: UnitOfWork, person_ids: Collection[UUID]) -> None:
        """Remove people with their inbox, waiting messages and the texts of sent ones."""
        ...

    async def put_agencies(self, work: UnitOfWork, agencies: Sequence[AgencyState]) -> None:
        """Write the newest state of agencies."""
        ...

    async def directory(self, work: UnitOfWork) -> Directory:
        """Return everybody whom routing may choose from."""
        ...

    async def ownership(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> dict[UUID, Ownership]:
        """Return whose these datasets are; unknown ones are left out."""
        ...

    async def stewarded_by(self, work: UnitOfWork, person_ids: Collection[UUID]) -> set[UUID]:
        """Return the datasets that these people are stewards of."""
        ...

    async def agency_names(self, work: UnitOfWork, agency_ids: Collection[UUID]) -> dict[UUID, str]:
        """Return the names of these agencies."""
        ...


class MatterBook(Protocol):
    """Keeps matters, inbox lines, what is still to be told, and messages with their real results."""

    async def matters(self, work: UnitOfWork, matter_ids: Collection[UUID]) -> dict[UUID, Matter]:
        """Return the last known state of matters."""
        ...

    async def put_matters(self, work: UnitOfWork, matters: Sequence[Matter]) -> None:
        """Write new states; inbox lines follow the state."""
        ...

    async def put_in_inbox(self, work: UnitOfWork, readers: Mapping[UUID, Sequence[Recipient]]) -> None:
        """Give the readers of each matter, by its id, a line for it, once."""
        ...

    async def matters_of(self, work: UnitOfWork, person_id: UUID) -> list[Matter]:
        """Return everything in a person's inbox, or still to be told or sent to them."""
        ...

    async def withdraw(self, work: UnitOfWork, person_id: UUID, matter_ids: Collection[UUID]) -> None:
        """Take matters from a person: the inbox lines, what was not told yet, and messages not sent yet."""
        ...

    async def readers(self, work: UnitOfWork, matter_id: UUID) -> list[Recipient]:
        """Return who has a line for the matter, with the reason."""
        ...

    async def tell(self, work: UnitOfWork, tellings: Sequence[Telling]) -> None:
        """Note what is to be told, once per telling id."""
        ...

    async def take_back(self, work: UnitOfWork, matter_id: UUID) -> set[UUID]:
        """Drop what was not told yet of a matter; return who thereby never heard of it."""
        ...

    async def open_alerts_of(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> list[Matter]:
        """Return the alerts on these datasets that are not over."""
        ...

    async def withdraw_unheard(self, work: UnitOfWork, matter_id: UUID, *, keep: UUID) -> None:
        """Take a matter from those who have not been told of it yet; ``keep`` stays."""
        ...

    async def acknowledge(
        self, work: UnitOfWork, matter_id: UUID, *, person_id: UUID, at: datetime
    ) -> Matter:
        """Mark a matter as taken charge of. Raises ``NotFoundError``."""
        ...

    async def close(self, work: UnitOfWork, matter_id: UUID) -> bool:
        """Mark a matter as done and drop what was not told yet; tell whether there was one."""
        ...

    async def neglected(self, work: UnitOfWork, *, told_before: datetime, limit: int) -> list[Matter]:
        """Return error alerts that nobody took since people were told, and that were not passed on yet."""
        ...

    async def mark_passed_on(self, work: UnitOfWork, matters: Sequence[Matter]) -> None:
        """Remember that this occurrence of each matter was passed on."""
        ...

    async def prune(self, work: UnitOfWork, *, before: datetime, limit: int) -> int:
        """Delete what was over before a moment: matters with their lines, and messages; return how many.

        A matter that is open, or that somebody has, stays however old it is.
        """
        ...

    async def due_people(self, work: UnitOfWork, now: datetime, limit: int) -> list[UUID]:
        """Return people who have something due to be told, whoever waits longest first."""
        ...

    async def gather(
        self, work: UnitOfWork, person_ids: Sequence[UUID], now: datetime, *, channel: str
    ) -> None:
        """Put all that waits for each of these people into one message to send."""
        ...

    async def lease(
        self, work: UnitOfWork, now: datetime, *, lease_for: timedelta, limit: int
    ) -> list[Sending]:
        """Take messages that are due, so that nobody else sends them meanwhile."""
        ...

    async def release_leases(self, work: UnitOfWork) -> None:
        """Give up every lease: for the start of a process that knows itself to be the only sender."""
        ...

    async def settle(
        self,
        work: UnitOfWork,
        sending: Sending,
        *,
        state: str,
        result: str,
        next_attempt_at: datetime | None,
    ) -> None:
        """Write the real result of an attempt and release the lease."""
        ...

    async def give_back(self, work: UnitOfWork, delivery_id: UUID) -> None:
        """Release the lease of an attempt that was begun and not made: no process died on it."""
        ...


class FreshnessRepository(Protocol):
    """Keeps which datasets are late or out of date."""

    async def put(self, work: UnitOfWork, statuses: Mapping[UUID, str | None]) -> None:
        """Write the newest status of datasets; None where it was withdrawn."""
        ...


class KeptMail(Protocol):
    """Knows which messages an erasure has to change where they are kept."""

    async def redact(
        self, work: UnitOfWork, matter_id: UUID, details: Sequence[tuple[str, str, str]]
    ) -> None:
        """Replace the details of a matter, also in what was told of it; messages made of it are to change."""
        ...

    async def forget(self, work: UnitOfWork, person_ids: Collection[UUID]) -> None:
        """Have all messages to these people removed. Before their deliveries are deleted."""
        ...

    async def due(self, work: UnitOfWork, limit: int) -> tuple[list[UUID], list[Sending]]:
        """Take some: ids of messages to remove, and messages as they read now."""
        ...


class Bell:
    """Rung when there is something to tell, so that what need not wait is sent at once."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[], None]] = []

    def on_ring(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` at every ring."""
        self._listeners.append(listener)

    def ring(self) -> None:
        """Wake whoever listens."""
        for listener in self._listeners:
            listener()


@dataclass(frozen=True, slots=True)
class NotifyPorts:
    """Everything the handlers, commands and works are given."""

    clock: Clock
    datasets: KnownDatasets
    principals: Principals
    people: PeopleBook
    freshness: FreshnessRepository
    book: MatterBook
    kept_mail: KeptMail
    bell: Bell
    group_wait: timedelta
