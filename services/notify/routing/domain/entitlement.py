"""What a person may go on having in their inbox once rights were taken from them."""

from collections.abc import Collection
from uuid import UUID

from services.notify.inbox.domain.items import HELD_HARVEST_KIND, InboxItem
from shared.identity.viewer import Grant, Role, Viewer

__all__ = ["is_lost"]

_ANSWERING = (Role.STEWARD, Role.AGENCY_DATA_OFFICER, Role.CHIEF_DATA_OFFICER)
_ANSWERS = "answer-"
"""Answers to a request are its requester's, whatever roles they have."""


def is_lost(item: InboxItem, before: Collection[Grant], after: Collection[Grant]) -> bool:
    """Tell whether an item came to somebody by rights that they no longer have.

    Who is named as a steward without ever having had the role loses nothing by a change of roles.
    """
    if item.kind.startswith(_ANSWERS):
        return False
    return _may_have(item, before) and not _keeps(item, before, after)


def _keeps(item: InboxItem, before: Collection[Grant], after: Collection[Grant]) -> bool:
    if item.agency_id is not None or item.kind == HELD_HARVEST_KIND:
        return _may_have(item, after)
    # A summary over several agencies shows all of them: losing one of them loses it.
    lost = {grant for grant in before if grant.role in _ANSWERING} - set(after)
    return _has(after, Role.CHIEF_DATA_OFFICER, None) or _is_operator(after) or not lost


def _may_have(item: InboxItem, grants: Collection[Grant]) -> bool:
    if _is_operator(grants):
        return True
    if item.kind == HELD_HARVEST_KIND:
        return False
    if item.agency_id is None:
        return any(grant.role in _ANSWERING for grant in grants)
    return any(_has(grants, role, item.agency_id) for role in _ANSWERING)


def _is_operator(grants: Collection[Grant]) -> bool:
    return _has(grants, Role.OPERATOR, None)


def _has(grants: Collection[Grant], role: Role, agency_id: UUID | None) -> bool:
    return Viewer(grants=frozenset(grants)).has(role, agency_id=agency_id)
