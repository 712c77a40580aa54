"""An inbox item: one thing that concerns people, whatever topic it came from, and what to tell about it.

An alert, a sharing request, a harvest that is held and a baseline summary all become the same shape, so
that the inbox has one line each and mail has one wording.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid5

from shared.events.alerts import AlertState
from shared.events.catalog import HarvestHeld
from shared.events.governance import SharingRequestState
from shared.events.quality import BaselineSummarised
from shared.events.topics import TOPICS

__all__ = [
    "ALERT_TOPICS",
    "HELD_HARVEST_KIND",
    "OPEN_DELIVERIES",
    "READ_ONCE_KINDS",
    "Change",
    "InboxItem",
    "ItemState",
    "Notification",
    "Recipient",
    "change_between",
    "item_of_alert",
    "item_of_answer",
    "item_of_baseline",
    "item_of_held_harvest",
    "item_of_request",
    "notification_id",
    "still_taken",
]

NAMESPACE = UUID("0c2ac2f6-3e0c-4a7b-9c53-6d3c8a6a5f70")
SEVERITIES = {"info": 0, "warning": 1, "error": 2}
ALERT_TOPICS = frozenset({TOPICS["quality.alerts"].name, TOPICS["usage.alerts"].name})
BASELINE_KIND = "baseline-summary"
HELD_HARVEST_KIND = "harvest-held"
OPEN_DELIVERIES = ("queued", "deferred")
"""The states of a message that may still be sent."""
READ_ONCE_KINDS = frozenset({BASELINE_KIND, "answer-approved", "answer-denied"})
"""A summary and a final answer ask for nothing but to be read."""


class ItemState(StrEnum):
    """Where an item stands. Done ones leave the inbox, and can be found again."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    DONE = "done"


class Change(StrEnum):
    """What is told. Each is told once per person and occurrence."""

    OPENED = "opened"
    WORSENED = "worsened"
    RESOLVED = "resolved"
    SUBMITTED = "submitted"
    DECIDED = "decided"
    NOTICED = "noticed"
    ESCALATED = "escalated"


@dataclass(frozen=True, slots=True)
class InboxItem:
    """One thing that concerns people. ``details`` are (name, expected, observed) lines of evidence.

    ``links`` are (words, path) of lists to look at, beside ``href``. ``requester_id`` is set for a request.
    """

    item_id: UUID
    kind: str
    topic: str
    title: str
    cause: str
    next_act: str
    severity: str
    state: ItemState
    opened_at: datetime
    changed_at: datetime
    version: int
    dataset_id: UUID | None = None
    agency_id: UUID | None = None
    details: tuple[tuple[str, str, str], ...] = field(default=())
    acknowledged_by: UUID | None = None
    occurrences: int = 1
    href: str = ""
    links: tuple[tuple[str, str], ...] = field(default=())
    requester_id: UUID | None = None


def item_of_alert(alert: AlertState, *, topic: str, version: int) -> InboxItem:
    """Return the item of an alert."""
    states = {"open": ItemState.OPEN, "acknowledged": ItemState.ACKNOWLEDGED}
    return InboxItem(
        item_id=alert.alert_id,
        kind=alert.kind,
        topic=topic,
        title=alert.dataset_title,
        cause=alert.cause,
        next_act=alert.next_act,
        severity=alert.severity,
        state=states.get(alert.state, ItemState.DONE),
        opened_at=alert.opened_at,
        changed_at=alert.changed_at,
        version=version,
        dataset_id=alert.dataset_id,
        agency_id=alert.agency_id,
        details=tuple((one.name, one.expected or "", one.observed or "") for one in alert.evidence),
        acknowledged_by=alert.acknowledged_by,
        occurrences=alert.occurrences,
        href=f"/datasets/{alert.dataset_id}",
    )


def item_of_request(request: SharingRequestState, *, topic: str, version: int) -> InboxItem:
    """Return the item of a sharing request as those see it who decide: open while it waits for them."""
    words = {
        "submitted": "Somebody asks for this data.",
        "returned": "It went back to the requester, who has to say more.",
        "approved": "The request was approved.",
        "denied": "The request was denied.",
        "withdrawn": "The requester took the request back.",
    }
    is_waiting = request.status == "submitted"
    by = f" by {request.due_on:%d %B %Y}" if request.due_on else ""
    return _item_of_request(
        request,
        item_id=request.request_id,
        kind=f"sharing-request-{request.status}",
        topic=topic,
        cause=words.get(request.status, f"The request is {request.status}."),
        next_act=f"Read it and decide{by}." if is_waiting else "Nothing is left to do.",
        state=ItemState.OPEN if is_waiting else ItemState.DONE,
        version=version,
    )


def item_of_answer(request: SharingRequestState, *, topic: str, version: int) -> InboxItem:
    """Return the item of the answer to a sharing request: the requester's, open until it is dealt with."""
    words = {
        "returned": ("The agency needs more from you.", "Add what is missing and send it in again."),
        "approved": ("The request was approved.", "Read what was agreed."),
        "denied": ("The request was denied.", "Read why."),
    }
    cause, next_act = words.get(request.status, ("The request is with the agency.", "Nothing is left to do."))
    return _item_of_request(
        request,
        item_id=uuid5(request.request_id, "answer"),
        kind=f"answer-{request.status}",
        topic=topic,
        cause=cause,
        next_act=next_act,
        state=ItemState.OPEN if request.status in words else ItemState.DONE,
        version=version,
    )


