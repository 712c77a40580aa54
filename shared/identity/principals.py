"""Whose token may do what: each service keeps the grants it needs, learnt from ``directory.people``.

The table holds ids, grants and revocations. Names and addresses stay in the directory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import structlog
from sqlalchemy import Column, MetaData, String, Table, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.consuming.handling import Outcome
from shared.events.envelope import Event
from shared.events.governance import PersonChanged, PersonState
from shared.identity.tokens import AuthenticationError, Tokens
from shared.identity.viewer import INSTALLATION_ROLES, Grant, Role, Viewer, scopes_open_to
from shared.store.engine import Store
from shared.store.types import JSONDocument, UTCDateTime
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert

__all__ = [
    "Authenticator",
    "Principals",
    "TokenAuthenticator",
    "principals_table",
    "remember_people",
    "write_principals",
]

CACHED_PRINCIPALS_MAX = 10_000

_log = structlog.get_logger(__name__)


def principals_table(metadata: MetaData) -> Table:
    """Add the table to a service's metadata; one of its migrations creates it."""
    return Table(
        "principals",
        metadata,
        Column("person_id", String(36), primary_key=True),
        Column("grants", JSONDocument, nullable=False),
        Column("tokens_valid_from", UTCDateTime, nullable=True),
        Column("revoked_token_ids", JSONDocument, nullable=False),
    )


@dataclass(frozen=True, slots=True)
class _Principal:
    grants: frozenset[Grant]
    tokens_valid_from: datetime | None
    revoked_token_ids: frozenset[str]


@dataclass(slots=True)
class Principals:
    """The table, with a memory of rows that each write of this process empties.

    Set ``is_cached`` only where the writer and the readers are one process (the embedded profile): no
    entry ever ages, so a write elsewhere would go unseen.
    """

    table: Table
    is_cached: bool = False
    _rows: dict[UUID, _Principal | None] = field(default_factory=dict, init=False, repr=False)
    _generation: int = field(default=0, init=False, repr=False)

    def forget_cached(self) -> None:
        """Drop the memory. A read begun before keeps its row out of it."""
        self._generation += 1
        self._rows.clear()

    async def find(self, store: Store, person_id: UUID) -> _Principal | None:
        """Return what is known of a person, or ``None``."""
        if person_id in self._rows:
            return self._rows[person_id]
        generation = self._generation
        async with store.read() as connection:
            found = await connection.execute(
                select(self.table).where(self.table.c.person_id == str(person_id))
            )
            row = found.mappings().first()
        principal = None if row is None else _principal(row)
        if self.is_cached and generation == self._generation and len(self._rows) < CACHED_PRINCIPALS_MAX:
            self._rows[person_id] = principal
        return principal


class Authenticator(Protocol):
    """Tells who sent a token."""

    async def authenticate(self, token: str) -> Viewer:
        """Return the viewer. Raises ``AuthenticationError`` (malformed, expired, revoked, unknown)."""
        ...


class TokenAuthenticator:
    """Verifies a token and looks its person up in this service's own store."""

    def __init__(self, tokens: Tokens, store: Store, principals: Principals) -> None:
        self._tokens = tokens
        self._store = store
        self._principals = principals

    async def authenticate(self, token: str) -> Viewer:
        claims = self._tokens.verify(token)
        principal = await self._principals.find(self._store, claims.person_id)
        if principal is None:
            raise AuthenticationError("unknown", "The token belongs to nobody who is known here.")
        valid_from = principal.tokens_valid_from
        is_cut_off = valid_from is not None and claims.issued_at < valid_from
        if is_cut_off or claims.token_id in principal.revoked_token_ids:
            raise AuthenticationError("revoked", "The token has been revoked. Get a new one.")
        if claims.scopes is None:
            return Viewer(claims.person_id, principal.grants, claims.token_id)
        grants, scopes = scopes_open_to(principal.grants, claims.scopes)
        if not scopes:
            raise AuthenticationError("revoked", "The token's owner no longer holds the role service.")
        return Viewer(claims.person_id, grants, claims.token_id, scopes)


async def write_principals(
    unit_of_work: UnitOfWork,
    principals: Principals,
    people: Sequence[PersonState],
    erased: Sequence[UUID] = (),
) -> None:
    """Write what ``people`` may do, and delete the rows of ``erased``, in the given transaction."""
    rows = [
        {
            "person_id": str(person.person_id),
            "grants": [grant.model_dump(mode="json") for grant in person.grants],
            "tokens_valid_from": person.tokens_valid_from,
            "revoked_token_ids": list(person.revoked_token_ids),
        }
        for person in people
    ]
    await upsert(unit_of_work.connection, principals.table, rows)
    await _delete(unit_of_work.connection, principals.table, erased)
    unit_of_work.after_commit(principals.forget_cached)


async def remember_people(
    batch: Sequence[Event], unit_of_work: UnitOfWork, principals: Principals
) -> Sequence[Outcome] | None:
    """Handle ``directory.people``: keep the newest state of each person; a tombstone deletes the row."""
    newest: dict[UUID, PersonState | None] = {}
    for event in batch:
        newest[UUID(event.subject)] = None if event.data is None else event.payload(PersonChanged).person
    await write_principals(
        unit_of_work,
        principals,
        [person for person in newest.values() if person is not None],
        [person_id for person_id, person in newest.items() if person is None],
    )
    return None


async def _delete(connection: AsyncConnection, table: Table, person_ids: Sequence[UUID]) -> None:
    for person_id in person_ids:
        await connection.execute(delete(table).where(table.c.person_id == str(person_id)))


def _principal(row: Mapping[Any, Any]) -> _Principal:
    return _Principal(
        grants=frozenset(_known_grants(row["grants"])),
        tokens_valid_from=row["tokens_valid_from"],
        revoked_token_ids=frozenset(row["revoked_token_ids"]),
    )


def _known_grants(documents: Sequence[Mapping[str, Any]]) -> list[Grant]:
    # Roles on topics are open: one that this version does not know grants nothing. Nor does a role of the
    # whole installation that is held for one agency: routes that ask for the role alone would open to it.
    grants = []
    for document in documents:
        try:
            role = Role(document["role"])
        except ValueError:
            _log.warning("unknown_role", role=document["role"])
            continue
        agency_id = document.get("agency_id")
        if agency_id and role in INSTALLATION_ROLES:
            _log.warning("installation_role_for_one_agency", role=role.value)
            continue
        grants.append(Grant(role, UUID(agency_id) if agency_id else None))
    return grants
