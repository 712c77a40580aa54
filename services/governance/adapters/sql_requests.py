"""Sharing requests on SQLAlchemy: SQLite and PostgreSQL alike."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.governance.domain.redaction import REDACTED, without_words
from services.governance.domain.sharing import Action, NewRequest, SharingRequest, Status
from services.governance.migrations.tables import SHARING_REQUESTS, SHARING_STEPS
from services.governance.ports import RequestStep
from shared.errors import NotFoundError
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert

__all__ = ["SqlRequestBook", "request_of", "steps_of"]


class SqlRequestBook:
    """Implements :class:`services.governance.ports.RequestBook`."""

    async def add(self, work: UnitOfWork, request: SharingRequest, *, event_id: str) -> None:
        await work.connection.execute(insert(SHARING_REQUESTS), [_row(request)])
        await work.connection.execute(
            insert(SHARING_STEPS), [_step(request, "submit", request.requester_id, None, event_id)]
        )

    async def find(self, work: UnitOfWork, request_id: UUID) -> SharingRequest | None:
        row = (
            await work.connection.execute(
                select(SHARING_REQUESTS).where(SHARING_REQUESTS.c.request_id == request_id)
            )
        ).one_or_none()
        return None if row is None else request_of(row)

    async def locked(self, work: UnitOfWork, request_id: UUID) -> SharingRequest:
        row = (
            await work.connection.execute(
                select(SHARING_REQUESTS).where(SHARING_REQUESTS.c.request_id == request_id).with_for_update()
            )
        ).one_or_none()
        if row is None:
            raise NotFoundError(
                "No request that you may see has this id.", what="request", field="request_id"
            )
        return request_of(row)

    async def put(
        self,
        work: UnitOfWork,
        request: SharingRequest,
        *,
        action: Action,
        person_id: UUID,
        reason: str | None,
        event_id: str,
    ) -> None:
        await upsert(work.connection, SHARING_REQUESTS, [_row(request)])
        await work.connection.execute(
            insert(SHARING_STEPS), [_step(request, action.value, person_id, reason, event_id)]
        )

    async def naming(self, work: UnitOfWork, person_id: UUID, words: Collection[str]) -> list[SharingRequest]:
        table = SHARING_REQUESTS.c
        texts = (table.purpose, table.data_wanted, table.legal_basis, table.retention, table.decision_reason)
        named = [text.icontains(word, autoescape=True) for text in texts for word in words if word]
        rows = await work.connection.execute(
            select(SHARING_REQUESTS).where(or_(table.requester_id == person_id, *named)).with_for_update()
        )
        return [request_of(row) for row in rows]

    async def put_redacted(self, work: UnitOfWork, requests: Sequence[SharingRequest]) -> None:
        await upsert(work.connection, SHARING_REQUESTS, [_row(request) for request in requests])

    async def redact_steps(self, work: UnitOfWork, person_id: UUID, words: Collection[str]) -> None:
        step = SHARING_STEPS.c
        own = select(SHARING_REQUESTS.c.request_id).where(SHARING_REQUESTS.c.requester_id == person_id)
        rows = await work.connection.execute(
            select(step.step_id, step.reason, step.person_id, step.request_id.in_(own).label("is_own")).where(
                step.reason.is_not(None)
            )
        )
        for row in rows.all():
            wrote_it = row.is_own and row.person_id == person_id
            left = REDACTED if wrote_it else without_words(row.reason, words)
            if left != row.reason:
                await work.connection.execute(
                    update(SHARING_STEPS).where(step.step_id == row.step_id).values(reason=left)
                )


def request_of(row: Any) -> SharingRequest:
    """Return the request in a row of ``sharing_requests``."""
    return SharingRequest(
        request_id=row.request_id,
        dataset_id=row.dataset_id,
        dataset_title=row.dataset_title,
        agency_id=row.agency_id,
        requester_id=row.requester_id,
        status=Status(row.status),
        content=NewRequest(row.purpose, row.data_wanted, row.legal_basis, row.retention),
        submitted_at=row.submitted_at,
        changed_at=row.changed_at,
        due_on=row.due_on,
        decided_by=row.decided_by,
        decision_reason=row.decision_reason,
        version=row.version,
    )


async def steps_of(connection: AsyncConnection, request_id: UUID) -> list[RequestStep]:
    """Return a request's audit lines, oldest first."""
    rows = await connection.execute(
        select(SHARING_STEPS)
        .where(SHARING_STEPS.c.request_id == request_id)
        .order_by(SHARING_STEPS.c.step_id)
    )
    return [RequestStep(row.action, row.person_id, row.reason, row.happened_at) for row in rows]


def _row(request: SharingRequest) -> dict[str, Any]:
    return {
        "request_id": request.request_id,
        "dataset_id": request.dataset_id,
        "dataset_title": request.dataset_title,
        "agency_id": request.agency_id,
        "requester_id": request.requester_id,
        "status": request.status.value,
        "purpose": request.content.purpose,
        "data_wanted": request.content.data_wanted,
        "legal_basis": request.content.legal_basis,
        "retention": request.content.retention,
        "submitted_at": request.submitted_at,
        "changed_at": request.changed_at,
        "due_on": request.due_on,
        "decided_by": request.decided_by,
        "decision_reason": request.decision_reason,
        "version": request.version,
    }


def _step(
    request: SharingRequest, action: str, person_id: UUID, reason: str | None, event_id: str
) -> dict[str, Any]:
    return {
        "request_id": request.request_id,
        "action": action,
        "person_id": person_id,
        "reason": reason,
        "happened_at": request.changed_at,
        "event_id": event_id,
    }
