"""The payloads of quality's events, made of its own types."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

from services.quality.alerts.domain.findings import counted
from services.quality.evaluation.domain.baseline import BaselineMeasurement, BaselineSummary
from services.quality.evaluation.domain.dataset_quality import DatasetQuality, FileBaseline
from services.quality.evaluation.domain.evaluation import Judgment, judge
from services.quality.evaluation.domain.freshness import BusinessCalendar, dated_reason
from services.quality.evaluation.domain.publishing import publishable_values
from services.quality.profiling.domain.profile import Profile
from shared.events.quality import (
    AgencySummaryLine,
    BaselineSummarised,
    ColumnProfiled,
    DimensionScore,
    Measurement,
    SummaryLine,
    ValueCount,
)

PROFILE_BYTES_MAX = 512 * 1024
"""A profile told in an event is cut to this: first its preview goes, then columns from the end."""

MEASUREMENT_KINDS = ("metadata", "freshness", "overall", "profile")


@dataclass(frozen=True, slots=True)
class RecordedMeasurement:
    """The latest measurement of one kind; None once it was withdrawn. ``version`` never falls."""

    measurement: Measurement | None
    version: int


def measurements_of(
    quality: DatasetQuality, file: FileBaseline | None, judgment: Judgment, now: datetime
) -> list[Measurement]:
    """Return what can be told of the dataset: one measurement per kind, ``profile`` where there is one."""
    dataset_id = quality.dataset.dataset_id
    scores = {one.dimension: one.score for one in judgment.score.dimensions}
    told = [
        Measurement(
            dataset_id=dataset_id,
            kind="metadata",
            score=_rounded(judgment.completeness.score),
            reason=_completeness_words(judgment),
            measured_at=now,
        ),
        Measurement(
            dataset_id=dataset_id,
            kind="freshness",
            score=scores.get("currentness"),
            status=judgment.freshness.status,
            reason=dated_reason(judgment.freshness, quality.dataset.data_updated_at),
            measured_at=now,
        ),
        Measurement(
            dataset_id=dataset_id,
            kind="overall",
            score=_rounded(judgment.score.overall),
            reason=judgment.score.words,
            dimensions=[
                DimensionScore(
                    dimension=one.dimension,
                    score=_rounded(one.score),
                    reason=one.reason,
                    applies=one.applies,
                )
                for one in judgment.score.dimensions
            ],
            measured_at=now,
        ),
    ]
    if file is not None and file.latest is not None:
        told.append(_profile_measurement(quality, file.latest))
    return told


def is_news(before: Measurement | None, after: Measurement) -> bool:
    """True when anything but the time of measuring differs."""
    return before is None or before.model_copy(update={"measured_at": after.measured_at}) != after


def baseline_measurement(
    quality: DatasetQuality, file: FileBaseline | None, now: datetime, calendar: BusinessCalendar
) -> BaselineMeasurement:
    """Return what a summary needs to know of one dataset."""
    judgment = judge(quality, file, now, calendar)
    return BaselineMeasurement(
        dataset_id=quality.dataset.dataset_id,
        title=quality.dataset.title,
        steward_id=quality.dataset.steward_id,
        agency_id=quality.dataset.agency_id,
        freshness_status=judgment.freshness.status,
        freshness_reason=dated_reason(judgment.freshness, quality.dataset.data_updated_at),
        completeness_score=judgment.completeness.score,
        cures=tuple(one.cure for one in judgment.completeness.unmet if one.cure),
    )


def baseline_notice(harvest_id: UUID, summary: BaselineSummary) -> BaselineSummarised:
    """Return one summary as it is told. Its id follows from the harvest and whom it is for."""
    whom = "agencies" if summary.agencies else summary.steward_id
    return BaselineSummarised(
        notice_id=uuid5(harvest_id, f"baseline/{whom}"),
        steward_id=summary.steward_id,
        agency_id=summary.agency_id,
        datasets=summary.datasets,
        fresh=summary.fresh,
        late=summary.late,
        stale=summary.stale,
        not_applicable=summary.not_applicable,
        mean_completeness=_rounded(summary.mean_completeness),
        worst=[
            SummaryLine(dataset_id=one.dataset_id, title=one.title, reason=one.reason)
            for one in summary.worst
        ],
        next_act=summary.next_act,
        agencies=[
            AgencySummaryLine(
                agency_id=one.agency_id,
                datasets=one.datasets,
                fresh=one.fresh,
                late=one.late,
                stale=one.stale,
                not_applicable=one.not_applicable,
                without_steward=one.without_steward,
                mean_completeness=_rounded(one.mean_completeness),
            )
            for one in summary.agencies
        ],
    )


def _completeness_words(judgment: Judgment) -> str:
    report = judgment.completeness
    asked = sum(1 for one in report.results if one.passed is not None)
    met = sum(1 for one in report.results if one.passed)
    words = f"{met} of {counted(asked, 'criterion', 'criteria')} met"
    return f"{words}. {report.unmet[0].cure}" if report.unmet else f"{words}."


def _profile_measurement(quality: DatasetQuality, profile: Profile) -> Measurement:
    """Values of the rows are told only of data that everyone may have."""
    is_open = quality.holds_public_data
    sampled = f", measured over the first {profile.measured_row_count:,}" if profile.sampled else ""
    told = Measurement(
        dataset_id=quality.dataset.dataset_id,
        kind="profile",
        score=_rounded(profile.filled_rate),
        reason=f"{counted(profile.row_count, 'row')} in {counted(profile.column_count, 'column')}{sampled}",
        row_count=profile.row_count,
        columns=[
            ColumnProfiled(
                name=column.name,
                type=column.type,
                null_fraction=_rounded(profile.empty_rate(column)),
                minimum=column.span[0] if is_open else None,
                maximum=column.span[1] if is_open else None,
                distinct_estimate=column.distinct_estimate,
                commonest=[
                    ValueCount(value=one.value, rows=one.rows)
                    for one in (publishable_values(column) if is_open else ())
                ],
            )
            for column in profile.columns
        ],
        preview_header=[column.name for column in profile.columns[: _preview_width(profile)]]
        if is_open
        else [],
        preview_rows=[[cell or "" for cell in row] for row in profile.preview] if is_open else [],
        measured_at=profile.profiled_at,
    )
    return _bounded(told)


def _preview_width(profile: Profile) -> int:
    return max((len(row) for row in profile.preview), default=len(profile.columns))


def _bounded(told: Measurement) -> Measurement:
    if _size_bytes(told) > PROFILE_BYTES_MAX:
        told = told.model_copy(update={"preview_header": [], "preview_rows": []})
    while _size_bytes(told) > PROFILE_BYTES_MAX:
        told = told.model_copy(update={"columns": told.columns[: len(told.columns) // 2]})
    return told


def _size_bytes(told: Measurement) -> int:
    return len(told.model_dump_json().encode())


def _rounded(score: float | None) -> float | None:
    """Four digits: enough to compare, and the same after every way through JSON."""
    return None if score is None else round(score, 4)
