"""Tokens and sign-in codes: issued, listed, revoked. Secrets are kept as hashes or not at all."""

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, insert, select, update

from services.governance.migrations.tables import PEOPLE, SIGN_IN_CODES, TOKENS
from shared.errors import NotFoundError
from shared.identity.tokens import Tokens
from shared.identity.viewer import TokenScope
from shared.store.unit_of_work import UnitOfWork

__all__ = ["SqlSignIn", "UsedCode"]

CODE_BYTES = 24


@dataclass(frozen=True, slots=True)
class UsedCode:
    """Whose sign-in code was used, and who made it; None for the installation itself."""

    person_id: UUID
    issued_by: UUID | None


class SqlSignIn:
    """Issues what lets a person in. Everything happens inside the given unit of work."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def issue_token(
        self,
        work: UnitOfWork,
        person_id: UUID,
        *,
        label: str,
        lifetime: timedelta,
        issued_by: UUID | None = None,
        scopes: Collection[TokenScope] = (),
    ) -> str:
        """Issue a token and note it; with ``scopes``, a program's. Raises ``NotFoundError`` for nobody known.

        ``issued_by`` is None where the installation issues it itself.
        """
        await self._check_person(work, person_id)
        token = self._tokens.issue(person_id, lifetime, scopes=scopes)
        claims = self._tokens.verify(token)
        await work.connection.execute(
            insert(TOKENS),
            [
                {
                    "token_id": claims.token_id,
                    "person_id": person_id,
                    "label": label,
                    "issued_at": claims.issued_at,
                    "expires_at": claims.expires_at,
                    "revoked_at": None,
                    "issued_by": issued_by,
                    "scopes": sorted(scopes),
                }
            ],
        )
        return token

    async def issue_code(
        self,
        work: UnitOfWork,
        person_id: UUID,
        *,
        lifetime: timedelta,
        uses_max: int,
        issued_by: UUID | None = None,
    ) -> str:
        """Return a code for a sign-in link. Raises ``NotFoundError`` for an unknown or erased person."""
        await self._check_person(work, person_id)
        code = secrets.token_urlsafe(CODE_BYTES)
        await work.connection.execute(
            insert(SIGN_IN_CODES),
            [
                {
                    "code_sha256": _hash(code),
                    "person_id": person_id,
                    "expires_at": work.clock.now() + lifetime,
                    "uses_left": uses_max,
                    "issued_by": issued_by,
                }
            ],
        )
        return code

    async def use_code(self, work: UnitOfWork, code: str) -> UsedCode | None:
        """Return whose code it is and count its use; ``None`` if it is unknown, expired or used up."""
        now = work.clock.now()
        await work.connection.execute(delete(SIGN_IN_CODES).where(SIGN_IN_CODES.c.expires_at <= now))
        found = (
            await work.connection.execute(
                select(SIGN_IN_CODES.c.person_id, SIGN_IN_CODES.c.issued_by)
                .where(SIGN_IN_CODES.c.code_sha256 == _hash(code), SIGN_IN_CODES.c.uses_left > 0)
                .with_for_update()
            )
        ).one_or_none()
        if found is None:
            return None
        await work.connection.execute(
            update(SIGN_IN_CODES)
            .where(SIGN_IN_CODES.c.code_sha256 == _hash(code))
            .values(uses_left=SIGN_IN_CODES.c.uses_left - 1)
        )
        return UsedCode(found.person_id, found.issued_by)

    async def _check_person(self, work: UnitOfWork, person_id: UUID) -> None:
        known = await work.connection.scalar(
            select(PEOPLE.c.person_id).where(PEOPLE.c.person_id == person_id, PEOPLE.c.erased.is_(False))
        )
        if known is None:
            raise NotFoundError(f"No person has the id {person_id}.", what="person", field="person_id")


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
