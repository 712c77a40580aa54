"""One harvest as a job: what is asked, how far it is, and what came of it. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from services.catalog.harvesting.domain.differences import BatchPlan
from services.catalog.harvesting.domain.views import HarvestStatus
from shared.errors import ConflictError

OPEN_STATUSES: tuple[HarvestStatus, ...] = ("queued", "running")
"""A job in one of these still has work to do."""

REJECTIONS_TOLD_MAX = 100
"""Most rejections that travel in the event; all of them are kept with the job."""


class HarvestStateError(ConflictError):
    """The job is not in a state in which this can be done. The message tells the state and the cure."""

    slug = "harvest-state"
    title = "This harvest cannot be changed so"


@dataclass(frozen=True, slots=True)
class HarvestSource:
    """Where a feed comes from, and what it says once for all of its records.

    ``etag`` and ``last_modified`` are those of the last feed that was taken in completely.
    """

    source_id: str
    publisher_name: str
    contact_name: str
    contact_email: str
    url: str | None = None
    is_sample: bool = False
    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True, slots=True)
class HarvestCounts:
    """What a harvest did so far, in datasets; ``rejected`` in records."""

    created: int = 0
    changed: int = 0
    unchanged: int = 0
    retired: int = 0
    rejected: int = 0

    def plus(self, plan: BatchPlan) -> "HarvestCounts":
        """The counts with one more batch."""
        return HarvestCounts(
            created=self.created + len(plan.created),
            changed=self.changed + len(plan.changed),
            unchanged=self.unchanged + plan.unchanged,
            retired=self.retired,
            rejected=self.rejected + len(plan.rejected),
        )


@dataclass(frozen=True, slots=True)
class HarvestJob:
    """One harvest of one source.

    ``processed`` records of the feed are done for good: a worker that takes the job over reads past them.
    ``total`` is known once the feed was checked from end to end. ``confirmed``: a person said that datasets
    may go although more than half of them are missing. ``attempts``: how many workers in a row began with it
    and neither got on nor gave it back; who is at work counts.
    """

    harvest_id: UUID
    source_id: str
    requested_at: datetime
    url: str | None = None
    confirmed: bool = False
    status: HarvestStatus = "queued"
    first_harvest: bool = False
    processed: int = 0
    total: int | None = None
    counts: HarvestCounts = HarvestCounts()
    known: int | None = None
    missing: int | None = None
    message: str | None = None
    etag: str | None = None
    last_modified: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    lease_until: datetime | None = None
    attempts: int = 0

    def claimed(self, now: datetime, lease: timedelta, *, first_harvest: bool) -> "HarvestJob":
        """The job in the hands of a worker. What is told of the first claim stays."""
        return replace(
            self,
            status="running",
            started_at=self.started_at or now,
            first_harvest=first_harvest if self.started_at is None else self.first_harvest,
            lease_until=now + lease,
        )

    def confirmed_by_person(self) -> "HarvestJob":
        """The held job, to be ended with the retirements. Raises ``HarvestStateError`` in another state."""
        if self.status != "held":
            raise HarvestStateError(
                f"The harvest is {self.status}, not held: there is nothing to confirm. "
                "Harvest the feed again if it should be read anew."
            )
        return replace(self, status="queued", confirmed=True, attempts=0, completed_at=None, lease_until=None)

    def begun(self) -> "HarvestJob":
        """The job with one more attempt, to be written before the attempt begins."""
        return replace(self, attempts=self.attempts + 1)

    def given_back(self) -> "HarvestJob":
        """The job whose worker stops and lives: what it could not end is no death."""
        return replace(self, attempts=max(0, self.attempts - 1))

    def released(self) -> "HarvestJob":
        """The parked job, as if nobody had tried it. Raises ``HarvestStateError`` in another state."""
        if self.status != "parked":
            raise HarvestStateError(f"The harvest is {self.status}, not parked: there is nothing to release.")
        return replace(self, status="queued", attempts=0, message=None, completed_at=None, lease_until=None)

    def ended(self, status: HarvestStatus, now: datetime, message: str | None = None) -> "HarvestJob":
        """The job at its end: completed, held, failed or parked."""
        return replace(self, status=status, completed_at=now, message=message, lease_until=None)
