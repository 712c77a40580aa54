"""What usage is asked to do: record hits, publish counts, watch for spikes and silence, forget in time."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import structlog

from services.usage.domain.alerts import AlertStep, KnownAlert, Subject, next_steps
from services.usage.domain.clients import AccessMethod
from services.usage.domain.counter import hour_of
from services.usage.domain.reports import HitProblem, HitResult, Receipt, ReportedHit, moment_problem
from services.usage.domain.signals import DAYS_LOOKED_BACK, SignalRules, signals
from services.usage.domain.visitors import bucket_of, derived_hit_id, visitor_hash
from services.usage.ports import CountedWindow, NamedDataset, UsagePorts, WatchedDataset
from shared.events.alerts import AlertChanged, AlertOpened, AlertResolved
from shared.events.registry import (
    HIT_RECORDED,
    ROLLUP_UPDATED,
    USAGE_ALERT_CHANGED,
    USAGE_ALERT_OPENED,
    USAGE_ALERT_RESOLVED,
)
from shared.events.topics import TOPICS
from shared.events.usage import Hit, HitRecorded, Rollup, RollupUpdated
from shared.identity.viewer import Role, TokenScope, Viewer
from shared.store.unit_of_work import UnitOfWork

__all__ = ["close_days", "forget_old", "publish_rollups", "record_hits", "tell_step", "watch_use"]

logger = structlog.get_logger(__name__)

ROLLUPS_PER_TURN_MAX = 500
DATASETS_PER_TURN_MAX = 200
WAITING_MAX = timedelta(seconds=10)
"""Counts that never rest are published at least this often."""

JUDGED_AGAIN_AFTER = timedelta(seconds=5)
TRAILS_KEPT = timedelta(days=2)
HOURS_KEPT = timedelta(days=400)


def is_importer(viewer: Viewer, agency_id: UUID | None) -> bool:
    """Tell who may report the use of others: operators, and programs with the scope *hits*."""
    return viewer.has(Role.OPERATOR) or viewer.may_as_program(TokenScope.HITS, agency_id=agency_id)


async def record_hits(
    work: UnitOfWork,
    ports: UsagePorts,
    hits: Sequence[ReportedHit],
    *,
    viewer: Viewer,
    idempotency_key: str | None = None,
) -> list[Receipt]:
    """Accept what can be accepted, each hit once, and return a receipt per hit, in order.

    A hit without an id gets one from its content, its position and the key; a batch sent again is then
    recognised. A hit that names no time either is the same hit for the rest of its UTC day.
    """
    now = ports.clock.now()
    today = now.astimezone(UTC).date()
    datasets = await ports.names.find(work, viewer, {hit.dataset for hit in hits})
    problems = [_problem(hit, datasets.get(hit.dataset), viewer, now) for hit in hits]
    good = [hit for hit, problem in zip(hits, problems, strict=True) if problem is None]
    days = {_moment(hit, now).date() for hit in good}
    salts = await ports.intake.salts(work, days, today=today)
    ready: dict[int, Hit] = {}
    for hit in good:
        moment = _moment(hit, now)
        hashed = visitor_hash(salts[moment.date()], hit.traits)
        dataset_id = datasets[hit.dataset].dataset_id
        reporter = str(viewer.person_id) if idempotency_key and viewer.person_id else hashed
        ready[hit.position] = Hit(
            hit_id=hit.hit_id
            or derived_hit_id(
                reporter=reporter,
                dataset_id=dataset_id,
                kind=hit.kind.value,
                occurred_at=hit.occurred_at,
                position=hit.position,
                request=idempotency_key or ("" if hit.occurred_at else today.isoformat()),
            ),
            dataset_id=dataset_id,
            kind=hit.kind.value,
            visitor_hash=hashed,
            visitor_bucket=bucket_of(hashed),
            access_method=_access_method(ports, hit),
            occurred_at=moment,
        )
    accepted = await _accept(work, ports, list(ready.values()), now)
    return _receipts(work, ports, hits, problems, ready, accepted)


async def publish_rollups(work: UnitOfWork, ports: UsagePorts, *, debounce: timedelta) -> int:
    """Publish the absolute counts of windows that rest, and return how many."""
    now = ports.clock.now()
    windows = await ports.tally.resting(
        work, unchanged_since=now - debounce, waiting_since=now - WAITING_MAX, rows_max=ROLLUPS_PER_TURN_MAX
    )
    for window in windows:
        work.emit(
            ROLLUP_UPDATED,
            RollupUpdated(rollup=_rollup(window)),
            subject=_rollup_key(window),
            subjectversion=window.revision,
        )
    await ports.tally.published(work, windows)
    return len(windows)


async def watch_use(work: UnitOfWork, ports: UsagePorts) -> int:
    """Look at the datasets that are due, open and resolve alerts, and return how many were looked at.

    The one writer of ``usage.alerts``: a process that knows the uses from a stream runs it as well as one
    that counts them. A dataset whose uses cannot be judged is told of, looked at again later, and holds up
    no other.
    """
    now = ports.clock.now()
    since = now.astimezone(UTC).date() - timedelta(days=DAYS_LOOKED_BACK)
    due = await ports.watch.due(work, now=now, rows_max=DATASETS_PER_TURN_MAX, is_wanted=ports.uses.at_hand())
    if not due:
        return 0
    ids = [one.dataset_id for one in due]
    uses = await ports.uses.daily_uses(work, ids, since=since)
    observed = await ports.watch.observed_days(work, since=since)
    subjects = await ports.watch.subjects(work, ids)
    open_alerts = await ports.alerts.open_alerts(work, ids)
    failed: set[UUID] = set()
    for one in due:
        try:
            steps = _judged(
                one,
                uses.get(one.dataset_id, {}),
                observed,
                subject=subjects.get(one.dataset_id),
                open_alerts=open_alerts.get(one.dataset_id, []),
                rules=ports.signal_rules,
                now=now,
            )
        except Exception:
            logger.exception("use could not be judged", dataset_id=str(one.dataset_id))
            failed.add(one.dataset_id)
            continue
        for step in steps:
            await tell_step(work, ports, step)
    # Counting makes a dataset due by itself; what nobody used for long can only be noticed by that.
    idle = {dataset_id for dataset_id in ids if dataset_id not in uses and dataset_id not in open_alerts}
    await ports.watch.looked_at(work, failed, due_at=now + JUDGED_AGAIN_AFTER)
    await ports.watch.looked_at(work, set(ids) - idle - failed, due_at=hour_of(now) + timedelta(hours=1))
    await ports.watch.looked_at(work, idle - failed, due_at=now + timedelta(days=1))
    work.after_commit(lambda: ports.meter.not_judged(len(failed)))
    return len(due)


async def close_days(work: UnitOfWork, ports: UsagePorts) -> int:
    """Delete the salts of the days that are over, and keep that today is being counted."""
    today = ports.clock.now().astimezone(UTC).date()
    await ports.tally.mark_day(work, today)
    return await ports.intake.forget_salts(work, today=today)


async def forget_old(work: UnitOfWork, ports: UsagePorts) -> int:
    """Delete what has served its purpose, send tombstones of old alerts, and return how many rows went."""
    now = ports.clock.now()
    hits_kept = timedelta(days=HIT_RECORDED.topic.inbox_days)
    gone = await ports.intake.forget_hits(work, accepted_before=now - hits_kept)
    gone += await ports.tally.forget(work, trails_before=now - TRAILS_KEPT, hours_before=now - HOURS_KEPT)
    kept_days = TOPICS["usage.alerts"].tombstone_days or 0
    ended = await ports.alerts.take_ended(work, resolved_before=now - timedelta(days=kept_days))
    for alert_id, dataset_id, version in ended:
        work.emit_tombstone(
            USAGE_ALERT_RESOLVED,
            subject=str(alert_id),
            partition_key=str(dataset_id),
            subjectversion=version,
        )
    return gone + len(ended)


def _judged(
    watched: WatchedDataset,
    uses: Mapping[date, int],
    observed: Sequence[date],
    *,
    subject: Subject | None,
    open_alerts: Sequence[KnownAlert],
    rules: SignalRules,
    now: datetime,
) -> list[AlertStep]:
    found = signals(
        uses,
        observed_days=observed,
        counted_since=watched.counted_since,
        today=now.astimezone(UTC).date(),
        rules=rules,
    )
    return next_steps(found, open_alerts, uses, subject=subject, now=now)


def _moment(hit: ReportedHit, now: datetime) -> datetime:
    return (hit.occurred_at or now).astimezone(UTC)


def _access_method(ports: UsagePorts, hit: ReportedHit) -> AccessMethod:
    if hit.traits.user_agent is None:
        return AccessMethod.REGULAR
    return ports.clients.access_method(hit.traits.user_agent)


def _problem(
    hit: ReportedHit, dataset: NamedDataset | None, viewer: Viewer, now: datetime
) -> HitProblem | None:
    """The same words for an unknown, a hidden and a retired dataset: nothing is told of what is hidden."""
    if dataset is None:
        return HitProblem(
            hit.dataset_field,
            "no single dataset that you may see is called so",
            "Look it up in the catalogue and send its dataset_id.",
            "unknown",
        )
    may_import = is_importer(viewer, dataset.agency_id)
    if hit.is_foreign and not may_import:
        cure = "Leave visitor out to report your own use, or use a program's token with the scope hits."
        return HitProblem("visitor", "only importers report the use of others", cure, "forbidden")
    if hit.occurred_at is None:
        return None
    return moment_problem(hit.occurred_at, now=now, is_importer=may_import)


async def _accept(work: UnitOfWork, ports: UsagePorts, hits: Sequence[Hit], now: datetime) -> dict[UUID, Hit]:
    known = await ports.intake.known(work, {hit.hit_id for hit in hits})
    fresh: dict[UUID, Hit] = {}
    for hit in hits:
        if hit.hit_id not in known:
            fresh.setdefault(hit.hit_id, hit)
    await ports.intake.accept(work, fresh.keys(), now=now)
    for hit_id, hit in fresh.items():
        work.emit(HIT_RECORDED, HitRecorded(hit=hit), subject=str(hit_id), event_id=str(hit_id))
    return fresh


def _receipts(
    work: UnitOfWork,
    ports: UsagePorts,
    hits: Sequence[ReportedHit],
    problems: Sequence[HitProblem | None],
    ready: dict[int, Hit],
    accepted: dict[UUID, Hit],
) -> list[Receipt]:
    receipts = []
    not_taken: Counter[tuple[str, str]] = Counter()
    for reported, problem in zip(hits, problems, strict=True):
        if problem is not None:
            receipts.append(Receipt(HitResult.REJECTED, problem=problem))
            not_taken[reported.kind.value, "rejected"] += 1
            continue
        hit = ready[reported.position]
        # Twice in one request: the first is the hit, the second its repeat.
        is_first = accepted.get(hit.hit_id) is hit
        if not is_first:
            not_taken[reported.kind.value, "duplicate"] += 1
        receipts.append(Receipt(HitResult.ACCEPTED if is_first else HitResult.DUPLICATE, hit.hit_id))

    def meter() -> None:
        for (kind, result), count in not_taken.items():
            ports.meter.hits(kind, result, count)

    work.after_commit(meter)
    return receipts


async def tell_step(work: UnitOfWork, ports: UsagePorts, step: AlertStep) -> None:
    """Write a change of an alert and tell it; one that was opened before is told once."""
    version = await ports.alerts.put(work, step)
    if version is None:
        return
    subject = str(step.alert.alert_id)
    if step.change == "opened":
        work.emit(USAGE_ALERT_OPENED, AlertOpened(alert=step.alert), subject=subject, subjectversion=version)
    elif step.change == "resolved":
        work.emit(
            USAGE_ALERT_RESOLVED, AlertResolved(alert=step.alert), subject=subject, subjectversion=version
        )
    else:
        changed = AlertChanged(alert=step.alert, change=step.change)
        work.emit(USAGE_ALERT_CHANGED, changed, subject=subject, subjectversion=version)
    work.after_commit(lambda: ports.meter.alert(step.alert.kind, step.change))


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
