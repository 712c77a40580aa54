"""Everything that governance keeps about one person, for that person (GDPR, article 15; C.G.S. § 42-518)."""

from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.governance.migrations.tables import (
    AGENCIES,
    DIRECTORY_AUDIT,
    GRANTS,
    PEOPLE,
    SHARING_REQUESTS,
    SHARING_STEPS,
    STEWARDSHIPS,
    TOKENS,
)

__all__ = ["personal_data"]


async def personal_data(connection: AsyncConnection, person_id: UUID) -> dict[str, Any] | None:
    """Return what is known of a person, by kind; ``None`` for nobody who is known, or who was erased."""
    person = PEOPLE.c
    row = (
        await connection.execute(
            select(person.person_id, person.email, person.display_name, person.changed_at).where(
                person.person_id == person_id, person.erased.is_(False)
            )
        )
    ).one_or_none()
    if row is None:
        return None
    grants = await connection.execute(
        select(GRANTS.c.role, AGENCIES.c.code.label("agency"))
        .outerjoin(AGENCIES, AGENCIES.c.agency_id == GRANTS.c.agency_id)
        .where(GRANTS.c.person_id == person_id)
        .order_by(GRANTS.c.grant_id)
    )

    async def rows_of(table: Table, *columns: str) -> list[RowMapping]:
        """Rows in which one of ``columns`` names the person."""
        named = table.c[columns[0]] == person_id
        for column in columns[1:]:
            named |= table.c[column] == person_id
        found = await connection.execute(select(table).where(named).order_by(*table.primary_key.columns))
        return list(found.mappings())

    return {
        "person": _plain(row._mapping),  # noqa: SLF001 - SQLAlchemy's documented name
        "grants": [{"role": one.role, "agency": one.agency or "*"} for one in grants],
        "tokens": [_plain(one) for one in await rows_of(TOKENS, "person_id", "issued_by")],
        "stewardships": [_plain(one) for one in await rows_of(STEWARDSHIPS, "steward_id")],
        "requests": [_plain(one) for one in await rows_of(SHARING_REQUESTS, "requester_id", "decided_by")],
        "steps": [_plain(one) for one in await rows_of(SHARING_STEPS, "person_id")],
        "access_log": [_plain(one) for one in await rows_of(DIRECTORY_AUDIT, "person_id", "actor_id")],
    }


def _plain(row: RowMapping) -> dict[str, Any]:
    # Names of columns are a kind of text that JSON writers do not take for keys.
    return {str(name): value for name, value in row.items()}
