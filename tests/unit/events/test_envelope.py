"""CloudEvents in Kafka binary mode: what is put on the log is read from it, and nothing else passes."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import EventTooLargeError, InvalidEventError
from shared.events import envelope, registry
from shared.events.catalog import DatasetRegistered, DatasetState, HarvestHeld
from shared.events.envelope import (
    Event,
    UnknownEventTypeError,
    decode,
    encode,
    header,
    new_event,
    partition_for,
    partition_key_of,
    tombstone,
)
from shared.events.usage import Hit, HitRecorded

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HARVEST = UUID("00000000-0000-0000-0000-000000000001")
HELD = HarvestHeld(harvest_id=HARVEST, source_id="portal.example", known=300, missing=180)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
names = texts.filter(bool)
moments = st.datetimes(timezones=st.just(UTC))


def held_event(**changes: Any) -> Event:
    attributes: dict[str, Any] = {"subject": "h1", "time": NOON, "event_id": "e1", **changes}
    return new_event(registry.HARVEST_HELD, HELD, **attributes)


def changed_headers(**changes: bytes | None) -> list[tuple[str, bytes]]:
    """Return the headers of a good event with some replaced, or taken away with ``None``."""
    headers, _ = encode(held_event())
    kept = {**dict(headers), **changes}
    return [(name, value) for name, value in kept.items() if value is not None]


VALUE = encode(held_event())[1]


@given(
    subject=names,
    source_id=texts,
    known=st.integers(min_value=0, max_value=2**63),
    time=moments,
    version=st.none() | st.integers(min_value=0, max_value=2**63 - 1),
    trace=st.none() | names,
)
def test_what_is_encoded_is_decoded(
    subject: str, source_id: str, known: int, time: datetime, version: int | None, trace: str | None
) -> None:
    data = HarvestHeld(harvest_id=HARVEST, source_id=source_id or "s", known=known, missing=0)
    event = new_event(
        registry.HARVEST_HELD, data, subject=subject, time=time, subjectversion=version, traceparent=trace
    )
    assert decode(*encode(event)) == event


@given(
    headers=st.dictionaries(st.sampled_from(sorted(dict(encode(held_event())[0]))), st.binary()),
    value=st.binary(),
)
def test_garbage_is_refused_with_a_reason_and_never_crashes(headers: dict[str, bytes], value: bytes) -> None:
    with pytest.raises(InvalidEventError, match=r"."):
        decode(list(headers.items()), value)


def test_attributes_travel_as_headers_and_the_payload_as_json() -> None:
    headers, value = encode(held_event(subjectversion=7))
    assert dict(headers) == {
        "ce_specversion": b"1.0",
        "ce_id": b"e1",
        "ce_type": b"nutmeg.catalog.harvest.held.v1",
        "ce_source": b"/nutmeg/catalog",
        "ce_subject": b"h1",
        "ce_time": b"2026-03-02T12:00:00Z",
        "ce_subjectversion": b"7",
        "ce_partitionkey": b"portal.example",
        "ce_correlationid": b"e1",
        "content-type": b"application/json",
    }
    assert value is not None
    assert orjson.loads(value) == HELD.model_dump(mode="json")


def test_what_is_null_is_left_out() -> None:
    dataset = DatasetState(
        dataset_id=HARVEST,
        source_id="s",
        identifier="i",
        title="t",
        registered_at=NOON,
        metadata_changed_at=NOON,
    )
    event = new_event(registry.DATASET_REGISTERED, DatasetRegistered(dataset=dataset), subject="i", time=NOON)
    _, value = encode(event)
    assert value is not None
    assert b"null" not in value


def test_a_tombstone_has_no_value_and_keeps_its_attributes() -> None:
    event = tombstone(registry.DATASET_RETIRED, subject="d1", partition_key="d1", time=NOON, subjectversion=4)
    headers, value = encode(event)
    assert value is None
    assert header(headers, "content-type") is None
    assert decode(headers, None) == event
    assert decode(headers, b"") == event
    with pytest.raises(InvalidEventError, match="carries no HarvestHeld"):
        event.payload(HarvestHeld)


def test_payload_gives_the_model_that_was_asked_for() -> None:
    assert held_event().payload(HarvestHeld) is HELD
    with pytest.raises(InvalidEventError, match="carries no DatasetRegistered"):
        held_event().payload(DatasetRegistered)


@pytest.mark.parametrize("name", ["ce_id", "ce_type", "ce_source", "ce_subject", "ce_time"])
@pytest.mark.parametrize("value", [None, b""])
def test_a_missing_attribute_is_named(name: str, value: bytes | None) -> None:
    with pytest.raises(InvalidEventError, match=f"header {name} is missing"):
        decode(changed_headers(**{name: value}), VALUE)


@pytest.mark.parametrize("name", ["ce_id", "ce_type", "ce_subject", "ce_time", "ce_correlationid"])
def test_an_attribute_that_is_not_utf8_is_named(name: str) -> None:
    with pytest.raises(InvalidEventError, match=f"header {name} is not UTF-8"):
        decode(changed_headers(**{name: b"\xff\xfe"}), VALUE)


def test_a_version_that_is_no_number_is_refused() -> None:
    with pytest.raises(InvalidEventError, match="ce_subjectversion is not an integer: 'newest'"):
        decode(changed_headers(ce_subjectversion=b"newest"), VALUE)


def test_a_time_that_is_no_time_is_refused() -> None:
    with pytest.raises(InvalidEventError, match="ce_time is not RFC 3339: 'yesterday'"):
        decode(changed_headers(ce_time=b"yesterday"), VALUE)


def test_a_time_is_read_in_utc_whatever_its_zone() -> None:
    assert decode(changed_headers(ce_time=b"2026-03-02T13:00:00+01:00"), VALUE).time == NOON
    assert decode(changed_headers(ce_time=b"2026-03-02T12:00:00"), VALUE).time == NOON


def test_a_time_is_written_in_utc_whatever_its_zone() -> None:
    east = NOON.astimezone(timezone(timedelta(hours=9)))
    assert header(encode(held_event(time=east))[0], "ce_time") == "2026-03-02T12:00:00Z"


def test_a_time_without_a_zone_is_not_written() -> None:
    with pytest.raises(ValueError, match="has no zone"):
        encode(held_event(time=datetime(2026, 3, 2, 12)))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"null", "nutmeg.catalog.harvest.held.v1"),
        (b"[]", "nutmeg.catalog.harvest.held.v1"),
        (b'{"harvest_id": "x"}', "harvest_id: Input should be a valid UUID"),
        (
            b'{"harvest_id": "%s", "source_id": "s", "known": 1}' % str(HARVEST).encode(),
            "missing: Field required",
        ),
    ],
)
def test_a_payload_that_does_not_fit_names_the_field(value: bytes, reason: str) -> None:
    with pytest.raises(InvalidEventError, match=reason):
        decode(changed_headers(), value)


def test_an_unknown_type_is_its_own_error_so_that_consumers_skip_it() -> None:
    with pytest.raises(UnknownEventTypeError, match=r"no event type is called nutmeg\.catalog\.moon\.v1"):
        decode(changed_headers(ce_type=b"nutmeg.catalog.moon.v1"), VALUE)


def test_an_old_version_is_read_as_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    def from_zero(content: dict[str, Any]) -> dict[str, Any]:
        return {"source_id": content["source"], "known": 0, **content}

    def from_half(content: dict[str, Any]) -> dict[str, Any]:
        return {**content, "missing": content["lost"]}

    newest = registry.HARVEST_HELD.name
    steps = {"old.v0": ("old.v0-5", from_zero), "old.v0-5": (newest, from_half)}
    monkeypatch.setattr(envelope, "UPCASTERS", steps)
    old = orjson.dumps({"harvest_id": str(HARVEST), "source": "portal.example", "known": 300, "lost": 180})
    event = decode(changed_headers(ce_type=b"old.v0"), old)
    assert event.type == newest
    assert event.data == HELD


def test_an_event_above_the_limit_names_its_subject_and_largest_field() -> None:
    data = HarvestHeld(harvest_id=HARVEST, source_id="x" * 1_000_000, known=1, missing=0)
    with pytest.raises(
        EventTooLargeError, match=r"of h9 is 1,000,.* limit is 921,600; largest field: source_id"
    ):
        encode(new_event(registry.HARVEST_HELD, data, subject="h9", time=NOON))


def test_the_largest_field_is_found_inside_the_state() -> None:
    dataset = DatasetState(
        dataset_id=HARVEST,
        source_id="s",
        identifier="i",
        title="t",
        description="d" * 1_000_000,
        registered_at=NOON,
        metadata_changed_at=NOON,
    )
    event = new_event(registry.DATASET_REGISTERED, DatasetRegistered(dataset=dataset), subject="i", time=NOON)
    with pytest.raises(EventTooLargeError, match="largest field: description"):
        encode(event)


def test_an_event_caused_by_another_continues_its_correlation_and_trace() -> None:
    first = held_event(event_id="first", traceparent="00-aa-bb-01")
    second = held_event(event_id="second", cause=first)
    third = held_event(event_id="third", cause=second)
    assert (second.correlationid, second.causationid) == ("first", "first")
    assert (third.correlationid, third.causationid) == ("first", "second")
    assert third.traceparent == "00-aa-bb-01"
    ended = tombstone(registry.DATASET_RETIRED, subject="d", partition_key="d", time=NOON, cause=third)
    assert (ended.correlationid, ended.causationid, ended.traceparent) == ("first", "third", "00-aa-bb-01")


def test_order_follows_the_field_that_the_topic_names() -> None:
    hit = Hit(
        hit_id=HARVEST,
        dataset_id=HARVEST,
        kind="view",
        visitor_hash="ab",
        visitor_bucket="17",
        occurred_at=NOON,
    )
    assert partition_key_of(registry.HIT_RECORDED.topic, "subject", HitRecorded(hit=hit)) == "17"
    assert partition_key_of(registry.BASELINE_SUMMARISED.topic, "subject", HELD) == "subject"


@given(key=texts, partitions=st.integers(1, 64))
def test_a_key_always_falls_on_the_same_valid_partition(key: str, partitions: int) -> None:
    assert 0 <= partition_for(key, partitions) < partitions
    assert partition_for(key, partitions) == partition_for(key, partitions)


def test_partitions_of_known_keys_never_change() -> None:
    # Moving a key to another partition would break its order on every log that exists.
    assert [partition_for(key, 12) for key in ("", "a", "00", "é")] == [0, 3, 8, 2]
