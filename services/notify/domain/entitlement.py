"""What a person may go on having in their inbox once rights were taken from them."""

from collections.abc import Collection
from uuid import UUID

from services.notify.domain.matters import HELD_HARVEST_KIND, Matter
from shared.identity.viewer import Grant, Role, Viewer

__all__ = ["is_lost"]

_ANSWERING = (Role.STEWARD, Role.AGENCY_DATA_OFFICER, Role.CHIEF_DATA_OFFICER)
_ANSWERS = "answer-"
"""Answers to a request are its requester's, whatever roles they have."""


def is_lost(matter: Matter, before: Collection[Grant], after: Collection[Grant]) -> bool:
    """Tell whether a matter came to somebody by rights that they no longer have.

    Who is named as a steward without ever having had the role loses nothing by a change of roles.
    """
    if matter.kind.startswith(_ANSWERS):
        return False
    return _may_have(matter, before) and not _keeps(matter, before, after)


def _keeps(matter: Matter, before: Collection[Grant], after: Collection[Grant]) -> bool:
    if matter.agency_id is not None or matter.kind == HELD_HARVEST_KIND:
        return _may_have(matter, after)
    # A summary over several agencies shows all of them: losing one of them loses it.
    lost = {grant for grant in before if grant.role in _ANSWERING} - set(after)
    return _has(after, Role.CHIEF_DATA_OFFICER, None) or _is_operator(after) or not lost


def _may_have(matter: Matter, grants: Collection[Grant]) -> bool:
    if _is_operator(grants):
        return True
    if matter.kind == HELD_HARVEST_KIND:
        return False
    if matter.agency_id is None:
        return any(grant.role in _ANSWERING for grant in grants)
    return any(_has(grants, role, matter.agency_id) for role in _ANSWERING)


def _is_operator(grants: Collection[Grant]) -> bool:
    return _has(grants, Role.OPERATOR, None)


def _has(grants: Collection[Grant], role: Role, agency_id: UUID | None) -> bool:
    return Viewer(grants=frozenset(grants)).has(role, agency_id=agency_id)
