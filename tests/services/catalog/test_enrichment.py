"""What the other services tell ends up on the catalogue's own rows, whatever comes first."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from services.catalog.datasets.domain.entry import popularity_bucket
from services.catalog.datasets.domain.views import DatasetView
from shared.clock import SimulatedClock
from shared.events.catalog import DatasetChanged, PublicDatasetPublished
from shared.events.governance import AgencyChanged, AgencyState, StewardshipChanged, StewardshipState
from shared.events.quality import Measurement, MeasurementRecorded
from shared.events.registry import (
    AGENCY_CHANGED,
    MEASUREMENT_RECORDED,
    ROLLUP_UPDATED,
    STEWARDSHIP_CHANGED,
)
from shared.events.usage import Rollup, RollupUpdated
from shared.identity.viewer import ANONYMOUS
from tests.support.catalog_service import AGENCY_A, AGENCY_B, RunningCatalog, dataset, feed_of


async def agency(
    running: RunningCatalog, agency_id: UUID, name: str, *aliases: str, version: int = 1
) -> None:
    state = AgencyState(agency_id=agency_id, code=name[:3].upper(), name=name, aliases=list(aliases))
    await running.tell(AGENCY_CHANGED, AgencyChanged(agency=state), str(agency_id), version)


async def stewardship(running: RunningCatalog, identifier: str, *, version: int = 1, **fields: Any) -> None:
    state = StewardshipState(identifier=identifier, **fields)
    await running.tell(STEWARDSHIP_CHANGED, StewardshipChanged(stewardship=state), identifier, version)


async def measured(
    running: RunningCatalog, dataset_id: str, kind: str, *, version: int = 1, **fields: Any
) -> None:
    measurement = Measurement(
        dataset_id=UUID(dataset_id), kind=kind, measured_at=running.clock.now(), **fields
    )
    data = MeasurementRecorded(measurement=measurement)
    await running.tell(MEASUREMENT_RECORDED, data, f"{dataset_id}/{kind}", version)


async def used(running: RunningCatalog, dataset_id: str, day: date, views: int, version: int = 1) -> None:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    rollup = Rollup(dataset_id=UUID(dataset_id), granularity="day", window_start=start, views=views)
    subject = f"{dataset_id}/day/{start.isoformat()}"
    await running.tell(ROLLUP_UPDATED, RollupUpdated(rollup=rollup), subject, version)


async def only(running: RunningCatalog) -> dict[str, Any]:
    """The one dataset that anybody finds."""
    (result,) = (await running.search())["results"]
    return dict(result)


@pytest.mark.parametrize("agency_first", [True, False])
async def test_a_publisher_falls_on_its_agency_whichever_comes_first(
    running: RunningCatalog, agency_first: bool
) -> None:
    feed = feed_of(dataset("a", publisher={"name": "Dept. of Roads & Bridges"}))
    if agency_first:
        await agency(running, AGENCY_A, "Department of Roads and Bridges")
        await running.harvest(feed)
    else:
        await running.harvest(feed)
        await agency(running, AGENCY_A, "Department of Roads and Bridges")
    found = await only(running)
    assert found["agency"] == {"id": str(AGENCY_A), "name": "Department of Roads and Bridges"}
    told = await running.events()
    assert len(told) == (1 if agency_first else 2)
    if not agency_first:
        change = told[1].payload(DatasetChanged)
        assert change.changed_fields == ["agency_id", "agency_name"]
        assert told[1].causationid is not None
    listed = (await running.get("/api/v1/agencies")).json()["items"]
    assert [(item["name"], item["datasets"]) for item in listed] == [("Department of Roads and Bridges", 1)]


async def test_a_spelling_that_is_learnt_later_settles_its_datasets(running: RunningCatalog) -> None:
    await agency(running, AGENCY_A, "Office of Policy")
    await running.harvest(feed_of(dataset("a", publisher={"name": "Oiffce of Plicy"})))
    assert (await only(running))["agency"] is None
    await agency(running, AGENCY_A, "Office of Policy", "Oiffce of Plicy", version=2)
    assert (await only(running))["agency"]["name"] == "Office of Policy"


@pytest.mark.parametrize("stewardship_first", [True, False])
async def test_a_stewardship_is_laid_over_the_source_and_can_be_taken_back(
    running: RunningCatalog, stewardship_first: bool
) -> None:
    await agency(running, AGENCY_A, "Department of Roads")
    await agency(running, AGENCY_B, "Department of Health")
    decided: dict[str, Any] = {"agency_id": AGENCY_B, "steward_id": UUID(int=9), "visibility": "government"}
    if stewardship_first:
        await stewardship(running, "a", **decided)
        await running.harvest(feed_of(dataset("a")))
    else:
        await running.harvest(feed_of(dataset("a")))
        await stewardship(running, "a", **decided)
    assert (await running.search())["total"] == 0
    (seen,) = (await running.search("steward-a"))["results"]
    assert seen["agency"]["name"] == "Department of Health"
    detail = (await running.get(f"/api/v1/datasets/{seen['id']}", "steward-b")).json()
    assert detail["has_steward"] is True
    assert "steward_id" not in detail
    await running.tell_the_end(STEWARDSHIP_CHANGED, "a", 2)
    assert (await only(running))["agency"]["name"] == "Department of Roads"


async def test_a_later_harvest_keeps_what_governance_decided(running: RunningCatalog) -> None:
    await stewardship(running, "a", accrual_periodicity="R/P1W", access_level="restricted public")
    await running.harvest(feed_of(dataset("a")))
    await running.harvest(feed_of(dataset("a", title="Another title")))
    change = (await running.events())[1].payload(DatasetChanged)
    assert change.changed_fields == ["title"]
    assert (change.dataset.accrual_periodicity, change.dataset.access_level) == (
        "R/P1W",
        "restricted public",
    )


async def test_an_unknown_visibility_hides_the_record(running: RunningCatalog) -> None:
    await running.harvest(feed_of(dataset("a")))
    await stewardship(running, "a", visibility="courts only")
    assert (await running.search())["total"] == 0
    assert (await running.search("steward-a"))["total"] == 0
    assert (await running.search("officer"))["total"] == 1


async def test_a_record_that_turns_hidden_ends_its_public_key_and_a_shown_one_is_told_again(
    running: RunningCatalog,
) -> None:
    await running.harvest(feed_of(dataset("a")))
    await stewardship(running, "a", visibility="agency")
    await stewardship(running, "a", visibility="public", version=2)
    told = await running.events("catalog.public")
    assert [event.data is None for event in told] == [False, True, False]
    assert [event.subjectversion for event in told] == [1, 2, 3]
    assert told[0].payload(PublicDatasetPublished).dataset.identifier == "a"


async def test_quality_and_use_change_what_search_knows_without_an_event_of_the_dataset(
    running: RunningCatalog, clock: SimulatedClock
) -> None:
    await running.harvest(feed_of(dataset("a")))
    dataset_id = (await only(running))["id"]
    before = (await running.get(f"/api/v1/datasets/{dataset_id}")).headers["etag"]
    await measured(running, dataset_id, "overall", score=0.834)
    await measured(running, dataset_id, "freshness", status="late", reason="Due every month.")
    await used(running, dataset_id, clock.now().date(), 5)
    found = await only(running)
    assert found["quality_score"] == 0.83
    assert found["freshness"] == {"status": "late", "reason": "Due every month."}
    assert found["uses_30d"] == 5
    assert (await running.search(freshness="late"))["total"] == 1
    assert len(await running.events()) == 1
    after = (await running.get(f"/api/v1/datasets/{dataset_id}")).headers["etag"]
    assert after != before


async def test_use_raises_the_revision_only_when_its_bucket_changes(
    running: RunningCatalog, clock: SimulatedClock
) -> None:
    await running.harvest(feed_of(dataset("a")))
    dataset_id = (await only(running))["id"]
    tags = []
    for version, views in enumerate((4, 5, 7, 8), 1):
        await used(running, dataset_id, clock.now().date(), views, version)
        tags.append((await running.get(f"/api/v1/datasets/{dataset_id}")).headers["etag"])
    assert [popularity_bucket(views) for views in (4, 5, 7, 8)] == [3, 3, 3, 4]
    assert tags[0] == tags[1] == tags[2] != tags[3]
    assert (await only(running))["uses_30d"] == 8


async def test_old_use_falls_out_of_the_thirty_days_as_time_goes_by(
    running: RunningCatalog, clock: SimulatedClock
) -> None:
    await running.harvest(feed_of(dataset("a")))
    dataset_id = (await only(running))["id"]
    await used(running, dataset_id, clock.now().date(), 40)
    clock.advance(timedelta(days=31))
    upkeep = next(work for work in running.catalog.service.works if work.name == "catalog.upkeep")
    await upkeep.run_once()
    assert (await only(running))["uses_30d"] == 0
    view = await running.catalog.readers.datasets.dataset(UUID(dataset_id), ANONYMOUS)
    assert isinstance(view, DatasetView)
    assert sum(month.views for month in view.use.months) == 40


async def test_a_measurement_before_its_dataset_is_kept_for_its_page(running: RunningCatalog) -> None:
    unknown = "6a4b1c4e-9999-4d5e-9a11-000000000001"
    await measured(running, unknown, "overall", score=0.5)
    await running.harvest(feed_of(dataset("a")))
    assert (await only(running))["quality_score"] is None


async def test_a_retired_dataset_ends_its_key_after_thirty_days_and_answers_gone(
    running: RunningCatalog, clock: SimulatedClock
) -> None:
    await running.harvest(feed_of(dataset("a"), dataset("b")))
    ids = {result["identifier"]: result["id"] for result in (await running.search())["results"]}
    await running.harvest(feed_of(dataset("b")))
    upkeep = next(work for work in running.catalog.service.works if work.name == "catalog.upkeep")
    await upkeep.run_once()
    await running.idle()
    assert all(event.data is not None for event in await running.events())
    clock.advance(timedelta(days=30, minutes=1))
    assert await upkeep.run_once() == 1
    assert await upkeep.run_once() == 0
    await running.idle()
    last = (await running.events())[-1]
    assert (last.data, last.subject, last.subjectversion) == (None, ids["a"], 3)
    gone = await running.get(f"/api/v1/datasets/{ids['a']}")
    assert gone.status_code == 410
    assert "no longer lists it" in gone.json()["detail"]
    await running.harvest(feed_of(dataset("a"), dataset("b")))
    assert (await running.events())[-1].subjectversion == 4
    assert (await running.get(f"/api/v1/datasets/{ids['a']}")).status_code == 200
