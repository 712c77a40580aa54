"""What the changes feed tells of an event, and what it never does."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import orjson
import pytest

from services.catalog.changes_feed.domain.lines import FeedLine, cloud_event, feed_line
from services.catalog.handlers import CHANGES_HANDLERS
from shared.events.envelope import Event, decode
from shared.events.registry import EVENT_TYPES, SHARING_REQUEST_REDACTED
from shared.events.usage import Rollup, RollupUpdated

EXAMPLES = Path(__file__).parents[3] / "shared" / "events" / "examples"
PERSON_FIELDS = ("steward_id", "requester_id", "decided_by", "acknowledged_by", "person_id")
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def example(name: str) -> Event:
    """The committed example of an event type."""
    document = orjson.loads((EXAMPLES / f"{name}.json").read_bytes())
    data = document.pop("data", document)
    headers = [
        ("ce_type", name.encode()),
        ("ce_source", b"/nutmeg/test"),
        ("ce_subject", b"subject"),
        ("ce_id", b"1"),
        ("ce_time", b"2026-03-02T09:00:00Z"),
        ("ce_subjectversion", b"1"),
    ]
    return decode(headers, orjson.dumps(data))


def names_in(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*(names_in(item) for item in value.values()))
    if isinstance(value, list):
        return set().union(*(names_in(item) for item in value))
    return set()


@pytest.mark.parametrize("name", sorted(CHANGES_HANDLERS))
def test_no_line_holds_an_id_of_a_person(name: str) -> None:
    line = feed_line(example(name))
    if line is None:
        assert name == "nutmeg.usage.rollup.updated.v1"
        return
    assert not names_in(dict(line.data)) & set(PERSON_FIELDS)
    assert not names_in(dict(line.data)) & {"purpose", "data_wanted", "legal_basis", "retention"}


def test_every_type_of_the_groups_topics_is_numbered() -> None:
    topics = {"catalog.datasets", "usage.rollups", "usage.alerts", "quality.measurements"}
    topics |= {"quality.alerts", "sharing.requests"}
    told = {name for name, kind in EVENT_TYPES.items() if kind.topic.name in topics}
    # That words of a person were taken out concerns who has the words, and lines of the feed have none.
    assert set(CHANGES_HANDLERS) == told - {SHARING_REQUEST_REDACTED.name}


@pytest.mark.parametrize(("granularity", "is_told"), [("day", True), ("hour", False)])
def test_counts_are_told_by_day_only(granularity: str, is_told: bool) -> None:
    rollup = Rollup(dataset_id=UUID(int=1), granularity=granularity, window_start=NOW)
    event = Event("nutmeg.usage.rollup.updated.v1", "/nutmeg/usage", "key", RollupUpdated(rollup=rollup), NOW)
    assert (feed_line(event) is not None) == is_told


def test_a_tombstone_is_not_told() -> None:
    assert feed_line(Event("nutmeg.catalog.dataset.retired.v1", "/nutmeg/catalog", "key", None, NOW)) is None


def test_a_line_is_a_cloud_event_with_its_number_as_text() -> None:
    state = {"request_id": str(UUID(int=2)), "dataset_id": str(UUID(int=1)), "dataset_title": "A"}
    state |= {
        "status": "denied",
        "submitted_at": "2026-03-02T09:00:00Z",
        "changed_at": "2026-03-02T09:00:00Z",
    }
    name = "nutmeg.governance.sharing-request.denied.v1"
    data = {"request": state}
    line = FeedLine(7, UUID(int=1), "id", name, "/source", "subject", 3, None, NOW, data)
    assert cloud_event(line) == {
        "specversion": "1.0",
        "id": "id",
        "type": name,
        "source": "/source",
        "subject": "subject",
        "time": "2026-03-02T09:00:00Z",
        "datacontenttype": "application/json",
        "subjectversion": 3,
        "data": data,
    }
