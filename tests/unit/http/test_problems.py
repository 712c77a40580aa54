"""Every error is a problem that names the field and the cure, and tells nothing of the inside."""

import html
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from fastapi import APIRouter, FastAPI, Form, Header, Query
from openapi_spec_validator import validate
from pydantic import AnyHttpUrl, AwareDatetime, BaseModel, Field
from structlog.testing import capture_logs

from shared.errors import (
    ConflictError,
    DomainError,
    InvalidInputError,
    NotAllowedError,
    NotFoundError,
    TransientError,
)
from shared.http.problems import FieldProblem, ProblemError
from shared.http.viewing import access
from tests.unit.http.application import build, client

router = APIRouter(dependencies=[access("public")])


class Level(StrEnum):
    PUBLIC = "public"
    RESTRICTED = "restricted"


class Draft(BaseModel):
    title: str = Field(min_length=3, max_length=10)
    level: Level
    tags: list[str] = Field(default_factory=list, max_length=2)


class Kinds(BaseModel):
    number: int
    share: float = Field(allow_inf_nan=False)
    whose: UUID
    day: date
    moment: AwareDatetime
    is_it: bool
    code: str = Field(pattern="^[a-z]{2}$")
    url: AnyHttpUrl


@router.post("/api/v1/kinds")
async def take_kinds(kinds: Kinds) -> None:
    return None


@router.post("/api/v1/forms")
async def take_form(name: Annotated[str, Form()]) -> None:
    return None


@router.post("/api/v1/drafts")
async def create_draft(draft: Draft, x_kind: Annotated[int | None, Header()] = None) -> Draft:
    return draft


@router.get("/api/v1/drafts/{draft_id}")
async def show_draft(draft_id: UUID, limit: Annotated[int, Query(ge=1, le=100)] = 20) -> None:
    return None


@router.get("/api/v1/refused")
async def refuse() -> None:
    raise ProblemError(
        409,
        "already-decided",
        "The request has been decided",
        "It was approved on 2 March.",
        errors=[FieldProblem("decided", "Open it to see the decision.", pointer="#/status", code="decided")],
        headers={"X-Extra": "1"},
        kept="Your comment was kept.",
        next_steps=[("See the decision", "/sharing-requests/1")],
    )


@router.get("/api/v1/broken")
@router.get("/broken")
async def break_down() -> None:
    raise RuntimeError("password=hunter2 at /srv/inside.py")


@router.get("/api/v1/away")
async def be_away() -> None:
    raise TransientError("the store of catalog is away: disk I/O error")


@router.get("/api/v1/defects/{kind}")
async def hit_a_defect(kind: Literal["ValueError", "KeyError", "LookupError"]) -> None:
    raise {"ValueError": ValueError, "KeyError": KeyError, "LookupError": LookupError}[kind]("inside")


class Ordered(BaseModel):
    reason: str = ""


class BrokenSealError(ConflictError):
    slug = "broken-seal"
    title = "The seal is broken"


@router.post("/api/v1/refusals/{kind}")
async def refuse_by_rule(kind: str, order: Ordered, field: str = "reason") -> None:
    refusals = {
        "input": InvalidInputError("A reason is missing.", field=field, fix="Write one.", code="missing"),
        "person": NotAllowedError("Only its steward may.", fix="Ask the steward."),
        "thing": NotFoundError("No agency has the code X.", what="agency", field=field),
        "state": BrokenSealError("It was opened before.", fix="Ask for another."),
        "other": DomainError("That can't be."),
    }
    raise refusals[kind]


@router.post("/api/v1/refused-forms")
async def refuse_form(reason: Annotated[str, Form()] = "") -> None:
    raise InvalidInputError("A reason is missing.", field="reason", fix="Write one.")


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return build(router)


