"""The directory on SQLAlchemy: SQLite and PostgreSQL alike."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import delete, func, insert, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.governance.domain.agencies import AgencyName, PublisherMatch
from services.governance.domain.redaction import without_words
from services.governance.migrations.tables import (
    AGENCIES,
    AGENCY_ALIASES,
    GRANTS,
    IDEMPOTENCY,
    KNOWN_DATASETS,
    OPEN_PUBLISHERS,
    PEOPLE,
    SIGN_IN_CODES,
    STEWARDSHIPS,
    TOKENS,
)
from services.governance.ports import SESSION_LABEL, SpellingSight
from shared.datasets.publisher_names import normalize_publisher
from shared.errors import NotFoundError
from shared.events.governance import GrantState, PersonState, StewardshipState
from shared.identity.viewer import Grant, Role, Viewer
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert

__all__ = ["SqlDirectory"]

CHUNK = 500
LABEL_CHARACTERS_MAX = 120
EXPIRED_KEPT = timedelta(days=30)
"""How long an expired token is still listed."""

REVOKED_TOKENS_MAX = 200
"""More revocations than this on one person become one moment before which every token is refused."""


class SqlDirectory:
    """Implements :class:`services.governance.ports.Directory`."""

    def __init__(self, jurisdiction_words: Collection[str]) -> None:
        self._jurisdiction_words = frozenset(jurisdiction_words)

    async def agencies(self, work: UnitOfWork) -> list[AgencyName]:
        rows = (await work.connection.execute(select(AGENCIES).order_by(AGENCIES.c.code))).all()
        aliases: dict[UUID, list[str]] = defaultdict(list)
        for row in await work.connection.execute(select(AGENCY_ALIASES).order_by(AGENCY_ALIASES.c.spelling)):
            aliases[row.agency_id].append(row.spelling)
        return [AgencyName(row.agency_id, row.code, row.name, tuple(aliases[row.agency_id])) for row in rows]

    async def agency_id_of(self, work: UnitOfWork, code: str) -> UUID | None:
        agency_id: UUID | None = await work.connection.scalar(
            select(AGENCIES.c.agency_id).where(AGENCIES.c.code == code)
        )
        return agency_id

    async def put_agency(
        self, work: UnitOfWork, *, code: str, name: str, aliases: Mapping[str, str]
    ) -> tuple[AgencyName, int] | None:
        known = (
            await work.connection.execute(select(AGENCIES).where(AGENCIES.c.code == code).with_for_update())
        ).one_or_none()
        agency_id = known.agency_id if known else uuid4()
        version = known.version + 1 if known else 1
        now = work.clock.now()
        row = {"agency_id": agency_id, "code": code, "name": name, "version": version, "changed_at": now}
        added = await self._new_aliases(work.connection, aliases)
        if known is not None and known.name == name and not added:
            return None
        await upsert(work.connection, AGENCIES, [row])
        if added:
            await work.connection.execute(
                insert(AGENCY_ALIASES),
                [
                    {
                        "normalised": normalised,
                        "spelling": spelling,
                        "agency_id": agency_id,
                        "rule": rule,
                        "settled_at": now,
                    }
                    for normalised, (spelling, rule) in added.items()
                ],
            )
            await work.connection.execute(
                delete(OPEN_PUBLISHERS).where(OPEN_PUBLISHERS.c.normalised.in_(list(added)))
            )
        spellings = await work.connection.scalars(
            select(AGENCY_ALIASES.c.spelling)
            .where(AGENCY_ALIASES.c.agency_id == agency_id)
            .order_by(AGENCY_ALIASES.c.spelling)
        )
        return AgencyName(agency_id, code, name, tuple(spellings)), version

    async def note_open_publisher(self, work: UnitOfWork, spelling: str, match: PublisherMatch) -> None:
        candidates = [
            {"agency_id": str(one.agency_id), "name": one.name, "similarity": one.similarity}
            for one in match.candidates
        ]
        row = {
            "normalised": self._normalised(spelling),
            "spelling": spelling,
            "candidates": candidates,
            "first_seen_at": work.clock.now(),
        }
        await upsert(work.connection, OPEN_PUBLISHERS, [row], update=["candidates"])

    async def put_person(
        self,
        work: UnitOfWork,
        *,
        email: str,
        display_name: str,
        grants: Collection[GrantState],
        keeps_name: bool = False,
    ) -> tuple[PersonState, int] | None:
        known = (
            await work.connection.execute(select(PEOPLE).where(PEOPLE.c.email == email).with_for_update())
        ).one_or_none()
        person_id = known.person_id if known else uuid4()
        if known is not None and keeps_name:
            display_name = known.display_name
        held = await self._grants(work.connection, person_id)
        missing = [grant for grant in grants if (grant.role, grant.agency_id) not in held]
        if known is not None and known.display_name == display_name and not missing:
            return None
        row = {
            "person_id": person_id,
            "email": email,
            "display_name": display_name,
            "tokens_valid_from": known.tokens_valid_from if known else None,
            "version": known.version + 1 if known else 1,
            "changed_at": work.clock.now(),
            "erased": False,
        }
        await upsert(work.connection, PEOPLE, [row])
        if missing:
            await work.connection.execute(
                insert(GRANTS),
                [
                    {"person_id": person_id, "role": grant.role, "agency_id": grant.agency_id}
                    for grant in missing
                ],
            )
        return await self._person(work.connection, person_id)

    async def person_ids_by_email(self, work: UnitOfWork, emails: Collection[str]) -> dict[str, UUID]:
        wanted = sorted(set(emails))
        found: dict[str, UUID] = {}
        for start in range(0, len(wanted), CHUNK):
            chosen = PEOPLE.c.email.in_(wanted[start : start + CHUNK])
            for row in await work.connection.execute(
                select(PEOPLE.c.email, PEOPLE.c.person_id).where(chosen)
            ):
                found[row.email] = row.person_id
        return found

    async def revoke_tokens(
        self, work: UnitOfWork, person_id: UUID, token_id: str | None
    ) -> tuple[PersonState, int]:
        now = work.clock.now()
        await self._locked_person(work.connection, person_id)
        change: dict[str, Any] = {"version": PEOPLE.c.version + 1, "changed_at": now}
        revoked = TOKENS.c.person_id == person_id
        revoked_count = await self._revoked_count(work.connection, person_id, now)
        if token_id is None or revoked_count >= REVOKED_TOKENS_MAX:
            change["tokens_valid_from"] = now
        else:
            revoked = revoked & (TOKENS.c.token_id == token_id)
        await work.connection.execute(
            update(TOKENS).where(revoked, TOKENS.c.revoked_at.is_(None)).values(revoked_at=now)
        )
        await work.connection.execute(update(PEOPLE).where(PEOPLE.c.person_id == person_id).values(change))
        return await self._person(work.connection, person_id)

    async def take_grant(
        self, work: UnitOfWork, person_id: UUID, role: Role, agency_id: UUID | None
    ) -> tuple[PersonState, int]:
        await self._locked_person(work.connection, person_id)
        held = (GRANTS.c.person_id == person_id) & (GRANTS.c.role == role)
        held &= GRANTS.c.agency_id.is_(None) if agency_id is None else GRANTS.c.agency_id == agency_id
        taken = await work.connection.execute(delete(GRANTS).where(held))
        if not taken.rowcount:
            raise NotFoundError(
                f"The person {person_id} does not hold that grant.",
                what="grant",
                field="role",
                fix="Look up what they hold: GET /api/v1/directory/people.",
            )
        await work.connection.execute(
            update(PEOPLE)
            .where(PEOPLE.c.person_id == person_id)
            .values(version=PEOPLE.c.version + 1, changed_at=work.clock.now())
        )
        return await self._person(work.connection, person_id)

    async def grants_of(self, work: UnitOfWork, person_id: UUID) -> frozenset[Grant]:
        held = await self._grants(work.connection, person_id)
        return frozenset(Grant(Role(role), agency_id) for role, agency_id in held)

    async def held_by_email(self, work: UnitOfWork, email: str) -> tuple[UUID | None, frozenset[Grant]]:
        person_id = await work.connection.scalar(select(PEOPLE.c.person_id).where(PEOPLE.c.email == email))
        return person_id, frozenset() if person_id is None else await self.grants_of(work, person_id)

    async def issuers_for(self, work: UnitOfWork, person_id: UUID) -> set[UUID]:
        issuers: set[UUID] = set()
        for table, is_live in ((TOKENS, TOKENS.c.revoked_at.is_(None)), (SIGN_IN_CODES, true())):
            found = await work.connection.scalars(
                select(table.c.issued_by).distinct().where(table.c.person_id == person_id, is_live)
            )
            issuers |= {issuer for issuer in found if issuer is not None}
        return issuers

    async def revoke_issued_by(self, work: UnitOfWork, person_id: UUID, issuers: Collection[UUID]) -> None:
        theirs = [TOKENS.c.person_id == person_id, TOKENS.c.issued_by.in_(list(issuers))]
        await work.connection.execute(
            update(TOKENS).where(*theirs, TOKENS.c.revoked_at.is_(None)).values(revoked_at=work.clock.now())
        )
        await work.connection.execute(
            delete(SIGN_IN_CODES).where(
                SIGN_IN_CODES.c.person_id == person_id, SIGN_IN_CODES.c.issued_by.in_(list(issuers))
            )
        )

    async def has_operator(
        self, work: UnitOfWork, *, without: UUID | None = None, without_token: str | None = None
    ) -> bool:
        # Locked, so that two operators who take each other's role at once do not both find one left.
        operators = await work.connection.scalars(
            select(GRANTS.c.person_id)
            .where(GRANTS.c.role == Role.OPERATOR.value, GRANTS.c.agency_id.is_(None))
            .with_for_update()
        )
        others = [person_id for person_id in operators if person_id != without]
        tokens = await work.connection.execute(
            select(TOKENS.c.token_id, TOKENS.c.scopes)
            .join(PEOPLE, PEOPLE.c.person_id == TOKENS.c.person_id)
            .where(
                TOKENS.c.person_id.in_(others),
                TOKENS.c.revoked_at.is_(None),
                TOKENS.c.expires_at > work.clock.now(),
                PEOPLE.c.tokens_valid_from.is_(None) | (TOKENS.c.issued_at >= PEOPLE.c.tokens_valid_from),
            )
        )
        return any(row.token_id != without_token and not row.scopes for row in tokens)

    async def sight_of_spelling(self, work: UnitOfWork, spelling: str, viewer: Viewer) -> SpellingSight:
        normalised = self._normalised(spelling)
        is_open = await work.connection.scalar(
            select(OPEN_PUBLISHERS.c.spelling).where(OPEN_PUBLISHERS.c.normalised == normalised)
        )
        if is_open is None:
            return SpellingSight()
        known = KNOWN_DATASETS.c
        rows = await work.connection.execute(
            select(known.publisher_name, known.visibility, known.agency_id, known.retired)
            .distinct()
            .where(known.publisher_name.is_not(None))
        )
        named = [row for row in rows if self._normalised(row.publisher_name) == normalised]
        return SpellingSight(
            is_listed=any(not row.retired and viewer.may_see(row.visibility, row.agency_id) for row in named),
            hides_some=any(not viewer.may_see(row.visibility, row.agency_id) for row in named),
        )

    async def visibilities(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> dict[UUID, str]:
        rows = await work.connection.execute(
            select(KNOWN_DATASETS.c.dataset_id, KNOWN_DATASETS.c.visibility).where(
                KNOWN_DATASETS.c.dataset_id.in_(list(dataset_ids))
            )
        )
        return {row.dataset_id: row.visibility for row in rows}

    async def vacate_stewardships(
        self, work: UnitOfWork, person_id: UUID
    ) -> list[tuple[StewardshipState | None, StewardshipState, int]]:
        held = [
            agency_id
            for role, agency_id in await self._grants(work.connection, person_id)
            if role == Role.STEWARD.value
        ]
        if None in held:
            return []
        rows = await work.connection.execute(
            select(STEWARDSHIPS).where(STEWARDSHIPS.c.steward_id == person_id)
        )
        states = [_stewardship(row) for row in rows]
        lost = [one for one in states if (one.agency_id not in held if one.agency_id else not held)]
        return await self.put_stewardships(
            work, [one.model_copy(update={"steward_id": None}) for one in lost]
        )

    async def is_session(self, work: UnitOfWork, person_id: UUID, token_id: str) -> bool:
        found = await work.connection.scalar(
            select(TOKENS.c.token_id).where(
                TOKENS.c.token_id == token_id,
                TOKENS.c.person_id == person_id,
                TOKENS.c.label == SESSION_LABEL,
                TOKENS.c.revoked_at.is_(None),
            )
        )
        return found is not None

    async def forget_tokens(self, work: UnitOfWork) -> int:
        forgotten = 0
        for table in (TOKENS, SIGN_IN_CODES):
            due = delete(table).where(table.c.expires_at < work.clock.now() - EXPIRED_KEPT)
            forgotten += (await work.connection.execute(due)).rowcount
        return forgotten

    async def words_of(self, work: UnitOfWork, person_id: UUID) -> list[str]:
        known = await self._locked_person(work.connection, person_id)
        return [word for word in (known.display_name, known.email) if word]

    async def erase_person(self, work: UnitOfWork, person_id: UUID) -> int:
        known = await self._locked_person(work.connection, person_id)
        version = int(known.version) + 1
        words = await self.words_of(work, person_id)
        for row in (await work.connection.execute(select(TOKENS.c.token_id, TOKENS.c.label))).all():
            label = (without_words(row.label, words) or "")[:LABEL_CHARACTERS_MAX]
            if label != row.label:
                await work.connection.execute(
                    update(TOKENS).where(TOKENS.c.token_id == row.token_id).values(label=label)
                )
        # Kept answers are pruned after a day anyhow; one may hold what was just taken out of a request.
        await work.connection.execute(delete(IDEMPOTENCY))
        await work.connection.execute(delete(GRANTS).where(GRANTS.c.person_id == person_id))
        await work.connection.execute(delete(TOKENS).where(TOKENS.c.person_id == person_id))
        await work.connection.execute(delete(SIGN_IN_CODES).where(SIGN_IN_CODES.c.person_id == person_id))
        # The row stays as id and version: a late copy of an older state must not bring the person back.
        await work.connection.execute(
            update(PEOPLE)
            .where(PEOPLE.c.person_id == person_id)
            .values(
                email=None,
                display_name=None,
                tokens_valid_from=None,
                version=version,
                changed_at=work.clock.now(),
                erased=True,
            )
        )
        return version

    async def put_stewardships(
        self, work: UnitOfWork, rows: Sequence[StewardshipState]
    ) -> list[tuple[StewardshipState | None, StewardshipState, int]]:
        changed: list[tuple[StewardshipState | None, StewardshipState, int]] = []
        for start in range(0, len(rows), CHUNK):
            part = {row.identifier: row for row in rows[start : start + CHUNK]}
            known = {
                row.identifier: row
                for row in await work.connection.execute(
                    select(STEWARDSHIPS).where(STEWARDSHIPS.c.identifier.in_(list(part))).with_for_update()
                )
            }
            new: list[dict[str, Any]] = []
            for identifier, state in part.items():
                old = known.get(identifier)
                if old is not None and _stewardship(old) == state:
                    continue
                version = old.version + 1 if old else 1
                new.append({**state.model_dump(), "version": version})
                changed.append((_stewardship(old) if old else None, state, version))
            await upsert(work.connection, STEWARDSHIPS, new)
        return changed

    async def _new_aliases(
        self, connection: AsyncConnection, aliases: Mapping[str, str]
    ) -> dict[str, tuple[str, str]]:
        wanted = {self._normalised(spelling): (spelling, rule) for spelling, rule in aliases.items()}
        if not wanted:
            return {}
        taken = set(
            await connection.scalars(
                select(AGENCY_ALIASES.c.normalised).where(AGENCY_ALIASES.c.normalised.in_(list(wanted)))
            )
        )
        return {normalised: value for normalised, value in wanted.items() if normalised not in taken}

    def _normalised(self, spelling: str) -> str:
        return normalize_publisher(spelling, self._jurisdiction_words)

    async def _locked_person(self, connection: AsyncConnection, person_id: UUID) -> Any:
        row = (
            await connection.execute(
                select(PEOPLE)
                .where(PEOPLE.c.person_id == person_id, PEOPLE.c.erased.is_(False))
                .with_for_update()
            )
        ).one_or_none()
        if row is None:
            raise NotFoundError(f"No person has the id {person_id}.", what="person", field="person_id")
        return row

    async def _revoked_count(self, connection: AsyncConnection, person_id: UUID, now: datetime) -> int:
        """How many tokens of a person must be remembered as revoked one by one."""
        number = await connection.scalar(
            select(func.count())
            .select_from(TOKENS)
            .join(PEOPLE, PEOPLE.c.person_id == TOKENS.c.person_id)
            .where(
                TOKENS.c.person_id == person_id,
                TOKENS.c.revoked_at.is_not(None),
                TOKENS.c.expires_at > now,
                PEOPLE.c.tokens_valid_from.is_(None) | (TOKENS.c.issued_at >= PEOPLE.c.tokens_valid_from),
            )
        )
        return number or 0

    async def _grants(self, connection: AsyncConnection, person_id: UUID) -> set[tuple[str, UUID | None]]:
        rows = await connection.execute(
            select(GRANTS.c.role, GRANTS.c.agency_id).where(GRANTS.c.person_id == person_id)
        )
        return {(row.role, row.agency_id) for row in rows}

    async def _person(self, connection: AsyncConnection, person_id: UUID) -> tuple[PersonState, int]:
        row = (await connection.execute(select(PEOPLE).where(PEOPLE.c.person_id == person_id))).one()
        grants = await self._grants(connection, person_id)
        # What was issued before the cut is refused by its time, and what has expired by its own.
        counts = [TOKENS.c.person_id == person_id, TOKENS.c.revoked_at.is_not(None)]
        counts.append(TOKENS.c.expires_at > row.changed_at)
        if row.tokens_valid_from is not None:
            counts.append(TOKENS.c.issued_at >= row.tokens_valid_from)
        revoked = await connection.scalars(select(TOKENS.c.token_id).where(*counts))
        state = PersonState(
            person_id=person_id,
            display_name=row.display_name,
            email=row.email,
            grants=[
                GrantState(role=role, agency_id=agency_id)
                for role, agency_id in sorted(grants, key=lambda held: (held[0], str(held[1])))
            ],
            tokens_valid_from=row.tokens_valid_from,
            revoked_token_ids=sorted(revoked),
        )
        return state, row.version


def _stewardship(row: Any) -> StewardshipState:
    return StewardshipState(
        identifier=row.identifier,
        agency_id=row.agency_id,
        steward_id=row.steward_id,
        accrual_periodicity=row.accrual_periodicity,
        data_updated_on=row.data_updated_on,
        access_level=row.access_level,
        visibility=row.visibility,
    )
