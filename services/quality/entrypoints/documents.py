"""What quality's API says, as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field, TypeAdapter

from services.quality.adapters.sql_reading import AgencySummary, AlertView, DatasetFacts, HistoryLine
from services.quality.domain.completeness import CriterionResult
from services.quality.domain.dimensions import DIMENSION_WORDS
from services.quality.domain.freshness import BusinessCalendar, Freshness
from services.quality.domain.profile import Profile
from services.quality.domain.rounds import Judgement, judge
from services.quality.domain.standing import FileStanding, Standing
from services.quality.domain.telling import measurements_of
from services.quality.ports import ProfileJob
from shared.events.model import PublicModel

__all__ = ["alert_document", "dataset_document", "job_document", "profile_document", "summary_document"]

_PROFILE = TypeAdapter(Profile)


class DimensionDocument(PublicModel):
    """One dimension of a profile's score."""

    dimension: str
    score: float | None = None
    reason: str
    applies: bool = True


class ValueDocument(PublicModel):
    """One value of a column, and how many rows hold it."""

    value: str
    rows: int


class ColumnDocument(PublicModel):
    """What the rows say about one column."""

    name: str
    type: str
    null_fraction: float | None = None
    minimum: str | None = None
    maximum: str | None = None
    distinct_estimate: int | None = None
    commonest: list[ValueDocument] = Field(default_factory=list)


class ProfileDocument(PublicModel):
    """What the API tells of a profile: an allow-list, as everything that leaves."""

    score: float | None = None
    status: str | None = None
    reason: str = ""
    dimensions: list[DimensionDocument] = Field(default_factory=list)
    row_count: int | None = None
    columns: list[ColumnDocument] = Field(default_factory=list)
    preview_header: list[str] = Field(default_factory=list)
    preview_rows: list[list[str]] = Field(default_factory=list)
    measured_at: datetime


class EvidenceDocument(PublicModel):
    """One observation that made or ended an alert."""

    name: str
    expected: str | None = None
    observed: str | None = None


class AlertDocument(PublicModel):
    """What the API tells the agency of an alert; who took it by id, which its inbox turns into a name."""

    alert_id: UUID
    dataset_id: UUID
    dataset_title: str
    agency_id: UUID | None = None
    kind: str
    severity: str
    state: str
    cause: str
    evidence: list[EvidenceDocument] = Field(default_factory=list)
    next_act: str
    occurrences: int = 1
    opened_at: datetime
    changed_at: datetime
    acknowledged_at: datetime | None = None
    acknowledged_by: UUID | None = None
    resolved_at: datetime | None = None


def dataset_document(
    facts: DatasetFacts,
    standing: Standing,
    file: FileStanding | None,
    *,
    job: ProfileJob | None,
    history: Sequence[HistoryLine],
    alerts: Sequence[AlertView] | None,
    now: datetime,
    calendar: BusinessCalendar,
) -> dict[str, Any]:
    """Return everything about one dataset's quality, judged now. ``alerts`` None: not for this viewer."""
    judgement = judge(standing, file, now, calendar)
    profile = next(
        (one for one in measurements_of(standing, file, judgement, now) if one.kind == "profile"), None
    )
    document: dict[str, Any] = {
        "dataset_id": str(facts.dataset_id),
        "title": facts.title,
        "agency_id": None if facts.agency_id is None else str(facts.agency_id),
        "agency_name": facts.agency_name,
        "overall": {"score": judgement.score.overall, "grade": judgement.score.words},
        "dimensions": [
            {**asdict(one), "question": DIMENSION_WORDS[one.dimension]} for one in judgement.score.dimensions
        ],
        "metadata": _metadata_document(judgement),
        "freshness": _freshness_document(judgement.freshness),
        "profile": None
        if profile is None
        else ProfileDocument.model_validate(profile).model_dump(mode="json"),
        "job": None if job is None else job_document(job),
        "history": [asdict(line) for line in history],
    }
    if alerts is not None:
        document["alerts"] = [alert_document(one) for one in alerts]
    return document


def alert_document(view: AlertView) -> dict[str, Any]:
    """Return one alert."""
    return {
        **AlertDocument.model_validate(view.state).model_dump(mode="json"),
        "version": view.version,
        "is_flapping": view.is_flapping,
        "_links": {"dataset": f"/api/v1/quality/datasets/{view.state.dataset_id}"},
    }


def job_document(job: ProfileJob) -> dict[str, Any]:
    """Return how the look into the data file is going. Its address is the record's own."""
    return {
        "state": job.state,
        "reason": job.reason,
        "url": job.url,
        "attempts": job.attempts,
        "requested_at": job.requested_at,
        "next_attempt_at": job.next_attempt_at,
        "finished_at": job.finished_at,
    }


def profile_document(profile: Profile) -> dict[str, Any]:
    """Return a whole profile, examples and preview included: for whoever brought the file.

    Text has no minimum and maximum here either: what comes first in the alphabet says nothing.
    """
    document: dict[str, Any] = _PROFILE.dump_python(profile, mode="json")
    for column, shown in zip(profile.columns, document["columns"], strict=True):
        shown["minimum"], shown["maximum"] = column.span
    return document


def summary_document(agencies: Sequence[AgencySummary]) -> dict[str, Any]:
    """Return the counts of all agencies, and of each."""
    freshness: dict[str, int] = {}
    for one in agencies:
        for status, count in one.freshness.items():
            freshness[status] = freshness.get(status, 0) + count
    return {
        "datasets": sum(one.datasets for one in agencies),
        "freshness": freshness,
        "agencies": [
            {
                "agency_id": None if one.agency_id is None else str(one.agency_id),
                "agency_name": one.agency_name,
                "datasets": one.datasets,
                "freshness": one.freshness,
                "mean_completeness": one.scores.get("metadata"),
                "mean_overall": one.scores.get("overall"),
                **({} if one.open_alerts is None else {"open_alerts": one.open_alerts}),
            }
            for one in agencies
        ],
    }


def _metadata_document(judgement: Judgement) -> dict[str, Any]:
    return {
        "score": judgement.completeness.score,
        "criteria": [_criterion_document(one) for one in judgement.completeness.results],
    }


def _criterion_document(one: CriterionResult) -> dict[str, Any]:
    return {
        "criterion": one.criterion_id,
        "words": one.words,
        "dimension": one.dimension,
        "passed": one.passed,
        "cure": one.cure,
    }


def _freshness_document(freshness: Freshness) -> dict[str, Any]:
    return {
        "status": freshness.status,
        "reason": freshness.reason,
        "due_at": freshness.due_at,
        "late_at": freshness.late_at,
        "stale_at": freshness.stale_at,
        "next_check_at": freshness.next_check_at,
        "learned_days": None
        if freshness.learned is None
        else round(freshness.learned.period.total_seconds() / 86_400, 2),
        "claim_note": freshness.claim_note,
    }
