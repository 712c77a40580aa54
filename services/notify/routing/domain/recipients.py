"""Whom an item concerns, and why them: the steward, else the agency's data officer, else the chief.

Every recipient gets the reason in words; a message without it is noise.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from services.notify.inbox.domain.items import Recipient
from shared.events.governance import SharingRequestState
from shared.identity.sharing_rights import MAY_DECIDE
from shared.identity.viewer import Grant, Role, Viewer

__all__ = [
    "KnownPeople",
    "KnownPerson",
    "Ownership",
    "Recipient",
    "next_in_line",
    "operators",
    "owners_of",
    "requester",
]


@dataclass(frozen=True, slots=True)
class KnownPerson:
    """A person as routing needs them. Addresses are looked up when a message is sent."""

    person_id: UUID
    grants: frozenset[Grant]

    def holds(self, role: Role, agency_id: UUID | None) -> bool:
        """Tell whether the person has ``role`` for exactly this agency, or for all when it is ``None``."""
        return any(grant.role is role and grant.agency_id == agency_id for grant in self.grants)


@dataclass(frozen=True, slots=True)
class Ownership:
    """Whose a dataset is. ``agency_name`` is for the reason line."""

    title: str
    steward_id: UUID | None
    agency_id: UUID | None
    agency_name: str | None


@dataclass(frozen=True, slots=True)
class KnownPeople:
    """Everybody whom routing may choose from."""

    people: Sequence[KnownPerson]

    def __contains__(self, person_id: object) -> bool:
        return any(person.person_id == person_id for person in self.people)

    def holding(self, role: Role, agency_id: UUID | None) -> list[UUID]:
        """Return who has ``role`` for this agency (``None``: for all), in a stable order."""
        return sorted(person.person_id for person in self.people if person.holds(role, agency_id))

    def deciding_on(self, request: SharingRequestState) -> "KnownPeople":
        """Return those who may decide on a sharing request: nobody is told of one that they may not open."""
        return KnownPeople(
            [
                person
                for person in self.people
                if MAY_DECIDE.holds(Viewer(person.person_id, person.grants), request)
            ]
        )

    def without(self, person_id: UUID | None) -> "KnownPeople":
        """Return everybody but one."""
        return KnownPeople([person for person in self.people if person.person_id != person_id])


def owners_of(
    ownership: Ownership, directory: KnownPeople, *, exclude: UUID | None = None
) -> list[Recipient]:
    """Return who answers for a dataset: its steward; else the agency's data officers; else the chief.

    ``exclude`` is somebody whom it must not come to: nobody decides on a request of their own. Empty only if
    the installation has no (other) chief data officer either.
    """
    steward_id = ownership.steward_id
    if steward_id is not None and steward_id != exclude and steward_id in directory:
        return [Recipient(steward_id, f"You are the steward of “{ownership.title}”.")]
    missing = "has no steward"
    if steward_id is not None:
        missing = "has a steward who is not known any more, or may not answer"
        if steward_id == exclude:
            missing = "has a steward who asks for it"
    return agency_officers(
        ownership.agency_id,
        ownership.agency_name,
        directory.without(exclude),
        f"“{ownership.title}” {missing}",
    )


def agency_officers(
    agency_id: UUID | None, agency_name: str | None, directory: KnownPeople, why: str
) -> list[Recipient]:
    """Return an agency's data officers, else the chief data officers, with ``why`` it comes to them."""
    if agency_id is not None:
        officers = directory.holding(Role.AGENCY_DATA_OFFICER, agency_id)
        if officers:
            name = agency_name or "the agency"
            return _all(officers, f"{why}, and you are the data officer of {name}.")
        why = f"{why}, and {agency_name or 'its agency'} has no data officer"
    chiefs = directory.holding(Role.CHIEF_DATA_OFFICER, None)
    return _all(chiefs, f"{why}; it falls to you as chief data officer.")


def next_in_line(
    ownership: Ownership, directory: KnownPeople, *, told: Collection[UUID], why: str
) -> list[Recipient]:
    """Return who hears of what those ``told`` left lying: the agency's data officers, else the chief's."""
    if ownership.agency_id is not None:
        officers = directory.holding(Role.AGENCY_DATA_OFFICER, ownership.agency_id)
        untold = [one for one in officers if one not in told]
        if untold:
            name = ownership.agency_name or "the agency"
            return _all(untold, f"{why}, and you are the data officer of {name}.")
    chiefs = directory.holding(Role.CHIEF_DATA_OFFICER, None)
    return _all((one for one in chiefs if one not in told), f"{why}; it comes to you as chief data officer.")


def operators(directory: KnownPeople, why: str) -> list[Recipient]:
    """Return the operators of the installation."""
    return _all(directory.holding(Role.OPERATOR, None), f"{why}, and you operate this installation.")


def requester(person_id: UUID, title: str) -> list[Recipient]:
    """Return the person who asked for data: they are always told the outcome."""
    return [Recipient(person_id, f"You asked for “{title}”.")]


def _all(person_ids: Iterable[UUID], reason: str) -> list[Recipient]:
    return [Recipient(person_id, reason) for person_id in person_ids]
