"""Without a word on its source, an unrelated feed becomes one of its own, and a known one is recognised."""

from typing import Any

import pytest

from tests.support.catalog_service import RunningCatalog, bearer, dataset, feed_of


def feed(*names: str, **fields: Any) -> dict[str, Any]:
    return feed_of(*(dataset(name, **fields) for name in names))


async def harvested(running: RunningCatalog, told: dict[str, Any], file_name: str | None) -> tuple[Any, ...]:
    """The source, how the harvest ended, and what it made and took away."""
    named = {"file_name": file_name} if file_name else {}
    job = await running.harvest(told, source=None, **named)
    return job["source"], job["status"], job["result"]["created"], job["result"]["retired"]


async def test_unrelated_files_are_sources_of_their_own_and_a_known_one_changes_nothing(
    running: RunningCatalog,
) -> None:
    bridges, schools = feed("b1", "b2", "b3"), feed("s1", "s2", "s3")
    assert await harvested(running, bridges, "a.json") == ("a.json", "completed", 3, 0)
    assert await harvested(running, schools, "b.json") == ("b.json", "completed", 3, 0)
    again = await running.harvest(bridges, source=None, file_name="a.json")
    assert (again["source"], again["first_harvest"], again["result"]["unchanged"]) == ("a.json", False, 3)
    assert (await running.search())["total"] == 6


async def test_a_feed_is_recognised_under_another_file_name(running: RunningCatalog) -> None:
    await harvested(running, feed("b1", "b2", "b3", "b4"), "a.json")
    grown = feed(*(f"b{number}" for number in range(1, 20)))
    assert await harvested(running, grown, "renamed.json") == ("a.json", "completed", 15, 0)
    assert await harvested(running, grown, None) == ("a.json", "completed", 0, 0)


async def test_a_feed_whose_source_was_named_by_a_person_stays_there(running: RunningCatalog) -> None:
    told = feed("b1", "b2") | {"@id": "https://data.example.gov/data.json"}
    await running.harvest(told, source="bridges")
    assert await harvested(running, told, "a.json") == ("bridges", "completed", 0, 0)


async def test_unrelated_files_of_one_name_are_numbered(running: RunningCatalog) -> None:
    await harvested(running, feed("b1", "b2"), "data.json")
    assert await harvested(running, feed("s1", "s2"), "data.json") == ("data.json (2)", "completed", 2, 0)
    assert await harvested(running, feed("r1", "r2"), "data.json") == ("data.json (3)", "completed", 2, 0)


async def test_unrelated_feeds_that_count_their_datasets_alike_are_told_apart(
    running: RunningCatalog,
) -> None:
    await harvested(running, feed("1", "2", "3"), "bridges.json")
    schools = feed_of(*(dataset(number, title=f"Schools {number}") for number in "123"))
    assert await harvested(running, schools, "schools.json") == ("schools.json", "completed", 3, 0)


async def test_a_feed_that_lost_most_of_its_datasets_is_still_held(running: RunningCatalog) -> None:
    await harvested(running, feed(*(f"b{number}" for number in range(10))), "a.json")
    assert await harvested(running, feed("b1", "b2"), "a.json") == ("a.json", "held", 0, 0)


async def test_a_feed_is_named_by_what_it_calls_itself(running: RunningCatalog) -> None:
    told = {"@id": "https://data.example.gov/data.json"} | feed("b1")
    assert (await harvested(running, told, "a.json"))[0] == "data.example.gov"


@pytest.mark.parametrize(
    "content", [b"no json", b'{"dataset": {}}', b'{"@id": 7, "dataset": [{"title": 1}]}']
)
async def test_what_cannot_be_read_is_named_by_its_file(running: RunningCatalog, content: bytes) -> None:
    job = await running.harvest(content, source=None, file_name="a.json")
    assert job["source"] == "a.json"


async def test_an_address_keeps_the_source_under_which_it_was_harvested(running: RunningCatalog) -> None:
    url = "https://feeds.example.gov/roads/data.json"
    named = await running.harvest({"url": url}, source="roads")
    found = await running.harvest({"url": url}, source=None)
    other = await running.harvest({"url": "https://feeds.example.gov/schools/data.json"}, source=None)
    assert [job["source"] for job in (named, found, other)] == [
        "roads",
        "roads",
        "feeds.example.gov/schools/data.json",
    ]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://a.example/x",
        "http://",
        "http://a b/",
        "http://a/\0b",
        "http://[x",
        f"http://a/{'b' * 2_048}",
        7,
    ],
)
async def test_what_is_no_address_is_refused_with_the_cure(running: RunningCatalog, url: Any) -> None:
    answer = await running.client.post("/api/v1/harvests", json={"url": url}, headers=bearer("operator"))
    assert answer.status_code == 422, answer.text
    assert "data.json" in answer.json()["errors"][0]["cure"]
    assert (await running.get("/api/v1/harvests", "operator")).json()["items"] == []
