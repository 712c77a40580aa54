"""What governance tells: agencies, people, stewardships and sharing requests.

Topics: ``directory.agencies``, ``directory.people`` (the only topic with personal data),
``directory.stewardships`` and ``sharing.requests`` (person ids only).
"""

from datetime import date, datetime
from uuid import UUID

from pydantic import Field

from shared.events.catalog import AccessLevel, Visibility
from shared.events.model import EventModel

__all__ = [
    "AgencyChanged",
    "AgencyState",
    "GrantState",
    "PersonChanged",
    "PersonState",
    "SharingRequestApproved",
    "SharingRequestDenied",
    "SharingRequestRedacted",
    "SharingRequestReturned",
    "SharingRequestState",
    "SharingRequestSubmitted",
    "SharingRequestWithdrawn",
    "StewardshipChanged",
    "StewardshipState",
]


class AgencyState(EventModel):
    """A body that owns datasets. ``aliases`` are the other spellings that feeds use for it."""

    agency_id: UUID
    code: str
    name: str
    aliases: list[str] = Field(default_factory=list)


class AgencyChanged(EventModel):
    """An agency is new, renamed, or known by one more spelling."""

    agency: AgencyState


class GrantState(EventModel):
    """A role held for one agency, or for all of them when ``agency_id`` is absent (``*``)."""

    role: str
    agency_id: UUID | None = None


class PersonState(EventModel):
    """A person: addresses and grants. Erasure is a tombstone on the key."""

    person_id: UUID
    display_name: str
    email: str | None = None
    grants: list[GrantState] = Field(default_factory=list)
    tokens_valid_from: datetime | None = Field(
        default=None, description="Tokens issued before this moment are revoked."
    )
    revoked_token_ids: list[str] = Field(default_factory=list)


class PersonChanged(EventModel):
    """A person is new, or their addresses, grants or revocations changed."""

    person: PersonState


class StewardshipState(EventModel):
    """Who answers for a dataset and what was promised for it. Keyed by the dataset's source identifier.

    Any field that is ``None`` leaves what the feed says.
    """

    identifier: str
    agency_id: UUID | None = None
    steward_id: UUID | None = None
    accrual_periodicity: str | None = None
    data_updated_on: date | None = None
    access_level: AccessLevel | str | None = None
    visibility: Visibility | str | None = None


class StewardshipChanged(EventModel):
    """A dataset got a steward, an agency, a promised frequency or a visibility."""

    stewardship: StewardshipState


class SharingRequestState(EventModel):
    """A request for data that is not public. Texts are the requester's; people are ids only."""

    request_id: UUID
    dataset_id: UUID
    dataset_title: str
    agency_id: UUID | None = None
    requester_id: UUID
    status: str = Field(description="submitted, returned, approved, denied or withdrawn")
    purpose: str
    data_wanted: str
    legal_basis: str | None = None
    retention: str | None = None
    submitted_at: datetime
    changed_at: datetime
    decided_by: UUID | None = None
    decision_reason: str | None = None
    due_on: date | None = None


class SharingRequestSubmitted(EventModel):
    """A request was sent in, or sent in again after it had been returned."""

    request: SharingRequestState


class SharingRequestReturned(EventModel):
    """The request needs more from the requester; the reason says what."""

    request: SharingRequestState


class SharingRequestApproved(EventModel):
    """A person who is not the requester said yes, with a reason."""

    request: SharingRequestState


class SharingRequestDenied(EventModel):
    """A person who is not the requester said no, with a reason."""

    request: SharingRequestState


class SharingRequestWithdrawn(EventModel):
    """The requester took the request back."""

    request: SharingRequestState


class SharingRequestRedacted(EventModel):
    """Words were taken out of a request because a person was erased. It stands where it stood before."""

    request: SharingRequestState
