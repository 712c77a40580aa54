"""How a record that could not be handled is kept: untouched, with headers that tell what went wrong.

The id is made from the group and the event's own identity (its position, where it has none). A crash
between writing the dead letter and moving the offset writes it twice, and so does a copy that the relay
sent again; they share their id and are shown as one.
"""

import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Literal
from uuid import NAMESPACE_URL, uuid5

from shared.errors import InvalidEventError
from shared.events.envelope import header
from shared.events.topics import DEAD_LETTER_SUFFIX
from shared.log.port import LogRecord, OutgoingRecord, TopicPartition

__all__ = [
    "DeadLetter",
    "Failure",
    "FailureReason",
    "dead_letter_record",
    "read_dead_letter",
    "record_identity",
]

PREFIX = "nutmeg_dlq_"
DETAIL_CHARACTERS_MAX = 1_000
TRACEBACK_CHARACTERS_MAX = 4_000
"""With the names and numbers this stays far below the 64 KiB that a dead letter may have above its source."""

FailureReason = Literal["invalid", "failed", "expired"]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one record was given up: ``invalid`` at once, ``failed`` after ``attempts``,
    ``expired`` in waiting."""

    reason: FailureReason
    error: Exception
    attempts: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter as read back. ``place`` and ``place_offset`` say where it stands in its own topic."""

    id: str
    place: TopicPartition
    place_offset: int
    source: LogRecord
    """The record that could not be handled, as it was."""
    group: str
    reason: str
    detail: str
    error_type: str
    traceback: str
    attempts: int
    first_at: datetime
    last_at: datetime
    version: str


def dead_letter_record(record: LogRecord, group: str, failure: Failure) -> OutgoingRecord:
    """Return what is published to the dead-letter topic for ``record``."""
    error = failure.error
    facts = {
        "id": record_identity(record, group),
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "group": group,
        "reason": failure.reason,
        "detail": str(error)[:DETAIL_CHARACTERS_MAX],
        "error_type": type(error).__qualname__,
        "traceback": _summary(error),
        "attempts": str(failure.attempts),
        "published_at": record.published_at.isoformat(),
        "first_at": failure.first_at.isoformat(),
        "last_at": failure.last_at.isoformat(),
        "version": _own_version(),
    }
    added = [(PREFIX + name, text.encode(errors="replace")) for name, text in facts.items()]
    return OutgoingRecord(
        record.topic + DEAD_LETTER_SUFFIX,
        record.key,
        header(record.headers, "ce_partitionkey") or record.key,
        [*record.headers, *added],
        record.value,
    )


def read_dead_letter(record: LogRecord) -> DeadLetter:
    """Return the dead letter in ``record``. Raises ``InvalidEventError`` if it is none."""
    facts = {
        name.removeprefix(PREFIX): raw.decode(errors="replace")
        for name, raw in record.headers
        if name.startswith(PREFIX)
    }
    try:
        source = LogRecord(
            facts["topic"],
            int(facts["partition"]),
            int(facts["offset"]),
            record.key,
            [(name, raw) for name, raw in record.headers if not name.startswith(PREFIX)],
            record.value,
            datetime.fromisoformat(facts["published_at"]).astimezone(UTC),
        )
        return DeadLetter(
            id=facts["id"],
            place=record.topic_partition,
            place_offset=record.offset,
            source=source,
            group=facts["group"],
            reason=facts["reason"],
            detail=facts["detail"],
            error_type=facts["error_type"],
            traceback=facts["traceback"],
            attempts=int(facts["attempts"]),
            first_at=datetime.fromisoformat(facts["first_at"]).astimezone(UTC),
            last_at=datetime.fromisoformat(facts["last_at"]).astimezone(UTC),
            version=facts["version"],
        )
    except (KeyError, ValueError) as error:
        place = f"{record.topic}/{record.partition}@{record.offset}"
        raise InvalidEventError(f"{place} is no dead letter: {error}") from error


def record_identity(record: LogRecord, group: str) -> str:
    """Return the id that a record has as a dead letter, and while it waits, of this group."""
    source, event_id = header(record.headers, "ce_source"), header(record.headers, "ce_id")
    what = [source, event_id] if source and event_id else [str(record.partition), str(record.offset)]
    return str(uuid5(NAMESPACE_URL, "|".join([group, record.topic, *what])))


def _summary(error: Exception) -> str:
    # Places, never values: a traceback's locals or a repr could carry personal data.
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f"{frame.name} ({frame.filename.rsplit('/', 1)[-1]}:{frame.lineno})" for frame in frames]
    return " > ".join(lines)[-TRACEBACK_CHARACTERS_MAX:]


def _own_version() -> str:
    try:
        return version("nutmeg")
    except PackageNotFoundError:
        return "unknown"
