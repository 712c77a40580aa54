"""CloudEvents 1.0 in Kafka binary mode: an :class:`Event` to headers and value, and back.

Attributes travel as ``ce_<name>`` headers, the payload as JSON in the value (CloudEvents Kafka protocol
binding 1.0, section 3.2). An empty value is a tombstone. Written by hand, and not with the SDK, because
its decoder overwrites ``partitionkey``, mistakes structured messages, and builds dicts that a Kafka
client cannot send (ADR 0005).
"""

import builtins
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import uuid4
from zlib import crc32

from pydantic import ValidationError

from shared.bounded_json import InvalidJSONError, JSONBoundError, JSONLimits, check, loads
from shared.errors import EventTooLargeError, InvalidEventError
from shared.events.model import EventModel
from shared.events.registry import EVENT_TYPES, UPCASTERS, EventType
from shared.events.topics import RECORD_BYTES_MAX, Topic

__all__ = [
    "Event",
    "Headers",
    "UnknownEventTypeError",
    "decode",
    "encode",
    "header",
    "new_event",
    "partition_for",
    "partition_key_of",
    "tombstone",
]

Headers = Sequence[tuple[str, bytes]]
M = TypeVar("M", bound=EventModel)

EVENT_LIMITS = JSONLimits(bytes_max=16 * 1024 * 1024, elements_max=RECORD_BYTES_MAX)
"""Sixteen times what the log takes; of values no fewer than can be written in it."""

VERSION_MAX = 2**63 - 1

_CONTENT_TYPE = "content-type"
_JSON = b"application/json"
_OPTIONAL = ("subject", "correlationid", "causationid", "traceparent", "partitionkey")


class UnknownEventTypeError(InvalidEventError):
    """A type that this version does not know. Consumers skip and count it; they do not dead-letter it."""


@dataclass(frozen=True, slots=True)
class Event:
    """One fact. ``data`` is ``None`` for a tombstone; ``subject`` is the record's key.

    ``subjectversion`` rises with every state of the subject and is never an offset.
    """

    type: str
    source: str
    subject: str
    data: EventModel | None
    time: datetime
    id: str = field(default_factory=lambda: str(uuid4()))
    subjectversion: int | None = None
    partitionkey: str | None = None
    correlationid: str | None = None
    causationid: str | None = None
    traceparent: str | None = None

    def payload(self, model: builtins.type[M]) -> M:
        """Return the payload as ``model``. Raises ``InvalidEventError`` for a tombstone or another type."""
        if not isinstance(self.data, model):
            raise InvalidEventError(f"{self.type} {self.id} carries no {model.__name__}")
        return self.data


def new_event(
    event_type: EventType,
    data: EventModel,
    *,
    subject: str,
    time: datetime,
    subjectversion: int | None = None,
    cause: Event | None = None,
    traceparent: str | None = None,
    event_id: str | None = None,
) -> Event:
    """Build an event. With ``cause``, it continues the same correlation and trace."""
    identity = event_id or str(uuid4())
    return Event(
        type=event_type.name,
        source=event_type.source,
        subject=subject,
        data=data,
        time=time,
        id=identity,
        subjectversion=subjectversion,
        partitionkey=partition_key_of(event_type.topic, subject, data),
        correlationid=(cause.correlationid or cause.id) if cause else identity,
        causationid=cause.id if cause else None,
        traceparent=traceparent or (cause.traceparent if cause else None),
    )


def tombstone(
    event_type: EventType,
    *,
    subject: str,
    partition_key: str,
    time: datetime,
    subjectversion: int | None = None,
    cause: Event | None = None,
) -> Event:
    """Build the record that ends a key on a compacted topic."""
    identity = str(uuid4())
    return Event(
        type=event_type.name,
        source=event_type.source,
        subject=subject,
        data=None,
        time=time,
        id=identity,
        subjectversion=subjectversion,
        partitionkey=partition_key,
        correlationid=(cause.correlationid or cause.id) if cause else identity,
        causationid=cause.id if cause else None,
        traceparent=cause.traceparent if cause else None,
    )


def partition_key_of(topic: Topic, subject: str, data: EventModel) -> str:
    """Return what orders this record: the subject, or the payload field that the topic names."""
    if topic.partition_key_field is None:
        return subject
    value: Any = data
    for name in topic.partition_key_field.split("."):
        value = getattr(value, name)
    return str(value)


def partition_for(partition_key: str, partitions: int) -> int:
    """Return the partition of a key; the same in every process and on every log."""
    return crc32(partition_key.encode()) % partitions


