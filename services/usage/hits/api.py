"""Taking hits over HTTP: one, many, and from a page that is being left (beacon)."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Header, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from services.usage.counts.domain.counter import HitKind
from services.usage.hits.commands import HitRecording, record_hits, refuse_hits
from services.usage.hits.domain.reports import (
    HitProblem,
    HitResult,
    Receipt,
    ReportedHit,
    identifier_name,
    landing_page_name,
)
from services.usage.hits.domain.visitors import VisitorTraits
from shared.bounded_json import JSONBoundError, JSONLimits, check
from shared.http.idempotency import Answer, act_once
from shared.http.json_bodies import json_bound_problem
from shared.http.problems import FieldProblem, ProblemError
from shared.http.viewing import ViewerDependency, access
from shared.identity.viewer import Role, TokenScope, Viewer
from shared.store.engine import Store
from shared.store.unit_of_work import UnitOfWork

__all__ = ["build_hits_api"]

HITS_MAX = 1_000
OWN_HITS_MAX = 100
"""How many hits of their own somebody may report at once who is no importer."""

BATCH_BYTES_MAX = 2 * 1024 * 1024
BEACON_BYTES_MAX = 4 * 1024
BEACON_LIMITS = JSONLimits(bytes_max=BEACON_BYTES_MAX, elements_max=100)
TEXT_MAX = 2_000

_STRICT = ConfigDict(extra="forbid", str_strip_whitespace=True)


class Visitor(BaseModel):
    """Whose use it was, when not the sender's own. Made a hash at once; never stored, never sent on."""

    model_config = _STRICT

    address: str = Field(default="", max_length=200)
    user_agent: str | None = Field(default=None, max_length=TEXT_MAX)
    session: str = Field(default="", max_length=200)


class HitReport(BaseModel):
    """One use of one dataset, which is named by one of three fields."""

    model_config = _STRICT

    dataset_id: UUID | None = None
    identifier: str | None = Field(default=None, min_length=1, max_length=TEXT_MAX)
    landing_page: str | None = Field(default=None, min_length=1, max_length=TEXT_MAX)
    kind: HitKind
    occurred_at: AwareDatetime | None = None
    hit_id: UUID | None = None
    visitor: Visitor | None = None

    @model_validator(mode="after")
    def _check_dataset(self) -> "HitReport":
        names = [self.dataset_id, self.identifier, self.landing_page]
        if sum(name is not None for name in names) != 1:
            raise ValueError("name the dataset by exactly one of dataset_id, identifier and landing_page")
        return self

    def to_domain(self, position: int, own: VisitorTraits) -> ReportedHit:
        """Return it as the domain's own type; ``own``: the traits of the sender."""
        traits = own
        if self.visitor is not None:
            traits = VisitorTraits(self.visitor.address, self.visitor.user_agent, self.visitor.session)
        dataset: UUID | str
        if self.dataset_id is not None:
            dataset, field = self.dataset_id, "dataset_id"
        elif self.identifier is not None:
            dataset, field = identifier_name(self.identifier), "identifier"
        else:
            dataset, field = landing_page_name(self.landing_page or ""), "landing_page"
        return ReportedHit(
            position=position,
            dataset=dataset,
            dataset_field=field,
            kind=self.kind,
            traits=traits,
            is_foreign=self.visitor is not None,
            occurred_at=self.occurred_at,
            hit_id=self.hit_id,
        )


class HitBatch(BaseModel):
    """Up to 1,000 hits. Each is judged by itself: one that is wrong does not spoil the others."""

    model_config = _STRICT

    hits: list[Any] = Field(
        min_length=1,
        max_length=HITS_MAX,
        json_schema_extra={"items": {"$ref": "#/components/schemas/HitReport"}},
    )


KeyHeader = Annotated[str | None, Header(alias="Idempotency-Key", max_length=200)]


