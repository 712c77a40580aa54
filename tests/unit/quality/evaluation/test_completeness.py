from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from services.quality.evaluation.domain.completeness import (
    CRITERIA,
    completeness_findings,
    is_open_distribution,
    is_uri,
    judge_completeness,
)
from services.quality.evaluation.domain.scores import ScoreInputs, score_quality
from shared.events.catalog import Column, DatasetState, Distribution

NOW = datetime(2026, 1, 15, tzinfo=UTC)

FULL: dict[str, Any] = {
    "dataset_id": UUID(int=1),
    "source_id": "sample",
    "identifier": "lead-screening",
    "title": "Lead screening by town",
    "description": "Yearly counts of children under six screened for lead, by town; one row is one town "
    "and year. Counts below six are left out.",
    "keywords": ["lead", "children", "health"],
    "themes": ["Health"],
    "agency_id": UUID(int=2),
    "contact_email": "data@example.gov",
    "license": "https://creativecommons.org/publicdomain/zero/1.0/",
    "landing_page": "https://example.gov/lead",
    "data_updated_at": NOW,
    "accrual_periodicity": "R/P1Y",
    "temporal": "2015-01-01/2024-12-31",
    "spatial": "Connecticut, by town",
    "distributions": [
        Distribution(download_url="https://example.gov/lead.csv", media_type="text/csv", format="CSV")
    ],
    "columns": [
        Column(name="town", description="Name of the town"),
        Column(name="n", description="Children"),
    ],
    "registered_at": NOW,
    "metadata_changed_at": NOW,
}


def dataset(**changes: Any) -> DatasetState:
    return DatasetState(**{**FULL, **changes})


BARE = DatasetState(
    dataset_id=UUID(int=3),
    source_id="sample",
    identifier="x",
    title="x",
    registered_at=NOW,
    metadata_changed_at=NOW,
)


def failed(state: DatasetState) -> set[str]:
    return {one.criterion_id for one in judge_completeness(state).unmet}


def test_a_full_record_meets_every_criterion_that_applies() -> None:
    report = judge_completeness(dataset())
    assert report.score == 1.0
    assert report.unmet == ()


def test_a_bare_record_scores_zero_and_every_gap_comes_with_its_cure() -> None:
    report = judge_completeness(BARE)
    assert report.score == 0.0
    assert all(one.cure for one in report.unmet)
    weights = [one.weight for one in report.unmet]
    assert weights == sorted(weights, reverse=True)


@pytest.mark.parametrize(
    ("changes", "criterion_id"),
    [
        ({"description": "Lead."}, "description"),
        ({"description": FULL["title"]}, "description"),
        ({"keywords": ["lead", "LEAD ", "lead"]}, "keywords"),
        ({"themes": [" "]}, "theme"),
        ({"license": "Public Domain"}, "license"),
        ({"contact_email": "ask the front desk"}, "contact"),
        ({"accrual_periodicity": None}, "cadence"),
        ({"accrual_periodicity": "when the moon is full"}, "cadence"),
        ({"columns": [Column(name="a"), Column(name="b", description="b")]}, "columns-documented"),
        ({"columns": [], "described_by": None}, "columns-documented"),
        ({"distributions": []}, "distribution"),
        ({"distributions": [Distribution(access_url="https://example.gov/x", format="PDF")]}, "open-format"),
        ({"temporal": None}, "temporal"),
        ({"spatial": ""}, "spatial"),
        ({"agency_id": None}, "publisher"),
        ({"landing_page": "see the web"}, "landing-page"),
        ({"data_updated_at": None, "modified": None}, "updated"),
    ],
)
def test_each_gap_fails_its_own_criterion(changes: dict[str, Any], criterion_id: str) -> None:
    assert criterion_id in failed(dataset(**changes))


def test_restricted_data_is_asked_for_its_reason_and_not_for_a_download() -> None:
    restricted = dataset(access_level="non-public", distributions=[], license=None, rights=None)
    assert failed(restricted) == {"rights"}
    explained = dataset(access_level="non-public", distributions=[], license=None, rights="HIPAA")
    assert judge_completeness(explained).score == 1.0


def test_the_address_of_a_dictionary_explains_no_column() -> None:
    assert "columns-documented" in failed(dataset(columns=[], described_by="https://example.gov/dict.json"))


@pytest.mark.parametrize("closed", [{"access_level": "non-public"}, {"visibility": "government"}])
@pytest.mark.parametrize("landing_page", [None, "https://example.gov/lead"])
def test_what_is_not_public_is_not_graded_for_access(
    closed: dict[str, Any], landing_page: str | None
) -> None:
    report = judge_completeness(
        dataset(**closed, landing_page=landing_page, distributions=[], rights="Names of children.")
    )
    assert report.score_in("accessibility") is None
    assert report.score == 1.0
    for link_works in (None, True, False):
        quality = score_quality(ScoreInputs(metadata=report, link_works=link_works))
        access = next(one for one in quality.dimensions if one.dimension == "accessibility")
        assert (access.score, access.applies) == (None, False)
        assert quality.overall == 1.0


def test_a_dimension_without_any_applicable_criterion_has_no_score() -> None:
    report = judge_completeness(dataset())
    assert report.score_in("compliance") == 1.0
    assert report.score_in("currentness") is None


def test_every_criterion_has_its_own_name() -> None:
    names = [criterion.criterion_id for criterion in CRITERIA]
    assert len(names) == len(set(names))


def test_a_clear_loss_is_a_finding_that_names_what_was_lost() -> None:
    before = judge_completeness(dataset())
    after = judge_completeness(dataset(description="", license=None))
    (finding,) = completeness_findings(before, after)
    assert finding.kind == "metadata-degraded"
    assert "licence" in finding.cause
    assert {evidence.name for evidence in finding.evidence} >= {"description", "license"}


def test_a_small_loss_or_a_gain_is_no_finding() -> None:
    before = judge_completeness(dataset())
    assert completeness_findings(before, judge_completeness(dataset(spatial=None))) == ()
    assert completeness_findings(judge_completeness(BARE), before) == ()


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("https://example.gov/x", True),
        ("urn:isbn:1", True),
        ("http://", False),
        ("Public Domain", False),
        ("https://exa mple.gov", False),
        ("http://[::1", False),
        ("", False),
        (None, False),
    ],
)
def test_uris_are_absolute_and_hold_no_space(text: str | None, answer: bool) -> None:
    assert is_uri(text) is answer


def test_open_formats_are_known_by_media_type_or_name() -> None:
    assert is_open_distribution(Distribution(media_type="text/csv; charset=utf-8"))
    assert is_open_distribution(Distribution(format=".CSV"))
    assert not is_open_distribution(Distribution(media_type="application/vnd.ms-excel", format="XLS"))
    assert not is_open_distribution(Distribution())
