"""The life of a sharing request: who may do what to it, and when.

submitted → returned → submitted again …; submitted → approved or denied; any open one → withdrawn. Nobody
decides on a request of their own. Every step leaves a line in the audit table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from uuid import UUID, uuid5

from shared.errors import ConflictError, InvalidInputError, NotAllowedError
from shared.identity.rules import Rule
from shared.identity.sharing_rights import IS_REQUESTER, MAY_DECIDE
from shared.identity.viewer import Viewer

__all__ = [
    "TRANSITIONS",
    "Action",
    "ChangedMeanwhileError",
    "FormSentBeforeError",
    "NewRequest",
    "SharingRequest",
    "Status",
    "Transition",
    "WrongStateError",
    "act",
    "may_act",
    "request_id_of_form",
    "submit",
]

ANSWER_DAYS = 30
"""An answer is due this many days after a request came in; Connecticut's playbook names no shorter term."""

_FORMS = UUID("0d1b9a8e-6f0b-4c7e-9f4e-7d1f0f6e2a11")


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


class ChangedMeanwhileError(ConflictError):
    """The request is another one than the person has read."""

    slug = "changed-meanwhile"
    title = "The request was changed in the meantime"

    def __init__(self) -> None:
        super().__init__(
            "Somebody took a step on this request after you opened it.",
            fix="Read it again, and send yours once more if it still holds.",
            code="stale",
        )


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


@dataclass(frozen=True, slots=True)
class Transition:
    """One step of a request: from which states, to which, by whom, and what it needs to say."""

    comes_from: frozenset[Status]
    leads_to: Status
    who: Rule
    needs_reason: bool = False
    needs_content: bool = False


_WAITING = frozenset({Status.SUBMITTED})

TRANSITIONS: Mapping[Action, Transition] = {
    Action.RETURN: Transition(_WAITING, Status.RETURNED, MAY_DECIDE, needs_reason=True),
    Action.APPROVE: Transition(_WAITING, Status.APPROVED, MAY_DECIDE, needs_reason=True),
    Action.DENY: Transition(_WAITING, Status.DENIED, MAY_DECIDE, needs_reason=True),
    Action.RESUBMIT: Transition(
        frozenset({Status.RETURNED}), Status.SUBMITTED, IS_REQUESTER, needs_content=True
    ),
    Action.WITHDRAW: Transition(
        frozenset({Status.SUBMITTED, Status.RETURNED}), Status.WITHDRAWN, IS_REQUESTER
    ),
}
"""The whole life of a request. Who may is said in :mod:`shared.identity.sharing_rights`."""


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


def may_act(viewer: Viewer, request: SharingRequest, action: Action) -> bool:
    """Tell whether this person may take this step now: what a page offers, and what :func:`act` lets pass."""
    step = TRANSITIONS[action]
    return request.status in step.comes_from and step.who.holds(viewer, request)


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
    step = TRANSITIONS[action]
    if not step.who.holds(viewer, request):
        raise _not_allowed(request, step, viewer)
    if request.status not in step.comes_from:
        raise WrongStateError(
            f"The request is {request.status}, so it can't be {step.leads_to}.",
            fix="Open it to see where it stands.",
        )
    if step.needs_reason and not (reason and reason.strip()):
        raise InvalidInputError(
            "A decision needs a reason; the requester is told it.",
            field="reason",
            fix="Write the reason and send it again.",
            code="missing",
        )
    if step.needs_content and content is None:
        raise InvalidInputError(
            "A request sent in again needs its content.",
            field="content",
            fix="Fill it in and send it again.",
            code="missing",
        )
    return replace(
        request,
        status=step.leads_to,
        content=content or request.content,
        changed_at=now,
        decided_by=viewer.person_id if step.needs_reason else request.decided_by,
        decision_reason=reason if step.needs_reason else request.decision_reason,
        due_on=(now + timedelta(days=ANSWER_DAYS)).date() if action is Action.RESUBMIT else request.due_on,
        version=request.version + 1,
    )


def _not_allowed(request: SharingRequest, step: Transition, viewer: Viewer) -> NotAllowedError:
    if step.who is IS_REQUESTER:
        return NotAllowedError("Only the requester can do that.")
    if IS_REQUESTER.holds(viewer, request):
        return NotAllowedError(
            "Nobody decides on a request of their own.", fix="Another steward or officer must."
        )
    return NotAllowedError("Only the steward or data officer of the owning agency decides on this request.")
