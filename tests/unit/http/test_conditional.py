"""ETags: equal content, equal tag; reads are saved and lost updates are refused."""

from typing import Any

import pytest
from fastapi import APIRouter, Response
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from shared.http.conditional import conditional_response, etag_of, require_if_match
from shared.http.viewing import access
from tests.unit.http.application import build, client

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=8), json_values, max_size=6))
def test_the_order_of_members_does_not_change_the_tag(document: dict[str, Any]) -> None:
    assert etag_of(document) == etag_of(dict(reversed(document.items())))


def test_another_content_is_another_tag() -> None:
    assert etag_of({"title": "Lead"}) != etag_of({"title": "Radon"})


def make_router() -> APIRouter:
    router = APIRouter(dependencies=[access("public")])
    document = {"title": "Lead"}

    @router.get("/api/v1/document")
    async def show(request: Request) -> Response:
        return conditional_response(request, document)

    @router.put("/api/v1/document")
    async def change(request: Request, body: dict[str, str]) -> dict[str, str]:
        require_if_match(request, etag_of(document))
        document.update(body)
        return document

    return router


async def test_a_client_that_has_it_gets_304_without_a_body() -> None:
    async with client(build(make_router())) as http:
        etag = (await http.get("/api/v1/document")).headers["etag"]
        for header in (etag, f'"other", {etag}', f"W/{etag}", "*"):
            answer = await http.get("/api/v1/document", headers={"If-None-Match": header})
            assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
        other = await http.get("/api/v1/document", headers={"If-None-Match": '"other"'})
    assert other.status_code == 200


@pytest.mark.parametrize(
    ("header", "status", "slug"),
    [
        (None, 428, "precondition-required"),
        ('"stale"', 412, "precondition-failed"),
        ("W/{etag}", 412, "precondition-failed"),
        ("{etag}", 200, None),
        ('"stale", {etag}', 200, None),
        ("*", 200, None),
    ],
)
async def test_a_write_needs_the_current_tag(header: str | None, status: int, slug: str | None) -> None:
    async with client(build(make_router())) as http:
        etag = (await http.get("/api/v1/document")).headers["etag"]
        headers = {} if header is None else {"If-Match": header.format(etag=etag)}
        answer = await http.put("/api/v1/document", json={"title": "Radon"}, headers=headers)
        after = (await http.get("/api/v1/document")).json()
    assert answer.status_code == status
    assert after == {"title": "Radon" if status == 200 else "Lead"}
    if slug is not None:
        assert answer.json()["type"] == f"urn:nutmeg:problem:{slug}"
        assert answer.json()["errors"][0]["header"] == "If-Match"


async def test_of_two_writers_who_read_the_same_version_only_the_first_wins() -> None:
    async with client(build(make_router())) as http:
        etag = (await http.get("/api/v1/document")).headers["etag"]
        statuses = [
            (
                await http.put("/api/v1/document", json={"title": title}, headers={"If-Match": etag})
            ).status_code
            for title in ("first", "second")
        ]
        final = (await http.get("/api/v1/document")).json()
    assert statuses == [200, 412]
    assert final == {"title": "first"}
