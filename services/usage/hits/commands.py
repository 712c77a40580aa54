"""Commands of hits: take in what people and programs used, each use once, and forget who it was in time."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from services.usage.counts.domain.clients import AccessMethod, ClientRules
from services.usage.hits.domain.reports import (
    HitProblem,
    HitResult,
    NamedDataset,
    Receipt,
    ReportedHit,
    is_importer,
    moment_problem,
)
from services.usage.hits.domain.visitors import bucket_of, derived_hit_id, visitor_hash
from services.usage.hits.repository import DatasetNames, HitRegistry
from shared.clock import Clock
from shared.events.registry import HIT_RECORDED
from shared.events.usage import Hit, HitRecorded
from shared.identity.viewer import Viewer
from shared.store.unit_of_work import UnitOfWork
from shared.telemetry.metrics import Metrics

__all__ = [
    "HitRecording",
    "forget_hits",
    "forget_salts",
    "record_hits",
    "refuse_hits",
    "remember_names",
]


@dataclass(frozen=True, slots=True)
class HitRecording:
    """What the commands of hits work with."""

    clock: Clock
    names: DatasetNames
    registry: HitRegistry
    clients: ClientRules
    metrics: Metrics


async def record_hits(
    work: UnitOfWork,
    recording: HitRecording,
    hits: Sequence[ReportedHit],
    *,
    viewer: Viewer,
    idempotency_key: str | None = None,
) -> list[Receipt]:
    """Accept what can be accepted, each hit once, and return a receipt per hit, in order.

    A hit without an id gets one from its content, its position and the key; a batch sent again is then
    recognized. A hit that names no time either is the same hit for the rest of its UTC day.
    """
    now = recording.clock.now()
    today = now.astimezone(UTC).date()
    datasets = await recording.names.find(work, viewer, {hit.dataset for hit in hits})
    problems = [_problem(hit, datasets.get(hit.dataset), viewer, now) for hit in hits]
    good = [hit for hit, problem in zip(hits, problems, strict=True) if problem is None]
    days = {_moment(hit, now).date() for hit in good}
    salts = await recording.registry.salts(work, days, today=today)
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
            access_method=_access_method(recording, hit),
            occurred_at=moment,
        )
    accepted = await _accept(work, recording, list(ready.values()), now)
    return _receipts(work, recording, hits, problems, ready, accepted)


async def remember_names(
    work: UnitOfWork, recording: HitRecording, names: Mapping[UUID, Collection[str]]
) -> None:
    """Replace the names by which hits may speak of these datasets; none means that it is gone."""
    await recording.names.remember(work, names)


def refuse_hits(work: UnitOfWork, recording: HitRecording, count: int) -> None:
    """Count hits that are no hits at all: their kind is not even known."""
    if count:
        work.after_commit(
            lambda: recording.metrics.count("nutmeg_usage_hits_total", count, kind="other", result="rejected")
        )


async def forget_salts(work: UnitOfWork, recording: HitRecording) -> int:
    """Delete the salts of the days that are over, and return how many: nobody can be told again then."""
    today = recording.clock.now().astimezone(UTC).date()
    return await recording.registry.forget_salts(work, today=today)


async def forget_hits(work: UnitOfWork, recording: HitRecording) -> int:
    """Delete the ids of hits that can no longer be sent again, and return how many."""
    kept = timedelta(days=HIT_RECORDED.topic.inbox_days)
    return await recording.registry.forget_hits(work, accepted_before=recording.clock.now() - kept)


def _moment(hit: ReportedHit, now: datetime) -> datetime:
    return (hit.occurred_at or now).astimezone(UTC)


def _access_method(recording: HitRecording, hit: ReportedHit) -> AccessMethod:
    if hit.traits.user_agent is None:
        return AccessMethod.REGULAR
    return recording.clients.access_method(hit.traits.user_agent)


def _problem(
    hit: ReportedHit, dataset: NamedDataset | None, viewer: Viewer, now: datetime
) -> HitProblem | None:
    """The same words for an unknown, a hidden and a retired dataset: nothing is told of what is hidden."""
    if dataset is None:
        return HitProblem(
            hit.dataset_field,
            "no single dataset that you may see is called so",
            "Look it up in the catalog and send its dataset_id.",
            "unknown",
        )
    may_import = is_importer(viewer, dataset.agency_id)
    if hit.is_foreign and not may_import:
        cure = "Leave visitor out to report your own use, or use a program's token with the scope hits."
        return HitProblem("visitor", "only importers report the use of others", cure, "forbidden")
    if hit.occurred_at is None:
        return None
    return moment_problem(hit.occurred_at, now=now, is_importer=may_import)


async def _accept(
    work: UnitOfWork, recording: HitRecording, hits: Sequence[Hit], now: datetime
) -> dict[UUID, Hit]:
    known = await recording.registry.known(work, {hit.hit_id for hit in hits})
    fresh: dict[UUID, Hit] = {}
    for hit in hits:
        if hit.hit_id not in known:
            fresh.setdefault(hit.hit_id, hit)
    await recording.registry.accept(work, fresh.keys(), now=now)
    for hit_id, hit in fresh.items():
        work.emit(HIT_RECORDED, HitRecorded(hit=hit), subject=str(hit_id), event_id=str(hit_id))
    return fresh


def _receipts(
    work: UnitOfWork,
    recording: HitRecording,
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

    def count_refused() -> None:
        for (kind, result), count in not_taken.items():
            recording.metrics.count("nutmeg_usage_hits_total", count, kind=kind, result=result)

    work.after_commit(count_refused)
    return receipts
