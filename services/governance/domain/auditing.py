"""Who let whom in, and whether it went beyond their own rights.

An operator has to be able to let in a chief data officer, whose rights are wider. Such an act is not
forbidden, but it is never silent: it is marked in the audit, which every administrator reads.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from shared.identity.viewer import Grant, Role

__all__ = ["ALL_TOKENS", "AuditLine", "DirectoryAct", "goes_beyond"]

ALL_TOKENS = "all"
"""In place of a token's id, where all that a person had were revoked."""

_INCLUDES: Mapping[Role, frozenset[Role]] = {
    Role.CHIEF_DATA_OFFICER: frozenset({Role.AGENCY_DATA_OFFICER, Role.STEWARD, Role.REQUESTER}),
    Role.AGENCY_DATA_OFFICER: frozenset({Role.STEWARD, Role.REQUESTER}),
    Role.STEWARD: frozenset({Role.REQUESTER}),
    Role.OPERATOR: frozenset({Role.SERVICE, Role.REQUESTER}),
    Role.SERVICE: frozenset({Role.REQUESTER}),
}
"""Roles whose rights another role has as well."""


class DirectoryAct(StrEnum):
    """What is written down."""

    TOKEN_ISSUED = "token-issued"  # noqa: S105 - the name of an act
    LINK_MADE = "link-made"
    LINK_USED = "link-used"
    TOKENS_REVOKED = "tokens-revoked"
    GRANTED = "granted"
    GRANT_TAKEN = "grant-taken"
    ERASED = "erased"


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One act. ``actor_id`` is None where the installation itself acted, as at its first start.

    ``is_beyond`` marks rights given, or let in with, that the actor did not hold. ``details`` are words and
    ids, never a name or an address.
    """

    act: DirectoryAct
    actor_id: UUID | None
    person_id: UUID
    happened_at: datetime
    is_beyond: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)


def goes_beyond(held: Collection[Grant], given: Collection[Grant]) -> bool:
    """Tell whether one of the grants ``given`` is covered by none of those ``held``."""
    return any(not any(_covers(one, other) for one in held) for other in given)


def _covers(held: Grant, given: Grant) -> bool:
    is_role_covered = held.role is given.role or given.role in _INCLUDES.get(held.role, frozenset())
    # A requester's rights lie in no agency.
    is_everywhere = held.agency_id is None or given.role is Role.REQUESTER
    return is_role_covered and (is_everywhere or held.agency_id == given.agency_id)
