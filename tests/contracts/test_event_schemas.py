"""Every event type keeps its word: snapshot, example and model agree, and only additions are allowed."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator, FormatChecker
from pydantic import BaseModel, Field

from shared.events import contracts
from shared.events.compatibility import breaking_changes
from shared.events.envelope import Event, decode, encode, header, partition_key_of
from shared.events.registry import EVENT_TYPES, EventType
from shared.events.topics import GROUPS, TOPICS

TYPES = pytest.mark.parametrize("event_type", EVENT_TYPES.values(), ids=EVENT_TYPES)
_NOT_ATTRIBUTES = {"specversion", "datacontenttype", "data", "time"}


def _example(event_type: EventType) -> dict[str, Any]:
    content: dict[str, Any] = orjson.loads((contracts.EXAMPLES / f"{event_type.name}.json").read_bytes())
    return content


def _snapshot(event_type: EventType) -> dict[str, Any]:
    content: dict[str, Any] = orjson.loads((contracts.SCHEMAS / event_type.schema_path).read_bytes())
    return content


def _headers(example: dict[str, Any]) -> list[tuple[str, bytes]]:
    names = [name for name in example if name not in {"data", "datacontenttype"}]
    return [(f"ce_{name}", str(example[name]).encode()) for name in names]


def test_committed_files_are_what_the_models_say() -> None:
    assert contracts.check(contracts.expected_files()) == []


def test_every_event_type_has_a_snapshot_and_an_example_and_nothing_else_has() -> None:
    for folder in (contracts.SCHEMAS, contracts.EXAMPLES):
        assert {path.stem for path in folder.iterdir()} == set(EVENT_TYPES)


@TYPES
def test_the_example_fits_the_snapshot(event_type: EventType) -> None:
    schema = _snapshot(event_type)
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(_example(event_type)["data"])


@TYPES
def test_the_example_survives_decoding_and_encoding(event_type: EventType) -> None:
    example = _example(event_type)
    event = decode(_headers(example), orjson.dumps(example["data"]))
    headers, value = encode(event)
    assert value is not None
    assert decode(headers, value) == event
    # Nothing that the example says is lost on the way: it fits the model entirely.
    assert _contains(orjson.loads(value), example["data"])
    for name in example.keys() - _NOT_ATTRIBUTES:
        assert header(headers, f"ce_{name}") == str(example[name]), name


@TYPES
def test_the_example_names_its_type_owner_and_order(event_type: EventType) -> None:
    event = _decoded(event_type)
    assert event.type == event_type.name
    assert event.source == event_type.source
    assert event.data is not None
    assert event.partitionkey == partition_key_of(event_type.topic, event.subject, event.data)


@TYPES
def test_the_example_carries_a_version_exactly_where_consumers_need_one(event_type: EventType) -> None:
    needs_version = event_type.topic.deduplication == "version"
    assert (_decoded(event_type).subjectversion is not None) is needs_version


@TYPES
def test_enums_are_open(event_type: EventType) -> None:
    """A value that this version does not know must pass, so that a producer may add one."""
    closed = [
        where
        for where, schema in _walk(_snapshot(event_type), "")
        if ("enum" in schema or "const" in schema) and not where.endswith("anyOf")
    ]
    closed += [
        where
        for where, schema in _walk(_snapshot(event_type), "")
        if any("enum" in part for part in schema.get("anyOf", []))
        and {"type": "string"} not in schema["anyOf"]
    ]
    assert closed == []


@TYPES
def test_what_may_be_null_may_be_absent(event_type: EventType) -> None:
    """The codec leaves out what is null, so a required field that may be null could not be read back."""
    unreadable = [
        name
        for _, schema in _walk(_snapshot(event_type), "")
        for name in schema.get("required", [])
        if {"type": "null"} in schema["properties"][name].get("anyOf", [])
    ]
    assert unreadable == []


@TYPES
def test_unknown_fields_are_ignored(event_type: EventType) -> None:
    example = _example(event_type)
    enriched = {**example["data"], "a_field_of_next_year": {"nested": [1, 2]}}
    assert decode(_headers(example), orjson.dumps(enriched)) == _decoded(event_type)


def test_every_topic_carries_something_and_is_read_by_someone_or_meant_for_outside() -> None:
    carried = {event_type.topic.name for event_type in EVENT_TYPES.values()}
    assert carried == set(TOPICS)
    read = {name for group in GROUPS.values() for name in group.topics}
    # catalog.public is for outside services; notify.deliveries for operators and the changes feed.
    assert set(TOPICS) - read <= {"catalog.public", "notify.deliveries"}
    assert read <= set(TOPICS)


def test_every_event_is_emitted_by_the_owner_of_its_topic() -> None:
    for event_type in EVENT_TYPES.values():
        assert event_type.topic.owner == event_type.owner, event_type.name


class _Person(BaseModel):
    name: str
    nickname: str | None = None


class _Visit(BaseModel):
    visit_id: int
    person: _Person
    kind: str = "short"
    places: list[_Person] = Field(default_factory=list)


def _removed(schema: dict[str, Any]) -> None:
    del schema["properties"]["kind"]


def _new_and_required(schema: dict[str, Any]) -> None:
    schema["properties"]["extra"] = {"type": "string"}
    schema["required"].append("extra")


def _became_required(schema: dict[str, Any]) -> None:
    schema["required"].append("kind")


def _became_optional(schema: dict[str, Any]) -> None:
    schema["required"].remove("visit_id")


def _retyped(schema: dict[str, Any]) -> None:
    schema["properties"]["visit_id"] = {"type": "string"}


def _nested_retyped(schema: dict[str, Any]) -> None:
    schema["$defs"]["_Person"]["properties"]["name"] = {"type": "integer"}


def _bounded(schema: dict[str, Any]) -> None:
    schema["properties"]["visit_id"]["maximum"] = 10


def _closed(schema: dict[str, Any]) -> None:
    schema["properties"]["kind"]["enum"] = ["short"]


def _another_default(schema: dict[str, Any]) -> None:
    schema["properties"]["kind"]["default"] = "long"


def _not_nullable(schema: dict[str, Any]) -> None:
    schema["$defs"]["_Person"]["properties"]["nickname"] = {"type": "string", "default": None}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_removed, ["kind: removed"]),
        (_new_and_required, ["extra: new and required; give it a default"]),
        (_became_required, ["kind: became required"]),
        (_became_optional, ["visit_id: became optional"]),
        (_retyped, ["visit_id: was {'type': 'integer'}, would be {'type': 'string'}"]),
        (
            _nested_retyped,
            [
                "person.name: was {'type': 'string'}, would be {'type': 'integer'}",
                "places[].name: was {'type': 'string'}, would be {'type': 'integer'}",
            ],
        ),
        (_bounded, ["visit_id: was {'type': 'integer'}, would be {'type': 'integer', 'maximum': 10}"]),
        (_closed, ["kind: was {'type': 'string'}, would be {'type': 'string', 'enum': ['short']}"]),
        (_another_default, ["kind: its default changed, so old events would mean something else"]),
        (
            _not_nullable,
            [
                "person.nickname: was {'type': 'string'} or {'type': 'null'}, would be {'type': 'string'}",
                "places[].nickname: was {'type': 'string'} or {'type': 'null'}, would be {'type': 'string'}",
            ],
        ),
    ],
)
def test_a_breaking_change_is_named(change: Callable[[dict[str, Any]], None], message: list[str]) -> None:
    old = _Visit.model_json_schema()
    new = deepcopy(old)
    change(new)
    assert sorted(breaking_changes(old, new)) == message


def test_additions_do_not_break() -> None:
    old = _Visit.model_json_schema()
    new = deepcopy(old)
    new["properties"]["extra"] = {"type": "string", "default": ""}
    new["properties"]["kind"]["description"] = "how long it was"
    new["$defs"]["_Person"]["properties"]["age"] = {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    assert breaking_changes(old, new) == []


def test_a_new_known_value_of_an_open_enum_does_not_break() -> None:
    def schema(*known: str) -> dict[str, Any]:
        kinds = {"anyOf": [{"enum": list(known), "type": "string"}, {"type": "string"}]}
        return {"type": "object", "properties": {"kind": kinds}}

    assert breaking_changes(schema("view"), schema("view", "download")) == []


def test_writing_refuses_a_breaking_change_and_leaves_the_snapshot(tmp_path: Path) -> None:
    old = _Visit.model_json_schema()
    new = deepcopy(old)
    _removed(new)
    snapshot = tmp_path / "visit.v1.json"
    assert contracts.write({snapshot: orjson.dumps(old)}) == []
    assert contracts.write({snapshot: orjson.dumps(new)}) == ["visit.v1: kind: removed"]
    assert orjson.loads(snapshot.read_bytes()) == old


def test_a_difference_and_a_stray_file_name_their_cure(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"{}")
    (tmp_path / "stray.json").write_bytes(b"{}")
    expected = {tmp_path / "a.json": b'{"type":"object"}', tmp_path / "b.json": b"{}"}
    assert contracts.check(expected) == [
        "a.json differs from the models; run: make schemas",
        "b.json is missing; run: make schemas",
        "stray.json belongs to no event type; delete it, or register the type",
    ]


def _decoded(event_type: EventType) -> Event:
    example = _example(event_type)
    return decode(_headers(example), orjson.dumps(example["data"]))


def _contains(whole: Any, part: Any) -> bool:
    if isinstance(part, dict):
        return all(
            name in whole and _contains(whole[name], value)
            for name, value in part.items()
            if value is not None
        )
    if isinstance(part, list):
        return len(whole) == len(part) and all(map(_contains, whole, part))
    return bool(whole == part)


def _walk(schema: Any, where: str) -> list[tuple[str, dict[str, Any]]]:
    """Return every subschema with the last keyword on the way to it."""
    if isinstance(schema, list):
        return [found for part in schema for found in _walk(part, where)]
    if not isinstance(schema, dict):
        return []
    below = [found for key, value in schema.items() for found in _walk(value, f"{where}.{key}")]
    return [(where, schema), *below]
