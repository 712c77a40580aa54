"""Dead letters as operators read them: the record, what was done about it, and what became of it in words."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from services.host.operations.installation import OperatedInstallation
from shared.bounded_json import InvalidJSONError, JSONBoundError, loads
from shared.consuming.dead_letters import DeadLetterPage, DeadLetterView
from shared.consuming.handling import Outcome
from shared.consuming.replays import ReplayState
from shared.errors import NotFoundError
from shared.events.envelope import EVENT_LIMITS
from shared.events.topics import topic_named

__all__ = [
    "DeadLetterActDocument",
    "DeadLetterDetail",
    "DeadLetterSummary",
    "ReplayState",
    "dead_letter_detail",
    "dead_letter_summary",
    "latest_dead_letters",
    "outcome_words",
]

VALUE_CHARACTERS_MAX = 64 * 1024


class DeadLetterSummary(BaseModel):
    """A record that a group could not handle, and what became of it."""

    id: str
    topic: str
    partition: int
    offset: int
    key: str
    group: str
    reason: str
    error_type: str
    detail: str
    attempts: int
    first_at: datetime
    last_at: datetime
    state: str
    state_detail: str | None
    outcome: str = Field(description="What became of it, in words.")


class DeadLetterActDocument(BaseModel):
    """What somebody did about a dead letter. ``person_id`` is null for a command without a person."""

    act: Literal["replay", "discard"]
    person_id: UUID | None
    reason: str | None
    happened_at: datetime


class DeadLetterDetail(DeadLetterSummary):
    """With the record itself. Topics with personal data keep theirs: ``value`` is then null."""

    traceback: str
    version: str
    published_at: datetime
    headers: dict[str, str]
    value: Any
    history: list[DeadLetterActDocument]


_REPLAYED = {
    Outcome.APPLIED: "Applied.",
    Outcome.IGNORED: "Handled: there was nothing to do.",
    Outcome.DUPLICATE: "Skipped: it had been applied already.",
    Outcome.UNKNOWN_TYPE: "Skipped: this version does not know the event's type.",
}


def outcome_words(view: DeadLetterView) -> str:
    """Say what came of a replay, or why the letter was discarded; what is still to be done, if nothing."""
    match view.state:
        case ReplayState.OPEN:
            return "It waits for a decision: replay it or discard it."
        case ReplayState.REQUESTED:
            return "Its group is asked to handle it again."
        case ReplayState.REPLAYED:
            told = (view.detail or "").removeprefix("outcome: ")
            return next((words for outcome, words in _REPLAYED.items() if outcome == told), "Handled.")
        case ReplayState.SUPERSEDED:
            return "Skipped as older: a newer state of the same key had been applied."
        case ReplayState.FAILED:
            return f"Failed again: {view.detail or 'for a reason that is not known'}"
        case ReplayState.DISCARDED:
            return f"Discarded: {view.detail or 'for a reason that is not known'}"
        case ReplayState.WAITING:
            return view.detail or "Taken up, and waits for data that it needs."


def dead_letter_summary(view: DeadLetterView) -> DeadLetterSummary:
    """Return a dead letter as a list shows it."""
    return DeadLetterSummary(**_summary(view))


async def dead_letter_detail(installation: OperatedInstallation, dead_letter_id: UUID) -> DeadLetterDetail:
    """Return one dead letter. Raises ``NotFoundError``."""
    view = await installation.dead_letters.show(str(dead_letter_id))
    source = view.letter.source
    is_private = topic_named(source.topic).personal_data
    return DeadLetterDetail(
        **_summary(view),
        traceback=view.letter.traceback,
        version=view.letter.version,
        published_at=source.published_at,
        headers={name: raw.decode(errors="replace") for name, raw in source.headers},
        value=None if is_private else _readable(source.value),
        history=[
            DeadLetterActDocument(
                act=one.act, person_id=one.person_id, reason=one.reason, happened_at=one.happened_at
            )
            for one in await installation.dead_letters.history(view)
        ],
    )


async def latest_dead_letters(
    installation: OperatedInstallation, cursor: UUID | None, limit: int
) -> DeadLetterPage:
    """Return a page of dead letters, the latest first; the first page if the cursor's has left the log."""
    try:
        return await installation.dead_letters.list(
            limit=limit, cursor=None if cursor is None else str(cursor)
        )
    except NotFoundError:
        # The one that the cursor names has left the log: begin again.
        return await installation.dead_letters.list(limit=limit)


def _summary(view: DeadLetterView) -> dict[str, Any]:
    letter = view.letter
    return {
        "id": letter.id,
        "topic": letter.source.topic,
        "partition": letter.source.partition,
        "offset": letter.source.offset,
        "key": letter.source.key,
        "group": letter.group,
        "reason": letter.reason,
        "error_type": letter.error_type,
        "detail": letter.detail,
        "attempts": letter.attempts,
        "first_at": letter.first_at,
        "last_at": letter.last_at,
        "state": str(view.state),
        "state_detail": view.detail,
        "outcome": outcome_words(view),
    }


def _readable(value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        return loads(value, EVENT_LIMITS)
    except (InvalidJSONError, JSONBoundError):
        return value[:VALUE_CHARACTERS_MAX].decode(errors="replace")
