"""Harvests on the running catalogue: what a feed makes of it, and what a bad feed does not."""

import gzip
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest

from services.catalog.dictionary.domain import DictionaryFetch
from shared.clock import SimulatedClock
from shared.events.catalog import (
    DatasetChanged,
    DatasetRegistered,
    DatasetRetired,
    HarvestCompleted,
    HarvestHeld,
)
from shared.http.downloads import Download, FetchError
from shared.jobs.parking import PARKED_BECAUSE
from tests.support.catalog_service import RunningCatalog, bearer, dataset, feed_of, running_catalog

NOTHING = {"created": 0, "changed": 0, "unchanged": 0, "retired": 0, "rejected": 0, "rejections": []}


class ServedFiles:
    """A downloader of files held here by address, with ETags; others are refused."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[bytes, str]] = {}
        self.fetched: list[str] = []

    async def fetch(
        self,
        url: str,
        path: Path,
        *,
        size_bytes_max: int,
        etag: str | None = None,
        last_modified: str | None = None,
    ) -> Download:
        self.fetched.append(url)
        if url not in self.files:
            raise FetchError("status", "The source answered with status 404.", is_permanent=True, status=404)
        content, tag = self.files[url]
        if tag == etag:
            return Download(is_new=False)
        path.write_bytes(content)
        return Download(is_new=True, etag=tag)


@pytest.fixture
def served() -> ServedFiles:
    return ServedFiles()


@pytest.fixture
async def running(
    tmp_path: Path, clock: SimulatedClock, served: ServedFiles
) -> AsyncIterator[RunningCatalog]:
    async with running_catalog(tmp_path, clock, downloads=served) as started:
        yield started


async def ids_by_identifier(running: RunningCatalog) -> dict[str, str]:
    """Ids of all datasets that anybody finds."""
    page = await running.search(limit=100)
    return {result["identifier"]: result["id"] for result in page["results"]}


async def test_a_harvest_tells_each_dataset_once_and_a_second_one_tells_nothing(
    running: RunningCatalog,
) -> None:
    feed = feed_of(dataset("one"), dataset("two"), dataset("three"))
    first = await running.harvest(feed)
    assert first["result"] == NOTHING | {"created": 3}
    told = await running.events()
    assert [type(event.data) for event in told] == [DatasetRegistered] * 3
    assert all(event.payload(DatasetRegistered).first_harvest for event in told)
    second = await running.harvest(feed)
    assert second["result"] == NOTHING | {"unchanged": 3}
    assert len(await running.events()) == 3
    assert (await running.search())["total"] == 3


async def test_what_changes_comes_back_and_goes_is_told_under_one_id_with_rising_versions(
    running: RunningCatalog,
) -> None:
    kept = [dataset(name) for name in ("b", "c", "d")]
    await running.harvest(feed_of(dataset("a"), *kept))
    first_ids = await ids_by_identifier(running)
    changed = await running.harvest(feed_of(dataset("a", title="Another title"), *kept))
    gone = await running.harvest(feed_of(*kept))
    assert (await running.get(f"/api/v1/datasets/{first_ids['a']}")).status_code == 410
    assert (await running.search())["total"] == 3
    back = await running.harvest(feed_of(dataset("a", title="Another title"), *kept))
    assert [job["result"] for job in (changed, gone, back)] == [
        NOTHING | {"changed": 1, "unchanged": 3},
        NOTHING | {"unchanged": 3, "retired": 1},
        NOTHING | {"changed": 1, "unchanged": 3},
    ]
    told = [event for event in await running.events() if event.subject == first_ids["a"]]
    kinds: list[type[object]] = [DatasetRegistered, DatasetChanged, DatasetRetired, DatasetChanged]
    assert [type(event.data) for event in told] == kinds
    assert [event.subjectversion for event in told] == [1, 2, 3, 4]
    assert told[1].payload(DatasetChanged).changed_fields == ["title"]
    assert told[3].payload(DatasetChanged).changed_fields == ["retired_at"]
    assert (await ids_by_identifier(running)) == first_ids


async def test_a_feed_that_lost_more_than_half_is_held_until_a_person_confirms(
    running: RunningCatalog,
) -> None:
    await running.harvest(feed_of(*(dataset(f"d{number}") for number in range(10))))
    held = await running.harvest(feed_of(dataset("d0"), dataset("new")))
    assert held["status"] == "held"
    assert held["result"] == NOTHING | {"created": 1, "unchanged": 1}
    assert (held["known"], held["missing"]) == (11, 9)
    assert (await running.search())["total"] == 11
    answer = await running.client.post(
        f"/api/v1/harvests/{held['id']}/confirm", params={"wait": "true"}, headers=bearer("officer")
    )
    assert answer.status_code == 200
    assert answer.json()["status"] == "completed"
    assert answer.json()["result"] == NOTHING | {"created": 1, "unchanged": 1, "retired": 9}
    await running.idle()
    assert (await running.search())["total"] == 2
    notices = [type(event.data) for event in await running.events("catalog.notices")]
    expected: list[type[object]] = [HarvestCompleted, HarvestHeld, HarvestCompleted]
    assert notices == expected
    again = await running.client.post(f"/api/v1/harvests/{held['id']}/confirm", headers=bearer("officer"))
    assert again.status_code == 409


async def test_a_held_harvest_cannot_be_confirmed_after_a_later_one(running: RunningCatalog) -> None:
    whole = feed_of(*(dataset(f"d{number}") for number in range(10)))
    await running.harvest(whole)
    held = await running.harvest(feed_of(dataset("d0")))
    await running.harvest(whole)
    answer = await running.client.post(f"/api/v1/harvests/{held['id']}/confirm", headers=bearer("operator"))
    assert answer.status_code == 409
    assert (await running.search())["total"] == 10


async def test_a_duplicate_and_a_record_without_identity_are_rejected_with_their_cure(
    running: RunningCatalog,
) -> None:
    nameless = dataset("x")
    del nameless["identifier"]
    job = await running.harvest(feed_of(dataset("a"), dataset("a", title="Again"), nameless, "text"))
    result = job["result"]
    assert (result["created"], result["rejected"]) == (1, 3)
    fields = [(item["identifier"], item["problems"][0]["field"]) for item in result["rejections"]]
    assert fields == [("a", "identifier"), (None, "identifier"), (None, "dataset")]
    assert all(problem["cure"] for item in result["rejections"] for problem in item["problems"])
    notice = (await running.events("catalog.notices"))[0].payload(HarvestCompleted)
    assert [record.identifier for record in notice.rejections] == ["a", None, None]


BAD_FEEDS: Mapping[str, tuple[bytes, str]] = {
    "empty list of bytes": (b" ", "not valid JSON"),
    "cut off": (b'{"dataset": [{"identifier": "a"', "not valid JSON"),
    "trailing text": (b'{"dataset": []} and more', "not valid JSON"),
    "a list": (b'[{"identifier": "a"}]', "not an object"),
    "no datasets": (b'{"title": "nothing"}', "no list called dataset"),
    "datasets as an object": (b'{"dataset": {"a": 1}}', "not a list"),
    "UTF-16": ('{"dataset": []}'.encode("utf-16"), "UTF-16"),
    "Latin-1": ('{"dataset": [{"identifier": "Bébé"}]}'.encode("latin-1"), "UTF-8"),
    "a web page": (b"<!doctype html><title>Sign in</title>", "web page"),
    "packed": (gzip.compress(b'{"dataset": []}'), "packed"),
    "bare word": (b'{"dataset": [NaN]}', "not valid JSON"),
    "bytes of anything": (b"\x94qN\xb8\x9b\x80", "not valid JSON (lexical error: invalid char"),
}


@pytest.mark.parametrize("name", BAD_FEEDS)
async def test_a_feed_that_cannot_be_read_fails_with_a_cure_and_changes_nothing(
    running: RunningCatalog, name: str
) -> None:
    await running.harvest(feed_of(dataset("a")))
    content, told = BAD_FEEDS[name]
    before = len(await running.events())
    job = await running.harvest(content)
    assert job["status"] == "failed"
    assert told in job["message"]
    assert job["result"] == NOTHING
    assert len(await running.events()) == before
    assert (await running.search())["total"] == 1


async def test_a_feed_broken_near_its_end_changes_nothing_either(running: RunningCatalog) -> None:
    whole = orjson.dumps(feed_of(*(dataset(f"d{number}") for number in range(600))))
    job = await running.harvest(whole[:-3])
    assert job["status"] == "failed"
    assert await running.events() == []


async def test_an_oversized_description_is_cut_and_marked_and_the_dataset_kept(
    running: RunningCatalog,
) -> None:
    job = await running.harvest(feed_of(dataset("long", description="words " * 200_000)))
    assert job["result"] == NOTHING | {"created": 1}
    (event,) = await running.events()
    state = event.payload(DatasetRegistered).dataset
    assert len(state.description.encode()) <= 64 * 1024
    assert [(cut.field, cut.size_bytes) for cut in state.truncated] == [("description", 1_200_000)]


async def test_sources_keep_their_datasets_apart(running: RunningCatalog) -> None:
    await running.harvest(feed_of(dataset("a")), source="north")
    job = await running.harvest(feed_of(dataset("a"), dataset("b")), source="south")
    assert job["result"] == NOTHING | {"created": 2}
    assert (await running.search())["total"] == 3


async def test_a_feed_is_fetched_by_its_address_only_when_it_changed(
    running: RunningCatalog, served: ServedFiles
) -> None:
    url = "https://feeds.example.gov/data.json"
    served.files[url] = (orjson.dumps(feed_of(dataset("a"), dataset("b"))), '"1"')
    first = await running.harvest({"url": url})
    again = await running.harvest({"url": url})
    served.files[url] = (orjson.dumps(feed_of(dataset("a"), dataset("b", title="New"))), '"2"')
    third = await running.harvest({"url": url})
    assert [job["result"] for job in (first, again, third)] == [
        NOTHING | {"created": 2},
        NOTHING | {"unchanged": 2},
        NOTHING | {"unchanged": 1, "changed": 1},
    ]
    assert served.fetched == [url] * 3


async def test_an_address_that_does_not_answer_fails_the_harvest_in_plain_words(
    running: RunningCatalog,
) -> None:
    job = await running.harvest({"url": "https://nowhere.example.gov/data.json"})
    assert (job["status"], job["message"]) == ("failed", "The source answered with status 404.")


async def test_a_dictionary_is_fetched_after_the_harvest_and_told_as_a_change(
    running: RunningCatalog, served: ServedFiles
) -> None:
    url = "https://files.example.gov/schema.json"
    schema = {"fields": [{"name": "town", "type": "string", "description": "Where"}]}
    served.files[url] = (orjson.dumps(schema), '"1"')
    job = await running.harvest(
        feed_of(
            dataset("a", describedBy=url),
            dataset("b", describedBy="https://files.example.gov/handbook.pdf"),
            dataset("c", describedBy="https://files.example.gov/missing.json"),
        )
    )
    assert job["result"] == NOTHING | {"created": 3}
    assert sorted(served.fetched) == ["https://files.example.gov/missing.json", url]
    changes = [event.data for event in await running.events() if isinstance(event.data, DatasetChanged)]
    assert [change.changed_fields for change in changes] == [["columns"]]
    assert [column.name for column in changes[0].dataset.columns] == ["town"]
    assert (await running.search(q="town"))["total"] == 1


async def test_the_same_idempotency_key_starts_one_harvest(running: RunningCatalog) -> None:
    headers = bearer("operator") | {"Idempotency-Key": "once"}
    body = orjson.dumps(feed_of(dataset("a")))
    answers = [
        await running.client.post("/api/v1/harvests", params={"source": "s"}, content=body, headers=headers)
        for _ in range(2)
    ]
    assert len({answer.json()["id"] for answer in answers}) == 1
    await running.idle()
    listed = (await running.get("/api/v1/harvests", "operator")).json()["items"]
    assert [item["status"] for item in listed] == ["completed"]


@pytest.mark.parametrize("viewer", [None, "steward-a", "requester"])
async def test_only_operators_and_the_chief_data_officer_harvest(
    running: RunningCatalog, viewer: str | None
) -> None:
    headers = bearer(viewer) if viewer else {}
    answer = await running.client.post("/api/v1/harvests", content=b"{}", headers=headers)
    assert answer.status_code == (403 if viewer else 401)
    assert (await running.get("/api/v1/harvests", viewer)).status_code == answer.status_code


async def test_an_empty_body_is_refused_with_the_cure(running: RunningCatalog) -> None:
    answer = await running.client.post("/api/v1/harvests", content=b"", headers=bearer("operator"))
    assert answer.status_code == 422
    assert "url" in answer.json()["errors"][0]["cure"]


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, set[str]]:
    """What one state of a feed changed, computed from the files alone."""
    return {
        "registered": after.keys() - before.keys(),
        "changed": {name for name in after.keys() & before.keys() if after[name] != before[name]},
        "retired": before.keys() - after.keys(),
    }


async def test_the_replayed_history_of_a_real_feed_tells_exactly_the_differences_of_its_files(
    running: RunningCatalog, real_data: Path
) -> None:
    known: dict[str, Any] = {}
    ever: set[str] = set()
    for path in sorted((real_data / "federal" / "fcc-history").glob("*.json")):
        records = {record["identifier"]: record for record in orjson.loads(path.read_bytes())["dataset"]}
        already = len(await running.events())
        job = await running.harvest(path.read_bytes(), source="fcc")
        expected = differences(known, records)
        returned = expected["registered"] & ever
        told: dict[str, set[str]] = {"registered": set(), "changed": set(), "retired": set()}
        for event in (await running.events())[already:]:
            kind = event.type.split(".")[3]
            assert event.data is not None
            told[kind].add(event.data.dataset.identifier)  # type: ignore[attr-defined]  # one of three models
        assert told["registered"] == expected["registered"] - returned, path.name
        assert told["retired"] == expected["retired"], path.name
        assert told["changed"] <= expected["changed"] | returned, path.name
        unseen = expected["changed"] - told["changed"]
        assert all(only_bookkeeping_differs(known[name], records[name]) for name in unseen), path.name
        assert job["result"]["created"] == len(told["registered"])
        assert job["result"]["changed"] == len(told["changed"])
        assert job["result"]["retired"] == len(told["retired"])
        ever |= records.keys()
        known = records


def only_bookkeeping_differs(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether two records differ only in fields that DCAT-US has for federal accounting."""
    federal = {"bureauCode", "programCode", "primaryITInvestmentUII", "systemOfRecords", "dataQuality"}
    differing = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    return differing <= federal


