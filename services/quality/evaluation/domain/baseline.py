"""The first look at many datasets: one summary for each steward, and one for all who answer for agencies."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from services.quality.alerts.domain.findings import counted
from services.quality.evaluation.domain.freshness import FreshnessStatus

WORST_MAX = 10

_FRESHNESS_RANK: dict[FreshnessStatus, int] = {
    "stale": 0,
    "late": 1,
    "not-known": 2,
    "ok": 3,
    "not-applicable": 3,
}


@dataclass(frozen=True, slots=True)
class BaselineMeasurement:
    """The first measurement of one dataset. ``cures`` are those of the unmet criteria, the heaviest first."""

    dataset_id: UUID
    title: str
    steward_id: UUID | None
    agency_id: UUID | None
    freshness_status: FreshnessStatus
    freshness_reason: str
    completeness_score: float
    cures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WorstDataset:
    """One dataset worth a first look, and why."""

    dataset_id: UUID
    title: str
    reason: str


@dataclass(frozen=True, slots=True)
class AgencyBaseline:
    """What was found of one agency's datasets; ``agency_id`` is None where the publisher is not known."""

    agency_id: UUID | None
    datasets: int
    fresh: int
    late: int
    stale: int
    not_applicable: int
    without_steward: int
    mean_completeness: float


@dataclass(frozen=True, slots=True)
class BaselineSummary:
    """What one steward finds at the start; with ``agencies`` what those find who answer for agencies."""

    steward_id: UUID | None
    agency_id: UUID | None
    datasets: int
    fresh: int
    late: int
    stale: int
    not_known: int
    not_applicable: int
    mean_completeness: float
    worst: tuple[WorstDataset, ...]
    next_act: str
    agencies: tuple[AgencyBaseline, ...] = ()


def summarize_baseline(measurements: Iterable[BaselineMeasurement]) -> tuple[BaselineSummary, ...]:
    """One summary per steward in a stable order, then one of all datasets with a line for each agency."""
    everything = list(measurements)
    if not everything:
        return ()
    stewards: dict[UUID, list[BaselineMeasurement]] = {}
    agencies: dict[UUID | None, list[BaselineMeasurement]] = {}
    for one in everything:
        agencies.setdefault(one.agency_id, []).append(one)
        if one.steward_id is not None:
            stewards.setdefault(one.steward_id, []).append(one)
    for_stewards = [
        _summary(members) for _, members in sorted(stewards.items(), key=lambda item: str(item[0]))
    ]
    lines = [_agency_line(*item) for item in sorted(agencies.items(), key=lambda item: str(item[0]))]
    overview = replace(_summary(everything), steward_id=None, agencies=tuple(lines))
    return (*for_stewards, overview)


def _agency_line(agency_id: UUID | None, members: list[BaselineMeasurement]) -> AgencyBaseline:
    statuses = Counter(one.freshness_status for one in members)
    return AgencyBaseline(
        agency_id=agency_id,
        datasets=len(members),
        fresh=statuses["ok"],
        late=statuses["late"],
        stale=statuses["stale"],
        not_applicable=statuses["not-applicable"],
        without_steward=sum(1 for one in members if one.steward_id is None),
        mean_completeness=sum(one.completeness_score for one in members) / len(members),
    )


def _summary(members: list[BaselineMeasurement]) -> BaselineSummary:
    statuses = Counter(one.freshness_status for one in members)
    ranked = sorted(
        members, key=lambda one: (_FRESHNESS_RANK[one.freshness_status], one.completeness_score, one.title)
    )
    needing = [one for one in ranked if _FRESHNESS_RANK[one.freshness_status] < 2 or one.cures]
    return BaselineSummary(
        steward_id=members[0].steward_id,
        agency_id=_only_agency(members),
        datasets=len(members),
        fresh=statuses["ok"],
        late=statuses["late"],
        stale=statuses["stale"],
        not_known=statuses["not-known"],
        not_applicable=statuses["not-applicable"],
        mean_completeness=sum(one.completeness_score for one in members) / len(members),
        worst=tuple(WorstDataset(one.dataset_id, one.title, _reason(one)) for one in needing[:WORST_MAX]),
        next_act=_next_act(members, statuses),
    )


def _only_agency(members: list[BaselineMeasurement]) -> UUID | None:
    agencies = {one.agency_id for one in members}
    return agencies.pop() if len(agencies) == 1 else None


def _reason(one: BaselineMeasurement) -> str:
    if _FRESHNESS_RANK[one.freshness_status] < 2 or not one.cures:
        return f"{one.freshness_status}: {one.freshness_reason}"
    return f"description {one.completeness_score:.0%} complete. {one.cures[0]}"


def _next_act(members: list[BaselineMeasurement], statuses: Counter[FreshnessStatus]) -> str:
    """The act that helps the most datasets: stale data first, then the commonest gap in the descriptions."""
    if statuses["stale"]:
        return (
            f"Begin with the {counted(statuses['stale'], 'stale dataset')}: publish the update, or correct "
            "the declared update frequency."
        )
    cures = Counter(cure for one in members for cure in one.cures)
    if cures:
        cure, count = max(cures.items(), key=lambda item: (item[1], item[0]))
        return f"Begin with what is missing in {counted(count, 'dataset')}: {cure}"
    return "Nothing needs to be done now."


@dataclass(frozen=True, slots=True)
class FirstHarvest:
    """A first harvest that is over, and not summarized yet."""

    harvest_id: UUID
    datasets: int
    completed_at: datetime