def build_hits_api(store: Store, recording: HitRecording) -> APIRouter:
    """Return the routes that take hits."""
    router = APIRouter(tags=["usage"])

    @router.post("/api/v1/usage/hits", status_code=202, dependencies=[access("public", TokenScope.HITS)])
    async def report_hit(
        hit: HitReport, request: Request, viewer: ViewerDependency, key: KeyHeader = None
    ) -> Response:
        """Report one use. Without ``visitor`` it is yours: your address and agent, as a hash, for a day."""
        reported = _single(hit, request, key)

        async def act(work: UnitOfWork) -> Answer:
            receipts = await record_hits(work, recording, [reported], viewer=viewer, idempotency_key=key)
            return Answer(202, _receipt_document(_required(receipts[0]), prefix="#/"))

        return await _act(request, viewer, store, act)

    @router.post(
        "/api/v1/usage/hits:batch",
        status_code=202,
        dependencies=[access("public", TokenScope.HITS, body_bytes_max=BATCH_BYTES_MAX)],
    )
    async def report_hits(
        batch: HitBatch, request: Request, viewer: ViewerDependency, key: KeyHeader = None
    ) -> Response:
        """Report up to 1,000 uses. The same batch sent again counts once, with or without a key.

        Give each hit a ``hit_id`` where a batch may come again on another day. Uses of others
        (``visitor``) and uses older than a day need the role service or operator.
        """
        _check_size(batch, viewer)

        async def act(work: UnitOfWork) -> Answer:
            receipts = await _record_batch(work, recording, batch.hits, request, viewer, key)
            return Answer(202, _batch_document(receipts))

        return await _act(request, viewer, store, act)

    @router.post(
        "/usage/beacon",
        status_code=204,
        dependencies=[access("public", takes_cross_site=True, body_bytes_max=BEACON_BYTES_MAX)],
        openapi_extra={
            "requestBody": {
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/HitReport"}}}
            }
        },
    )
    async def take_beacon(request: Request, viewer: ViewerDependency) -> Response:
        """Report one use of your own from a page, also as it is left (``navigator.sendBeacon``).

        The body is the JSON of a hit under any content type; a beacon cannot choose it everywhere.
        """
        hit = _parsed_beacon(await request.body())
        async with store.unit_of_work() as work:
            receipts = await record_hits(work, recording, [_single(hit, request, None)], viewer=viewer)
        _required(receipts[0])
        return Response(status_code=204)

    return router


async def _act(request: Request, viewer: Viewer, store: Store, act: Any) -> Response:
    if viewer.is_signed_in:
        return await act_once(request, viewer, store, act)
    # Kept answers are filed by address where nobody is signed in, and no address is kept here. Ids made
    # of key and content see to it that a repeat counts once all the same.
    async with store.unit_of_work() as work:
        answer: Answer = await act(work)
    return answer.response()


def _single(hit: HitReport, request: Request, key: str | None) -> ReportedHit:
    reported = hit.to_domain(0, _own_traits(request))
    if reported.hit_id is None and reported.occurred_at is None and key is None:
        # Nothing tells a repeat from another use; the rule on double clicks then has to.
        return hit.model_copy(update={"hit_id": uuid4()}).to_domain(0, _own_traits(request))
    return reported


async def _record_batch(
    work: UnitOfWork,
    recording: HitRecording,
    items: Sequence[Any],
    request: Request,
    viewer: Viewer,
    key: str | None,
) -> list[tuple[int, Receipt | list[FieldProblem]]]:
    own = _own_traits(request)
    good: list[ReportedHit] = []
    answers: dict[int, Receipt | list[FieldProblem]] = {}
    for position, item in enumerate(items):
        try:
            good.append(HitReport.model_validate(item).to_domain(position, own))
        except ValidationError as error:
            answers[position] = _validation_problems(error, position)
    receipts = await record_hits(work, recording, good, viewer=viewer, idempotency_key=key)
    answers.update({hit.position: receipt for hit, receipt in zip(good, receipts, strict=True)})
    refuse_hits(work, recording, len(items) - len(good))
    return sorted(answers.items())


