"""How texts become terms and queries become plans."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.catalog.search.domain.query_text import (
    GROUPS_MAX,
    TERM_CHARACTERS_MAX,
    Alternative,
    plan_query,
    relaxations,
    terms,
    title_key,
    tokens,
    words,
)
from services.catalog.search.domain.vocabulary import DEFAULT_VOCABULARY, Vocabulary


def alternatives_of(text: str, vocabulary: Vocabulary = DEFAULT_VOCABULARY) -> list[set[tuple[str, ...]]]:
    groups = plan_query(text, vocabulary).groups
    return [{alternative.terms for alternative in group.alternatives} for group in groups]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("licenses", "license"),
        ("Counties", "county"),
        ("boxes", "box"),
        ("beaches", "beach"),
        ("crashes", "crash"),
        ("children", "Child"),
        ("houses", "house"),
        ("U.S.", "US"),
        ("women's", "women"),
        ("résumé", "resume"),
        ("STRASSE", "straße"),
        ("O\u2019Neil", "O'Neil"),
    ],
)
def test_words_that_mean_the_same_have_the_same_term(one: str, other: str) -> None:
    assert terms(one) == terms(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("housing", "house"),
        ("parking", "park"),
        ("gas", "ga"),
        ("bus", "bu"),
        ("status", "statu"),
        ("2010s", "2010"),
    ],
)
def test_the_stemming_is_light_and_keeps_other_words_apart(one: str, other: str) -> None:
    assert terms(one) != terms(other)


def test_an_underscore_parts_words_as_in_column_names() -> None:
    assert terms("inspection_date") == ("inspection", "date")


def test_tokens_stand_where_their_words_stand() -> None:
    text = "Café licenses, by O'Neil's town"
    assert [text[token.start : token.end] for token in tokens(text)] == [
        "Café",
        "licenses",
        "by",
        "O'Neil's",
        "town",
    ]


def test_a_title_key_ignores_case_accents_and_marks_but_not_words() -> None:
    assert title_key("  Café — Licenses (2019)! ") == title_key("cafe licenses 2019")
    assert title_key("Café Licenses") != title_key("Café License")


def test_a_very_long_word_is_cut_alike_in_documents_and_queries() -> None:
    assert terms("x" * 10_000) == ("x" * TERM_CHARACTERS_MAX,)
    assert words("x" * 10_000) == ["x" * TERM_CHARACTERS_MAX]


def test_a_compound_finds_its_two_words_and_two_words_find_the_compound() -> None:
    assert ("child", "care") in alternatives_of("childcare")[0]
    assert [("childcare",) in group for group in alternatives_of("child care")] == [True, True]


def test_a_number_grown_onto_a_word_is_cut_only_before_the_number() -> None:
    assert alternatives_of("agency2019") == [{("agency2019",), ("agency", "2019")}]


def test_a_synonym_stands_for_the_whole_phrase() -> None:
    assert ("snap",) in alternatives_of("food stamps")[0]
    assert len(alternatives_of("food stamps")) == 1
    assert ("food", "stamp") in alternatives_of("SNAP")[0]
    assert ("average", "daily", "traffic") in alternatives_of("ADT")[0]


def test_the_vocabulary_is_data_that_an_installation_extends() -> None:
    own = DEFAULT_VOCABULARY.extended((("LISD", "lakes in danger"),), frozenset({"freedonia"}))
    assert ("lake", "in", "danger") in alternatives_of("lisd", own)[0]
    plan = plan_query("lakes freedonia", own)
    assert [group.required for group in plan.groups] == [True, False]


def test_stopwords_are_dropped_unless_nothing_else_is_asked() -> None:
    assert [group.words for group in plan_query("overdose by the town", DEFAULT_VOCABULARY).groups] == [
        "overdose",
        "town",
    ]
    plan = plan_query("The Who", DEFAULT_VOCABULARY)
    assert [group.words for group in plan.required] == ["The", "Who"]


def test_a_word_that_nearly_every_record_is_about_is_required_only_alone() -> None:
    assert [group.required for group in plan_query("crash data", DEFAULT_VOCABULARY).groups] == [True, False]
    assert [group.required for group in plan_query("data", DEFAULT_VOCABULARY).groups] == [True]


@pytest.mark.parametrize("quotes", ['""', "“”", "„“"])
def test_a_quoted_phrase_is_one_group_in_order(quotes: str) -> None:
    opened, closed = quotes[0], quotes[1]
    plan = plan_query(f"town {opened}drinking water{closed}", DEFAULT_VOCABULARY)
    assert plan.groups[1].quoted
    assert plan.groups[1].alternatives == (Alternative(("drinking", "water")),)


def test_an_unclosed_quote_is_no_phrase() -> None:
    assert [group.quoted for group in plan_query('"drinking water', DEFAULT_VOCABULARY).groups] == [
        False,
        False,
    ]


def test_a_query_is_relaxed_from_strict_to_loose_and_each_step_is_told() -> None:
    steps = relaxations(plan_query('"drinking water" zebra quality', DEFAULT_VOCABULARY))
    assert [step.minimum_matches for step in steps] == [3, 4, 3, 2, 1]
    assert steps[0].told is None
    assert all(step.told for step in steps[1:])


def test_one_word_can_not_be_relaxed() -> None:
    assert len(relaxations(plan_query("zebra", DEFAULT_VOCABULARY))) == 1
    assert len(relaxations(plan_query("", DEFAULT_VOCABULARY))) == 1


@given(st.text(max_size=300))
def test_any_text_makes_a_bounded_plan(text: str) -> None:
    plan = plan_query(text, DEFAULT_VOCABULARY)
    assert len(plan.groups) <= GROUPS_MAX
    assert all(
        term.strip() for group in plan.groups for option in group.alternatives for term in option.terms
    )
    assert all(" " not in term and len(term) <= TERM_CHARACTERS_MAX for term in plan.terms)


@given(st.text(max_size=300))
def test_terms_are_stable_when_analysed_again(text: str) -> None:
    once = terms(text)
    assert [len(terms(term)) for term in once] == [1] * len(once)