@pytest.mark.parametrize(
    ("body", "pointer", "code", "cure_part"),
    [
        ({"level": "public"}, "#/title", "missing", "Add it"),
        ({"title": "ab", "level": "public"}, "#/title", "string_too_short", "at least 3"),
        ({"title": "a" * 11, "level": "public"}, "#/title", "string_too_long", "10 characters"),
        ({"title": "abc", "level": "secret"}, "#/level", "enum", "'public' or 'restricted'"),
        ({"title": "abc", "level": "public", "tags": [1]}, "#/tags/0", "string_type", "Send text"),
        ({"title": "abc", "level": "public", "tags": ["a"] * 3}, "#/tags", "too_long", "2 items"),
        ([], "#", "model_attributes_type", "JSON object"),
    ],
)
async def test_a_wrong_body_names_the_field_and_the_cure(
    app: FastAPI, body: object, pointer: str, code: str, cure_part: str
) -> None:
    async with client(app) as http:
        answer = await http.post("/api/v1/drafts", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["type"] == "urn:nutmeg:problem:validation"
    (error,) = document["errors"]
    assert error["pointer"] == pointer
    assert error["code"] == code
    assert cure_part in error["cure"]


async def test_malformed_json_is_told_as_such(app: FastAPI) -> None:
    async with client(app) as http:
        answer = await http.post(
            "/api/v1/drafts", content=b'{"title": ', headers={"content-type": "application/json"}
        )
    assert answer.status_code == 422
    assert answer.json()["errors"][0] == {
        "pointer": "#",
        "detail": "JSON decode error",
        "cure": "Send valid JSON in UTF-8, nested a few levels at most.",
        "code": "json_invalid",
    }


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[" * 100_000 + b"]" * 100_000, "nested in more than 64 levels"),
        (b'{"title": ' * 65 + b"1" + b"}" * 65, "nested in more than 64 levels"),
        (b"[" + b"1," * 200_001 + b"1]", "more than 200,000 values"),
        (b'{"title": ' + b"9" * 100_000 + b"}", "number of more than 1,024 characters"),
        (('{"title": "' + "\u2200" + '"}').encode("utf-16"), "byte 0"),
    ],
)
@pytest.mark.parametrize("media_type", ["application/json", "application/problem+json; charset=utf-8"])
async def test_a_body_beyond_the_limits_is_refused_before_it_is_read(
    app: FastAPI, body: bytes, words: str, media_type: str
) -> None:
    async with client(app) as http:
        answer = await http.post("/api/v1/drafts", content=body, headers={"content-type": media_type})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:nutmeg:problem:json-bounds")
    (error,) = answer.json()["errors"]
    assert (error["pointer"], error["code"]) == ("#", "bounds")
    assert words in error["detail"]
    assert error["cure"]


