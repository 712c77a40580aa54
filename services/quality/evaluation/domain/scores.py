"""Scores in the dimensions of ISO/IEC 25012, as ratios from 0 to 1 (ISO/IEC 25024).

What was not measured is None, never 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from services.quality.alerts.domain.findings import Finding, counted
from services.quality.evaluation.domain.completeness import CompletenessReport
from services.quality.evaluation.domain.dimensions import Dimension
from services.quality.evaluation.domain.freshness import FreshnessJudgment, FreshnessStatus
from services.quality.profiling.domain.profile import Profile

DIMENSION_WEIGHTS: dict[Dimension, float] = {
    "completeness": 1.0,
    "currentness": 1.5,
    "consistency": 1.0,
    "accessibility": 1.0,
    "understandability": 1.0,
    "compliance": 1.0,
}

_CURRENTNESS: dict[FreshnessStatus, float] = {"ok": 1.0, "late": 0.5, "stale": 0.0}

_GRADES = ((0.9, "very good"), (0.75, "good"), (0.5, "needs work"), (0.0, "poor"))


@dataclass(frozen=True, slots=True)
class ScoreInputs:
    """All that is known of one dataset at the moment; None means that it was not measured.

    ``dictionary_findings`` are those of ``compare_with_dictionary``, None when there was no dictionary to
    compare. ``link_works`` tells whether the data could be fetched.
    """

    metadata: CompletenessReport | None = None
    freshness: FreshnessJudgment | None = None
    profile: Profile | None = None
    dictionary_findings: Sequence[Finding] | None = None
    dictionary_column_count: int = 0
    link_works: bool | None = None


@dataclass(frozen=True, slots=True)
class ScoredDimension:
    """One dimension, with the reason in words. ``applies`` is false where it is not asked of the record."""

    dimension: Dimension
    score: float | None
    reason: str
    applies: bool = True


@dataclass(frozen=True, slots=True)
class QualityScore:
    """``overall`` is the weighted mean of the dimensions that were measured; None when none was."""

    overall: float | None
    dimensions: tuple[ScoredDimension, ...]

    @property
    def words(self) -> str:
        """The overall score as a grade in words."""
        return grade_words(self.overall)


def score_quality(measurements: ScoreInputs) -> QualityScore:
    """Score every dimension, in a fixed order, and the whole."""
    dimensions = (
        _completeness(measurements),
        _currentness(measurements.freshness),
        _consistency(measurements),
        _accessibility(measurements),
        _metadata_only("understandability", measurements.metadata),
        _metadata_only("compliance", measurements.metadata),
    )
    measured = [(one.score, DIMENSION_WEIGHTS[one.dimension]) for one in dimensions if one.score is not None]
    weight = sum(weight for _, weight in measured)
    overall = sum(score * weight for score, weight in measured) / weight if weight else None
    return QualityScore(overall=overall, dimensions=dimensions)


def grade_words(score: float | None) -> str:
    """``very good`` from 0.9, ``good`` from 0.75, ``needs work`` from 0.5, else ``poor``."""
    if score is None:
        return "not measured"
    return next(words for lowest, words in _GRADES if score >= lowest)


def _completeness(measurements: ScoreInputs) -> ScoredDimension:
    parts: list[tuple[float, str]] = []
    metadata = measurements.metadata.score_in("completeness") if measurements.metadata else None
    if metadata is not None:
        parts.append((metadata, f"{metadata:.0%} of the descriptive fields are filled in"))
    filled = measurements.profile.filled_rate if measurements.profile else None
    if filled is not None:
        parts.append((filled, f"{filled:.0%} of the cells hold a value"))
    return _mean_of("completeness", parts)


def _currentness(freshness: FreshnessJudgment | None) -> ScoredDimension:
    if freshness is None:
        return ScoredDimension("currentness", None, "not measured")
    return ScoredDimension("currentness", _CURRENTNESS.get(freshness.status), freshness.reason)


def _consistency(measurements: ScoreInputs) -> ScoredDimension:
    parts: list[tuple[float, str]] = []
    profile = measurements.profile
    if profile is not None and profile.row_count + profile.rejected_row_count > 0:
        rows = profile.row_count + profile.rejected_row_count
        readable = profile.row_count / rows
        words = (
            "every row has the right number of cells"
            if profile.rejected_row_count == 0
            else f"{counted(profile.rejected_row_count, 'row')} cannot be read"
        )
        parts.append((readable, words))
    if measurements.dictionary_findings is not None and measurements.dictionary_column_count > 0:
        wrong = sum(len(finding.evidence) for finding in measurements.dictionary_findings)
        agreeing = max(0.0, 1.0 - wrong / measurements.dictionary_column_count)
        words = (
            "the columns are as declared"
            if wrong == 0
            else f"{counted(wrong, 'column')} not as declared in the data dictionary"
        )
        parts.append((agreeing, words))
    return _mean_of("consistency", parts)


def _accessibility(measurements: ScoreInputs) -> ScoredDimension:
    parts: list[tuple[float, str]] = []
    metadata = measurements.metadata.score_in("accessibility") if measurements.metadata else None
    if measurements.metadata is not None and metadata is None:
        return ScoredDimension("accessibility", None, "not applicable: this is not public", applies=False)
    if metadata is not None:
        parts.append((metadata, f"{metadata:.0%} of what makes data easy to get is there"))
    if measurements.link_works is False:
        return ScoredDimension("accessibility", 0.0, "the data cannot be fetched from its address")
    if measurements.link_works:
        parts.append((1.0, "the data can be fetched"))
    return _mean_of("accessibility", parts)


def _metadata_only(dimension: Dimension, metadata: CompletenessReport | None) -> ScoredDimension:
    score = metadata.score_in(dimension) if metadata is not None else None
    if metadata is None or score is None:
        return ScoredDimension(dimension, None, "not measured")
    unmet = [one.words for one in metadata.unmet if one.dimension == dimension]
    return ScoredDimension(
        dimension, score, f"not met: {'; '.join(unmet)}" if unmet else "all criteria are met"
    )


def _mean_of(dimension: Dimension, parts: list[tuple[float, str]]) -> ScoredDimension:
    if not parts:
        return ScoredDimension(dimension, None, "not measured")
    score = sum(part for part, _ in parts) / len(parts)
    return ScoredDimension(dimension, score, "; ".join(words for _, words in parts))
