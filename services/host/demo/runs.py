"""One fault, followed: from the changed file to the steward's inbox, hop by hop."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from services.host.operations.observed_log import ObservedLog, PublishedRecord
from services.host.sample.degradations import Degradation
from shared.events.registry import (
    DATASET_CHANGED,
    QUALITY_ALERT_CHANGED,
    QUALITY_ALERT_OPENED,
    QUALITY_ALERT_RESOLVED,
)
from shared.events.topics import GROUPS
from shared.web.elements import Hop

__all__ = ["DemoRun", "RunKind", "hops_of_run", "reached_at", "total_milliseconds"]

RunKind = Literal["degrade", "repair"]
MEASURING = GROUPS["quality.measuring"].name
ROUTING = GROUPS["notify.routing"].name
_GOALS = {
    "degrade": {QUALITY_ALERT_OPENED.name, QUALITY_ALERT_CHANGED.name},
    "repair": {QUALITY_ALERT_RESOLVED.name},
}


@dataclass(slots=True)
class DemoRun:
    """A fault that was turned on or off, and how it went on from there. Times are the demo clock's."""

    run_id: UUID
    kind: RunKind
    degradation: Degradation
    dataset_id: UUID
    dataset_title: str
    started_at: datetime
    finished_at: datetime | None = None
    failure: str | None = None
    """Why the path will not be finished, in words."""

    @property
    def is_over(self) -> bool:
        return self.finished_at is not None or self.failure is not None


@dataclass(frozen=True, slots=True)
class _Moment:
    name: str
    detail: str
    at: datetime | None


def hops_of_run(run: DemoRun, log: ObservedLog) -> list[Hop]:
    """Return the boxes of the path as far as it has come."""
    moments = _moments(run, log)
    before = run.started_at
    hops = []
    for moment in moments:
        if moment.at is None:
            state: Literal["failed", "waiting"] = "failed" if run.failure is not None else "waiting"
            hops.append(Hop(moment.name, moment.detail, state))
            continue
        hops.append(Hop(moment.name, moment.detail, "done", _milliseconds(before, moment.at)))
        before = max(before, moment.at)
    return hops


def reached_at(run: DemoRun, log: ObservedLog) -> datetime | None:
    """Return when the inbox had it; ``None`` as long as it has not."""
    goal = _goal(run, _records_of(run, log))
    return None if goal is None else log.handled_at(ROUTING, goal.place, goal.offset)


def total_milliseconds(hops: Sequence[Hop]) -> float | None:
    """Return the time from first to last; ``None`` while something waits or has failed."""
    if any(hop.milliseconds is None for hop in hops):
        return None
    return sum(hop.milliseconds or 0.0 for hop in hops)


def _moments(run: DemoRun, log: ObservedLog) -> list[_Moment]:
    records = _records_of(run, log)
    changed = next((one for one in records if one.event_type == DATASET_CHANGED.name), None)
    goal = _goal(run, records)
    is_repair = run.kind == "repair"
    first = "The file is as it was again." if is_repair else run.degradation.what_happens
    return [
        _Moment("File", first, run.started_at),
        _Moment("Catalog", "harvested the feed: dataset changed", changed.published_at if changed else None),
        _Moment("Quality", "read the event", _handled_at(log, MEASURING, changed)),
        _Moment(
            "Quality",
            "profiled the file: " + ("alert resolved" if is_repair else "alert opened"),
            goal.published_at if goal else None,
        ),
        _Moment("Notify", "in the steward's inbox", _handled_at(log, ROUTING, goal)),
    ]


def _records_of(run: DemoRun, log: ObservedLog) -> list[PublishedRecord]:
    key = str(run.dataset_id)
    return [
        one
        for one in log.records
        if one.published_at >= run.started_at and key in (one.subject, one.partition_key)
    ]


def _goal(run: DemoRun, records: Sequence[PublishedRecord]) -> PublishedRecord | None:
    return next((one for one in records if one.event_type in _GOALS[run.kind]), None)


def _handled_at(log: ObservedLog, group: str, record: PublishedRecord | None) -> datetime | None:
    return None if record is None else log.handled_at(group, record.place, record.offset)


def _milliseconds(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds() * 1_000)
