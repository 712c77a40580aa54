"""The difference between a feed and what is known of its source."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

import pytest

from services.catalog.datasets.domain.differences import changed_fields
from services.catalog.datasets.domain.entry import KnownRecord
from services.catalog.datasets.domain.stewardship import Stewardship, merge_stewardship
from services.catalog.dcat.domain.records import ParsedRecord, content_hash, parse_record
from services.catalog.harvesting.domain.differences import HarvestDiff, plan_harvest
from shared.events.catalog import RejectedRecord
from tests.unit.catalog.dcat_inputs import DEFAULTS, NOW, parse_all, parsed, real_file, record, state_of


def numbered(*numbers: int, **changes: object) -> list[ParsedRecord]:
    return [parsed(identifier=f"id-{number}", **changes) for number in numbers]


def known_of(records: list[ParsedRecord], retired: bool = False) -> dict[str, KnownRecord]:
    return {
        item.identifier: KnownRecord(uuid5(NAMESPACE_URL, item.identifier), content_hash(item), retired)
        for item in records
    }


def test_the_first_harvest_creates_everything_and_the_same_feed_again_changes_nothing() -> None:
    records = numbered(*range(10))
    first = plan_harvest({}, records)
    assert [new.record for new in first.created] == records
    again = plan_harvest(known_of(records), numbered(*range(10)))
    assert (again.created, again.changed, again.unchanged) == ((), (), 10)
    assert (again.missing, again.held) == ((), False)


def test_a_changed_dataset_is_told_with_its_own_id_and_the_fields_that_differ() -> None:
    before = numbered(1, 2)
    plan = plan_harvest(known_of(before), [before[0], *numbered(2, title="Another title", keyword=["new"])])
    (change,) = plan.changed
    assert change.dataset_id == known_of(before)["id-2"].dataset_id
    assert change.content_hash == content_hash(change.record)
    assert changed_fields(state_of(before[1]), state_of(change.record)) == ["title", "keywords"]
    assert plan.unchanged == 1


def test_a_repeated_identifier_is_rejected_and_the_first_one_named() -> None:
    first, second = numbered(1), numbered(1, title="Impostor")
    plan = plan_harvest({}, [*first, *numbered(2), *second])
    assert [new.record.title for new in plan.created] == ["Lead screening by town", "Lead screening by town"]
    (rejected,) = plan.rejected
    assert (rejected.identifier, rejected.title) == ("id-1", "Impostor")
    assert "record 3" in rejected.problems[0].message
    assert "record 1" in rejected.problems[0].message


def test_a_dataset_that_left_the_feed_is_missing_and_one_that_was_refused_is_not() -> None:
    known = known_of(numbered(*range(5)))
    refused = RejectedRecord(identifier="id-4", title=None, problems=[])
    plan = plan_harvest(known, [*numbered(0, 1, 2), refused])
    assert plan.missing == ("id-3",)
    assert plan.rejected == (refused,)


def test_a_good_record_after_a_refused_one_of_the_same_identifier_is_kept() -> None:
    refused = RejectedRecord(identifier="id-1", title=None, problems=[])
    plan = plan_harvest({}, [refused, *numbered(1)])
    assert [new.record.identifier for new in plan.created] == ["id-1"]


@pytest.mark.parametrize(
    ("known", "still_there", "held"),
    [(4, 1, True), (4, 2, False), (5, 2, True), (3, 0, False), (10, 0, True)],
)
def test_losing_more_than_half_of_a_source_is_held_for_a_person(
    known: int, still_there: int, held: bool
) -> None:
    plan = plan_harvest(known_of(numbered(*range(known))), numbered(*range(still_there)))
    assert len(plan.missing) == known - still_there
    assert plan.held is held


def test_a_retired_dataset_that_comes_back_returns_and_is_never_missing() -> None:
    records = numbered(1, 2)
    known = known_of(records, retired=True)
    plan = plan_harvest(known, records[:1])
    (change,) = plan.changed
    assert change.returned
    assert plan.missing == ()


def test_batches_give_the_same_plan_as_the_whole() -> None:
    before = numbered(*range(40))
    now = [*numbered(*range(10)), *numbered(*range(10, 20), title="New"), *numbered(5, 50, 51)]
    known = known_of(before)
    whole = plan_harvest(known, now)
    diff = HarvestDiff()
    parts = []
    for start in range(0, len(now), 7):
        batch = now[start : start + 7]
        identifiers = {item.identifier for item in batch}
        parts.append(diff.take(batch, {name: held for name, held in known.items() if name in identifiers}))
    end = diff.end(known)
    assert tuple(new for part in parts for new in part.created) == whole.created
    assert tuple(change for part in parts for change in part.changed) == whole.changed
    assert tuple(refused for part in parts for refused in part.rejected) == whole.rejected
    assert sum(part.unchanged for part in parts) == whole.unchanged
    assert (end.missing, end.held) == (whole.missing, whole.held)


def fcc_states() -> list[dict[str, dict[str, Any]]]:
    folder: Path = real_file("federal/fcc-history")
    states = [json.loads(file.read_bytes())["dataset"] for file in sorted(folder.glob("*.json"))]
    return [{item["identifier"]: item for item in datasets} for datasets in states]


def test_the_real_history_of_a_feed_changes_exactly_what_its_files_differ_in() -> None:
    known: dict[str, KnownRecord] = {}
    previous: dict[str, dict[str, Any]] = {}
    differences = 0
    for current in fcc_states():
        kept, rejected = parse_all(current.values())
        plan = plan_harvest(known, kept)
        assert rejected == []
        assert {new.record.identifier for new in plan.created} == current.keys() - previous.keys()
        assert set(plan.missing) == previous.keys() - current.keys()
        really_changed = {
            name for name in current.keys() & previous.keys() if current[name] != previous[name]
        }
        assert {change.record.identifier for change in plan.changed} == really_changed
        assert plan.unchanged == len(current.keys() & previous.keys()) - len(really_changed)
        differences += len(really_changed)
        known = known_of(kept)
        previous = current
    assert differences == 12


def test_the_day_of_the_harvest_changes_nothing() -> None:
    raw = record(modified=..., issued=...)
    later = type(DEFAULTS)(
        DEFAULTS.publisher_name,
        DEFAULTS.contact_name,
        DEFAULTS.contact_email,
        DEFAULTS.harvested_on.replace(day=16),
    )
    today, tomorrow = parse_record(raw, defaults=DEFAULTS), parse_record(raw, defaults=later)
    assert today == tomorrow


def test_what_governance_decides_lies_over_what_the_source_says() -> None:
    state = state_of(parsed(modified="2025-12-01"))
    agency_id, steward_id = uuid4(), uuid4()
    merged = merge_stewardship(
        state,
        Stewardship(
            agency_id=agency_id,
            agency_name="Department of Health",
            steward_id=steward_id,
            access_level="restricted public",
            visibility="agency",
            accrual_periodicity="R/P1D",
            data_updated_at=datetime(2026, 1, 2, tzinfo=UTC),
        ),
    )
    assert changed_fields(state, merged) == [
        "agency_id",
        "agency_name",
        "steward_id",
        "access_level",
        "visibility",
        "data_updated_at",
        "accrual_periodicity",
    ]
    assert merged.data_updated_at == datetime(2026, 1, 2, tzinfo=UTC)


def test_governance_that_says_nothing_new_leaves_the_state_itself() -> None:
    state = state_of(parsed())
    assert merge_stewardship(state, Stewardship()) is state
    older = Stewardship(access_level="public", data_updated_at=datetime(2001, 1, 1, tzinfo=UTC))
    assert merge_stewardship(state, older) is state


def test_identity_and_bookkeeping_times_are_no_change() -> None:
    state = state_of(parsed())
    moved = state.model_copy(update={"dataset_id": uuid4(), "metadata_changed_at": NOW.replace(year=2027)})
    assert changed_fields(state, moved) == []
