"""The audit of the directory, on SQLAlchemy: SQLite and PostgreSQL alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.governance.domain.auditing import AuditLine, DirectoryAct
from services.governance.migrations.tables import DIRECTORY_AUDIT
from shared.store.unit_of_work import UnitOfWork

__all__ = ["KeptLine", "SqlAudit", "audit_lines"]


FAILURES_LOOKED_AT = 50
"""Kinds of failed sign-ins within a minute that are told apart."""


@dataclass(frozen=True, slots=True)
class KeptLine:
    """An audit line with its number; numbers rise with time."""

    number: int
    line: AuditLine


class SqlAudit:
    """Implements :class:`services.governance.ports.Audit`."""

    async def note_all(self, work: UnitOfWork, lines: Sequence[AuditLine]) -> None:
        if lines:
            await work.connection.execute(insert(DIRECTORY_AUDIT), [_row(line) for line in lines])

    async def count_failure(self, work: UnitOfWork, line: AuditLine, *, since: datetime) -> None:
        table = DIRECTORY_AUDIT
        rows = await work.connection.execute(
            select(table)
            .where(table.c.act == line.act.value, table.c.happened_at > since)
            .order_by(table.c.line_id.desc())
            .limit(FAILURES_LOOKED_AT)
            .with_for_update()
        )
        for row in rows:
            same = {name: value for name, value in row.details.items() if name != "times"}
            if (row.person_id, same) == (line.person_id, dict(line.details)):
                times = int(row.details.get("times", 1)) + 1
                await work.connection.execute(
                    update(table)
                    .where(table.c.line_id == row.line_id)
                    .values(details={**line.details, "times": times})
                )
                return
        await self.note_all(work, [line])


async def audit_lines(
    connection: AsyncConnection,
    *,
    limit: int,
    before: int | None = None,
    person_id: UUID | None = None,
    act: DirectoryAct | None = None,
) -> list[KeptLine]:
    """Return audit lines, newest first: before a number, of whom a person did or suffered, of one act."""
    table = DIRECTORY_AUDIT
    statement = select(table).order_by(table.c.line_id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(table.c.line_id < before)
    if act is not None:
        statement = statement.where(table.c.act == act.value)
    if person_id is not None:
        statement = statement.where((table.c.actor_id == person_id) | (table.c.person_id == person_id))
    return [
        KeptLine(
            row.line_id,
            AuditLine(
                DirectoryAct(row.act),
                row.actor_id,
                row.person_id,
                row.happened_at,
                row.is_beyond,
                row.details,
            ),
        )
        for row in await connection.execute(statement)
    ]


def _row(line: AuditLine) -> dict[str, Any]:
    return {
        "act": line.act.value,
        "actor_id": line.actor_id,
        "person_id": line.person_id,
        "happened_at": line.happened_at,
        "is_beyond": line.is_beyond,
        "details": dict(line.details),
    }
