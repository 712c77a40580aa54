"""What leaves is an allow-list: snapshots, examples and models agree, and no later field slips out."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, get_args
from uuid import UUID

import orjson
import pytest
from jsonschema import Draft202012Validator, FormatChecker
from pydantic import BaseModel, create_model

from services.catalog.changes_feed.api.documents import ChangeDocument, ChangesDocument
from services.catalog.changes_feed.domain.lines import FeedLine, cloud_event, feed_line
from services.catalog.datasets.api.documents import DatasetDocument
from services.catalog.datasets.domain.entry import public_dataset
from services.catalog.handlers import CHANGES_HANDLERS
from services.quality.alerts.reader import AlertDocument
from services.quality.evaluation.api.documents import ProfileDocument
from shared.events import contracts
from shared.events.catalog import DatasetState, PublicDataset
from shared.events.envelope import Event, decode
from shared.events.model import EventModel, PublicModel
from shared.events.public import PUBLIC_MODELS, PublicDatasetState, public_data
from shared.events.registry import EVENT_TYPES
from tests.architecture.project import PROJECT_ROOT

TYPES = pytest.mark.parametrize("name", sorted(PUBLIC_MODELS))
EXITS: list[type[PublicModel]] = [
    *dict.fromkeys(PUBLIC_MODELS.values()),
    PublicDataset,
    DatasetDocument,
    ProfileDocument,
    AlertDocument,
]
SECRET = "only for us"
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
NEVER = {
    *("steward_id", "requester_id", "decided_by", "acknowledged_by", "person_id"),
    *("purpose", "data_wanted", "legal_basis", "retention", "decision_reason"),
    *("cause", "next_act", "reason", "cures", "source_id", "harvest_id", "first_harvest"),
    *("minimum", "maximum", "commonest", "preview_header", "preview_rows"),
}
"""People, what people wrote, Nutmeg's sentences, its inner workings, cells of data files."""


def committed(name: str, *, public: bool) -> dict[str, Any]:
    folder = contracts.PUBLIC_EXAMPLES if public else contracts.EXAMPLES
    document: dict[str, Any] = orjson.loads((folder / f"{name}.json").read_bytes())
    return document


def internal(name: str) -> Event:
    """The committed example of an internal event; counts as those of a day, which alone are told."""
    example = committed(name, public=False)
    data = example.pop("data")
    if "rollup" in data:
        data["rollup"]["granularity"] = "day"
    headers = [(f"ce_{key}", str(value).encode()) for key, value in example.items()]
    return decode(headers, orjson.dumps(data))


def told(event: Event) -> dict[str, Any]:
    line = feed_line(event)
    assert line is not None
    return cloud_event(
        FeedLine(
            1,
            line.dataset_id,
            event.id,
            event.type,
            event.source,
            event.subject,
            event.subjectversion,
            event.correlationid,
            event.time,
            line.data,
        )
    )


def with_later_fields(value: Any) -> Any:
    """The same payload as a version of next year would make it: each part of it has one field more."""
    if isinstance(value, list):
        return [with_later_fields(part) for part in value]
    if not isinstance(value, BaseModel):
        return value
    kind = type(value)
    later = create_model(f"Later{kind.__name__}", __base__=kind, a_field_of_next_year=(str, SECRET))
    fields = {name: with_later_fields(getattr(value, name)) for name in kind.model_fields}
    return later.model_construct(**fields)


def names_in(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(names_in, value.values()))
    return set().union(*map(names_in, value)) if isinstance(value, list) else set()


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_in(part)


def test_exactly_what_the_feed_handles_has_a_public_model() -> None:
    assert set(PUBLIC_MODELS) == set(CHANGES_HANDLERS)


def test_every_public_type_has_a_snapshot_and_an_example_and_nothing_else_has() -> None:
    for folder in (contracts.PUBLIC_SCHEMAS, contracts.PUBLIC_EXAMPLES):
        assert {path.stem for path in folder.iterdir()} == set(PUBLIC_MODELS)


@TYPES
def test_the_example_is_what_is_told_of_the_internal_one_and_fits_the_snapshot(name: str) -> None:
    schema = orjson.loads((contracts.PUBLIC_SCHEMAS / f"{name}.json").read_bytes())
    Draft202012Validator.check_schema(schema)
    data = committed(name, public=True)["data"]
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(data)
    assert told(internal(name))["data"] == data


@TYPES
def test_the_snapshot_names_every_field_of_the_example(name: str) -> None:
    """The other way: a reader who knows the schema alone understands all that it gets."""
    schema = orjson.loads((contracts.PUBLIC_SCHEMAS / f"{name}.json").read_bytes())
    known = set(schema["properties"]).union(
        *(part["properties"] for part in schema.get("$defs", {}).values() if "properties" in part)
    )
    assert names_in(committed(name, public=True)["data"]) <= known


