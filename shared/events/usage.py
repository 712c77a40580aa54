"""What usage tells: single hits (internal) and absolute counts per dataset and window.

Topics: ``usage.hits`` and ``usage.rollups``. Metric names follow COUNTER R5.1 (section 10).
"""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from shared.events.model import EventModel

__all__ = ["Hit", "HitRecorded", "Rollup", "RollupUpdated"]

HitKind = Literal["view", "download", "api-call"]
"""The kinds counted today. Events may carry others, which are counted under no kind."""


class Hit(EventModel):
    """One use of one dataset. ``visitor_hash`` is salted per UTC day; no address or agent text is kept."""

    hit_id: UUID
    dataset_id: UUID
    kind: HitKind | str
    visitor_hash: str
    visitor_bucket: str = Field(
        description="00 to 63, from the visitor hash: keeps sessions in one partition"
    )
    access_method: Literal["regular", "tdm", "crawler"] | str = "regular"
    occurred_at: datetime


class HitRecorded(EventModel):
    """A hit was accepted."""

    hit: Hit


class Rollup(EventModel):
    """Absolute counts of one dataset in one window; a later record of a key replaces an earlier one."""

    dataset_id: UUID
    granularity: Literal["hour", "day"] | str
    window_start: datetime
    views: int = 0
    downloads: int = 0
    api_calls: int = 0
    total_item_investigations: int = 0
    total_item_requests: int = 0
    unique_item_investigations: int = 0
    unique_item_requests: int = 0
    tdm_item_requests: int = Field(default=0, description="requests of programmatic clients, kept apart")


class RollupUpdated(EventModel):
    """The counts of a window changed."""

    rollup: Rollup
