"""The error tree: what steers consumers, what publishing raises, and what a person's request runs into.

NutmegError
├── Outcomes (raised by handlers, decided upon by the consumer loop)
│   ├── TransientError      our own store, index or log is away: pause, seek back, try again for ever
│   ├── NotReadyError       data on its way is not here yet: this record is set aside, the others go on
│   └── InvalidEventError   this record can never be handled: dead letter at once, with its reason
├── DomainError             a rule refuses what was asked; names the field and the fix
│   ├── InvalidInputError   what was written can't be taken: HTTP 422
│   ├── NotAllowedError     this person may not do that: 403
│   ├── NotFoundError       there is no such thing, or none that this person may see: 404
│   └── ConflictError       the thing is past that, or somebody else was first: 409
├── WaitExpiredError     what a set-aside record waited for did not come in time: dead letter
├── EventTooLargeError      a payload above the size limit; raised inside the writing transaction
├── DeadLetterBudgetError   too many dead letters in a row or in five minutes: the consumer stops, loudly
├── DeadLetterUnwritableError  the dead letter could not be written: the consumer stops, loudly, until it can
├── StateError              a log or database that must not be worked with as it is: one line, with the cure
│   ├── LostStateError      it is missing or older than the others, which remember what it has lost
│   ├── DamagedFileError    its file cannot be read as what it is
│   └── SchemaError         its schema is newer than the program, or was changed halfway
└── LogBusyError            another process already works for this consumer group or data directory
    └── ReplicaFencedError  another process took this replica's name in its group: this one has to end

A domain error becomes a problem in one place (``shared/http/problems.py``). A bare ``ValueError``,
``KeyError`` or ``LookupError`` is a defect: no page and no API makes an answer of it, so it is a logged 500.

Any other exception of a handler is retried a bounded number of times, then dead-lettered (design, 3.4).
"""

from datetime import timedelta
from typing import ClassVar

__all__ = [
    "ConflictError",
    "DamagedFileError",
    "DeadLetterBudgetError",
    "DeadLetterUnwritableError",
    "DomainError",
    "EventTooLargeError",
    "GoneError",
    "InvalidEventError",
    "InvalidInputError",
    "LogBusyError",
    "LostStateError",
    "NotAllowedError",
    "NotFoundError",
    "NotReadyError",
    "NutmegError",
    "ReplicaFencedError",
    "SchemaError",
    "StateError",
    "TransientError",
    "WaitExpiredError",
]


class NutmegError(Exception):
    """Base of all errors that Nutmeg raises on purpose."""


class TransientError(NutmegError):
    """Raise only when the service's own store, index or log cannot be reached just now.

    A subclass may set ``slug``, ``title`` and ``detail``, which tell programs and people what is away.
    """

    slug: ClassVar[str] = "unavailable"
    title: ClassVar[str] = "Nutmeg cannot do this just now"
    detail: ClassVar[str] = (
        "A store that is needed cannot be reached. Nothing was changed; try again in a few seconds."
    )


class NotReadyError(NutmegError):
    """This record, or portion of work, waits for data that is on its way, and for nothing that is broken.

    ``waits_for`` names the data as whoever brings it does, like ``person 4be0…``
    (:func:`shared.consuming.waiting_events.wake_waiting`). ``patience`` is how long the
    record may wait before it is given up; None is for recurring work, which tries for ever,
    and for what waits behind another record.
    """

    def __init__(self, waits_for: str, *, patience: timedelta | None) -> None:
        super().__init__(f"waits for {waits_for}")
        self.waits_for = waits_for
        self.patience = patience


class WaitExpiredError(NutmegError):
    """What a record waited for did not come. The message says how long it waited, and for what."""


class InvalidEventError(NutmegError):
    """Raise when a record can never be handled, however often it is tried."""


class DomainError(NutmegError):
    """A rule refuses what a person or a program asked for.

    ``detail`` is a sentence that says what is wrong, ``fix`` one that says what to do. ``field`` names the
    input that is wrong, as its sender wrote it (``reason``, ``content.purpose``), blank for the whole.
    ``code`` is a stable word for programs. ``next_steps`` are (label, address) pairs for a page. A subclass
    may set ``slug`` and ``title``, which name the kind of refusal to programs and to people.
    """

    slug: ClassVar[str] = "refused"
    title = "This can't be done"

    def __init__(
        self,
        detail: str,
        *,
        field: str = "",
        fix: str = "",
        code: str = "invalid",
        next_steps: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(f"{detail} {fix}".strip())
        self.detail = detail
        self.field = field
        self.fix = fix
        self.code = code
        self.next_steps = next_steps


class InvalidInputError(DomainError):
    """What was written can't be taken as it is."""

    slug = "validation"
    title = "The request is not valid"


class NotAllowedError(DomainError):
    """This person may not do that. ``detail`` says why, ``fix`` who may."""

    slug = "forbidden"
    title = "You may not do this"


class NotFoundError(DomainError):
    """There is no such thing, or none that this person may see: the same words for both."""

    slug = "not-found"

    def __init__(
        self,
        detail: str,
        *,
        what: str = "thing",
        field: str = "",
        fix: str = "",
        next_steps: tuple[tuple[str, str], ...] = (),
    ) -> None:
        fix = fix or f"Use the id of a known {what}."
        super().__init__(detail, field=field, fix=fix, code="unknown", next_steps=next_steps)
        self.title = f"There is no such {what}"


class GoneError(DomainError):
    """It was there and is no more. ``detail`` says since when, and why."""

    slug = "gone"
    title = "This is no longer here"


class ConflictError(DomainError):
    """What was asked does not fit the state of the thing. ``detail`` says where it stands."""

    slug = "conflict"
    title = "It is past that step"


class EventTooLargeError(NutmegError):
    """An event above the limit. The message names the subject and the largest field."""


class DeadLetterBudgetError(NutmegError):
    """More dead letters than the budget allows: a bad deploy must not drain a topic."""


class DeadLetterUnwritableError(NutmegError):
    """A dead letter could not be written, so its record must not be passed over."""


class StateError(NutmegError):
    """A log or database that must not be worked with as it is. The message names it and the cure."""


class LostStateError(StateError):
    """It lacks what it once acknowledged: it is missing, or an older copy."""


class DamagedFileError(StateError):
    """Its file is damaged."""


class SchemaError(StateError):
    """Its schema is not one that this program can bring up to date."""


class LogBusyError(NutmegError):
    """Somebody else holds the lock. The message names what is locked and how to find the holder."""


class ReplicaFencedError(LogBusyError):
    """Another process joined the group under the same name. The message names both, and the setting."""
