"""What becomes of the waiting records of a group when it has handled a batch. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from shared.consuming.dead_letter_record import record_identity
from shared.consuming.deduplication import IncomingEvent
from shared.consuming.handling import Answer, Outcome
from shared.consuming.waiting_events import Place, WaitingRecord, next_wait
from shared.errors import NotReadyError, WaitExpiredError
from shared.events.topics import Deduplication
from shared.log.port import LogRecord

__all__ = ["Handled", "OvertakenError", "Settlement", "settle", "stands_behind"]


class OvertakenError(Exception):
    """A record was handled though an earlier one of its key, in the same batch, has to wait."""


@dataclass(frozen=True, slots=True)
class Handled:
    """One record with what its group answered. ``waiting``: its row, if it was set aside before."""

    record: LogRecord
    arrival: IncomingEvent
    answer: Answer
    waiting: WaitingRecord | None


@dataclass(slots=True)
class Settlement:
    """The outcomes in order, the rows to write, and the rows to delete with what became of each."""

    outcomes: list[Outcome] = field(default_factory=list)
    put: list[WaitingRecord] = field(default_factory=list)
    ended: dict[str, Outcome] = field(default_factory=dict)


def stands_behind(
    record: LogRecord, group: str, arrival: IncomingEvent, before: Mapping[Place, Sequence[WaitingRecord]]
) -> NotReadyError | None:
    """Return what a fact waits for because an earlier one of its key waits; None if it may be handled."""
    topic, event = arrival
    ahead = before.get((topic.name, event.subject), ())
    if topic.deduplication is Deduplication.VERSION or not ahead:
        return None
    own = record_identity(record, group)
    words = next((one.waits_for for one in ahead if one.id == own), ahead[0].waits_for)
    return NotReadyError(words, patience=None)


def settle(
    group: str, handled: Sequence[Handled], before: Mapping[Place, Sequence[WaitingRecord]], now: datetime
) -> Settlement:
    """Decide what waits from here on.

    Raises ``WaitExpiredError`` for a record at its deadline that is still not ready (it comes alone), and
    :class:`OvertakenError`, on which the batch is to be tried in smaller parts.
    """
    settlement = Settlement()
    rows = {place: list(waiting) for place, waiting in before.items()}
    placed: set[Place] = set()
    for one in handled:
        topic, event = one.arrival
        place = (topic.name, event.subject)
        waiting = rows.setdefault(place, [])
        is_version = topic.deduplication is Deduplication.VERSION
        if isinstance(one.answer, NotReadyError):
            row = _row(group, one, one.answer, waiting, now)
            if is_version and any(other.id != row.id and _is_newer(other, row) for other in waiting):
                settlement.outcomes.append(Outcome.STALE)
                rows[place] = [other for other in waiting if other.id != row.id]
                continue
            settlement.outcomes.append(Outcome.WAITING)
            kept = [] if is_version else [other for other in waiting if other.id != row.id]
            rows[place] = [*kept, row]
            placed.add(place)
            continue
        settlement.outcomes.append(one.answer)
        if is_version:
            ended_by = event.subjectversion
            rows[place] = [
                other for other in waiting if ended_by is not None and (other.version or 0) > ended_by
            ]
            continue
        if place in placed and one.answer is not Outcome.DUPLICATE:
            raise OvertakenError(f"{event.type} {event.id} came after one that waits")
        own = one.waiting.id if one.waiting else record_identity(one.record, group)
        rows[place] = [other for other in waiting if other.id != own]
    _collect(settlement, handled, before, rows)
    return settlement


def _collect(
    settlement: Settlement,
    handled: Sequence[Handled],
    before: Mapping[Place, Sequence[WaitingRecord]],
    after: Mapping[Place, Sequence[WaitingRecord]],
) -> None:
    known = {one.id: one for waiting in before.values() for one in waiting}
    left = {one.id: one for waiting in after.values() for one in waiting}
    settlement.put = [one for one in left.values() if known.get(one.id) != one]
    own = {
        one.waiting.id: outcome
        for one, outcome in zip(handled, settlement.outcomes, strict=True)
        if one.waiting is not None
    }
    settlement.ended = {
        identity: own.get(identity, Outcome.STALE) for identity in known if identity not in left
    }


def _row(
    group: str, one: Handled, error: NotReadyError, waiting: Sequence[WaitingRecord], now: datetime
) -> WaitingRecord:
    identity = record_identity(one.record, group)
    own = one.waiting or next((other for other in waiting if other.id == identity), None)
    if error.patience is None:
        return own or _fresh(identity, one, error, None, now)
    if one.waiting is not None:
        if one.waiting.has_expired(now):
            raise WaitExpiredError(f"waited {_words(now - one.waiting.first_at)} for {error.waits_for}")
        # A clock that was set back makes nothing wait for hours: it then waits from now on.
        first_at = min(one.waiting.first_at, now)
        deadline = first_at + error.patience
        attempts = one.waiting.attempts + 1
        return replace(
            one.waiting,
            waits_for=error.waits_for,
            first_at=first_at,
            deadline_at=deadline,
            attempts=attempts,
            next_try_at=min(now + next_wait(attempts), max(deadline, now)),
        )
    if own is not None:
        return own
    row = _fresh(identity, one, error, now + error.patience, now)
    older = next((other for other in waiting if other.waits_for == error.waits_for), None)
    if older is not None:
        # A newer state of the same key waits for the same thing: that has been awaited since then.
        row = replace(row, first_at=older.first_at, deadline_at=older.deadline_at, attempts=older.attempts)
    return row


def _fresh(
    identity: str, one: Handled, error: NotReadyError, deadline: datetime | None, now: datetime
) -> WaitingRecord:
    next_try_at = now + next_wait(0) if deadline is not None else now
    return WaitingRecord(
        id=identity,
        record=one.record,
        version=one.arrival[1].subjectversion,
        waits_for=error.waits_for,
        first_at=now,
        deadline_at=deadline,
        next_try_at=next_try_at if deadline is None else min(next_try_at, deadline),
        attempts=0,
    )


def _is_newer(other: WaitingRecord, row: WaitingRecord) -> bool:
    return (other.version or 0) > (row.version or 0)


def _words(waited: timedelta) -> str:
    seconds = round(waited.total_seconds())
    if seconds < 120:
        return f"{seconds} s"
    return f"{round(seconds / 60)} minutes"
