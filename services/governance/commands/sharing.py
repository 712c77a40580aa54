"""What people ask governance to do with requests for data: ask for it, decide, take back.

Each command runs inside one unit of work: state, audit line and event are committed together.
"""

from collections.abc import Collection
from uuid import UUID, uuid4

from services.governance.domain.redaction import redact_request
from services.governance.domain.sharing import (
    Action,
    ChangedMeanwhileError,
    FormSentBeforeError,
    NewRequest,
    SharingRequest,
    act,
    request_id_of_form,
    submit,
)
from services.governance.ports import GovernancePorts
from shared.errors import NotAllowedError
from shared.events.governance import (
    SharingRequestApproved,
    SharingRequestDenied,
    SharingRequestRedacted,
    SharingRequestReturned,
    SharingRequestState,
    SharingRequestSubmitted,
    SharingRequestWithdrawn,
)
from shared.events.registry import (
    SHARING_REQUEST_APPROVED,
    SHARING_REQUEST_DENIED,
    SHARING_REQUEST_REDACTED,
    SHARING_REQUEST_RETURNED,
    SHARING_REQUEST_SUBMITTED,
    SHARING_REQUEST_WITHDRAWN,
)
from shared.identity.sharing_rights import MAY_SEE
from shared.identity.viewer import Viewer
from shared.store.unit_of_work import UnitOfWork

__all__ = ["ask_for_data", "decide_on_request", "redact_person"]

_STEP_EVENTS = {
    Action.RETURN: (SHARING_REQUEST_RETURNED, SharingRequestReturned),
    Action.APPROVE: (SHARING_REQUEST_APPROVED, SharingRequestApproved),
    Action.DENY: (SHARING_REQUEST_DENIED, SharingRequestDenied),
    Action.RESUBMIT: (SHARING_REQUEST_SUBMITTED, SharingRequestSubmitted),
    Action.WITHDRAW: (SHARING_REQUEST_WITHDRAWN, SharingRequestWithdrawn),
}


async def ask_for_data(
    work: UnitOfWork,
    ports: GovernancePorts,
    content: NewRequest,
    *,
    dataset_id: UUID,
    dataset_title: str,
    agency_id: UUID | None,
    requester_id: UUID,
    form_key: str | None = None,
) -> SharingRequest:
    """Open a sharing request and tell it.

    A form that carries a key opens one request however often it is sent: again, the request that it opened
    is returned. Raises ``FormSentBeforeError`` if it says something else by now.
    """
    request_id = uuid4() if form_key is None else request_id_of_form(form_key, requester_id)
    known = None if form_key is None else await ports.requests.find(work, request_id)
    if known is not None:
        if (known.dataset_id, known.content) != (dataset_id, content):
            raise FormSentBeforeError(request_id, dataset_id)
        return known
    request = submit(
        content,
        request_id=request_id,
        dataset_id=dataset_id,
        dataset_title=dataset_title,
        agency_id=agency_id,
        requester_id=requester_id,
        now=ports.clock.now(),
    )
    event = work.emit(
        SHARING_REQUEST_SUBMITTED,
        SharingRequestSubmitted(request=_state(request)),
        subject=str(request.request_id),
        subjectversion=request.version,
    )
    await ports.requests.add(work, request, event_id=event.id)
    return request


async def decide_on_request(
    work: UnitOfWork,
    ports: GovernancePorts,
    request_id: UUID,
    action: Action,
    *,
    viewer: Viewer,
    reason: str | None = None,
    content: NewRequest | None = None,
    version: int | None = None,
) -> SharingRequest:
    """Carry a request one step further and tell it.

    ``version`` is the one that the person has read, if it is known. Raises ``NotFoundError``,
    ``ChangedMeanwhileError``, and what :func:`services.governance.domain.sharing.act` does.
    """
    if viewer.person_id is None:
        raise NotAllowedError("A step needs a person.", fix="Sign in.")
    before = await ports.requests.locked(work, request_id)
    if version is not None and before.version != version and MAY_SEE.holds(viewer, before):
        raise ChangedMeanwhileError
    after = act(before, action, viewer=viewer, now=ports.clock.now(), reason=reason, content=content)
    event_type, payload = _STEP_EVENTS[action]
    event = work.emit(
        event_type,
        payload(request=_state(after)),
        subject=str(request_id),
        subjectversion=after.version,
    )
    await ports.requests.put(
        work, after, action=action, person_id=viewer.person_id, reason=reason, event_id=event.id
    )
    return after


async def redact_person(
    work: UnitOfWork, ports: GovernancePorts, person_id: UUID, words: Collection[str]
) -> None:
    """Take an erased person's texts, and their name and address in those of others, out of all requests."""
    await ports.requests.redact_steps(work, person_id, words)
    redacted = []
    for before in await ports.requests.naming(work, person_id, words):
        after = redact_request(before, person_id, words)
        if after is not before:
            redacted.append(after)
            work.emit(
                SHARING_REQUEST_REDACTED,
                SharingRequestRedacted(request=_state(after)),
                subject=str(after.request_id),
                subjectversion=after.version,
            )
    await ports.requests.put_redacted(work, redacted)


def _state(request: SharingRequest) -> SharingRequestState:
    return SharingRequestState(
        request_id=request.request_id,
        dataset_id=request.dataset_id,
        dataset_title=request.dataset_title,
        agency_id=request.agency_id,
        requester_id=request.requester_id,
        status=request.status.value,
        purpose=request.content.purpose,
        data_wanted=request.content.data_wanted,
        legal_basis=request.content.legal_basis,
        retention=request.content.retention,
        submitted_at=request.submitted_at,
        changed_at=request.changed_at,
        decided_by=request.decided_by,
        decision_reason=request.decision_reason,
        due_on=request.due_on,
    )
