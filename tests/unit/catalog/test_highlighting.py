"""Which words are marked, and which part of a long description is shown."""

from hypothesis import given
from hypothesis import strategies as st

from services.catalog.search.domain.highlighting import EXCERPT_CHARACTERS, highlights
from services.catalog.search.domain.query_text import composed, plan_query
from services.catalog.search.domain.vocabulary import DEFAULT_VOCABULARY


def marked(query: str, title: str, description: str = "") -> dict[str, list[str]]:
    found = highlights(plan_query(query, DEFAULT_VOCABULARY), title, description)
    return {each.field: [part.text for part in each.segments if part.matched] for each in found}


def shown(query: str, description: str) -> str:
    found = highlights(plan_query(query, DEFAULT_VOCABULARY), "Title", description)
    return "".join(part.text for part in found[1].segments)


def test_other_forms_synonyms_and_compounds_are_marked_as_they_are_written() -> None:
    assert marked("license", "Café LICENSES and licence") == {"title": ["LICENSES", "licence"]}
    assert marked("SNAP", "Food stamps by office") == {"title": ["Food", "stamps"]}
    assert marked("childcare", "Child care providers") == {"title": ["Child", "care"]}


def test_a_phrase_is_marked_only_where_its_words_stand_in_a_row() -> None:
    assert marked('"drinking water"', "Drinking water and water") == {"title": ["Drinking", "water"]}


def test_nothing_is_marked_where_nothing_was_asked() -> None:
    assert marked("", "Wells", "Deep wells") == {"title": [], "description": []}


def test_a_short_description_is_shown_whole() -> None:
    assert shown("wells", "Deep wells here.") == "Deep wells here."


def test_a_long_description_is_shown_around_its_best_matches() -> None:
    text = "well " + "x " * 400 + "deep wells of clean water " + "y " * 400
    excerpt = shown("deep wells water", text)
    assert "deep wells of clean water" in excerpt
    assert excerpt.startswith("… ")
    assert excerpt.endswith(" …")


@given(st.text(max_size=80), st.text(max_size=80), st.text(max_size=1_500))
def test_segments_join_to_the_text_and_stay_bounded_for_any_text(
    query: str, title: str, description: str
) -> None:
    found = highlights(plan_query(query, DEFAULT_VOCABULARY), title, description)
    assert "".join(part.text for part in found[0].segments) == composed(title)
    for each in found[1:]:
        excerpt = "".join(part.text for part in each.segments)
        assert len(excerpt) <= EXCERPT_CHARACTERS + 4
        assert excerpt.removeprefix("… ").removesuffix(" …") in composed(description)
    assert all(part.text for each in found for part in each.segments)
