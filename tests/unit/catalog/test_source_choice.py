"""How sources are named, and when a feed is taken for one that is known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.catalog.harvesting.domain.source_choice import (
    NAME_CHARACTERS_MAX,
    FeedSketch,
    SourceMatch,
    name_of_address,
    name_of_feed,
    numbered,
    recognised,
)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://data.example.gov/data.json", "data.example.gov"),
        ("http://Data.Example.gov:80/", "data.example.gov"),
        ("https://user:secret@data.example.gov/data.json", "data.example.gov"),
        ("https://example.gov:8443/roads/data.json", "example.gov:8443/roads/data.json"),
        ("urn:uuid:1", None),
        ("https://[broken", None),
        ("https://example.gov:port/", None),
    ],
)
def test_a_source_is_named_by_its_address_without_what_is_secret(address: str, name: str | None) -> None:
    assert name_of_address(address) == name


def test_addresses_that_differ_in_their_query_are_two_sources_and_tell_no_key() -> None:
    names = {name_of_address(f"https://example.gov/feed?key={key}") for key in ("secret-1", "secret-2")}
    assert len(names) == 2
    assert not any("secret" in str(name) for name in names)


@given(st.text(), st.none() | st.text())
def test_whatever_a_feed_calls_itself_makes_a_name_that_can_be_kept(told: str, file_name: str | None) -> None:
    name = name_of_feed(FeedSketch(told, {}), file_name)
    assert 1 <= len(name) <= NAME_CHARACTERS_MAX
    assert name.isprintable()
    assert len(numbered(name, 12)) <= NAME_CHARACTERS_MAX


def test_half_of_what_was_read_or_of_what_is_known_makes_a_feed_the_same() -> None:
    found = FeedSketch(None, {str(number): "" for number in range(10)})
    few, half = SourceMatch("few", 9, 4, 100), SourceMatch("half", 5, 5, 100)
    whole = SourceMatch("whole", 2, 2, 2)
    assert recognised(found, [few], "new") is None
    assert recognised(found, [few, half], "new") == "half"
    assert recognised(found, [whole], "new") == "whole"
    assert recognised(found, [half, whole], "whole") == "whole", "where two are alike, the name decides"
    assert recognised(found, [SourceMatch("titles differ", 10, 0, 10)], "new") is None
