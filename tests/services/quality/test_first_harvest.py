"""A first harvest is summarized once for each steward, however much is wrong with it."""

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid5

from shared.clock import SimulatedClock
from shared.events.catalog import DatasetRegistered
from shared.events.envelope import Event
from shared.events.quality import BaselineSummarised
from shared.events.registry import DATASET_REGISTERED
from shared.events.topics import TOPICS
from tests.services.quality.quality_system import (
    AGENCY,
    HARVEST,
    NAMESPACE,
    STEWARD,
    Portal,
    QualitySystem,
    dataset_id,
    running,
)


async def summaries(system: QualitySystem) -> list[BaselineSummarised]:
    events = await system.events(TOPICS["quality.notices"].name)
    return [event.payload(BaselineSummarised) for event in events]


async def test_a_harvest_is_summarised_when_its_last_dataset_is_measured(system: QualitySystem) -> None:
    old = system.clock.now() - timedelta(days=400)
    await system.register("roads", "schools", first_harvest=True, data_updated_at=old)
    await system.complete_harvest(3)
    assert await summaries(system) == []
    await system.register("parks", first_harvest=True)
    summary, overview = await summaries(system)
    assert (overview.steward_id, overview.datasets) == (None, 3)
    assert [(one.agency_id, one.datasets, one.stale) for one in overview.agencies] == [(AGENCY, 3, 2)]
    assert (summary.steward_id, summary.agency_id) == (STEWARD, AGENCY)
    assert (summary.datasets, summary.fresh, summary.stale) == (3, 1, 2)
    assert [line.dataset_id for line in summary.worst[:2]] == [dataset_id("roads"), dataset_id("schools")]
    assert await system.alerts() == []


async def test_telling_of_a_completed_harvest_twice_summarises_it_once(system: QualitySystem) -> None:
    await system.register("roads", first_harvest=True)
    await system.complete_harvest(1)
    await system.complete_harvest(1)
    assert len(await summaries(system)) == 2


async def test_datasets_that_never_arrive_delay_a_summary_and_do_not_prevent_it(
    system: QualitySystem,
) -> None:
    await system.register("roads", first_harvest=True)
    await system.complete_harvest(2)
    await system.pass_time(timedelta(minutes=16))
    assert [one.datasets for one in await summaries(system)] == [1, 1]


async def test_datasets_without_a_steward_are_in_the_summary_for_those_who_answer_for_agencies(
    system: QualitySystem,
) -> None:
    await system.register("roads", first_harvest=True)
    await system.register("schools", "parks", first_harvest=True, steward_id=None)
    await system.register("orphan", first_harvest=True, steward_id=None, agency_id=None)
    await system.complete_harvest(4)
    summary, overview = await summaries(system)
    assert (summary.steward_id, summary.agency_id, summary.datasets) == (STEWARD, AGENCY, 1)
    lines = {one.agency_id: (one.datasets, one.without_steward) for one in overview.agencies}
    assert lines == {AGENCY: (3, 2), None: (1, 1)}


async def test_307_real_datasets_make_one_summary_per_steward_and_no_alert(
    tmp_path: Path, portal: Portal, real_data: Path
) -> None:
    clock = SimulatedClock(datetime(2026, 1, 15, 12, tzinfo=UTC))
    async with running(tmp_path, clock, portal) as system:
        events, stewards = real_events(system, real_data)
        await system.publish(events)
        await system.complete_harvest(len(events))
        told = await summaries(system)
        assert len(events) == 307
        *told, overview = told
        assert len(told) == len(stewards)
        assert {one.steward_id for one in told} == stewards
        assert sum(one.datasets for one in overview.agencies) == overview.datasets == 307
        assert sum(one.datasets for one in told) == 307
        assert sum(one.late + one.stale for one in told) > 30
        assert await system.alerts() == []
        measured = await system.events(TOPICS["quality.measurements"].name)
        assert len(measured) == 3 * 307

        await system.publish(events)
        await system.settle()
        assert len(await system.events(TOPICS["quality.measurements"].name)) == 3 * 307
        assert len(await summaries(system)) == len(stewards) + 1


def real_events(system: QualitySystem, real_data: Path) -> tuple[list[Event], set[UUID]]:
    """The real catalog with its stewards, as a first harvest would tell it; files are left out."""
    with (real_data / "ct" / "overlay.csv").open(encoding="utf-8", newline="") as file:
        overlay = {row["identifier"]: row for row in csv.DictReader(file)}
    feed = json.loads((real_data / "ct" / "data.json").read_bytes())
    events, stewards = [], set()
    for record in feed["dataset"]:
        row = overlay[record["identifier"]]
        steward = uuid5(NAMESPACE, row["steward_email"])
        stewards.add(steward)
        state = system.state(
            record["identifier"],
            title=record["title"],
            description=record.get("description") or "",
            keywords=record.get("keyword") or [],
            themes=record.get("theme") or [],
            steward_id=steward,
            agency_id=uuid5(NAMESPACE, row["agency_code"]),
            accrual_periodicity=row["accrual_periodicity"],
            data_updated_at=datetime.fromisoformat(row["data_updated_on"]).replace(tzinfo=UTC),
        )
        data = DatasetRegistered(dataset=state, harvest_id=HARVEST, first_harvest=True)
        events.append(system.event(DATASET_REGISTERED, data, str(state.dataset_id)))
    return events, stewards


async def test_a_dataset_that_is_registered_later_starts_with_its_own_baseline(
    system: QualitySystem,
) -> None:
    await system.register("roads", data_updated_at=system.clock.now() - timedelta(days=400))
    assert await system.alerts() == []
    assert await summaries(system) == []
