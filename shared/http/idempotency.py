"""``Idempotency-Key`` (IETF draft httpapi-idempotency-key-header): a request sent twice acts once.

The answer is kept in the same transaction as what the request did, so either both are there or neither::

    @router.post("/api/v1/sharing-requests", status_code=201, dependencies=[access("signed-in")])
    async def submit(request: Request, draft: Draft, viewer: ViewerDependency) -> Response:
        async def act(unit_of_work: UnitOfWork) -> Answer:
            document = await submit_request(draft, unit_of_work, …)
            return Answer(201, document, {"Location": f"/api/v1/sharing-requests/{document['id']}"})

        return await act_once(request, viewer, store, act)
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeAlias

from sqlalchemy import Column, Index, Integer, MetaData, String, Table, delete, insert, select
from sqlalchemy.exc import IntegrityError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.http.csrf import CSRF_FIELD, is_form
from shared.http.problems import FieldProblem, ProblemError
from shared.http.request_context import route_template
from shared.identity.viewer import Viewer
from shared.store.engine import Store
from shared.store.types import JSONDocument, UTCDateTime
from shared.store.unit_of_work import UnitOfWork

__all__ = ["Answer", "act_once", "idempotency_table", "prune_idempotency_keys"]

IDEMPOTENCY_HEADER = "Idempotency-Key"
IDEMPOTENCY_TABLE = "idempotency_keys"
KEY_CHARACTERS_MAX = 200
KEPT_FOR = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is answered with: status, JSON value, extra headers (Location, ETag)."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self, *, is_replayed: bool = False) -> Response:
        """Return it as a response; a replayed one says so in ``Idempotent-Replayed``."""
        headers = dict(self.headers) | ({"Idempotent-Replayed": "true"} if is_replayed else {})
        return JSONResponse(self.body, status_code=self.status, headers=headers)


Act: TypeAlias = Callable[[UnitOfWork], Awaitable[Answer]]


def idempotency_table(metadata: MetaData) -> Table:
    """Add the table to a service's metadata; one of its migrations creates it."""
    table = Table(
        IDEMPOTENCY_TABLE,
        metadata,
        Column("key", String(KEY_CHARACTERS_MAX), primary_key=True),
        Column("viewer", String(80), primary_key=True),
        Column("route", String(200), primary_key=True),
        Column("request_hash", String(64), nullable=False),
        Column("status", Integer, nullable=False),
        Column("body", JSONDocument, nullable=False),
        Column("headers", JSONDocument, nullable=False),
        Column("created_at", UTCDateTime, nullable=False),
    )
    Index("ix_idempotency_keys_created_at", table.c.created_at)
    return table


async def act_once(request: Request, viewer: Viewer, store: Store, act: Act) -> Response:
    """Run ``act`` in a unit of work and answer with what it returns; without a key, simply that.

    With an ``Idempotency-Key`` the answer is kept for 24 hours. The same key and request again: the kept
    answer. The same key with another request: 422. While the first still runs: 409. An ``act`` that
    raises rolls back and keeps nothing, so that the same key may be tried again.
    """
    key = request.headers.get(IDEMPOTENCY_HEADER)
    table = store.metadata.tables[IDEMPOTENCY_TABLE]
    if key is None:
        async with store.unit_of_work() as unit_of_work:
            answer = await act(unit_of_work)
        return answer.response()
    _check(key)
    who = str(viewer.person_id) if viewer.person_id else f"anonymous:{_client(request, key)}"
    identity = (key, who, f"{request.method} {route_template(request.scope)}"[:200])
    request_hash = await _hash(request)
    # One process answers at once with 409; between processes the primary key lets only one commit.
    running: set[tuple[str, str, str]] = request.app.state.idempotent_requests_running
    if identity in running:
        raise _in_progress()
    running.add(identity)
    try:
        return await _act_or_replay(store, table, identity, request_hash, act)
    finally:
        running.discard(identity)


async def prune_idempotency_keys(unit_of_work: UnitOfWork, table: Table) -> int:
    """Delete keys older than 24 hours and return how many. For a service's recurring work."""
    cut = unit_of_work.clock.now() - KEPT_FOR
    done = await unit_of_work.connection.execute(delete(table).where(table.c.created_at < cut))
    return done.rowcount


async def _act_or_replay(
    store: Store, table: Table, identity: tuple[str, str, str], request_hash: str, act: Act
) -> Response:
    key, who, route = identity
    async with store.unit_of_work() as unit_of_work:
        now = unit_of_work.clock.now()
        is_same = (table.c.key == key) & (table.c.viewer == who) & (table.c.route == route)
        found = await unit_of_work.connection.execute(select(table).where(is_same))
        kept = found.mappings().first()
        if kept is not None and kept["created_at"] >= now - KEPT_FOR:
            if kept["request_hash"] != request_hash:
                raise _another_request()
            return Answer(kept["status"], kept["body"], kept["headers"]).response(is_replayed=True)
        if kept is not None:
            await unit_of_work.connection.execute(delete(table).where(is_same))
        answer = await act(unit_of_work)
        row = {
            "key": key,
            "viewer": who,
            "route": route,
            "request_hash": request_hash,
            "status": answer.status,
            "body": answer.body,
            "headers": dict(answer.headers),
            "created_at": now,
        }
        try:
            await unit_of_work.connection.execute(insert(table).values(row))
        except IntegrityError as error:
            raise _in_progress() from error
    return answer.response()


async def _hash(request: Request) -> str:
    digest = hashlib.sha256(f"{request.method} {request.url.path}?{request.url.query}\n".encode())
    if is_form(request):
        # A form's body is gone once its fields are read; the CSRF token differs from page to page.
        form = await request.form()
        fields = [(name, str(value)) for name, value in form.multi_items() if name != CSRF_FIELD]
        digest.update(repr(fields).encode())
    else:
        digest.update(await request.body())
    return digest.hexdigest()


def _client(request: Request, key: str) -> str:
    # Salted with the key, which is new per request: an address is not kept, nor can two rows be put together.
    address = request.client.host if request.client else "unknown"
    return hashlib.sha256(f"{key}\n{address}".encode()).hexdigest()[:32]


def _check(key: str) -> None:
    if not key or len(key) > KEY_CHARACTERS_MAX or not key.isprintable():
        cure = f"Use 1 to {KEY_CHARACTERS_MAX} printable characters, such as a new UUID per request."
        raise _problem(400, "idempotency-key", "The Idempotency-Key cannot be used", cure, "invalid")


def _in_progress() -> ProblemError:
    problem = _problem(
        409,
        "idempotency-in-progress",
        "The same request is being worked on",
        "Wait for its answer, or send it again in a second.",
        "in_progress",
    )
    problem.headers["Retry-After"] = "1"
    return problem


def _another_request() -> ProblemError:
    return _problem(
        422,
        "idempotency-mismatch",
        "This Idempotency-Key was used for another request",
        "Use a new key for a new request; send a repeated one unchanged.",
        "mismatch",
    )


def _problem(status: int, slug: str, title: str, cure: str, code: str) -> ProblemError:
    place = FieldProblem(title, cure, header=IDEMPOTENCY_HEADER, code=code)
    return ProblemError(status, slug, title, cure, errors=[place])
