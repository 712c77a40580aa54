"""Jobs on which processes died: they are parked, and wait for an operator.

A durable job counts each attempt in its own row before the attempt begins, and its row is told when one
ended, well or badly. So a process that is killed by its work, and can say nothing, is counted all the same.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

__all__ = ["DEATHS_MAX", "PARKED_BECAUSE", "JobQueue", "ParkedJob"]

DEATHS_MAX = 2
"""So many processes may die on one job. It is then parked, or the next one dies as well."""
PARKED_BECAUSE = (
    "Two processes in a row that worked on it ended without a word, as they do when memory runs out or "
    "they are killed. Nobody takes it up again by itself. Look into what it reads, then release it."
)
"""Why a job is parked."""


@dataclass(frozen=True, slots=True)
class ParkedJob:
    """A job that waits for an operator. ``subject`` says what it works on, for a person."""

    job_id: UUID
    subject: str
    reason: str
    parked_at: datetime


@dataclass(frozen=True, slots=True)
class JobQueue:
    """Durable jobs of one kind, as far as an operator cares: which are parked, and how one is let go.

    ``parked`` gives the latest ones first, as many as are asked for; ``parked_count`` counts all.
    ``release`` makes a parked job due, as if nobody had tried it; false if there is no such parked job.
    """

    name: str
    parked: Callable[[int], Awaitable[Sequence[ParkedJob]]]
    parked_count: Callable[[], Awaitable[int]]
    release: Callable[[UUID], Awaitable[bool]]
