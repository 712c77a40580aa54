from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from services.quality.alerts.domain.findings import Finding, FindingEvidence, joined
from services.quality.evaluation.domain.baseline import BaselineMeasurement, summarize_baseline
from services.quality.evaluation.domain.completeness import judge_completeness
from services.quality.evaluation.domain.dimensions import DIMENSION_WORDS
from services.quality.evaluation.domain.freshness import FreshnessStatus, judge_freshness
from services.quality.evaluation.domain.scores import (
    DIMENSION_WEIGHTS,
    ScoreInputs,
    grade_words,
    score_quality,
)
from shared.datasets.frequency import Cadence
from shared.events.catalog import DatasetState
from tests.unit.quality.profiles import column, profile

NOW = datetime(2026, 1, 15, tzinfo=UTC)
WEEKLY = Cadence(timedelta(days=7), "periodic")
RECORD = DatasetState(
    dataset_id=UUID(int=1),
    source_id="s",
    identifier="i",
    title="t",
    keywords=["a", "b", "c"],
    registered_at=NOW,
    metadata_changed_at=NOW,
)


def scores(measurements: ScoreInputs) -> dict[str, float | None]:
    return {one.dimension: one.score for one in score_quality(measurements).dimensions}


def test_what_was_not_measured_has_no_score_and_is_not_zero() -> None:
    quality = score_quality(ScoreInputs())
    assert quality.overall is None
    assert quality.words == "not measured"
    assert [one.score for one in quality.dimensions] == [None] * len(DIMENSION_WORDS)


@pytest.mark.parametrize(("age_days", "score"), [(3, 1.0), (10, 0.5), (30, 0.0)])
def test_currentness_follows_freshness(age_days: int, score: float) -> None:
    freshness = judge_freshness(NOW - timedelta(days=age_days), WEEKLY, NOW)
    quality = score_quality(ScoreInputs(freshness=freshness))
    assert scores(ScoreInputs(freshness=freshness))["currentness"] == score
    assert quality.overall == score


def test_data_that_promises_nothing_has_no_currentness() -> None:
    freshness = judge_freshness(NOW, Cadence(None, "historical"), NOW)
    assert scores(ScoreInputs(freshness=freshness))["currentness"] is None


def test_empty_cells_lower_completeness_and_unreadable_rows_lower_consistency() -> None:
    half = profile(column("a", null_count=500), column("b"), rows=1000, rejected_row_count=250)
    measured = scores(ScoreInputs(profile=half))
    assert measured["completeness"] == 0.75
    assert measured["consistency"] == 0.8


def test_columns_not_as_declared_lower_consistency() -> None:
    finding = Finding("dictionary-broken", "warning", "c", "n", (FindingEvidence("x", "a", "b"),))
    wrong = ScoreInputs(dictionary_findings=[finding], dictionary_column_count=4)
    assert scores(wrong)["consistency"] == 0.75
    right = ScoreInputs(dictionary_findings=[], dictionary_column_count=4)
    assert scores(right)["consistency"] == 1.0


def test_data_that_cannot_be_fetched_is_not_accessible_whatever_its_record_says() -> None:
    metadata = judge_completeness(RECORD)
    assert scores(ScoreInputs(metadata=metadata, link_works=False))["accessibility"] == 0.0
    assert scores(ScoreInputs(link_works=True))["accessibility"] == 1.0


def test_the_overall_score_is_the_weighted_mean_of_what_was_measured() -> None:
    stale = judge_freshness(NOW - timedelta(days=90), WEEKLY, NOW)
    quality = score_quality(ScoreInputs(freshness=stale, link_works=True))
    expected = DIMENSION_WEIGHTS["accessibility"] / (
        DIMENSION_WEIGHTS["accessibility"] + DIMENSION_WEIGHTS["currentness"]
    )
    assert quality.overall == pytest.approx(expected)


