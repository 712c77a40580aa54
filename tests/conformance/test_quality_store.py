"""What quality's books promise, whatever database they stand on: SQLite and PostgreSQL."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from services.quality.alerts.domain.alerts import Alert, AlertKey, alert_id_of
from services.quality.alerts.domain.findings import FindingEvidence
from services.quality.alerts.reader import AlertFilter, alerts_seen_by
from services.quality.alerts.repository import QualityAlertRepository
from services.quality.bootstrap import MIGRATIONS
from services.quality.evaluation.domain.baseline import FirstHarvest
from services.quality.evaluation.domain.completeness import judge_completeness
from services.quality.evaluation.domain.dataset_quality import (
    DatasetQuality,
    FileBaseline,
    new_dataset_quality,
)
from services.quality.evaluation.domain.volume import RowCount
from services.quality.evaluation.reader import history_of, read_dataset_quality, summaries
from services.quality.evaluation.repository.dataset_quality import DatasetQualityRepository
from services.quality.evaluation.repository.first_harvests import FirstHarvestRepository
from services.quality.evaluation.repository.measurements import MeasurementRepository
from services.quality.migrations.tables import DELIVERY, KNOWN_DATASETS, METADATA
from services.quality.profiling.domain.jobs import ProfileJob
from services.quality.profiling.reader import count_due_jobs, postponed_jobs
from services.quality.profiling.repository.jobs import ProfileJobRepository
from shared.clock import Clock, SimulatedClock
from shared.datasets.read_model import KnownDatasets
from shared.events.catalog import Column, DatasetRegistered, DatasetState, Distribution
from shared.events.envelope import new_event
from shared.events.quality import Measurement
from shared.events.registry import DATASET_REGISTERED
from shared.identity.viewer import ANONYMOUS, EVERYTHING, Grant, Role, Viewer
from shared.jobs.recurring_work import Postponed
from shared.store.engine import Store
from tests.support.databases import Databases
from tests.unit.quality.profiles import column, profile

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
LEASE = timedelta(minutes=5)
AGENCY = uuid4()
JOBS = ProfileJobRepository()
DATASET_QUALITY = DatasetQualityRepository()
ALERTS = QualityAlertRepository()
MEASUREMENTS = MeasurementRepository()
HARVESTS = FirstHarvestRepository()


@pytest.fixture
async def store(databases: Databases, clock: Clock) -> AsyncIterator[Store]:
    """An empty, migrated database of each kind."""
    url = await databases.url("quality")
    built = Store(
        url, service="quality", metadata=METADATA, tables=DELIVERY, migrations=MIGRATIONS, clock=clock
    )
    await built.open()
    yield built
    await built.close()


def state(**fields: object) -> DatasetState:
    given = {
        "dataset_id": uuid4(),
        "source_id": "portal",
        "identifier": "one",
        "title": "Roads",
        "agency_id": AGENCY,
        "agency_name": "Transportation",
        "registered_at": NOW,
        "metadata_changed_at": NOW,
        **fields,
    }
    return DatasetState(**given)


def alert_of(dataset_id: UUID, key: AlertKey, **fields: object) -> Alert:
    given = {
        "alert_id": alert_id_of(dataset_id, key),
        "dataset_id": dataset_id,
        "key": key,
        "severity": "error",
        "state": "open",
        "cause": "Rows are gone.",
        "next_act": "Publish the file again.",
        "evidence": (FindingEvidence("rows", "100", "10"),),
        "opened_at": NOW,
        "changed_at": NOW,
        **fields,
    }
    return Alert(**given)  # type: ignore[arg-type]


def measurement(dataset_id: UUID, kind: str = "freshness", **fields: object) -> Measurement:
    return Measurement(**{"dataset_id": dataset_id, "kind": kind, "measured_at": NOW, **fields})


async def remember(store: Store, *states: DatasetState) -> None:
    events = [
        new_event(DATASET_REGISTERED, DatasetRegistered(dataset=one), subject=str(one.dataset_id), time=NOW)
        for one in states
    ]
    async with store.unit_of_work() as work:
        await KnownDatasets(KNOWN_DATASETS).remember(events, work)


async def leased(store: Store, now: datetime) -> list[ProfileJob]:
    async with store.unit_of_work() as work:
        return await JOBS.lease(work, now, until=now + LEASE, count_max=10)


async def request_job(store: Store, dataset_id: UUID, url: str = "https://data.example/a.csv") -> None:
    async with store.unit_of_work() as work:
        await JOBS.request(work, {dataset_id: (url, "text/csv")})


async def test_standings_and_files_come_back_as_they_were_put(store: Store) -> None:
    dataset = state(
        columns=[Column(name="town", type="text")],
        distributions=[Distribution(download_url="https://data.example/a.csv")],
        data_updated_at=NOW,
    )
    quality = replace(
        new_dataset_quality(dataset, harvest_id=uuid4()),
        known_at_baseline=frozenset({AlertKey("link-broken"), AlertKey("nulls-risen", "town")}),
        baselined=frozenset({"link-broken", "nulls-risen"}),
        metadata_baseline=judge_completeness(dataset),
        link_works=False,
        next_check_at=NOW + timedelta(days=3),
    )
    file = FileBaseline(
        baseline=profile(column("town"), rows=10, preview=(("Avon", None),)),
        latest=profile(column("town", "integer", mean=2.5, examples=("1",)), rows=12),
        row_counts=(RowCount(NOW, 10), RowCount(NOW + timedelta(days=1), 12)),
        url="https://data.example/a.csv",
        etag='"v1"',
    )
    key = dataset.dataset_id
    async with store.unit_of_work() as work:
        await DATASET_QUALITY.put(work, [quality])
        await DATASET_QUALITY.put_file(work, key, file)
    async with store.unit_of_work() as work:
        assert await DATASET_QUALITY.of(work, [key, uuid4()]) == {key: quality}
        assert await DATASET_QUALITY.files_of(work, [key]) == {key: file}
    async with store.read() as connection:
        assert await read_dataset_quality(connection, key) == (quality, file)
    async with store.unit_of_work() as work:
        await DATASET_QUALITY.forget(work, [key])
    async with store.read() as connection:
        assert await read_dataset_quality(connection, key) is None


async def test_only_living_datasets_whose_time_has_come_are_due(store: Store) -> None:
    def quality(at: datetime | None, *, is_retired: bool = False) -> DatasetQuality:
        return replace(new_dataset_quality(state(), harvest_id=None), next_check_at=at, is_retired=is_retired)

    due, later = quality(NOW), quality(NOW + timedelta(seconds=1))
    async with store.unit_of_work() as work:
        await DATASET_QUALITY.put(work, [due, later, quality(None), quality(NOW, is_retired=True)])
        assert await DATASET_QUALITY.due(work, NOW, 10) == [due.dataset.dataset_id]


async def test_a_clock_that_is_set_back_holds_up_no_job(store: Store, clock: SimulatedClock) -> None:
    await request_job(store, uuid4())
    earlier = clock.now() - timedelta(hours=3)
    async with store.read() as connection:
        assert await count_due_jobs(connection, earlier, lease=LEASE) == 1
    (cut_off,) = await leased(store, clock.now())
    assert await leased(store, clock.now()) == []
    (again,) = await leased(store, earlier)
    assert (cut_off.attempts, again.attempts) == (1, 2)


async def test_a_second_try_that_falls_due_after_the_limit_is_left_and_told(
    store: Store, clock: SimulatedClock
) -> None:
    failed, asked = uuid4(), uuid4()
    await request_job(store, failed)
    now = clock.now()
    (first,) = await leased(store, now)
    later = now + timedelta(seconds=30)
    async with store.unit_of_work() as work:
        await JOBS.finish(work, replace(first, next_attempt_at=later))
    await request_job(store, asked)
    async with store.read() as connection:
        assert await postponed_jobs(connection) == Postponed(1, "Data files that could not be fetched", later)
        for limit, number in ((now, 1), (later, 2), (None, 2)):
            due = await count_due_jobs(connection, later, lease=LEASE, retries_until=limit)
            assert due == number
    async with store.unit_of_work() as work:
        passing = ProfileJobRepository(retries_until=now)
        (only,) = await passing.lease(work, later, until=later + LEASE, count_max=10)
    assert only.dataset_id == asked
    assert [job.dataset_id for job in await leased(store, later)] == [failed]
    async with store.read() as connection:
        assert await postponed_jobs(connection) is None


async def test_a_leased_job_is_given_to_nobody_else_until_its_lease_is_over(
    store: Store, clock: SimulatedClock
) -> None:
    dataset_id = uuid4()
    await request_job(store, dataset_id)
    now = clock.now()
    (first,) = await leased(store, now)
    assert (first.dataset_id, first.attempts, first.revision) == (dataset_id, 1, 1)
    assert await leased(store, now) == []
    async with store.read() as connection:
        assert await count_due_jobs(connection, now, lease=LEASE) == 0
    (second,) = await leased(store, now + LEASE)
    assert second.attempts == 2
    async with store.unit_of_work() as work:
        assert await JOBS.hold(work, first) == "lost"
        assert await JOBS.hold(work, second) == "held"


async def test_a_lease_that_is_given_up_makes_its_job_due_at_once_and_is_lost_to_its_holder(
    store: Store, clock: SimulatedClock
) -> None:
    await request_job(store, uuid4())
    (first,) = await leased(store, clock.now())
    async with store.unit_of_work() as work:
        await JOBS.release_leases(work)
    (second,) = await leased(store, clock.now() + timedelta(seconds=1))
    assert (second.dataset_id, second.attempts) == (first.dataset_id, 2)
    async with store.unit_of_work() as work:
        assert await JOBS.hold(work, first) == "lost"


async def test_a_request_during_a_run_is_seen_by_the_run_and_due_after_it(
    store: Store, clock: SimulatedClock
) -> None:
    dataset_id = uuid4()
    await request_job(store, dataset_id)
    (job,) = await leased(store, clock.now())
    await request_job(store, dataset_id, "https://data.example/b.csv")
    async with store.unit_of_work() as work:
        assert await JOBS.hold(work, job) == "asked-again"
        await JOBS.give_back(work, job)
    (again,) = await leased(store, clock.now())
    assert (again.url, again.revision) == ("https://data.example/b.csv", 2)


async def test_a_finished_job_is_not_due_and_a_cancelled_one_is_lost(
    store: Store, clock: SimulatedClock
) -> None:
    done, cancelled = uuid4(), uuid4()
    await request_job(store, done)
    await request_job(store, cancelled)
    jobs = {job.dataset_id: job for job in await leased(store, clock.now())}
    async with store.unit_of_work() as work:
        await JOBS.finish(work, replace(jobs[done], state="done", next_attempt_at=None))
        await JOBS.cancel(work, [cancelled])
        assert await JOBS.hold(work, jobs[cancelled]) == "lost"
    assert await leased(store, clock.now() + LEASE) == []


async def test_measurements_are_replaced_withdrawn_and_never_lose_their_version(store: Store) -> None:
    dataset = state()
    key = (dataset.dataset_id, "freshness")
    await remember(store, dataset)
    first = measurement(dataset.dataset_id, score=1.0, status="ok", reason="updated")
    second = measurement(dataset.dataset_id, score=0.0, status="stale", reason="not updated")
    async with store.unit_of_work() as work:
        await MEASUREMENTS.put(work, [(first, 1)])
        await MEASUREMENTS.put(work, [(second, 2)])
        recorded = (await MEASUREMENTS.of(work, [dataset.dataset_id]))[key]
        assert (recorded.measurement, recorded.version) == (second, 2)
    async with store.read() as connection:
        assert [line.status for line in await history_of(connection, dataset.dataset_id)] == ["stale", "ok"]
        assert [one.freshness for one in await summaries(connection, ANONYMOUS)] == [{"stale": 1}]
    async with store.unit_of_work() as work:
        await MEASUREMENTS.withdraw(work, {key: 3})
        recorded = (await MEASUREMENTS.of(work, [dataset.dataset_id]))[key]
        assert (recorded.measurement, recorded.version) == (None, 3)
        await MEASUREMENTS.prune_history(work, NOW + timedelta(seconds=1))
    async with store.read() as connection:
        assert await history_of(connection, dataset.dataset_id) == []
        assert [one.freshness for one in await summaries(connection, ANONYMOUS)] == [{}]


async def test_alerts_come_back_as_they_were_put_and_end_once(store: Store) -> None:
    dataset_id = uuid4()
    open_one = alert_of(dataset_id, AlertKey("row-count-dropped"))
    resolved = alert_of(
        dataset_id, AlertKey("nulls-risen", "town"), state="resolved", resolved_at=NOW, subject_version=4
    )
    async with store.unit_of_work() as work:
        await ALERTS.put(work, [open_one, resolved])
    async with store.unit_of_work() as work:
        assert await ALERTS.of(work, [dataset_id]) == {
            dataset_id: {open_one.key: open_one, resolved.key: resolved}
        }
        assert await ALERTS.find(work, [open_one.alert_id]) == {open_one.alert_id: open_one}
        assert await ALERTS.to_end(work, NOW, 10) == []
        assert await ALERTS.to_end(work, NOW + timedelta(seconds=1), 10) == [resolved]
        await ALERTS.mark_tombstoned(work, [replace(resolved, subject_version=5)])
        assert await ALERTS.to_end(work, NOW + timedelta(seconds=1), 10) == []
        assert (await ALERTS.find(work, [resolved.alert_id]))[resolved.alert_id].subject_version == 5


async def test_alerts_of_a_page_go_on_where_the_page_before_ended(store: Store) -> None:
    datasets = [state() for _ in range(5)]
    await remember(store, *datasets)
    alerts = [
        alert_of(one.dataset_id, AlertKey("link-broken"), changed_at=NOW - timedelta(hours=number // 2))
        for number, one in enumerate(datasets)
    ]
    async with store.unit_of_work() as work:
        await ALERTS.put(work, alerts)
    seen: list[UUID] = []
    after: tuple[datetime, UUID] | None = None
    async with store.read() as connection:
        while page := await alerts_seen_by(
            connection, EVERYTHING, AlertFilter(state="open"), after=after, count_max=2
        ):
            seen += [one.state.alert_id for one in page]
            after = (page[-1].state.changed_at, page[-1].state.alert_id)
        stranger = Viewer(uuid4(), frozenset({Grant(Role.STEWARD, uuid4())}))
        assert await alerts_seen_by(connection, stranger, AlertFilter()) == []
        assert await alerts_seen_by(connection, ANONYMOUS, AlertFilter()) == []
    assert len(seen) == 5
    assert set(seen) == {alert.alert_id for alert in alerts}


async def test_a_harvest_is_ready_when_all_is_measured_or_it_has_waited_and_only_once(store: Store) -> None:
    harvest = FirstHarvest(uuid4(), datasets=2, completed_at=NOW)
    qualities = [new_dataset_quality(state(), harvest_id=harvest.harvest_id) for _ in range(2)]
    before = NOW - timedelta(minutes=15)
    async with store.unit_of_work() as work:
        await HARVESTS.note_completed(work, [harvest])
        await DATASET_QUALITY.put(work, qualities[:1])
        assert await HARVESTS.ready(work, waited_since=before) == []
        assert await HARVESTS.ready(work, waited_since=NOW) == [harvest]
        await DATASET_QUALITY.put(work, qualities[1:])
        assert await HARVESTS.ready(work, waited_since=before) == [harvest]
        found = await HARVESTS.dataset_ids(work, harvest.harvest_id)
        assert set(found) == {one.dataset.dataset_id for one in qualities}
        await HARVESTS.mark_summarized(work, harvest.harvest_id)
        await HARVESTS.note_completed(work, [harvest])
        assert await HARVESTS.ready(work, waited_since=NOW) == []


async def test_attempts_that_no_process_ended_are_counted_before_they_begin(
    store: Store, clock: SimulatedClock
) -> None:
    deadly, innocent = uuid4(), uuid4()
    await request_job(store, deadly)
    await request_job(store, innocent, "https://data.example/b.csv")
    now = clock.now()
    assert {job.unended_attempts for job in await leased(store, now)} == {1}
    async with store.unit_of_work() as work:
        await JOBS.release_leases(work)
    # Suspects are tried alone, so that who is innocent is not counted with the one that kills.
    (first,) = await leased(store, now)
    async with store.unit_of_work() as work:
        await JOBS.uncount(work, [first.dataset_id])
        await JOBS.finish(work, replace(first, state="parked", next_attempt_at=None, finished_at=now))
    (second,) = await leased(store, now)
    assert {first.dataset_id, second.dataset_id} == {deadly, innocent}
    assert second.unended_attempts == 2
    async with store.unit_of_work() as work:
        assert not await JOBS.release(work, second.dataset_id)
        assert await JOBS.release(work, first.dataset_id)
    (again,) = await leased(store, now)
    assert (again.dataset_id, again.attempts, again.unended_attempts) == (first.dataset_id, 1, 1)
