"""Cursors belong to one query of one viewer, and are not made up."""

from dataclasses import replace
from uuid import UUID

import pytest

from services.catalog.search.domain.cursor import CursorPosition, SearchCursorCodec
from services.catalog.search.domain.search import InvalidSearchError, SearchQuery, ViewerScope

CODEC = SearchCursorCodec("a secret of this test")
QUERY = SearchQuery("wells", filters={"agency": frozenset({"a", "b"})}, viewer=ViewerScope.government())
POSITIONS = [
    CursorPosition("window", (1934.6, str(UUID(int=7))), 2),
    CursorPosition("engine", (300,)),
    CursorPosition("engine", ("wells\x00id", 1, 40)),
    CursorPosition("engine", (2**64 - 1, 1, 40)),
]


@pytest.mark.parametrize("position", POSITIONS)
def test_a_position_survives_the_round_trip(position: CursorPosition) -> None:
    cursor = CODEC.encode(QUERY, position)
    assert CODEC.decode(replace(QUERY, cursor=cursor)) == position


def test_a_query_without_cursor_begins_at_the_beginning() -> None:
    assert CODEC.decode(QUERY) is None


@pytest.mark.parametrize(
    "other",
    [
        replace(QUERY, text="well"),
        replace(QUERY, sort="title"),
        replace(QUERY, filters={"agency": frozenset({"a"})}),
        replace(QUERY, viewer=ViewerScope.everything()),
        replace(QUERY, viewer=ViewerScope.government(frozenset({UUID(int=1)}))),
    ],
    ids=["text", "sort", "filters", "viewer's level", "viewer's agencies"],
)
def test_a_cursor_of_another_query_is_refused_with_the_cure(other: SearchQuery) -> None:
    cursor = CODEC.encode(QUERY, POSITIONS[0])
    with pytest.raises(InvalidSearchError, match="first page") as refusal:
        CODEC.decode(replace(other, cursor=cursor))
    assert refusal.value.field == "cursor"


def test_the_page_size_may_change_between_pages() -> None:
    cursor = CODEC.encode(QUERY, POSITIONS[0])
    assert CODEC.decode(replace(QUERY, size=3, cursor=cursor)) == POSITIONS[0]


def test_the_order_of_filter_values_does_not_matter() -> None:
    cursor = CODEC.encode(QUERY, POSITIONS[0])
    same = replace(QUERY, filters={"agency": frozenset({"b", "a"}), "theme": frozenset()}, cursor=cursor)
    assert CODEC.decode(same) == POSITIONS[0]


@pytest.mark.parametrize("made_up", ["", "x", "é\x00", "W10.abc", "." * 100, "x" * 100_000, "\ud800"])
def test_a_made_up_cursor_is_refused(made_up: str) -> None:
    with pytest.raises(InvalidSearchError, match="not issued here"):
        CODEC.decode(replace(QUERY, cursor=made_up))


def test_a_cursor_of_another_installation_is_refused() -> None:
    cursor = SearchCursorCodec("another secret").encode(QUERY, POSITIONS[0])
    with pytest.raises(InvalidSearchError, match="not issued here"):
        CODEC.decode(replace(QUERY, cursor=cursor))
