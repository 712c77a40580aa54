"""The error tree that steers consumers, and the errors of publishing.

NutmegError
├── Outcomes (raised by handlers, decided upon by the consumer loop)
│   ├── TransientError      our own store, index or log is away: pause, seek back, try again for ever
│   └── InvalidEventError   this record can never be handled: dead letter at once, with its reason
├── EventTooLargeError      a payload above the size limit; raised inside the writing transaction
├── DeadLetterBudgetError   too many dead letters in a row or in five minutes: the consumer stops, loudly
├── DeadLetterUnwritableError  the dead letter could not be written: the consumer stops, loudly, until it can
└── LogBusyError            another process already works for this consumer group or data directory
    └── ReplicaFencedError  another process took this replica's name in its group: this one has to end

Any other exception of a handler is retried a bounded number of times, then dead-lettered (design, 3.4).
"""

__all__ = [
    "DeadLetterBudgetError",
    "DeadLetterUnwritableError",
    "EventTooLargeError",
    "InvalidEventError",
    "LogBusyError",
    "NutmegError",
    "ReplicaFencedError",
    "TransientError",
]


class NutmegError(Exception):
    """Base of all errors that Nutmeg raises on purpose."""


class TransientError(NutmegError):
    """Raise only when the service's own store, index or log cannot be reached just now."""


class InvalidEventError(NutmegError):
    """Raise when a record can never be handled, however often it is tried."""


class EventTooLargeError(NutmegError):
    """An event above the limit. The message names the subject and the largest field."""


class DeadLetterBudgetError(NutmegError):
    """More dead letters than the budget allows: a bad deploy must not drain a topic."""


class DeadLetterUnwritableError(NutmegError):
    """A dead letter could not be written, so its record must not be passed over."""


class LogBusyError(NutmegError):
    """Somebody else holds the lock. The message names what is locked and how to find the holder."""


class ReplicaFencedError(LogBusyError):
    """Another process joined the group under the same name. The message names both, and the setting."""
