"""Who may do what to a sharing request, and when."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from services.governance.domain.sharing import (
    Action,
    NewRequest,
    SharingRequest,
    Status,
    WrongStateError,
    act,
    submit,
)
from shared.errors import InvalidInputError, NotAllowedError
from shared.identity.sharing_rights import MAY_SEE
from shared.identity.viewer import ANONYMOUS, Grant, Role, Viewer

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
AGENCY = uuid4()
REQUESTER = Viewer(uuid4(), frozenset({Grant(Role.REQUESTER)}))
STEWARD = Viewer(uuid4(), frozenset({Grant(Role.STEWARD, AGENCY)}))
OTHER_STEWARD = Viewer(uuid4(), frozenset({Grant(Role.STEWARD, uuid4())}))
CHIEF = Viewer(uuid4(), frozenset({Grant(Role.CHIEF_DATA_OFFICER)}))
OPERATOR = Viewer(uuid4(), frozenset({Grant(Role.OPERATOR)}))
CONTENT = NewRequest("to compare outcomes of two programs", "rows of 2024")


def opened(requester: Viewer = REQUESTER) -> SharingRequest:
    assert requester.person_id is not None
    return submit(
        CONTENT,
        request_id=uuid4(),
        dataset_id=uuid4(),
        dataset_title="Outcomes",
        agency_id=AGENCY,
        requester_id=requester.person_id,
        now=NOW,
    )


def test_a_new_request_is_due_in_thirty_days() -> None:
    assert opened().due_on == date(2026, 4, 1)


@pytest.mark.parametrize(
    ("action", "status"),
    [(Action.RETURN, Status.RETURNED), (Action.APPROVE, Status.APPROVED), (Action.DENY, Status.DENIED)],
)
@pytest.mark.parametrize("decider", [STEWARD, CHIEF])
def test_the_owning_agency_and_the_chief_decide(action: Action, status: Status, decider: Viewer) -> None:
    after = act(opened(), action, viewer=decider, now=NOW, reason="because")
    assert (after.status, after.decided_by, after.decision_reason) == (status, decider.person_id, "because")
    assert after.version == 2


@pytest.mark.parametrize("stranger", [OTHER_STEWARD, OPERATOR, REQUESTER, ANONYMOUS])
def test_nobody_else_decides(stranger: Viewer) -> None:
    with pytest.raises(NotAllowedError):
        act(opened(), Action.APPROVE, viewer=stranger, now=NOW, reason="because")


def test_nobody_decides_on_a_request_of_their_own() -> None:
    with pytest.raises(NotAllowedError, match="of their own"):
        act(opened(CHIEF), Action.APPROVE, viewer=CHIEF, now=NOW, reason="because")


@pytest.mark.parametrize("reason", [None, "", "   "])
def test_a_decision_needs_a_reason(reason: str | None) -> None:
    with pytest.raises(InvalidInputError, match="reason"):
        act(opened(), Action.DENY, viewer=STEWARD, now=NOW, reason=reason)


def test_a_returned_request_comes_back_with_a_new_due_date() -> None:
    returned = act(opened(), Action.RETURN, viewer=STEWARD, now=NOW, reason="which years?")
    later = NOW + timedelta(days=10)
    again = act(
        returned, Action.RESUBMIT, viewer=REQUESTER, now=later, content=NewRequest("purpose", "2020 to 2024")
    )
    assert (again.status, again.due_on, again.content.data_wanted) == (
        Status.SUBMITTED,
        date(2026, 4, 11),
        "2020 to 2024",
    )


@pytest.mark.parametrize("action", [Action.APPROVE, Action.DENY, Action.RETURN])
def test_a_decided_request_stays_decided(action: Action) -> None:
    decided = act(opened(), Action.APPROVE, viewer=STEWARD, now=NOW, reason="yes")
    with pytest.raises(WrongStateError, match="approved"):
        act(decided, action, viewer=STEWARD, now=NOW, reason="again")


def test_only_the_requester_withdraws() -> None:
    with pytest.raises(NotAllowedError):
        act(opened(), Action.WITHDRAW, viewer=STEWARD, now=NOW)
    assert act(opened(), Action.WITHDRAW, viewer=REQUESTER, now=NOW).status is Status.WITHDRAWN


@pytest.mark.parametrize(
    ("viewer", "sees"),
    [(REQUESTER, True), (STEWARD, True), (CHIEF, True), (OTHER_STEWARD, False), (OPERATOR, False)],
)
def test_a_request_is_seen_by_both_sides_alone(viewer: Viewer, sees: bool) -> None:
    assert MAY_SEE.holds(viewer, opened()) is sees


def test_ids_are_kept_through_every_step() -> None:
    request = opened()
    after = act(request, Action.DENY, viewer=STEWARD, now=NOW, reason="no")
    assert isinstance(after.request_id, UUID)
    assert (after.request_id, after.dataset_id) == (request.request_id, request.dataset_id)
