"""What quality's API says, as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from pydantic import Field

from services.quality.alerts.reader import QualityAlertView, alert_document
from services.quality.evaluation.domain.completeness import CriterionResult
from services.quality.evaluation.domain.dataset_quality import DatasetQuality, FileBaseline
from services.quality.evaluation.domain.dimensions import DIMENSION_WORDS
from services.quality.evaluation.domain.evaluation import Judgment, judge
from services.quality.evaluation.domain.freshness import BusinessCalendar, FreshnessJudgment
from services.quality.evaluation.domain.payloads import measurements_of
from services.quality.evaluation.reader import AgencySummary, DatasetFacts, HistoryLine
from services.quality.profiling.domain.jobs import ProfileJob
from shared.events.model import PublicModel

__all__ = ["ProfileDocument", "dataset_document", "job_document", "summary_document"]


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


def dataset_document(
    facts: DatasetFacts,
    quality: DatasetQuality,
    file: FileBaseline | None,
    *,
    job: ProfileJob | None,
    history: Sequence[HistoryLine],
    alerts: Sequence[QualityAlertView] | None,
    now: datetime,
    calendar: BusinessCalendar,
) -> dict[str, Any]:
    """Return everything about one dataset's quality, judged now. ``alerts`` None: not for this viewer."""
    judgment = judge(quality, file, now, calendar)
    profile = next(
        (one for one in measurements_of(quality, file, judgment, now) if one.kind == "profile"), None
    )
    document: dict[str, Any] = {
        "dataset_id": str(facts.dataset_id),
        "title": facts.title,
        "agency_id": None if facts.agency_id is None else str(facts.agency_id),
        "agency_name": facts.agency_name,
        "overall": {"score": judgment.score.overall, "grade": judgment.score.words},
        "dimensions": [
            {**asdict(one), "question": DIMENSION_WORDS[one.dimension]} for one in judgment.score.dimensions
        ],
        "metadata": _metadata_document(judgment),
        "freshness": _freshness_document(judgment.freshness),
        "profile": None
        if profile is None
        else ProfileDocument.model_validate(profile).model_dump(mode="json"),
        "job": None if job is None else job_document(job),
        "history": [asdict(line) for line in history],
    }
    if alerts is not None:
        document["alerts"] = [alert_document(one) for one in alerts]
    return document


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


def _metadata_document(judgment: Judgment) -> dict[str, Any]:
    return {
        "score": judgment.completeness.score,
        "criteria": [_criterion_document(one) for one in judgment.completeness.results],
    }


def _criterion_document(one: CriterionResult) -> dict[str, Any]:
    return {
        "criterion": one.criterion_id,
        "words": one.words,
        "dimension": one.dimension,
        "passed": one.passed,
        "cure": one.cure,
    }


def _freshness_document(freshness: FreshnessJudgment) -> dict[str, Any]:
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