def encode(event: Event) -> tuple[list[tuple[str, bytes]], bytes | None]:
    """Return the headers and the value of ``event``.

    Raises ``EventTooLargeError`` above 900 KiB, naming the subject and the largest field, and ``ValueError``
    for a time without a zone.
    """
    if event.time.tzinfo is None:
        raise ValueError(f"the time of {event.type} {event.id} has no zone; pass UTC moments")
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", event.id.encode()),
        ("ce_type", event.type.encode()),
        ("ce_source", event.source.encode()),
        ("ce_time", event.time.astimezone(UTC).isoformat().replace("+00:00", "Z").encode()),
    ]
    for name in _OPTIONAL:
        value = getattr(event, name)
        if value is not None:
            headers.append((f"ce_{name}", str(value).encode()))
    if event.subjectversion is not None:
        headers.append(("ce_subjectversion", str(event.subjectversion).encode()))
    if event.data is None:
        return headers, None
    headers.append((_CONTENT_TYPE, _JSON))
    body = event.data.model_dump_json(exclude_none=True).encode()
    if len(body) > RECORD_BYTES_MAX:
        raise EventTooLargeError(
            f"{event.type} of {event.subject} is {len(body):,} bytes, the limit is {RECORD_BYTES_MAX:,}; "
            f"largest field: {_largest_field(event.data)}"
        )
    return headers, body


def decode(headers: Headers, value: bytes | None) -> Event:
    """Return the event in a record, upcast to its newest version.

    Raises ``UnknownEventTypeError`` for a type this version does not know, ``InvalidEventError`` with the
    reason for anything that is not a CloudEvent in binary mode or does not fit its model.
    """
    attributes = _attributes(headers)
    type_name = _required(attributes, "ce_type")
    content: Any = value
    if value:
        _check_bounds(value)
    if value and type_name in UPCASTERS:
        content = _json(value)
    while type_name in UPCASTERS:
        type_name, upcast = UPCASTERS[type_name]
        content = upcast(content) if value else None
    event_type = EVENT_TYPES.get(type_name)
    if event_type is None:
        raise UnknownEventTypeError(f"no event type is called {type_name}")
    return Event(
        type=type_name,
        source=_required(attributes, "ce_source"),
        subject=_required(attributes, "ce_subject"),
        data=_validated(event_type, content) if value else None,
        time=_time(_required(attributes, "ce_time")),
        id=_required(attributes, "ce_id"),
        subjectversion=_integer(attributes, "ce_subjectversion"),
        partitionkey=attributes.get("ce_partitionkey"),
        correlationid=attributes.get("ce_correlationid"),
        causationid=attributes.get("ce_causationid"),
        traceparent=attributes.get("ce_traceparent"),
    )


def header(headers: Headers, name: str) -> str | None:
    """Return the text of the first header called ``name``; ``None`` if absent or not UTF-8."""
    for key, raw in headers:
        if key == name:
            try:
                return raw.decode()
            except UnicodeDecodeError:
                return None
    return None


def _json(value: bytes) -> Any:
    try:
        return loads(value, EVENT_LIMITS)
    except InvalidJSONError as error:
        raise InvalidEventError(f"the value is not JSON: {error}") from error


def _check_bounds(value: bytes) -> None:
    """What others write to the log may be nested without end."""
    try:
        check(value, EVENT_LIMITS)
    except JSONBoundError as error:
        raise InvalidEventError(f"the value cannot be taken: {error}") from error


def _validated(event_type: EventType, content: Any) -> EventModel:
    """Return the payload from JSON bytes, in one step, or from the document that an upcaster made."""
    model = event_type.model
    try:
        return (
            model.model_validate_json(content)
            if isinstance(content, bytes)
            else model.model_validate(content)
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise InvalidEventError(f"the value is not JSON: {first['msg']}") from error
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidEventError(f"{event_type.name}: {where}: {first['msg']}") from error


def _attributes(headers: Headers) -> dict[str, str]:
    try:
        return {name: raw.decode() for name, raw in headers}
    except UnicodeDecodeError:
        # A header of somebody else may hold any bytes; one of ours may not.
        return {name: _text(name, raw) for name, raw in headers if name.startswith("ce_")}


def _text(name: str, raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidEventError(f"header {name} is not UTF-8") from error


def _required(attributes: Mapping[str, str], name: str) -> str:
    value = attributes.get(name)
    if not value:
        raise InvalidEventError(f"header {name} is missing; this is not a CloudEvent in Kafka binary mode")
    return value


def _integer(attributes: Mapping[str, str], name: str) -> int | None:
    text = attributes.get(name)
    if text is None:
        return None
    try:
        number = int(text)
    except ValueError as error:
        raise InvalidEventError(f"header {name} is not an integer: {text[:40]!r}") from error
    if abs(number) > VERSION_MAX:
        raise InvalidEventError(f"header {name} is an integer that no database takes: {text[:40]}")
    return number


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidEventError(f"header ce_time is not RFC 3339: {text!r}") from error
    if moment.tzinfo is UTC:
        return moment
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _largest_field(data: EventModel) -> str:
    sizes = {}
    for owner in (data, *(value for _, value in data if isinstance(value, EventModel))):
        for name, value in owner:
            if not isinstance(value, EventModel):
                sizes[name] = len(str(value))
    return max(sizes, key=lambda name: sizes[name]) if sizes else "unknown"
