"""Hourly uses in a ring of days, as a stream processor keeps them: one row per dataset and day.

A count is *assigned*, never added, and only by a newer revision, so a repeat, a late copy and a second
reading of everything change nothing. A day's row is overwritten when the ring comes round to it: what is
kept is bounded, and nothing ever has to be deleted.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import TypedDict
from uuid import UUID

from services.usage.anomalies.domain.signals import DAYS_LOOKED_BACK

__all__ = ["DAYS_KEPT", "DayRow", "assigned", "daily_uses", "row_key"]

DAYS_KEPT = DAYS_LOOKED_BACK + 38
"""More than are looked back, so that a day is not overwritten while it counts."""


class DayRow(TypedDict):
    """The hours of one day: hour of the day → uses and the revision that told them."""

    day: str
    hours: dict[str, list[int]]


def row_key(dataset_id: UUID, day: date) -> str:
    """Return the key of the row that holds this day, or one a whole round of the ring away."""
    return f"{dataset_id}/{day.toordinal() % DAYS_KEPT}"


def assigned(row: DayRow | None, window_start: datetime, uses: int, revision: int) -> DayRow | None:
    """Return the row with this hour's uses; ``None`` if it holds the same or newer already."""
    moment = window_start.astimezone(UTC)
    day, hour = moment.date().isoformat(), str(moment.hour)
    if row is None or row["day"] < day:
        return {"day": day, "hours": {hour: [uses, revision]}}
    if row["day"] > day:
        return None
    known = row["hours"].get(hour)
    if known is not None and known[1] >= revision:
        return None
    return {"day": day, "hours": {**row["hours"], hour: [uses, revision]}}


def daily_uses(
    row_of: Callable[[str], DayRow | None], dataset_id: UUID, *, since: date
) -> Mapping[date, int]:
    """Return a dataset's uses per day from ``since`` on, days without use left out."""
    found: dict[date, int] = {}
    oldest = since.isoformat()
    for step in range(DAYS_KEPT):
        row = row_of(row_key(dataset_id, since + timedelta(days=step)))
        if row is not None and row["day"] >= oldest:
            uses = sum(count for count, _ in row["hours"].values())
            if uses:
                found[date.fromisoformat(row["day"])] = uses
    return found