def _check_size(batch: HitBatch, viewer: Viewer) -> None:
    imports = Role.OPERATOR in viewer.roles or TokenScope.HITS in viewer.scopes
    if len(batch.hits) > OWN_HITS_MAX and not imports:
        cure = f"Send at most {OWN_HITS_MAX} hits at once, or use a program's token with the scope hits."
        problem = FieldProblem("too many hits", cure, pointer="#/hits", code="too_long")
        raise ProblemError(422, "validation", "The batch is too large", cure, errors=[problem])


def _own_traits(request: Request) -> VisitorTraits:
    address = request.client.host if request.client else ""
    return VisitorTraits(address, request.headers.get("user-agent", "")[:TEXT_MAX])


def _parsed_beacon(body: bytes) -> HitReport:
    try:
        check(body, BEACON_LIMITS)
        return HitReport.model_validate_json(body)
    except JSONBoundError as error:
        raise json_bound_problem(error) from error
    except ValidationError as error:
        problems = _validation_problems(error, None)
        raise ProblemError(
            422, "validation", "The beacon is not valid", "See errors.", errors=problems
        ) from error


def _required(receipt: Receipt) -> Receipt:
    """Raise the problem of a single hit that was rejected."""
    if receipt.problem is not None:
        problem = _field_problem(receipt.problem, "#/")
        status = 403 if receipt.problem.code == "forbidden" else 422
        raise ProblemError(
            status, "validation", "The hit was not taken", receipt.problem.detail, errors=[problem]
        )
    return receipt


def _validation_problems(error: ValidationError, position: int | None) -> list[FieldProblem]:
    prefix = "#" if position is None else f"#/hits/{position}"
    problems = []
    for item in error.errors(include_url=False, include_context=False, include_input=False)[:10]:
        path = "".join(f"/{part}" for part in item["loc"])
        field = str(item["loc"][0]) if item["loc"] else ""
        cure = _CURES.get("extra" if item["type"] == "extra_forbidden" else field, _CURES[""])
        detail = item["msg"].removeprefix("Value error, ")
        problems.append(FieldProblem(detail, cure, pointer=prefix + path, code=item["type"]))
    return problems


def _field_problem(problem: HitProblem, prefix: str) -> FieldProblem:
    return FieldProblem(problem.detail, problem.cure, pointer=prefix + problem.field, code=problem.code)


def _receipt_document(receipt: Receipt, *, prefix: str) -> dict[str, Any]:
    document: dict[str, Any] = {"result": receipt.result.value}
    if receipt.hit_id is not None:
        document["hit_id"] = str(receipt.hit_id)
    if receipt.problem is not None:
        document["problems"] = [_field_problem(receipt.problem, prefix).document()]
    return document


def _batch_document(answers: Sequence[tuple[int, Receipt | list[FieldProblem]]]) -> dict[str, Any]:
    items: list[dict[str, Any]] = []
    for position, answer in answers:
        if isinstance(answer, Receipt):
            items.append(_receipt_document(answer, prefix=f"#/hits/{position}/"))
        else:
            problems = [problem.document() for problem in answer]
            items.append({"result": HitResult.REJECTED.value, "problems": problems})
    results = [item["result"] for item in items]
    return {**{result.value: results.count(result.value) for result in HitResult}, "items": items}


_CURES: Mapping[str, str] = {
    "": "Send a JSON object that names one dataset and a kind.",
    "dataset_id": "Write a UUID, such as 0b0d2c6e-6c1e-4a36-9d0e-2f1f6a2b7c11.",
    "identifier": "Write the publisher's identifier of the dataset.",
    "landing_page": "Write the address of the dataset's landing page.",
    "kind": "Use view, download or api-call.",
    "occurred_at": "Write a moment with its zone: 2026-03-12T14:00:00Z.",
    "hit_id": "Write a UUID, a new one for each hit.",
    "visitor": "Send an object with address, user_agent and session, or leave it out.",
    "extra": "Remove it, or check its spelling.",
}
