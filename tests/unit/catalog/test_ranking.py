"""The order of results: classes of text first, then bounded tie-breakers."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.catalog.datasets.domain.condition import Freshness
from services.catalog.search.domain.query_text import plan_query
from services.catalog.search.domain.ranking import (
    CLASS_STEP_POINTS,
    explain,
    explain_standing,
    rank_features,
    score,
    standing,
)
from services.catalog.search.domain.search import SearchDocument
from services.catalog.search.domain.vocabulary import DEFAULT_VOCABULARY

FRESHNESS: tuple[Freshness, ...] = ("ok", "late", "stale", "not-applicable", "not-known")


def document(
    title: str,
    description: str = "",
    *,
    keywords: tuple[str, ...] = (),
    identifier: str | None = None,
    quality_score: float | None = None,
    freshness: Freshness = "not-known",
    popularity_bucket: int = 0,
) -> SearchDocument:
    return SearchDocument(
        UUID(int=1),
        1,
        title,
        description,
        keywords=keywords,
        identifier=identifier,
        quality_score=quality_score,
        freshness=freshness,
        popularity_bucket=popularity_bucket,
    )


def points(query: str, found: SearchDocument) -> float:
    return score(plan_query(query, DEFAULT_VOCABULARY), rank_features(found))


def best(title: str, description: str = "", keywords: tuple[str, ...] = ()) -> SearchDocument:
    return document(
        title, description, keywords=keywords, quality_score=1.0, freshness="ok", popularity_bucket=1_000_000
    )


def worst(title: str, description: str = "", keywords: tuple[str, ...] = ()) -> SearchDocument:
    return document(title, description, keywords=keywords, quality_score=0.0, freshness="stale")


@pytest.mark.parametrize(
    ("higher", "lower"),
    [
        (worst("Water Quality"), best("Water Quality 2019", "water quality " * 50, ("water quality",))),
        (worst("Drinking Water Quality Results"), best("Quality of Water", "water quality")),
        (worst("Quality of Drinking Water"), best("Wells", "water quality", ("water quality",))),
        (worst("Wells", "All about water quality"), best("Wells", "The quality of our water")),
        (worst("Wells", "", ("water", "quality")), best("Wells", "The quality of our water")),
        (worst("Wells", "The quality of our water"), best("Water", "The lake")),
    ],
    ids=[
        "the exact title before a longer one",
        "words in a row in the title before words apart",
        "all words in the title before keywords",
        "words in a row in the text before words apart",
        "keywords before description",
        "both words anywhere before one in the title",
    ],
)
def test_a_textual_class_outranks_any_quality_freshness_and_use(
    higher: SearchDocument, lower: SearchDocument
) -> None:
    assert points("water quality", higher) > points("water quality", lower)


def test_the_exact_identifier_comes_before_titles_that_mention_it() -> None:
    assert points("abcd-1234", document("Wells", identifier="ABCD-1234")) > points(
        "abcd-1234", best("Notes on abcd-1234 and wells")
    )


def test_equals_are_ordered_by_quality_then_use() -> None:
    plain = document("Wells of the state", quality_score=0.4)
    good = document("Wells of the state", quality_score=0.9)
    used = document("Wells of the state", quality_score=0.4, popularity_bucket=5)
    assert points("wells", good) > points("wells", plain)
    assert points("wells", used) > points("wells", plain)


def test_no_use_and_no_quality_never_take_points_away() -> None:
    assert points("wells", document("Wells of the state")) > 0
    assert standing(None, "not-known", 0) > standing(0.0, "stale", 0) >= 0


@given(st.none() | st.floats(0, 1), st.sampled_from(FRESHNESS), st.integers(0, 10**9))
def test_tie_breakers_together_stay_below_one_class(
    quality: float | None, freshness: Freshness, bucket: int
) -> None:
    assert 0 <= standing(quality, freshness, bucket) < CLASS_STEP_POINTS


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
def test_textual_points_are_whole_classes_for_any_text(query: str, title: str, description: str) -> None:
    reasons = explain(plan_query(query, DEFAULT_VOCABULARY), rank_features(worst(title, description)))
    assert all(reason.points % CLASS_STEP_POINTS == 0 for reason in reasons)


def test_the_reasons_add_up_to_the_score() -> None:
    plan = plan_query("water quality", DEFAULT_VOCABULARY)
    features = rank_features(document("Drinking Water Quality", quality_score=0.7, popularity_bucket=2))
    assert sum(reason.points for reason in explain(plan, features)) == pytest.approx(score(plan, features))
    assert len({reason.reason for reason in explain(plan, features)}) == len(explain(plan, features))


def test_the_standing_is_explained_in_three_parts() -> None:
    found = document("Wells", quality_score=0.5, freshness="ok", popularity_bucket=3)
    parts = {reason.reason: reason.points for reason in explain_standing(found)}
    assert parts == {"quality": 2.0, "freshness": 2.0, "use": 1.5}


def test_a_synonym_counts_but_less_than_the_word_itself() -> None:
    said = points("SNAP", document("SNAP cases by office"))
    meant = points("SNAP", document("Food stamps by office"))
    missed = points("SNAP", document("Parks by office"))
    assert said > meant > missed


def test_no_phrase_spans_two_keywords() -> None:
    apart = document("Wells", keywords=("clean water", "quality control"))
    inside = document("Wells", keywords=("clean", "water quality", "control"))
    assert points("water quality", inside) > points("water quality", apart)
