"""Whom a item concerns, and the reason they are told."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from services.notify.routing.domain.recipients import (
    KnownPeople,
    KnownPerson,
    Ownership,
    operators,
    owners_of,
    requester,
)
from shared.events.governance import SharingRequestState
from shared.identity.viewer import Grant, Role

AGENCY, OTHER_AGENCY = uuid4(), uuid4()
STEWARD, OFFICER, CHIEF, OPERATOR, STRANGER = (uuid4() for _ in range(5))

PEOPLE = {
    STEWARD: Grant(Role.STEWARD, AGENCY),
    OFFICER: Grant(Role.AGENCY_DATA_OFFICER, AGENCY),
    CHIEF: Grant(Role.CHIEF_DATA_OFFICER),
    OPERATOR: Grant(Role.OPERATOR),
    STRANGER: Grant(Role.AGENCY_DATA_OFFICER, OTHER_AGENCY),
}


def directory(*person_ids: UUID) -> KnownPeople:
    return KnownPeople([KnownPerson(one, frozenset({PEOPLE[one]})) for one in person_ids])


@pytest.mark.parametrize(
    ("known", "steward_id", "agency_id", "told", "words"),
    [
        ((STEWARD, OFFICER, CHIEF), STEWARD, AGENCY, STEWARD, "You are the steward"),
        ((STEWARD, OFFICER, CHIEF), None, AGENCY, OFFICER, "has no steward"),
        ((OFFICER, CHIEF), STEWARD, AGENCY, OFFICER, "not known any more"),
        ((CHIEF, STRANGER), None, AGENCY, CHIEF, "has no data officer"),
        ((OFFICER, CHIEF), None, None, CHIEF, "chief data officer"),
    ],
)
def test_the_steward_is_told_or_who_stands_in(
    known: tuple[UUID, ...], steward_id: UUID | None, agency_id: UUID | None, told: UUID, words: str
) -> None:
    (recipient,) = owners_of(Ownership("Counts", steward_id, agency_id, "Transport"), directory(*known))
    assert recipient.person_id == told
    assert words in recipient.reason


@pytest.mark.parametrize(
    ("asker", "known", "told"),
    [
        (STEWARD, (STEWARD, OFFICER, CHIEF), OFFICER),
        (STEWARD, (STEWARD, CHIEF), CHIEF),
        (OFFICER, (STEWARD, OFFICER, CHIEF), STEWARD),
        (OFFICER, (OFFICER, CHIEF), CHIEF),
    ],
)
def test_a_request_of_ones_own_comes_to_the_next_in_line(
    asker: UUID, known: tuple[UUID, ...], told: UUID
) -> None:
    steward_id = STEWARD if STEWARD in known else None
    ownership = Ownership("Counts", steward_id, AGENCY, "Transport")
    assert [one.person_id for one in owners_of(ownership, directory(*known), exclude=asker)] == [told]


def test_a_request_comes_only_to_those_who_may_decide_on_it() -> None:
    asked = SharingRequestState(
        request_id=uuid4(),
        dataset_id=uuid4(),
        dataset_title="Counts",
        agency_id=OTHER_AGENCY,
        requester_id=CHIEF,
        status="submitted",
        purpose="to compare",
        data_wanted="all rows",
        submitted_at=datetime(2026, 3, 2, tzinfo=UTC),
        changed_at=datetime(2026, 3, 2, tzinfo=UTC),
    )
    everybody = directory(STEWARD, OFFICER, CHIEF, OPERATOR, STRANGER)
    assert [one.person_id for one in everybody.deciding_on(asked).people] == [STRANGER]
    # The steward of the dataset has lost the role: its page would be a 404 for them.
    ownership = Ownership("Counts", STEWARD, OTHER_AGENCY, "Health")
    (told,) = owners_of(ownership, everybody.deciding_on(asked), exclude=CHIEF)
    assert told.person_id == STRANGER
    assert "may not answer" in told.reason


def test_nobody_is_made_up_where_nobody_is() -> None:
    assert owners_of(Ownership("Counts", None, AGENCY, None), directory(STRANGER, OPERATOR)) == []


def test_another_agency_is_never_told() -> None:
    recipients = owners_of(Ownership("Counts", None, AGENCY, None), directory(STRANGER, CHIEF))
    assert STRANGER not in {one.person_id for one in recipients}


def test_operators_and_requesters_are_told_why() -> None:
    assert "operate" in operators(directory(OPERATOR, CHIEF), "A harvest waits")[0].reason
    assert requester(STRANGER, "Extract")[0].reason == "You asked for “Extract”."
