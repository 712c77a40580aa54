"""The roles that governance's handlers and commands need, by name of what they do.

Each is implemented on SQLAlchemy once, and that runs on SQLite and on PostgreSQL; the suite is
``tests/services/governance/test_governance_store.py``.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from services.governance.domain.agencies import AgencyName, PublisherMatch
from services.governance.domain.auditing import AuditLine
from services.governance.domain.sharing import Action, SharingRequest
from shared.clock import Clock
from shared.datasets.read_model import KnownDatasets
from shared.events.governance import GrantState, PersonState, StewardshipState
from shared.identity.principals import Principals
from shared.identity.viewer import Grant, Role, Viewer
from shared.store.unit_of_work import UnitOfWork

__all__ = [
    "SESSION_LABEL",
    "Audit",
    "Directory",
    "GovernancePorts",
    "RequestBook",
    "RequestStep",
    "SpellingSight",
]

SESSION_LABEL = "sign-in by link"
"""What tokens are called that a browser got for a link; signing out ends them."""


@dataclass(frozen=True, slots=True)
class RequestStep:
    """One line of a request's audit table."""

    action: str
    person_id: UUID
    reason: str | None
    happened_at: datetime


@dataclass(frozen=True, slots=True)
class SpellingSight:
    """What a viewer knows of a spelling: whether it is listed for them, and stands on hidden records too."""

    is_listed: bool = False
    hides_some: bool = False


