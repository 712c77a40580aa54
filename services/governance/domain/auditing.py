"""What is written down of the directory: who let whom in, who was turned away, what was changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

__all__ = ["ALL_TOKENS", "AuditLine", "DirectoryAct"]

ALL_TOKENS = "all"
"""In place of a token's id, where all that a person had were revoked."""


class DirectoryAct(StrEnum):
    """What is written down."""

    TOKEN_ISSUED = "token-issued"  # noqa: S105 - the name of an act
    LINK_MADE = "link-made"
    LINK_USED = "link-used"
    TOKENS_REVOKED = "tokens-revoked"
    GRANTED = "granted"
    GRANT_TAKEN = "grant-taken"
    ERASED = "erased"
    REFUSED = "refused"
    SIGN_IN_FAILED = "sign-in-failed"
    STEWARDSHIP_CHANGED = "stewardship-changed"
    VISIBILITY_CHANGED = "visibility-changed"
    PUBLISHER_SETTLED = "publisher-settled"
    DATA_EXPORTED = "data-exported"


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One act. ``actor_id`` is None where no known person acted, as at the first start.

    ``person_id`` is whom it concerns, None where it concerns nobody who is known. ``is_beyond`` marks what
    was refused because the actor does not hold it. ``details`` are words and ids, never a name or an address.
    """

    act: DirectoryAct
    actor_id: UUID | None
    person_id: UUID | None
    happened_at: datetime
    is_beyond: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)
