"""Commands of counts: count hits by COUNTER R5.1, publish windows that rest, forget old ones."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from services.usage.counts.domain.clients import AccessMethod
from services.usage.counts.domain.counter import (
    ClickSessionKey,
    CountedHit,
    CountedWindow,
    HitKind,
    recount,
)
from services.usage.counts.repository import CountRepository
from shared.clock import Clock
from shared.events.registry import ROLLUP_UPDATED
from shared.events.usage import Hit, Rollup, RollupUpdated
from shared.store.unit_of_work import UnitOfWork
from shared.telemetry.metrics import Metrics

__all__ = ["Counting", "CountingResult", "count_hits", "forget_counts", "mark_today", "publish_rollups"]

ROLLUPS_PER_TURN_MAX = 500
WAITING_MAX = timedelta(seconds=10)
"""Counts that never rest are published at least this often."""
SESSIONS_KEPT = timedelta(days=2)
HOURS_KEPT = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class Counting:
    """What the commands of counts work with."""

    clock: Clock
    counts: CountRepository
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class CountingResult:
    """What became of hits: which of them count, in order, and the first day that changed per dataset."""

    is_counted: Sequence[bool]
    first_days: dict[UUID, date]


async def count_hits(
    work: UnitOfWork, counting: Counting, hits: Sequence[Hit], *, until: datetime
) -> CountingResult:
    """Count hits into hours and days. Kinds that are not known here, and robots, are counted nowhere.

    ``until`` is the moment of the newest hit. The counts of a set of hits are the same in any order.
    """
    is_counted: list[bool] = []
    counted: list[CountedHit] = []
    seen: Counter[tuple[str, str]] = Counter()
    for recorded in hits:
        hit = _counted(recorded)
        is_counted.append(hit is not None and hit.access_method is not AccessMethod.CRAWLER)
        if hit is not None:
            seen[hit.kind.value, "counted" if is_counted[-1] else "robot"] += 1
            counted.append(hit)
    sessions = await counting.counts.sessions(work, {hit.key for hit in counted})
    changes = recount(sessions, counted)
    await counting.counts.apply(work, changes, now=counting.clock.now(), until=until)
    work.after_commit(lambda: _measure(counting.metrics, seen))
    return CountingResult(is_counted, _first_days(changes.changes))


async def publish_rollups(work: UnitOfWork, counting: Counting, *, debounce: timedelta) -> int:
    """Publish the absolute counts of windows that rest, and return how many."""
    now = counting.clock.now()
    windows = await counting.counts.resting(
        work, unchanged_since=now - debounce, waiting_since=now - WAITING_MAX, rows_max=ROLLUPS_PER_TURN_MAX
    )
    for window in windows:
        work.emit(
            ROLLUP_UPDATED,
            RollupUpdated(rollup=_rollup(window)),
            subject=_rollup_key(window),
            subjectversion=window.revision,
        )
    await counting.counts.published(work, windows)
    return len(windows)


async def mark_today(work: UnitOfWork, counting: Counting) -> None:
    """Keep that the installation counts today, so that no use is zero and not unknown."""
    await counting.counts.mark_day(work, counting.clock.now().astimezone(UTC).date())


async def forget_counts(work: UnitOfWork, counting: Counting) -> int:
    """Delete click sessions that are over and hourly counts of long ago; return how many rows."""
    now = counting.clock.now()
    return await counting.counts.forget(
        work, sessions_before=now - SESSIONS_KEPT, hours_before=now - HOURS_KEPT
    )


def _counted(hit: Hit) -> CountedHit | None:
    try:
        kind = HitKind(hit.kind)
    except ValueError:
        return None
    try:
        method = AccessMethod(hit.access_method)
    except ValueError:
        # A method of a later version: certainly not a person at a browser.
        method = AccessMethod.TDM
    return CountedHit(ClickSessionKey(hit.visitor_hash, hit.dataset_id), kind, method, hit.occurred_at)


def _first_days(hours: Iterable[tuple[UUID, datetime]]) -> dict[UUID, date]:
    first: dict[UUID, date] = {}
    for dataset_id, hour in hours:
        first[dataset_id] = min(first.get(dataset_id, hour.date()), hour.date())
    return first


def _measure(metrics: Metrics, seen: Counter[tuple[str, str]]) -> None:
    for (kind, result), count in seen.items():
        metrics.count("nutmeg_usage_hits_total", count, kind=kind, result=result)


def _rollup(window: CountedWindow) -> Rollup:
    counts = window.counts
    return Rollup(
        dataset_id=window.dataset_id,
        granularity=window.granularity,
        window_start=window.window_start,
        views=counts.views,
        downloads=counts.downloads,
        api_calls=counts.api_calls,
        total_item_investigations=counts.total_item_investigations,
        total_item_requests=counts.total_item_requests,
        unique_item_investigations=counts.unique_item_investigations,
        unique_item_requests=counts.unique_item_requests,
        tdm_item_requests=counts.tdm_item_requests,
    )


def _rollup_key(window: CountedWindow) -> str:
    start = window.window_start
    label: date | str = start.date() if window.granularity == "day" else f"{start:%Y-%m-%dT%H}Z"
    return f"{window.dataset_id}/{window.granularity}/{label}"