@pytest.mark.parametrize("body", [b'{"a": "\xff"}', b'{"a":' * 64])
async def test_a_body_that_cannot_be_read_at_all_names_the_cure_too(app: FastAPI, body: bytes) -> None:
    async with client(app) as http:
        answer = await http.post("/api/v1/drafts", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    (error,) = answer.json()["errors"]
    assert (error["pointer"], error["code"]) == ("#", "json_invalid")
    assert error["cure"].startswith("Send valid JSON")


async def test_a_nul_character_is_refused_wherever_it_hides(app: FastAPI) -> None:
    tags = {"title": "abc", "level": "public", "tags": ["fine", "a\0b"]}
    async with client(app) as http:
        body = await http.post("/api/v1/drafts", json=tags)
        query = await http.get(f"/api/v1/drafts/{UUID(int=1)}", params={"note": "a\0b"})
        form = await http.post("/api/v1/forms", data={"name": "a\0b"})
        escaped = await http.post("/api/v1/drafts", json=tags | {"tags": ["\\u0000"]})
    told = [answer.json()["errors"] for answer in (body, query, form)]
    assert [(each[0].get("pointer"), each[0].get("parameter")) for each in told] == [
        ("#/tags/1", None),
        (None, "note"),
        ("#/name", None),
    ]
    assert all(each[0]["cure"] == "Remove it." for each in told)
    assert escaped.status_code == 200, "six characters that only look like one"


async def test_every_fault_of_a_field_has_a_cure(app: FastAPI) -> None:
    async with client(app) as http:
        values: list[Any] = [None, 1.5, "NaN", [], {}, "x", 10**30]
        for given in values:
            answer = await http.post("/api/v1/kinds", json=dict.fromkeys(Kinds.model_fields, given))
            assert answer.status_code == 422
            assert all(error.get("cure") for error in answer.json()["errors"]), answer.text


async def test_wrong_parameters_and_headers_are_named(app: FastAPI) -> None:
    async with client(app) as http:
        answer = await http.get("/api/v1/drafts/not-a-uuid?limit=1000")
        header = await http.post(
            "/api/v1/drafts", json={"title": "abc", "level": "public"}, headers={"X-Kind": "x"}
        )
    assert [error["parameter"] for error in answer.json()["errors"]] == ["draft_id", "limit"]
    assert answer.json()["errors"][1]["cure"] == "Use 100 or less."
    assert header.json()["errors"][0]["header"] == "x-kind"


async def test_a_raised_problem_is_answered_as_it_is(app: FastAPI) -> None:
    async with client(app) as http:
        answer = await http.get("/api/v1/refused", headers={"X-Request-ID": "my-request-1"})
    assert answer.status_code == 409
    assert answer.headers["x-extra"] == "1"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == {
        "type": "urn:nutmeg:problem:already-decided",
        "title": "The request has been decided",
        "status": 409,
        "detail": "It was approved on 2 March.",
        "instance": "urn:nutmeg:request:my-request-1",
        "request_id": "my-request-1",
        "errors": [
            {
                "pointer": "#/status",
                "detail": "decided",
                "cure": "Open it to see the decision.",
                "code": "decided",
            }
        ],
    }


@pytest.mark.parametrize(
    ("kind", "status", "slug", "title", "detail"),
    [
        ("input", 422, "validation", "The request is not valid", "A reason is missing. Write one."),
        ("person", 403, "forbidden", "You may not do this", "Only its steward may. Ask the steward."),
        (
            "thing",
            404,
            "not-found",
            "There is no such agency",
            "No agency has the code X. Use the id of a known agency.",
        ),
        ("state", 409, "broken-seal", "The seal is broken", "It was opened before. Ask for another."),
        ("other", 422, "refused", "This can't be done", "That can't be."),
    ],
)
async def test_what_a_rule_refuses_is_a_problem_of_its_kind(
    app: FastAPI, kind: str, status: int, slug: str, title: str, detail: str
) -> None:
    async with client(app) as http:
        answer = await http.post(f"/api/v1/refusals/{kind}", json={})
    document = answer.json()
    assert answer.status_code == status
    assert document["type"] == f"urn:nutmeg:problem:{slug}"
    assert (document["title"], document["detail"]) == (title, detail)


async def test_a_rule_s_field_is_named_where_the_request_has_it(app: FastAPI) -> None:
    async with client(app) as http:
        in_body = await http.post("/api/v1/refusals/input", json={})
        deeper = await http.post("/api/v1/refusals/input?field=content.purpose", json={})
        in_path = await http.post("/api/v1/refusals/input?field=kind", json={})
        in_form = await http.post("/api/v1/refused-forms", data={"reason": ""})
    expected = {"detail": "A reason is missing.", "cure": "Write one.", "code": "missing"}
    assert in_body.json()["errors"] == [{"pointer": "#/reason", **expected}]
    assert deeper.json()["errors"][0]["pointer"] == "#/content/purpose"
    assert in_path.json()["errors"][0]["parameter"] == "kind"
    assert in_form.json()["errors"][0]["parameter"] == "reason"


@pytest.mark.parametrize("kind", ["ValueError", "KeyError", "LookupError"])
async def test_a_defect_is_no_answer_but_a_500_that_is_logged(app: FastAPI, kind: str) -> None:
    with capture_logs() as lines:
        async with client(app) as http:
            answer = await http.get(f"/api/v1/defects/{kind}")
    assert answer.status_code == 500
    assert "inside" not in answer.text
    assert "request_failed" in [line["event"] for line in lines if line["log_level"] == "error"]


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
async def test_an_unexpected_error_tells_its_request_id_and_nothing_of_the_inside(
    app: FastAPI, accept: str
) -> None:
    with capture_logs() as logs:
        async with client(app) as http:
            answer = await http.get("/broken", headers={"Accept": accept, "X-Request-ID": "my-request-2"})
    assert answer.status_code == 500
    assert "my-request-2" in answer.text
    assert "hunter2" not in answer.text
    assert "inside.py" not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert [line["event"] for line in logs] == ["request_failed", "request"]


async def test_a_store_that_is_away_is_a_503_that_says_when_to_come_back(app: FastAPI) -> None:
    async with client(app) as http:
        answer = await http.get("/api/v1/away")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert "disk" not in answer.text


async def test_unknown_addresses_and_methods_are_problems_too(app: FastAPI) -> None:
    async with client(app) as http:
        missing = await http.get("/api/v1/nothing")
        wrong = await http.delete("/api/v1/refused")
    assert (missing.status_code, missing.json()["type"]) == (404, "urn:nutmeg:problem:not-found")
    assert (wrong.status_code, wrong.json()["type"]) == (405, "urn:nutmeg:problem:method-not-allowed")
    assert "GET" in wrong.headers["allow"]


async def test_a_browser_gets_a_page_and_the_api_never_does(app: FastAPI) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    async with client(app) as http:
        page = await http.get("/no<script>such", headers=browser)
        answer = await http.get("/api/v1/nothing", headers=browser)
    assert page.status_code == 404
    assert page.headers["content-type"].startswith("text/html")
    assert "There is nothing here" in html.unescape(page.text)
    assert "<script>such" not in page.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_openapi_is_valid_and_tells_the_problems(app: FastAPI) -> None:
    async with client(app) as http:
        document = (await http.get("/api/v1/openapi.json")).json()
    validate(document)
    responses = document["paths"]["/api/v1/drafts"]["post"]["responses"]
    assert responses["404"]["content"] == {
        "application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}
    }
    assert {"409", "412", "413", "428", "503"} <= responses.keys()
    assert {"304", "410"} <= document["paths"]["/api/v1/drafts/{draft_id}"]["get"]["responses"].keys()