class Directory(Protocol):
    """Keeps agencies, people, grants and stewardships. Writes happen inside the given unit of work."""

    async def agencies(self, work: UnitOfWork) -> list[AgencyName]:
        """Return every agency with its aliases."""
        ...

    async def agency_id_of(self, work: UnitOfWork, code: str) -> UUID | None:
        """Return which agency has this code; ``None`` for an unknown one."""
        ...

    async def put_agency(
        self, work: UnitOfWork, *, code: str, name: str, aliases: Mapping[str, str]
    ) -> tuple[AgencyName, int] | None:
        """Create or change the agency of this code; ``aliases``: spelling → rule that settled it.

        Returns the new state and version, or ``None`` when nothing changed.
        """
        ...

    async def note_open_publisher(self, work: UnitOfWork, spelling: str, match: PublisherMatch) -> None:
        """List a spelling for a person to settle, with the candidates."""
        ...

    async def put_person(
        self,
        work: UnitOfWork,
        *,
        email: str,
        display_name: str,
        grants: Collection[GrantState],
        keeps_name: bool = False,
    ) -> tuple[PersonState, int] | None:
        """Create or change the person of this address, adding grants. ``None`` when nothing changed.

        ``keeps_name``: a known person keeps their name.
        """
        ...

    async def take_grant(
        self, work: UnitOfWork, person_id: UUID, role: Role, agency_id: UUID | None
    ) -> tuple[PersonState, int]:
        """Take a grant away. Raises ``NotFoundError`` for an unknown person, or a grant not held."""
        ...

    async def grants_of(self, work: UnitOfWork, person_id: UUID) -> frozenset[Grant]:
        """Return what a person may; nothing for an unknown one."""
        ...

    async def held_by_email(self, work: UnitOfWork, email: str) -> tuple[UUID | None, frozenset[Grant]]:
        """Return who has this address, and what they may; ``None`` and nothing for nobody."""
        ...

    async def issuers_for(self, work: UnitOfWork, person_id: UUID) -> set[UUID]:
        """Return the people who issued tokens or links for this person that still count."""
        ...

    async def revoke_issued_by(self, work: UnitOfWork, person_id: UUID, issuers: Collection[UUID]) -> None:
        """Revoke what these people issued for this person. Told with the person's next state."""
        ...

    async def has_operator(
        self, work: UnitOfWork, *, without: UUID | None = None, without_token: str | None = None
    ) -> bool:
        """Tell whether an operator has a token that works, besides one person, or one token."""
        ...

    async def sight_of_spelling(self, work: UnitOfWork, spelling: str, viewer: Viewer) -> SpellingSight:
        """Tell what a viewer knows of a spelling that waits to be settled."""
        ...

    async def visibilities(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> dict[UUID, str]:
        """Return who sees these records, as far as is known; unknown ones are left out."""
        ...

    async def vacate_stewardships(
        self, work: UnitOfWork, person_id: UUID
    ) -> list[tuple[StewardshipState | None, StewardshipState, int]]:
        """Leave without a steward what this person is named for and no longer a steward of.

        Returns what :meth:`put_stewardships` does.
        """
        ...

    async def is_session(self, work: UnitOfWork, person_id: UUID, token_id: str) -> bool:
        """Tell whether a token was issued for a sign-in by link, and still counts."""
        ...

    async def person_ids_by_email(self, work: UnitOfWork, emails: Collection[str]) -> dict[str, UUID]:
        """Return the known people of these addresses."""
        ...

    async def revoke_tokens(
        self, work: UnitOfWork, person_id: UUID, token_id: str | None
    ) -> tuple[PersonState, int]:
        """Revoke one token, or all issued so far. Raises ``NotFoundError`` for an unknown person.

        Where too many single ones would have to be remembered, all issued so far are revoked instead.
        """
        ...

    async def forget_tokens(self, work: UnitOfWork) -> int:
        """Delete what is known of tokens and sign-in codes that have expired; return how many."""
        ...

    async def words_of(self, work: UnitOfWork, person_id: UUID) -> list[str]:
        """Return a person's name and address. Raises ``NotFoundError`` for an unknown person."""
        ...

    async def erase_person(self, work: UnitOfWork, person_id: UUID) -> int:
        """Remove address, name, grants and tokens; return the version of the tombstone.

        Raises ``NotFoundError`` for an unknown person.
        """
        ...

    async def put_stewardships(
        self, work: UnitOfWork, rows: Sequence[StewardshipState]
    ) -> list[tuple[StewardshipState | None, StewardshipState, int]]:
        """Create or change stewardships; return those that changed, as (before, after, version)."""
        ...


class Audit(Protocol):
    """Keeps what was done in the directory. Lines are added; only the number of failed sign-ins rises."""

    async def note_all(self, work: UnitOfWork, lines: Sequence[AuditLine]) -> None:
        """Add lines."""
        ...

    async def count_failure(self, work: UnitOfWork, line: AuditLine, *, since: datetime) -> None:
        """Add a line, or raise ``times`` of the one that says the same and is not older than ``since``."""
        ...


class RequestBook(Protocol):
    """Keeps sharing requests and their steps."""

    async def find(self, work: UnitOfWork, request_id: UUID) -> SharingRequest | None:
        """Return a request, or None where there is none of this id."""
        ...

    async def add(self, work: UnitOfWork, request: SharingRequest, *, event_id: str) -> None:
        """Write a new request and its first step."""
        ...

    async def locked(self, work: UnitOfWork, request_id: UUID) -> SharingRequest:
        """Return a request under a row lock. Raises ``NotFoundError``."""
        ...

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
        """Write the new state and the step that led to it."""
        ...

    async def naming(self, work: UnitOfWork, person_id: UUID, words: Collection[str]) -> list[SharingRequest]:
        """Return a person's requests, and those whose texts hold one of ``words``, under row locks."""
        ...

    async def put_redacted(self, work: UnitOfWork, requests: Sequence[SharingRequest]) -> None:
        """Write requests from which words were taken; no step led to that."""
        ...

    async def redact_steps(self, work: UnitOfWork, person_id: UUID, words: Collection[str]) -> None:
        """Take what a person wrote about their own requests, and ``words``, out of all steps."""
        ...


@dataclass(frozen=True, slots=True)
class GovernancePorts:
    """Everything the handlers and commands are given."""

    clock: Clock
    datasets: KnownDatasets
    directory: Directory
    audit: Audit
    requests: RequestBook
    principals: Principals
    jurisdiction_words: frozenset[str]
