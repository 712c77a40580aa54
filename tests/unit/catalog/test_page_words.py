"""Codes told in words, and the address of a search."""

import pytest

from services.catalog.datasets.reader.words import (
    field_words,
    first_sentence,
    frequency_words,
    is_web_address,
    license_words,
    moment_words,
    uses_words,
)
from services.catalog.search.pages.address import SearchAddress
from services.catalog.search.pages.words import facet_words, theme_icon


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", ""),
        ("Short.", "Short."),
        (
            "Counts made by the U.S. Census Bureau each year. Details follow.",
            "Counts made by the U.S. Census Bureau each year.",
        ),
        ("Rates per 10.5 people by town and year! And more.", "Rates per 10.5 people by town and year!"),
        ("No end\nat all", "No end at all"),
    ],
)
def test_the_first_sentence_ends_where_a_reader_would_end_it(text: str, sentence: str) -> None:
    assert first_sentence(text) == sentence


def test_a_text_without_a_sentence_is_cut_between_words() -> None:
    cut = first_sentence("word " * 100)
    assert cut.endswith("word …")
    assert len(cut) <= 262


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("https://creativecommons.org/licenses/by-sa/4.0/", "CC BY-SA 4.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0 1.0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/", "Public Domain Mark 1.0"),
        ("https://www.usa.gov/government-works/", "U.S. public domain"),
        ("https://opensource.org/licenses/MIT", "opensource.org/licenses/MIT"),
        ("https://creativecommons.org/licenses/by/", "creativecommons.org/licenses/by"),
        ("Our own terms", "Our own terms"),
        (None, None),
    ],
)
def test_licences_have_short_names(uri: str | None, words: str | None) -> None:
    assert license_words(uri) == words


def test_unknown_codes_are_given_as_they_are() -> None:
    assert facet_words("access_level", "secret-ish", "secret-ish") == "secret-ish"
    assert facet_words("freshness", "stale", "stale") == "Out of date"
    assert facet_words("agency", "id", "Department of Health") == "Department of Health"
    assert moment_words("R/P1D") == "R/P1D"
    assert moment_words("2026-03-12") == "12 March 2026"


def test_fields_are_named_once_and_for_people() -> None:
    assert (
        field_words(["described_by", "distributions", "title"])
        == "data dictionary, ways to get the data, title"
    )


def test_promises_that_cannot_be_understood_are_not_known() -> None:
    assert frequency_words("R/P1M") == "Every month"
    assert frequency_words("when we feel like it") is None
    assert frequency_words(None) is None


def test_only_web_addresses_become_links() -> None:
    assert is_web_address("https://example.gov")
    assert not is_web_address("javascript:alert(1)")
    assert not is_web_address("ftp://example.gov/a.csv")
    assert not is_web_address(None)


def test_unknown_use_is_no_zero() -> None:
    assert uses_words(None) == "use not known"
    assert uses_words(0) == "0 uses in 30 days"
    assert uses_words(1) == "1 use in 30 days"


@pytest.mark.parametrize(
    ("theme", "name"),
    [
        ("Substance abuse and addiction", "substance"),
        ("Fraud, waste and abuse", "fraud"),
        ("Health and Human Services", "health"),
        ("Land use", "land"),
        ("Transportation", "traffic"),
        ("Something else", "dataset"),
    ],
)
def test_subjects_have_drawings(theme: str, name: str) -> None:
    assert theme_icon(theme) == name


def test_one_search_has_one_address() -> None:
    one = SearchAddress.read("  a  b ", {"format": ["CSV", "API", "CSV"], "theme": None}, "relevance")
    other = SearchAddress.read("a b", {"format": ["API", "CSV"]}, None)
    assert one.href() == other.href() == "/search?q=a+b&format=API&format=CSV"


def test_toggling_a_value_twice_changes_nothing() -> None:
    address = SearchAddress.read("a", {"agency": ["x"]}, "title")
    assert address.toggled("theme", "Land & use").toggled("theme", "Land & use") == address
    assert address.toggled("agency", "x").filters == {}
    assert (
        address.toggled("theme", "Land & use").href() == "/search?q=a&theme=Land+%26+use&agency=x&sort=title"
    )
    assert SearchAddress().href() == "/search"
