"""What the catalogue's books promise, whatever database they stand on. SQLite and PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.catalog.bootstrap import MIGRATIONS
from services.catalog.changes_feed.domain.lines import feed_line
from services.catalog.changes_feed.reader import ChangesReader
from services.catalog.changes_feed.repository import ChangesRepository
from services.catalog.datasets.domain.entry import CatalogEntry, KnownRecord, Overrides, retire
from services.catalog.datasets.domain.insights import UseRecord
from services.catalog.datasets.repository.datasets import DatasetRepository
from services.catalog.datasets.repository.directory import DirectoryReplica
from services.catalog.datasets.repository.insights import InsightRepository
from services.catalog.dictionary.domain import DictionaryFetch
from services.catalog.dictionary.repository import DictionaryFetchRepository
from services.catalog.harvesting.domain.jobs import HarvestJob, HarvestSource
from services.catalog.harvesting.repository import HarvestRepository
from services.catalog.migrations.tables import DELIVERY, METADATA
from services.catalog.search.domain.reconciling import ExpectedDocument, LastReconcile
from services.catalog.search.repository import IndexBacklog
from shared.clock import Clock, SimulatedClock
from shared.events.catalog import Column, Cure, DatasetRegistered, RejectedRecord
from shared.events.envelope import new_event
from shared.events.governance import AgencyState, StewardshipState
from shared.events.registry import DATASET_REGISTERED
from shared.identity.viewer import ANONYMOUS
from shared.store.engine import Store
from tests.support.databases import Databases
from tests.unit.catalog.entries import entry_of, state_of

BOOK = DatasetRepository({"state"})
DIRECTORY = DirectoryReplica({"state"})
INSIGHTS = InsightRepository()


@pytest.fixture
async def store(databases: Databases, clock: Clock) -> AsyncIterator[Store]:
    """An open, migrated store."""
    opened = Store(
        await databases.url("catalog"),
        service="catalog",
        metadata=METADATA,
        tables=DELIVERY,
        migrations=MIGRATIONS,
        clock=clock,
    )
    await opened.open()
    yield opened
    await opened.close()


async def put(store: Store, *entries: CatalogEntry) -> None:
    async with store.unit_of_work() as work:
        await BOOK.put(work, entries)


async def locked(store: Store, number: int = 1) -> CatalogEntry:
    async with store.unit_of_work() as work:
        return (await BOOK.locked(work, [UUID(int=number)]))[UUID(int=number)]


async def test_an_entry_comes_back_as_it_was_put(store: Store) -> None:
    whole = entry_of(
        source={
            "keywords": ["a", "b"],
            "agency_id": UUID(int=5),
            "data_updated_at": datetime(2026, 1, 1, tzinfo=UTC),
            "cures": [Cure(field="title", message="is long.", cure="Cut.")],
        },
        columns=(Column(name="town"),),
        columns_from="steward",
        decisions=Overrides(visibility="agency", rights="Ask."),
        version=3,
        document_revision=9,
        quality_score=0.5,
        freshness="late",
        freshness_reason="Due monthly.",
        uses_30d=7,
        popularity_bucket=3,
    )
    await put(store, whole)
    assert await locked(store) == whole
    await put(store, replace(whole, version=4))
    assert (await locked(store)).version == 4


async def test_datasets_are_known_by_source_and_identifier_retired_ones_too(store: Store) -> None:
    gone = retire(entry_of(2), "It left.", datetime(2026, 3, 2, tzinfo=UTC))
    other = entry_of(3, source={"source_id": "elsewhere", "identifier": "d1"})
    await put(store, entry_of(1), gone, other)
    async with store.unit_of_work() as work:
        known = await BOOK.known(work, "source", ["d1", "d2", "d9"])
        assert await BOOK.live_identifiers(work, "source") == ["d1"]
    assert known == {
        "d1": KnownRecord(UUID(int=1), "hash 1", retired=False),
        "d2": KnownRecord(UUID(int=2), "hash 2", retired=True),
    }


async def test_a_dataset_is_still_known_by_an_identifier_that_it_had_before(store: Store) -> None:
    await put(store, entry_of(1))
    await put(store, entry_of(1, source={"identifier": "renamed"}))
    async with store.unit_of_work() as work:
        known = await BOOK.known(work, "source", ["d1", "renamed"])
        assert {name: record.dataset_id for name, record in known.items()} == {
            "d1": UUID(int=1),
            "renamed": UUID(int=1),
        }
        assert await BOOK.live_identifiers(work, "source") == ["renamed"]


async def test_datasets_are_touched_by_spelling_agency_and_identifier(store: Store) -> None:
    await put(
        store,
        entry_of(1, source={"publisher_name": "State Dept. of Roads"}),
        entry_of(2, source={"publisher_name": "Library", "agency_id": UUID(int=50)}),
        entry_of(3, source={"publisher_name": "Library"}),
    )
    async with store.unit_of_work() as work:
        by_spelling = await BOOK.ids_touched_by(work, publishers=["Department of Roads"])
        by_agency = await BOOK.ids_touched_by(work, agency_ids=[UUID(int=50)])
        by_identifier = await BOOK.ids_touched_by(work, identifiers=["d3", "unknown"])
    assert (by_spelling, by_agency, by_identifier) == ([UUID(int=1)], [UUID(int=2)], [UUID(int=3)])


async def test_concurrent_changes_of_one_entry_are_all_kept(store: Store) -> None:
    await put(store, entry_of(1))

    async def raise_version() -> None:
        async with store.unit_of_work() as work:
            entry = (await BOOK.locked(work, [UUID(int=1)]))[UUID(int=1)]
            await asyncio.sleep(0.01)
            await BOOK.put(work, [replace(entry, version=entry.version + 1)])

    await asyncio.gather(*(raise_version() for _ in range(5)))
    assert (await locked(store)).version == 6


async def test_only_what_search_shows_raises_the_revision(store: Store) -> None:
    await put(store, entry_of(1))
    steps: list[Callable[[Any], Any]] = [
        lambda work: BOOK.note_quality(work, {UUID(int=1): 0.5}),
        lambda work: BOOK.note_quality(work, {UUID(int=1): 0.5004}),
        lambda work: BOOK.note_quality(work, {UUID(int=1): None}),
        lambda work: BOOK.note_freshness(work, {UUID(int=1): ("late", "why")}),
        lambda work: BOOK.note_freshness(work, {UUID(int=1): ("late", "why")}),
        lambda work: BOOK.note_freshness(work, {UUID(int=1): ("late", "because")}),
        lambda work: BOOK.note_use(work, {UUID(int=1): 4, UUID(int=99): 4}),
        lambda work: BOOK.note_use(work, {UUID(int=1): 7}),
        lambda work: BOOK.note_use(work, {UUID(int=1): 8}),
    ]
    revisions = []
    for step in steps:
        async with store.unit_of_work() as work:
            await step(work)
        revisions.append((await locked(store)).document_revision)
    assert revisions == [2, 2, 3, 4, 4, 5, 6, 6, 7]


async def test_the_ledger_names_what_the_index_has_still_to_learn(store: Store) -> None:
    ledger = IndexBacklog(store)
    await put(store, entry_of(1), entry_of(2, document_revision=5))
    assert await ledger.dirty_count() == 2
    async with store.unit_of_work() as work:
        # The second changed again while the index took revision 4.
        await ledger.mark_indexed(work, {UUID(int=1): 1, UUID(int=2): 4})
    assert [entry.dataset_id for entry in await ledger.dirty(10)] == [UUID(int=2)]
    expected = await ledger.expected([UUID(int=2), UUID(int=99)])
    assert expected == {UUID(int=2): ExpectedDocument(5, 4, None)}
    async with store.unit_of_work() as work:
        await ledger.mark_dirty(work, [UUID(int=1)])
    assert await ledger.dirty_count() == 2
    first = await ledger.expected_after(None, 1)
    assert (list(first), list(await ledger.expected_after(UUID(int=1), 5))) == ([UUID(int=1)], [UUID(int=2)])
    assert await ledger.expected_after(UUID(int=2), 5) == {}
    await put(store, entry_of(1, version=2))
    assert {document.dataset_id async for document in ledger.documents()} == {UUID(int=1), UUID(int=2)}


async def test_only_the_last_comparison_of_index_and_rows_is_remembered(store: Store) -> None:
    ledger = IndexBacklog(store)
    assert await ledger.last_reconcile() is None
    now = store.clock.now()
    for missing in (3, 0):
        async with store.unit_of_work() as work:
            await ledger.note_reconcile(work, LastReconcile(now, missing, 1, 2))
    assert await ledger.last_reconcile() == LastReconcile(now, 0, 1, 2)


async def test_what_the_directory_says_is_found_for_any_spelling(store: Store) -> None:
    roads, health = UUID(int=50), UUID(int=51)
    agencies = [
        AgencyState(agency_id=roads, code="DOR", name="Department of Roads", aliases=["Raods"]),
        AgencyState(agency_id=health, code="DPH", name="Department of Health"),
    ]
    stewardship = StewardshipState(identifier="d1", steward_id=UUID(int=9), accrual_periodicity="R/P1W")
    states = [state_of(1, publisher_name="Raods"), state_of(2, publisher_name="dept. of health")]
    async with store.unit_of_work() as work:
        await DIRECTORY.put_agencies(work, agencies)
        await DIRECTORY.put_stewardships(work, [stewardship])
        found = await DIRECTORY.surroundings(work, states)
        assert found.agency_of_publisher == {"Raods": roads, "dept. of health": health}
        assert found.agency_names == {roads: "Department of Roads", health: "Department of Health"}
        assert found.stewardships == {"d1": stewardship}
        await DIRECTORY.put_agencies(work, [agencies[0].model_copy(update={"aliases": []})])
        await DIRECTORY.forget_agencies(work, [health])
        await DIRECTORY.forget_stewardships(work, ["d1"])
        left = await DIRECTORY.surroundings(work, states)
    assert (left.agency_of_publisher, left.stewardships) == ({}, {})


async def test_uses_are_summed_from_a_day_on_and_a_day_is_replaced(store: Store) -> None:
    await put(store, entry_of(1), entry_of(2, uses_30d=5))
    days = [
        UseRecord(UUID(int=1), date(2026, 3, 1), 1, 2, 3),
        UseRecord(UUID(int=1), date(2026, 1, 1), 50, 0, 0),
    ]
    async with store.unit_of_work() as work:
        await INSIGHTS.put_days(work, days)
        await INSIGHTS.put_days(work, [replace(days[0], views=10)])
        some = await INSIGHTS.uses_since(work, date(2026, 2, 1), [UUID(int=1), UUID(int=3)])
        every = await INSIGHTS.uses_since(work, date(2026, 2, 1))
    assert some == {UUID(int=1): 15, UUID(int=3): 0}
    assert every == {UUID(int=1): 15, UUID(int=2): 0}


async def test_jobs_are_claimed_oldest_first_and_again_when_their_lease_is_over(
    store: Store, clock: SimulatedClock
) -> None:
    book = HarvestRepository(store)
    source = HarvestSource("s", "Owner", "Team", "team@example.org")
    now = clock.now()
    first, second = (HarvestJob(uuid4(), "s", now + timedelta(seconds=number)) for number in range(2))
    async with store.unit_of_work() as work:
        await book.put_source(work, source)
        await book.put_job(work, second)
        await book.put_job(work, first)
        assert await book.source(work, "s") == source
        assert await book.next_job(work, now) == first
        claimed = first.claimed(now, timedelta(seconds=60), first_harvest=True)
        await book.put_job(work, claimed)
        assert await book.next_job(work, now) == second
        await book.put_job(work, second.ended("completed", now))
        assert await book.next_job(work, now) is None
        assert await book.next_job(work, now + timedelta(seconds=61)) == claimed
        # The clock was set back while the job was held: nobody waits for hours.
        assert await book.next_job(work, now - timedelta(hours=3)) == claimed
        assert await book.has_completed(work, "s")
        assert not await book.is_superseded(work, second)
        assert await book.is_superseded(work, first)
    assert await book.open_count() == 1
    await book.release_leases()
    async with store.unit_of_work() as work:
        released = await book.next_job(work, now)
    assert released == replace(claimed, lease_until=None)


async def test_rejections_are_added_in_order(store: Store, clock: SimulatedClock) -> None:
    book = HarvestRepository(store)
    job = HarvestJob(uuid4(), "s", clock.now())
    records = [RejectedRecord(identifier=f"r{number}", problems=[]) for number in range(5)]
    async with store.unit_of_work() as work:
        await book.put_source(work, HarvestSource("s", "Owner", "Team", "team@example.org"))
        await book.put_job(work, job, records[:2])
        await book.put_job(work, job, records[2:])
        assert await book.rejections(work, job.harvest_id, 4) == records[:4]


async def test_a_dictionary_is_due_until_it_was_fetched_and_again_when_asked(
    store: Store, clock: SimulatedClock
) -> None:
    queue = DictionaryFetchRepository(store)
    async with store.unit_of_work() as work:
        await queue.ask(work, {UUID(int=1): "https://a.example/s.json"})
    (fetch,) = await queue.due(clock.now() - timedelta(hours=3), 10)
    done = DictionaryFetch(fetch.dataset_id, fetch.url, attempts=1, etag='"1"')
    async with store.unit_of_work() as work:
        await queue.put(work, done)
    assert await queue.due_count(clock.now()) == 0
    async with store.unit_of_work() as work:
        await queue.ask(work, {UUID(int=1): fetch.url})
    (again,) = await queue.due(clock.now(), 10)
    assert (again.etag, again.attempts) == ('"1"', 0)
    async with store.unit_of_work() as work:
        await queue.ask(work, {UUID(int=1): "https://a.example/other.json"})
    (moved,) = await queue.due(clock.now(), 10)
    assert (moved.url, moved.etag) == ("https://a.example/other.json", None)


async def test_lines_are_numbered_without_gaps_by_concurrent_writers(
    store: Store, clock: SimulatedClock
) -> None:
    feed = ChangesRepository()
    changes = ChangesReader(store)
    await put(store, entry_of(1))
    event = new_event(
        DATASET_REGISTERED,
        DatasetRegistered(dataset=state_of(1)),
        subject=str(UUID(int=1)),
        time=clock.now(),
        subjectversion=1,
    )
    line = feed_line(event)
    assert line is not None

    async def append(number: int) -> None:
        async with store.unit_of_work() as work:
            await feed.append(work, [line] * number)

    await asyncio.gather(*(append(number) for number in (1, 2, 3)))
    lines = await changes.read(ANONYMOUS, after=0, limit=100)
    assert [found.sequence for found in lines] == [1, 2, 3, 4, 5, 6]
    assert (await changes.first_sequence(), await changes.last_sequence()) == (1, 6)
    assert [found.sequence for found in await changes.read(ANONYMOUS, after=4, limit=1)] == [5]
    async with store.unit_of_work() as work:
        assert await feed.prune(work, clock.now() + timedelta(seconds=1)) == 6
        await feed.append(work, [line])
    assert [found.sequence for found in await changes.read(ANONYMOUS, after=0, limit=9)] == [7]


async def test_a_parked_harvest_is_told_until_it_is_released_or_replaced(
    store: Store, clock: SimulatedClock
) -> None:
    book = HarvestRepository(store)
    now = clock.now()
    source = HarvestSource("feed", "State", "Data office", "data@example.gov")
    begun = HarvestJob(uuid4(), "feed", now).claimed(now, timedelta(0), first_harvest=True).begun().begun()
    async with store.unit_of_work() as work:
        await book.put_source(work, source)
        await book.put_job(work, begun)
    async with store.unit_of_work() as work:
        found = await book.next_job(work, now)
        assert found is not None
        assert found.attempts == 2
        await book.put_job(work, found.ended("parked", now, "It kills."))
    async with store.unit_of_work() as work:
        assert await book.next_job(work, now + timedelta(days=30)) is None
    (parked,) = await book.parked(10)
    assert (parked.harvest_id, parked.message, await book.parked_count()) == (
        begun.harvest_id,
        "It kills.",
        1,
    )
    assert (await book.awaited(), await book.open_count()) == ({begun.harvest_id}, 0)
    async with store.unit_of_work() as work:
        await book.put_job(work, parked.released())
    async with store.unit_of_work() as work:
        released = await book.next_job(work, now)
        assert released is not None
        assert (released.status, released.attempts, released.message) == ("queued", 0, None)
        await book.put_job(work, parked)
        await book.put_job(work, HarvestJob(uuid4(), "feed", now + timedelta(seconds=1)))
    assert (await book.parked(10), await book.parked_count()) == ([], 0)


async def test_a_parked_dictionary_is_due_only_when_it_is_released(
    store: Store, clock: SimulatedClock
) -> None:
    queue = DictionaryFetchRepository(store)
    dataset_id, url = uuid4(), "https://data.example/dictionary.json"
    now = clock.now()
    async with store.unit_of_work() as work:
        await queue.ask(work, {dataset_id: url})
    (fetch,) = await queue.due(now, 10)
    async with store.unit_of_work() as work:
        await queue.put(work, replace(fetch, unended_attempts=2, next_attempt_at=None, parked_at=now))
        await queue.ask(work, {dataset_id: url})
    assert await queue.due(now + timedelta(days=30), 10) == []
    (parked,) = await queue.parked(10)
    assert (parked.dataset_id, await queue.parked_count()) == (dataset_id, 1)
    async with store.unit_of_work() as work:
        assert await queue.release(work, dataset_id)
        assert not await queue.release(work, dataset_id)
    (again,) = await queue.due(now, 10)
    assert (again.attempts, again.unended_attempts, again.parked_at) == (0, 0, None)
    assert (await queue.parked(10), await queue.parked_count()) == ([], 0)