@TYPES
def test_a_field_that_is_added_to_an_internal_event_does_not_leave(name: str) -> None:
    event = internal(name)
    assert isinstance(event.data, EventModel)
    later = with_later_fields(event.data)
    assert isinstance(later, type(event.data))
    assert SECRET in str(later.model_dump(serialize_as_any=True)), "the payload itself does carry the field"
    cloud = told(Event(event.type, event.source, event.subject, later, event.time, event.id))
    assert SECRET not in orjson.dumps(cloud).decode()
    assert cloud["data"] == told(event)["data"]


@TYPES
def test_what_was_stored_under_a_wider_model_does_not_leave_either(name: str) -> None:
    stored = committed(name, public=False)["data"]
    line = FeedLine(1, UUID(int=1), "id", name, "/source", "subject", 1, None, NOW, stored)
    assert cloud_event(line)["data"] == public_data(name, stored)
    assert not names_in(cloud_event(line)["data"]) & NEVER


@TYPES
def test_nobodys_id_and_nobodys_words_leave(name: str) -> None:
    assert not names_in(committed(name, public=True)["data"]) & NEVER
    schema = orjson.loads((contracts.PUBLIC_SCHEMAS / f"{name}.json").read_bytes())
    assert not names_in(schema) & NEVER


@pytest.mark.parametrize("model", EXITS, ids=lambda model: model.__name__)
def test_what_leaves_is_made_of_public_parts_alone(model: type[PublicModel]) -> None:
    """A nested internal model would let out its next field."""
    seen, ahead = set(), [model]
    while ahead:
        one = ahead.pop()
        seen.add(one)
        assert issubclass(one, PublicModel), f"{model.__name__} holds {one.__name__}, which is internal"
        parts = {part for field in one.model_fields.values() for part in models_in(field.annotation)}
        ahead += [part for part in parts if part not in seen]  # type: ignore[misc]


@pytest.mark.parametrize("model", [PublicDataset, DatasetDocument])
def test_other_exits_let_no_later_field_out(model: type[PublicModel]) -> None:
    event = internal("nutmeg.catalog.dataset.changed.v1")
    state = with_later_fields(event.data).dataset
    assert isinstance(state, DatasetState)
    made = public_dataset(state) if model is PublicDataset else model.model_validate(state)
    assert SECRET not in made.model_dump_json()
    assert not names_in(made.model_dump()) & {"steward_id"}


def test_a_change_of_private_fields_alone_is_no_news_outside() -> None:
    event = internal("nutmeg.catalog.dataset.changed.v1")
    assert event.data is not None
    for changed, expected in (
        (["steward_id"], None),
        (["cures", "source_id"], None),
        (["steward_id", "title"], ["title"]),
        (["visibility"], ["visibility"]),
        (["agency_id"], ["agency_id"]),
    ):
        data = event.data.model_copy(update={"changed_fields": changed})
        line = feed_line(Event(event.type, event.source, event.subject, data, event.time, event.id))
        assert (None if line is None else line.data["changed_fields"]) == expected


@TYPES
def test_the_document_of_the_api_describes_the_example(name: str) -> None:
    example = committed(name, public=True)
    document = ChangeDocument.model_validate(example)
    assert type(document.data) in set(PUBLIC_MODELS.values())
    schema = ChangesDocument.model_json_schema()
    page = {"events": [example], "next_cursor": "1", "is_last": True}
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(page)
    assert PUBLIC_MODELS[name].__name__ in schema["$defs"]
    assert set(example) <= set(ChangeDocument.model_fields)


def test_a_type_without_a_public_model_does_not_leave() -> None:
    for name in set(EVENT_TYPES) - set(PUBLIC_MODELS):
        with pytest.raises(KeyError, match="does not leave"):
            public_data(name, committed(name, public=False)["data"])


def test_the_docs_name_every_field_that_leaves() -> None:
    page = (PROJECT_ROOT / "docs" / "events.md").read_text()
    section = page.split("### What leaves", 1)[1]
    for name, model in PUBLIC_MODELS.items():
        (part,) = [kind for field in model.model_fields.values() for kind in models_in(field.annotation)]
        row = next(line for line in section.splitlines() if line.startswith(f"| {part.__name__} |"))
        assert f"`{name.removeprefix('nutmeg.').rsplit('.', 2)[0]}" in row, name
        documented = {word.strip("` ") for word in row.split("|")[3].split(",")}
        assert documented == set(part.model_fields), part.__name__
    assert set(PublicDatasetState.model_fields) & NEVER == set()