def test_each_metadata_dimension_says_what_is_not_met() -> None:
    quality = score_quality(ScoreInputs(metadata=judge_completeness(RECORD)))
    compliance = next(one for one in quality.dimensions if one.dimension == "compliance")
    assert compliance.score == 0.0
    assert "licence" in compliance.reason


@pytest.mark.parametrize(
    ("score", "words"),
    [(1.0, "very good"), (0.75, "good"), (0.5, "needs work"), (0.0, "poor"), (None, "not measured")],
)
def test_grades_have_words(score: float | None, words: str) -> None:
    assert grade_words(score) == words


def first_look(
    number: int, status: FreshnessStatus, score: float = 0.5, steward: int | None = 1, agency: int = 9
) -> BaselineMeasurement:
    return BaselineMeasurement(
        dataset_id=UUID(int=number),
        title=f"Dataset {number:03}",
        steward_id=None if steward is None else UUID(int=steward),
        agency_id=UUID(int=agency),
        freshness_status=status,
        freshness_reason="updated 40 days ago; promised every week",
        completeness_score=score,
        cures=("Add keywords.",) if score < 1 else (),
    )


def test_three_hundred_first_measurements_are_one_summary_per_steward() -> None:
    looks = [first_look(n, "stale" if n % 3 == 0 else "ok", steward=n % 2 + 1) for n in range(300)]
    *summaries, overview = summarize_baseline(looks)
    assert [summary.datasets for summary in summaries] == [150, 150]
    assert (overview.steward_id, overview.datasets, len(overview.agencies)) == (None, 300, 1)
    assert sum(summary.stale for summary in summaries) == 100
    assert sum(summary.fresh for summary in summaries) == 200
    assert all(len(summary.worst) == 10 for summary in summaries)
    assert summaries[0].next_act.startswith("Begin with the 50 stale datasets")


def test_the_worst_are_stale_ones_first_then_the_poorest_descriptions() -> None:
    looks = [
        first_look(1, "ok", 0.2),
        first_look(2, "stale", 0.9),
        first_look(3, "late", 0.9),
        first_look(4, "ok", 1.0),
    ]
    summary, _ = summarize_baseline(looks)
    assert [worst.title for worst in summary.worst] == ["Dataset 002", "Dataset 003", "Dataset 001"]
    assert summary.worst[0].reason == "stale: updated 40 days ago; promised every week"
    assert summary.worst[2].reason == "description 20% complete. Add keywords."
    assert summary.mean_completeness == pytest.approx(0.75)


def test_those_who_answer_for_agencies_get_one_summary_with_a_line_for_each() -> None:
    looks = [
        first_look(n, "stale" if n == 3 else "ok", steward=None if n < 2 else 1, agency=n % 2)
        for n in range(4)
    ]
    *_, overview = summarize_baseline(looks)
    assert (overview.steward_id, overview.agency_id, overview.datasets) == (None, None, 4)
    found = [(one.agency_id, one.datasets, one.stale, one.without_steward) for one in overview.agencies]
    assert found == [(UUID(int=0), 2, 0, 1), (UUID(int=1), 2, 1, 1)]


def test_without_stale_data_the_commonest_gap_comes_first_and_without_gaps_nothing() -> None:
    gaps, _ = summarize_baseline([first_look(1, "ok"), first_look(2, "ok")])
    assert gaps.next_act == "Begin with what is missing in 2 datasets: Add keywords."
    fine, _ = summarize_baseline([first_look(1, "ok", 1.0)])
    assert fine.next_act == "Nothing needs to be done now."
    assert fine.worst == ()
    assert summarize_baseline([]) == ()


def test_lists_of_names_are_words() -> None:
    assert joined([]) == ""
    assert joined(["a"]) == "a"
    assert joined(["a", "b", "c"]) == "a, b and c"
    assert joined([str(n) for n in range(9)]) == "0, 1, 2, 3, 4 and 4 more"
