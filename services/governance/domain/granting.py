"""Who may give which rights to whom: the one guard of every road that gives any.

Nobody gets more rights than the giver has, neither by a right nor by a token or link that lets somebody in;
nobody gives rights to themselves; a program gives none.
"""

from collections.abc import Collection, Mapping
from uuid import UUID

from shared.errors import InvalidInputError, NotAllowedError
from shared.identity.viewer import INSTALLATION_ROLES, Grant, Role, TokenScope, Viewer, scopes_open_to

__all__ = [
    "INSTALLATION",
    "check_giving",
    "check_letting_in",
    "goes_beyond",
    "may_settle_for",
    "rights_of_token",
    "role_words",
]

INSTALLATION = Viewer()
"""Who acts where no person does: the first start, and the demonstration. Compared by identity: a visitor,
who has no rights either, is somebody else."""

_INCLUDES: Mapping[Role, frozenset[Role]] = {
    Role.CHIEF_DATA_OFFICER: frozenset({Role.AGENCY_DATA_OFFICER, Role.STEWARD, Role.REQUESTER}),
    Role.AGENCY_DATA_OFFICER: frozenset({Role.STEWARD, Role.REQUESTER}),
    Role.STEWARD: frozenset({Role.REQUESTER}),
    Role.OPERATOR: frozenset({Role.SERVICE, Role.REQUESTER}),
}
"""Roles whose rights another role has as well."""


def check_giving(by: Viewer, person_id: UUID | None, given: Collection[Grant]) -> None:
    """Raise unless ``by`` may give these rights. ``person_id`` is ``None`` for somebody who is new.

    Raises ``InvalidInputError`` for a role of the whole installation that is given for one agency, and
    ``NotAllowedError`` for whatever ``by`` does not hold, or would give to themselves.
    """
    for grant in given:
        if grant.agency_id is not None and grant.role in INSTALLATION_ROLES:
            raise InvalidInputError(
                f"The role {grant.role} is held for the whole installation, not for an agency.",
                field="agency_code",
                fix="Leave the agency blank, or write *.",
                code="installation_role",
            )
    if by is INSTALLATION or not given:
        return
    if person_id is not None and person_id == by.person_id:
        raise NotAllowedError(
            "Nobody gives rights to themselves.",
            field="role",
            fix="Ask somebody else who holds them.",
            code="own_rights",
        )
    _check_held(by, given, "so you cannot give it")


def check_letting_in(by: Viewer, rights: Collection[Grant]) -> None:
    """Raise ``NotAllowedError`` unless ``by`` holds all rights that a token or link would let in with."""
    if by is not INSTALLATION:
        _check_held(by, rights, "so you cannot let in somebody who does")


def rights_of_token(held: Collection[Grant], scopes: Collection[TokenScope]) -> frozenset[Grant]:
    """Return the rights that a token with ``scopes`` has, issued for somebody who holds ``held``.

    Raises ``InvalidInputError`` for scopes that this holder's token cannot have, and for a program's token
    without any.
    """
    if not scopes:
        if held and {grant.role for grant in held} == {Role.SERVICE}:
            raise InvalidInputError(
                "A program's token needs at least one scope.",
                field="scopes",
                fix=f"Choose from: {', '.join(TokenScope)}.",
                code="missing_scope",
            )
        return frozenset(held)
    grants, usable = scopes_open_to(held, scopes)
    if missing := sorted(frozenset(scopes) - usable):
        raise InvalidInputError(
            f"A token of this person cannot have the scope {', '.join(missing)}.",
            field="scopes",
            fix="Give the role service first; the scopes metrics and harvest need it for all agencies.",
            code="scope",
        )
    return grants


def may_settle_for(by: Viewer, agency_id: UUID) -> bool:
    """Tell who says which spelling means this agency: its data officer, and those who answer for all."""
    return by is INSTALLATION or by.has(
        Role.CHIEF_DATA_OFFICER, Role.OPERATOR, Role.AGENCY_DATA_OFFICER, agency_id=agency_id
    )


def goes_beyond(held: Collection[Grant], given: Collection[Grant]) -> bool:
    """Tell whether one of the grants ``given`` is covered by none of those ``held``."""
    return any(not any(_covers(one, other) for one in held) for other in given)


def role_words(grant: Grant) -> str:
    """Return a grant as the audit keeps it."""
    return f"{grant.role} of {grant.agency_id or '*'}"


def _check_held(by: Viewer, given: Collection[Grant], consequence: str) -> None:
    if by.is_program or not by.is_signed_in:
        raise NotAllowedError(
            "A program gives no rights and lets nobody in.", fix="A person may.", code="program"
        )
    beyond = [grant for grant in given if goes_beyond(by.grants, [grant])]
    if beyond:
        roles = ", ".join(sorted({grant.role.value for grant in beyond}))
        where = "for all agencies" if any(grant.agency_id is None for grant in beyond) else "for that agency"
        raise NotAllowedError(
            f"You do not hold the role {roles} {where}, {consequence}.",
            field="role",
            fix="Ask somebody who holds it; see GET /api/v1/directory/people.",
            code="beyond_own_rights",
        )


def _covers(held: Grant, given: Grant) -> bool:
    is_role_covered = held.role is given.role or given.role in _INCLUDES.get(held.role, frozenset())
    # A requester's rights lie in no agency.
    is_everywhere = held.agency_id is None or given.role is Role.REQUESTER
    return is_role_covered and (is_everywhere or held.agency_id == given.agency_id)
