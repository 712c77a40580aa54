"""The one shape of an alert, shared by every ``<service>.alerts`` topic.

An alert event always carries the full state, so the newest record of a key says everything.
"""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from shared.events.model import EventModel

__all__ = ["AlertChanged", "AlertOpened", "AlertResolved", "AlertState", "Evidence"]


class Evidence(EventModel):
    """One observation that made or ended the alert, in the reader's words."""

    name: str
    expected: str | None = None
    observed: str | None = None


class AlertState(EventModel):
    """All that is known of one alert. ``kind``, ``severity`` and ``state`` are open: expect new values."""

    alert_id: UUID
    dataset_id: UUID
    dataset_title: str
    agency_id: UUID | None = None
    kind: str = Field(description="freshness-stale, row-count-dropped, schema-broken, link-broken, …")
    severity: str = Field(description="info, warning or error")
    state: str = Field(description="open, acknowledged or resolved")
    cause: str
    evidence: list[Evidence] = Field(default_factory=list)
    next_act: str
    occurrences: int = 1
    opened_at: datetime
    changed_at: datetime
    acknowledged_at: datetime | None = None
    acknowledged_by: UUID | None = None
    resolved_at: datetime | None = None


class AlertOpened(EventModel):
    """A dataset degraded from its baseline, or a resolved alert came back."""

    alert: AlertState


class AlertChanged(EventModel):
    """The severity, the evidence or the acknowledgement of an open alert changed."""

    alert: AlertState
    change: Literal["severity", "evidence", "acknowledged"] | str


class AlertResolved(EventModel):
    """The dataset recovered."""

    alert: AlertState