async def test_every_real_connecticut_dataset_is_kept_and_found(
    running: RunningCatalog, real_data: Path
) -> None:
    content = (real_data / "ct" / "data.json").read_bytes()
    job = await running.harvest(content, source="ct")
    assert job["result"] == NOTHING | {"created": 307}
    assert (await running.search())["total"] == 307
    again = await running.harvest(content, source="ct")
    assert again["result"] == NOTHING | {"unchanged": 307}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"dataset":' + b"[" * 100_000, "nested in more than 64 levels"),
        (b'{"dataset":[{"identifier":"one","theme":[' + b"1," * 300_000 + b"1]}]}", "One entry holds more"),
        (b'{"dataset":[{"identifier":' + b"1" * 1_000_000 + b"}]}", "a number of more than 1,024"),
    ],
)
async def test_a_feed_beyond_the_limits_fails_with_the_limit(
    running: RunningCatalog, content: bytes, words: str
) -> None:
    job = await running.harvest(content)
    assert job["status"] == "failed"
    assert words in job["message"]
    assert job["result"] == NOTHING


async def test_a_text_without_end_is_cut_before_work_is_done_on_it(running: RunningCatalog) -> None:
    job = await running.harvest(feed_of(dataset("long", title="\n\u00e9" * 5_000_000), dataset("short")))
    assert job["result"] == NOTHING | {"created": 2}
    (long,) = [
        state
        for event in await running.events()
        if (state := event.payload(DatasetRegistered).dataset).identifier == "long"
    ]
    assert [cut.field for cut in long.truncated] == ["title"]
    assert len(long.title) <= 1_000


async def test_a_dictionary_on_which_two_processes_died_is_fetched_when_an_operator_releases_it(
    running: RunningCatalog, served: ServedFiles
) -> None:
    url = "https://data.example/dictionary.json"
    served.files[url] = (b'{"fields": [{"name": "town"}]}', "1")
    await running.harvest(feed_of(dataset("one")))
    dataset_id = UUID((await ids_by_identifier(running))["one"])
    context, store = running.catalog.harvests.dictionaries, running.catalog.service.store
    fetch = DictionaryFetch(dataset_id, url, next_attempt_at=running.clock.now(), unended_attempts=2)
    async with store.unit_of_work() as work:
        await context.fetches.put(work, fetch)
        work.after_commit(context.wake_fetching)
    await running.idle()
    (queue,) = [one for one in running.catalog.service.queues if one.name == "catalog.dictionaries"]
    (parked,) = await queue.parked(10)
    assert (parked.job_id, parked.reason, served.fetched) == (dataset_id, PARKED_BECAUSE, [])
    assert await queue.release(dataset_id)
    await running.idle()
    assert (await queue.parked_count(), served.fetched) == (0, [url])
