"""The audit of those who let others in, on SQLAlchemy: SQLite and PostgreSQL alike."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.governance.adapters.tables import DIRECTORY_AUDIT
from services.governance.domain.auditing import AuditLine, DirectoryAct
from shared.store.unit_of_work import UnitOfWork

__all__ = ["KeptLine", "SqlAudit", "audit_lines"]


@dataclass(frozen=True, slots=True)
class KeptLine:
    """An audit line with its number; numbers rise with time."""

    number: int
    line: AuditLine


class SqlAudit:
    """Implements :class:`services.governance.ports.Audit`."""

    async def note(self, work: UnitOfWork, line: AuditLine) -> None:
        await work.connection.execute(
            insert(DIRECTORY_AUDIT),
            [
                {
                    "act": line.act.value,
                    "actor_id": line.actor_id,
                    "person_id": line.person_id,
                    "happened_at": line.happened_at,
                    "is_beyond": line.is_beyond,
                    "details": dict(line.details),
                }
            ],
        )


async def audit_lines(
    connection: AsyncConnection, *, limit: int, before: int | None = None, person_id: UUID | None = None
) -> list[KeptLine]:
    """Return audit lines, newest first: before a number, of one person who acted or was acted on."""
    table = DIRECTORY_AUDIT
    statement = select(table).order_by(table.c.line_id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(table.c.line_id < before)
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
