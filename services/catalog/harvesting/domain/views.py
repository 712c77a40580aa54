"""A harvest as pages and the API show it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from shared.events.catalog import RejectedRecord

HarvestStatus = Literal["queued", "running", "completed", "held", "failed", "parked"]


@dataclass(frozen=True, slots=True)
class HarvestView:
    """One harvest. ``total`` is None until the feed was read once; ``message`` tells why it failed.

    ``known`` and ``missing`` are set when the feed was read to its end. At most 1,000 rejections are listed.
    """

    harvest_id: UUID
    source_id: str
    url: str | None
    status: HarvestStatus
    first_harvest: bool
    processed: int
    total: int | None
    created: int
    changed: int
    unchanged: int
    retired: int
    rejected: int
    known: int | None
    missing: int | None
    message: str | None
    rejections: tuple[RejectedRecord, ...]
    requested_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
