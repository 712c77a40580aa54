"""The life of a sharing request: who may do what to it, and when.

submitted → returned → submitted again …; submitted → approved or denied; any open one → withdrawn. Nobody
decides on a request of their own. Every step leaves a line in the audit table.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from uuid import UUID, uuid5

from shared.errors import ConflictError, InvalidInputError, NotAllowedError
from shared.identity.viewer import Role, Viewer

__all__ = [
    "DECIDING_ROLES",
    "Action",
    "FormSentBeforeError",
    "NewRequest",
    "SharingRequest",
    "Status",
    "WrongStateError",
    "act",
    "may_decide",
    "may_see",
    "request_id_of_form",
    "submit",
]

ANSWER_DAYS = 30
"""An answer is due this many days after a request came in; Connecticut's playbook names no shorter term."""

_FORMS = UUID("0d1b9a8e-6f0b-4c7e-9f4e-7d1f0f6e2a11")

DECIDING_ROLES = (Role.STEWARD, Role.AGENCY_DATA_OFFICER, Role.CHIEF_DATA_OFFICER)


class Status(StrEnum):
    """Where a request stands."""

    SUBMITTED = "submitted"
    RETURNED = "returned"
    APPROVED = "approved"
    DENIED = "denied"
    WITHDRAWN = "withdrawn"


class Action(StrEnum):
    """What can be done to a request."""

    RETURN = "return"
    APPROVE = "approve"
    DENY = "deny"
    RESUBMIT = "resubmit"
    WITHDRAW = "withdraw"


class FormSentBeforeError(ConflictError):
    """The form opened a request before, with other content; ``request_id`` is that request's."""

    slug = "form-sent-before"
    title = "This form was sent before"

    def __init__(self, request_id: UUID, dataset_id: UUID) -> None:
        super().__init__(
            "It opened a request then, with other words. What you changed now was not sent.",
            code="sent_before",
            next_steps=(
                ("See the request that it opened", f"/sharing-requests/{request_id}"),
                ("Write another request", f"/sharing-requests/new?dataset={dataset_id}"),
            ),
        )
        self.request_id = request_id


class WrongStateError(ConflictError):
    """The request is past that step. The message says where it stands."""

    slug = "wrong-state"
    title = "The request is past that step"


@dataclass(frozen=True, slots=True)
class NewRequest:
    """What a requester writes. Texts are bounded by the API; times are arguments."""

    purpose: str
    data_wanted: str
    legal_basis: str | None = None
    retention: str | None = None


@dataclass(frozen=True, slots=True)
class SharingRequest:
    """One request with its whole state. ``version`` rises with every step."""

    request_id: UUID
    dataset_id: UUID
    dataset_title: str
    agency_id: UUID | None
    requester_id: UUID
    status: Status
    content: NewRequest
    submitted_at: datetime
    changed_at: datetime
    due_on: date
    decided_by: UUID | None = None
    decision_reason: str | None = None
    version: int = 1


_AFTER = {
    Action.RETURN: Status.RETURNED,
    Action.APPROVE: Status.APPROVED,
    Action.DENY: Status.DENIED,
    Action.RESUBMIT: Status.SUBMITTED,
    Action.WITHDRAW: Status.WITHDRAWN,
}
_FROM = {
    Action.RETURN: {Status.SUBMITTED},
    Action.APPROVE: {Status.SUBMITTED},
    Action.DENY: {Status.SUBMITTED},
    Action.RESUBMIT: {Status.RETURNED},
    Action.WITHDRAW: {Status.SUBMITTED, Status.RETURNED},
}
_DECISIONS = frozenset({Action.RETURN, Action.APPROVE, Action.DENY})


def request_id_of_form(form_key: str, requester_id: UUID) -> UUID:
    """The id of the request that one person's form opens: the same however often the form is sent."""
    return uuid5(_FORMS, f"{requester_id}/{form_key}")


def submit(
    content: NewRequest,
    *,
    request_id: UUID,
    dataset_id: UUID,
    dataset_title: str,
    agency_id: UUID | None,
    requester_id: UUID,
    now: datetime,
) -> SharingRequest:
    """Open a request; its answer is due in :data:`ANSWER_DAYS`."""
    return SharingRequest(
        request_id=request_id,
        dataset_id=dataset_id,
        dataset_title=dataset_title,
        agency_id=agency_id,
        requester_id=requester_id,
        status=Status.SUBMITTED,
        content=content,
        submitted_at=now,
        changed_at=now,
        due_on=(now + timedelta(days=ANSWER_DAYS)).date(),
    )


def may_see(viewer: Viewer, request: SharingRequest) -> bool:
    """The requester, and the people who may decide for the owning agency."""
    return viewer.person_id == request.requester_id or viewer.has(
        *DECIDING_ROLES, agency_id=request.agency_id
    )


def may_decide(viewer: Viewer, request: SharingRequest) -> bool:
    """A deciding role for the owning agency, and not the requester."""
    return viewer.person_id != request.requester_id and viewer.has(
        *DECIDING_ROLES, agency_id=request.agency_id
    )


def act(
    request: SharingRequest,
    action: Action,
    *,
    viewer: Viewer,
    now: datetime,
    reason: str | None = None,
    content: NewRequest | None = None,
) -> SharingRequest:
    """Return the request after ``action``.

    Raises ``NotAllowedError`` for the wrong person, ``WrongStateError`` for the wrong moment, and
    ``InvalidInputError`` where a decision has no reason or a new submission no content.
    """
    _check_person(request, action, viewer)
    if request.status not in _FROM[action]:
        raise WrongStateError(
            f"The request is {request.status}, so it can't be {_AFTER[action]}.",
            fix="Open it to see where it stands.",
        )
    if action in _DECISIONS and not (reason and reason.strip()):
        raise InvalidInputError(
            "A decision needs a reason; the requester is told it.",
            field="reason",
            fix="Write the reason and send it again.",
            code="missing",
        )
    if action is Action.RESUBMIT and content is None:
        raise InvalidInputError(
            "A request sent in again needs its content.",
            field="content",
            fix="Fill it in and send it again.",
            code="missing",
        )
    decided = action in _DECISIONS
    return replace(
        request,
        status=_AFTER[action],
        content=content or request.content,
        changed_at=now,
        decided_by=viewer.person_id if decided else request.decided_by,
        decision_reason=reason if decided else request.decision_reason,
        due_on=(now + timedelta(days=ANSWER_DAYS)).date() if action is Action.RESUBMIT else request.due_on,
        version=request.version + 1,
    )


def _check_person(request: SharingRequest, action: Action, viewer: Viewer) -> None:
    own = viewer.person_id == request.requester_id
    if action in _DECISIONS:
        if own:
            raise NotAllowedError(
                "Nobody decides on a request of their own.", fix="Another steward or officer must."
            )
        if not may_decide(viewer, request):
            raise NotAllowedError(
                "Only the steward or data officer of the owning agency decides on this request."
            )
    elif not own:
        raise NotAllowedError("Only the requester can do that.")
