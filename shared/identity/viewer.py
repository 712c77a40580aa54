"""Who is looking, and what that person may see and do.

A grant is (person, role, agency or ``*``). Visibility of a *record* is apart from ``accessLevel`` of its
*data* (design, section 4). A program acts by a token with scopes: it has the rights of its role on the
routes that name one of them, and nowhere else.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import UUID

from shared.identity.rules import AllOf, AnyOf, FieldIn, WorksFor

__all__ = [
    "ANONYMOUS",
    "EVERYTHING",
    "GOVERNMENT_ROLES",
    "INSTALLATION_ROLES",
    "SCOPE_MEANINGS",
    "STEWARDING_ROLES",
    "VISIBLE",
    "Grant",
    "Role",
    "TokenScope",
    "Viewer",
    "scopes_open_to",
]


class Role(StrEnum):
    """What a person may be. ``public`` needs no grant."""

    PUBLIC = "public"
    REQUESTER = "requester"
    STEWARD = "steward"
    AGENCY_DATA_OFFICER = "agency-data-officer"
    CHIEF_DATA_OFFICER = "chief-data-officer"
    OPERATOR = "operator"
    SERVICE = "service"


STEWARDING_ROLES = (Role.STEWARD, Role.AGENCY_DATA_OFFICER, Role.CHIEF_DATA_OFFICER, Role.OPERATOR)
"""Who acts on the quality of data, each where they hold the role."""


class TokenScope(StrEnum):
    """What a program's token may be used for. None of them opens the directory."""

    METRICS = "metrics"
    HITS = "hits"
    HARVEST = "harvest"
    EVENTS = "events"


SCOPE_MEANINGS = {
    TokenScope.METRICS: "read /metrics",
    TokenScope.HITS: "report the use of others, in large batches and late",
    TokenScope.HARVEST: "start a harvest and read what became of it",
    TokenScope.EVENTS: "read the events of records that are not public",
}
"""What each scope opens, in words for whoever issues a token."""

_SCOPES_OF_ONE_AGENCY = frozenset({TokenScope.HITS, TokenScope.EVENTS})
"""The others reach the whole installation, so they need the role for all agencies."""

INSTALLATION_ROLES = frozenset({Role.REQUESTER, Role.CHIEF_DATA_OFFICER, Role.OPERATOR})
"""Roles that are held for the whole installation: for one agency they would mean nothing."""

GOVERNMENT_ROLES = frozenset({*STEWARDING_ROLES, Role.SERVICE})
"""Roles that may see records of visibility *government*."""


_WIDEST_FIRST = (
    Role.CHIEF_DATA_OFFICER,
    Role.AGENCY_DATA_OFFICER,
    Role.STEWARD,
    Role.OPERATOR,
    Role.SERVICE,
    Role.REQUESTER,
)


@dataclass(frozen=True, slots=True)
class Grant:
    """A role for one agency; ``agency_id=None`` means all of them (``*``)."""

    role: Role
    agency_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Viewer:
    """The person behind a request, as far as rights go. No name, no address."""

    person_id: UUID | None = None
    grants: frozenset[Grant] = frozenset()
    token_id: str | None = None
    scopes: frozenset[TokenScope] = frozenset()
    """What a program's token may be used for; empty for a person."""

    @property
    def is_program(self) -> bool:
        """Whether a token with scopes was sent."""
        return bool(self.scopes)

    @property
    def is_signed_in(self) -> bool:
        return self.person_id is not None

    @property
    def roles(self) -> frozenset[Role]:
        return frozenset(grant.role for grant in self.grants)

    @property
    def display_name(self) -> str:
        """What a page calls this person: the widest role held. Names stay in the directory."""
        if not self.is_signed_in:
            return "Visitor"
        held = [role for role in _WIDEST_FIRST if role in self.roles]
        return held[0].value.replace("-", " ").capitalize() if held else "Requester"

    @property
    def sees_government(self) -> bool:
        """May see records of visibility *government*."""
        return any(self._works_for(grant) for grant in self.grants)

    @property
    def sees_all_agencies(self) -> bool:
        """May see records of visibility *agency* of every agency."""
        return any(self._works_for(grant) and grant.agency_id is None for grant in self.grants)

    @property
    def agency_ids(self) -> frozenset[UUID]:
        """Agencies whose own records this person may see."""
        return frozenset(
            grant.agency_id for grant in self.grants if grant.agency_id is not None and self._works_for(grant)
        )

    def _works_for(self, grant: Grant) -> bool:
        # A program without a scope has no rights: a session of its owner's browser, for one.
        return grant.role in GOVERNMENT_ROLES and (grant.role is not Role.SERVICE or bool(self.scopes))

    def without_rights(self) -> "Viewer":
        """Return the same viewer with the rights of the public. A program stays one, for what it is told."""
        return replace(self, grants=frozenset())

    def may_as_program(self, scope: TokenScope, *, agency_id: UUID | None = None) -> bool:
        """Tell whether this is a program whose token has ``scope`` for ``agency_id`` (or for all)."""
        return scope in self.scopes and self.has(Role.SERVICE, agency_id=agency_id)

    def has(self, *roles: Role, agency_id: UUID | None = None) -> bool:
        """Tell whether one of ``roles`` is held for ``agency_id`` (or for all agencies)."""
        return any(
            grant.role in roles and (grant.agency_id is None or grant.agency_id == agency_id)
            for grant in self.grants
        )

    def may_see(self, visibility: str, agency_id: UUID | None) -> bool:
        """Tell whether a record of this visibility and agency may be shown. Unknown values are hidden."""
        return VISIBLE.holds(self, _Record(visibility, agency_id))


@dataclass(frozen=True, slots=True)
class _Record:
    visibility: str
    agency_id: UUID | None


VISIBLE = AnyOf(
    (
        FieldIn("visibility", ("public",)),
        AllOf((FieldIn("visibility", ("government",)), WorksFor())),
        AllOf((FieldIn("visibility", ("agency",)), WorksFor("agency_id"))),
    )
)
"""Which records may be shown to whom (design, section 4). An unknown visibility is shown to nobody."""


ANONYMOUS = Viewer()
EVERYTHING = Viewer(grants=frozenset({Grant(Role.SERVICE)}), scopes=frozenset(TokenScope))
"""For work that a service does in its own name, never for a request."""


def scopes_open_to(
    grants: Collection[Grant], scopes: Iterable[TokenScope]
) -> tuple[frozenset[Grant], frozenset[TokenScope]]:
    """Return with which grants and scopes a token of a holder of ``grants`` acts; both empty: not at all.

    A program's role, or an operator's, is needed. A token with scopes never has more of its holder's rights
    than the role *service*.
    """
    agencies = {grant.agency_id for grant in grants if grant.role is Role.SERVICE}
    if any(grant.role is Role.OPERATOR and grant.agency_id is None for grant in grants):
        agencies.add(None)
    if not agencies:
        return frozenset(), frozenset()
    asked = frozenset(scopes)
    usable = asked if None in agencies else asked & _SCOPES_OF_ONE_AGENCY
    if not usable:
        return frozenset(), frozenset()
    return frozenset(Grant(Role.SERVICE, agency_id) for agency_id in agencies), usable
