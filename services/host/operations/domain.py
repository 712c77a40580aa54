"""What an operator is shown: consumers, outboxes, recurring work, storages, dead letters and parked jobs."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

__all__ = [
    "REASON_CHARACTERS_MAX",
    "WAITING_SHOWN_MAX",
    "ConsumerHealth",
    "DeadLetterCounts",
    "LabelledCount",
    "LossReading",
    "OperationsStatus",
    "OutboxHealth",
    "ParkedJobHealth",
    "StorageReading",
    "WaitingHealth",
    "WorkHealth",
]

REASON_CHARACTERS_MAX = 1_000
WAITING_SHOWN_MAX = 20


class ConsumerHealth(BaseModel):
    """One consumer group. ``cause`` says why it does not run; ``handled`` is null where others count it."""

    service: str
    group: str
    state: str
    cause: str | None
    lag_records: int
    lag_seconds: float
    handled: int | None
    waiting_records: int = 0
    waiting_seconds: float = 0.0
    """How many records are set aside until data that they need is here, and since when the oldest is."""


class WaitingHealth(BaseModel):
    """One record that is set aside. ``deadline`` is null while it waits behind another of its key."""

    group: str
    topic: str
    key: str
    waits_for: str
    since: datetime
    next_try: datetime
    deadline: datetime | None
    attempts: int


class OutboxHealth(BaseModel):
    """Events that a service has committed and the log has not got yet."""

    service: str
    records: int
    oldest_age_seconds: float
    cause: str | None


class WorkHealth(BaseModel):
    """A piece of recurring work since the start.

    ``pending`` is null while it cannot be counted; the others are where only its own process knows.
    """

    service: str
    name: str
    runs: int | None
    failures: int | None
    done: int | None
    pending: int | None
    last_error: str | None


class ParkedJobHealth(BaseModel):
    """A job that no process takes up by itself, because two in a row died on it."""

    service: str
    queue: str
    job_id: UUID
    subject: str
    reason: str
    parked_at: datetime


class LossReading(BaseModel):
    """What an operator decided to go on without: events by topic, or words for what the log has lost."""

    at: datetime
    by: str
    reason: str
    events: dict[str, int]
    of_the_log: list[str]
    read_again: list[str]
    sent_again: int


class StorageReading(BaseModel):
    """The event log or a service's database. ``intact`` is null for what is no file of this installation."""

    name: str
    writable: bool
    intact: bool | None
    checked_at: datetime | None
    causes: list[str]
    accepted_losses: list[LossReading]


class DeadLetterCounts(BaseModel):
    """Dead letters by what became of them."""

    open: int
    requested: int
    failed: int
    replayed: int
    superseded: int
    discarded: int


class LabelledCount(BaseModel):
    """One series of a metric."""

    labels: dict[str, str]
    value: float


class OperationsStatus(BaseModel):
    """``status`` is ok or attention.

    ``causes`` say in words what needs a person, ``notices`` what an operator may want to set.
    """

    status: Literal["ok", "attention"]
    causes: list[str]
    notices: list[str] = []
    version: str
    now: datetime
    started_at: datetime
    consumers: list[ConsumerHealth]
    outboxes: list[OutboxHealth]
    works: list[WorkHealth]
    waiting: list[WaitingHealth]
    """The records that have waited longest, at most :data:`WAITING_SHOWN_MAX` of each group."""
    storages: list[StorageReading]
    dead_letters: DeadLetterCounts
    parked_jobs: list[ParkedJobHealth] = Field(description="The latest hundred of each queue.")
    parked_job_count: int
    index: list[LabelledCount]
    index_drift: list[LabelledCount]
    deliveries: list[LabelledCount]
    event_loop_delay_seconds: float