def _item_of_request(
    request: SharingRequestState,
    *,
    item_id: UUID,
    kind: str,
    topic: str,
    cause: str,
    next_act: str,
    state: ItemState,
    version: int,
) -> InboxItem:
    details = [("What it is for", "", request.purpose), ("Data wanted", "", request.data_wanted)]
    if request.decision_reason:
        details.append(("Reason given", "", request.decision_reason))
    return InboxItem(
        item_id=item_id,
        kind=kind,
        topic=topic,
        title=request.dataset_title,
        cause=cause,
        next_act=next_act,
        severity="info",
        state=state,
        opened_at=request.submitted_at,
        changed_at=request.changed_at,
        version=version,
        dataset_id=request.dataset_id,
        agency_id=request.agency_id,
        details=tuple(details),
        href=f"/sharing-requests/{request.request_id}",
        requester_id=request.requester_id,
    )


def item_of_baseline(summary: BaselineSummarised, *, topic: str, now: datetime) -> InboxItem:
    """Return the item of a first harvest's summary."""
    lines = [
        ("Datasets", "", str(summary.datasets)),
        ("Up to date", "", str(summary.fresh)),
        ("Late", "", str(summary.late)),
        ("Stale", "", str(summary.stale)),
        ("Without a promised frequency", "", str(summary.not_applicable)),
    ]
    if summary.mean_completeness is not None:
        lines.append(("Metadata filled in, on average", "", f"{summary.mean_completeness:.0%}"))
    lines += [(line.title, "", line.reason) for line in summary.worst]
    noun = "dataset was" if summary.datasets == 1 else "datasets were"
    return InboxItem(
        item_id=summary.notice_id,
        kind=BASELINE_KIND,
        topic=topic,
        title="What the first measurement found",
        cause=f"{summary.datasets} {noun} measured for the first time: {summary.stale} stale, "
        f"{summary.late} late. From here on you hear only of changes.",
        next_act=summary.next_act,
        severity="info",
        state=ItemState.OPEN,
        opened_at=now,
        changed_at=now,
        version=1,
        agency_id=summary.agency_id,
        details=tuple(lines),
        href="/quality",
    )


def item_of_held_harvest(held: HarvestHeld, *, topic: str, now: datetime) -> InboxItem:
    """Return the item of a harvest that waits for a person."""
    return InboxItem(
        item_id=held.harvest_id,
        kind=HELD_HARVEST_KIND,
        topic=topic,
        title=f"Harvest of {held.source_id}",
        cause=f"The feed lost {held.missing} of {held.known} datasets. Nothing was retired.",
        next_act="Look at the feed; confirm the harvest if the datasets are really gone.",
        severity="warning",
        state=ItemState.OPEN,
        opened_at=now,
        changed_at=now,
        version=1,
        details=(("Known", "", str(held.known)), ("Missing", "", str(held.missing))),
        href=f"/harvests/{held.harvest_id}",
    )


def still_taken(before: InboxItem | None, after: InboxItem, change: Change | None) -> InboxItem:
    """Return ``after``, still taken by whoever took it if its owner does not know and nothing new is to tell.

    The owner may tell of new evidence before it has heard who took charge.
    """
    if before is None or change is not None or before.state is not ItemState.ACKNOWLEDGED:
        return after
    if after.state is not ItemState.OPEN:
        return after
    return replace(after, state=before.state, acknowledged_by=before.acknowledged_by)


def change_between(before: InboxItem | None, after: InboxItem) -> Change | None:
    """Return what is to be told of an alert's new state; ``None`` if it is no news.

    Acknowledging is no news to anybody; a higher severity is; a lower one is not.
    """
    was_done = before is None or before.state is ItemState.DONE
    if after.state is ItemState.DONE:
        return None if was_done else Change.RESOLVED
    if before is None or was_done or after.occurrences > before.occurrences:
        return Change.OPENED
    if SEVERITIES.get(after.severity, 1) > SEVERITIES.get(before.severity, 1):
        return Change.WORSENED
    return None


def notification_id(item: InboxItem, person_id: UUID, change: Change) -> UUID:
    """Return the id of one notification: the same item, person, change and occurrence is told once."""
    marker = item.version if change in {Change.DECIDED, Change.SUBMITTED} else item.occurrences
    severity = item.severity if change is Change.WORSENED else ""
    return uuid5(NAMESPACE, f"{item.item_id}/{person_id}/{change}/{marker}/{severity}")


@dataclass(frozen=True, slots=True)
class Recipient:
    """A person to tell, with the reason line."""

    person_id: UUID
    reason: str


@dataclass(frozen=True, slots=True)
class Notification:
    """One thing to tell one person, not before a moment, so that neighbours go in one message."""

    notification_id: UUID
    item_id: UUID
    person_id: UUID
    change: Change
    reason: str
    not_before: datetime
