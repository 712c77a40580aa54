"""Cursors come back as they went out, and no other way; pages link to the next."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi import APIRouter, Response
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from shared.http.cursors import CursorCodec, CursorDependency
from shared.http.page_links import Page, link_pages
from shared.http.problems import ProblemError
from shared.http.viewing import access
from shared.identity.signing_key import SigningKey
from tests.unit.http.application import build, client

CODEC = CursorCodec(SigningKey(b"k" * 32))
QUERY = {"q": "lead", "agency": ["dph"]}
json_scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text()


@given(st.lists(json_scalars | st.floats(allow_nan=False, allow_infinity=False), max_size=5))
def test_a_position_comes_back_as_it_went_out(position: list[Any]) -> None:
    assert CODEC.decode(CODEC.encode(position, QUERY), QUERY) == position


def test_the_order_of_a_query_s_members_does_not_matter() -> None:
    cursor = CODEC.encode([1], {"a": 1, "b": 2})
    assert CODEC.decode(cursor, {"b": 2, "a": 1}) == [1]


@pytest.mark.parametrize("nothing", [None, ""])
def test_no_cursor_means_the_start(nothing: str | None) -> None:
    assert CODEC.decode(nothing, QUERY) is None


def test_a_cursor_of_another_query_is_a_400_that_says_so() -> None:
    with pytest.raises(ProblemError, match="other filters") as caught:
        CODEC.decode(CODEC.encode([1], QUERY), {"q": "radon"})
    assert caught.value.status == 400
    assert caught.value.errors[0].parameter == "cursor"


@given(st.text(min_size=1, max_size=200))
def test_any_other_text_is_a_400(text: str) -> None:
    with pytest.raises(ProblemError):
        CODEC.decode(text, QUERY)


def test_a_cursor_of_another_installation_or_too_long_is_a_400() -> None:
    foreign = CursorCodec(SigningKey(b"x" * 32)).encode([1], QUERY)
    for text in (foreign, "a" * 5000):
        with pytest.raises(ProblemError):
            CODEC.decode(text, QUERY)


router = APIRouter()


@router.get("/api/v1/numbers", dependencies=[access("public")])
async def list_numbers(
    request: Request, response: Response, cursors: CursorDependency, even: bool = False, cursor: str = ""
) -> Page[int]:
    query = {"even": even}
    after = (cursors.decode(cursor, query) or [0])[0]
    items = [number for number in range(1, 8) if number > after and (not even or number % 2 == 0)]
    shown = items[:3]
    next_cursor = cursors.encode([shown[-1]], query) if len(items) > 3 else None
    link_pages(request, response, next_cursor)
    return Page(items=shown, next_cursor=next_cursor, total=7)


async def test_following_the_next_link_reads_every_item_once() -> None:
    async with client(build(router)) as http:
        seen: list[int] = []
        url: str | None = "/api/v1/numbers"
        while url is not None:
            answer = await http.get(url)
            seen += answer.json()["items"]
            links = answer.links
            assert links["first"]["url"].endswith("/api/v1/numbers")
            url = links["next"]["url"] if "next" in links else None
            if url is not None:
                assert parse_qs(urlsplit(url).query)["cursor"] == [answer.json()["next_cursor"]]
    assert seen == list(range(1, 8))


async def test_a_cursor_carried_to_another_filter_is_refused() -> None:
    async with client(build(router)) as http:
        cursor = (await http.get("/api/v1/numbers")).json()["next_cursor"]
        answer = await http.get("/api/v1/numbers", params={"cursor": cursor, "even": True})
    assert answer.status_code == 400
    assert answer.json()["type"] == "urn:nutmeg:problem:cursor"
