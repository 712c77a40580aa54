"""Who is looking, and what that person may see and do.

A grant is (person, role, agency or ``*``). Visibility of a *record* is apart from ``accessLevel`` of its
*data* (design, section 4).
"""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

__all__ = ["ANONYMOUS", "EVERYTHING", "GOVERNMENT_ROLES", "Grant", "Role", "Viewer"]


class Role(StrEnum):
    """What a person may be. ``public`` needs no grant."""

    PUBLIC = "public"
    REQUESTER = "requester"
    STEWARD = "steward"
    AGENCY_DATA_OFFICER = "agency-data-officer"
    CHIEF_DATA_OFFICER = "chief-data-officer"
    OPERATOR = "operator"
    SERVICE = "service"


GOVERNMENT_ROLES = frozenset(
    {Role.STEWARD, Role.AGENCY_DATA_OFFICER, Role.CHIEF_DATA_OFFICER, Role.OPERATOR, Role.SERVICE}
)
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
        return bool(self.roles & GOVERNMENT_ROLES)

    @property
    def sees_all_agencies(self) -> bool:
        """May see records of visibility *agency* of every agency."""
        return any(grant.role in GOVERNMENT_ROLES and grant.agency_id is None for grant in self.grants)

    @property
    def agency_ids(self) -> frozenset[UUID]:
        """Agencies whose own records this person may see."""
        return frozenset(
            grant.agency_id
            for grant in self.grants
            if grant.agency_id is not None and grant.role in GOVERNMENT_ROLES
        )

    def has(self, *roles: Role, agency_id: UUID | None = None) -> bool:
        """Tell whether one of ``roles`` is held for ``agency_id`` (or for all agencies)."""
        return any(
            grant.role in roles and (grant.agency_id is None or grant.agency_id == agency_id)
            for grant in self.grants
        )

    def may_see(self, visibility: str, agency_id: UUID | None) -> bool:
        """Tell whether a record of this visibility and agency may be shown. Unknown values are hidden."""
        if visibility == "public":
            return True
        if visibility == "government":
            return self.sees_government
        if visibility == "agency":
            return self.sees_all_agencies or (agency_id is not None and agency_id in self.agency_ids)
        return False


ANONYMOUS = Viewer()
EVERYTHING = Viewer(grants=frozenset({Grant(Role.SERVICE)}))
"""For work that a service does in its own name, never for a request."""
