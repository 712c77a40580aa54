"""A filter value that no visible record has is 422, with those that there are: search, pages and feed."""

import pytest

from tests.services.catalog.test_visibility import PLANTED, SECRET, plant
from tests.support.catalog_service import RunningCatalog, dataset, feed_of


@pytest.mark.parametrize(
    ("parameter", "value", "told"),
    [
        ("access", "publik", "public, non-public, restricted public"),
        ("freshness", "sstale", "stale"),
        ("condition", "bad", "attention"),
        ("format", "CVS", "CSV"),
        ("theme", "Watter", "Water"),
        ("agency", "00000000-0000-0000-0000-00000000beef", "leave the filter out"),
    ],
)
async def test_an_unknown_value_is_told_with_those_there_are(
    running: RunningCatalog, parameter: str, value: str, told: str
) -> None:
    distribution = [{"downloadURL": "https://files.example.gov/a.csv", "mediaType": "text/csv"}]
    await running.harvest(feed_of(dataset("a", theme=["Water"], distribution=distribution)))
    answer = await running.get("/api/v1/datasets", **{parameter: value})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["parameter"], error["code"]) == (parameter, "unknown_value")
    assert told in error["cure"]
    page = await running.client.get("/search", params={parameter: value}, headers={"Accept": "text/html"})
    assert page.status_code == 422
    assert "There is no" in page.text
    assert "Search without filters" in page.text


async def test_a_known_value_may_find_nothing(running: RunningCatalog) -> None:
    await running.harvest(feed_of(dataset("a", theme=["Water"]), dataset("b", theme=["Land"], title="Maps")))
    for params in ({"freshness": "stale"}, {"access": "non-public"}, {"theme": "Water", "q": "maps"}):
        answer = await running.get("/api/v1/datasets", **params)
        assert (answer.status_code, answer.json()["total"]) == (200, 0)
    assert (await running.get("/api/v1/datasets", keyword="no such word")).status_code == 200


async def test_values_of_hidden_records_are_neither_listed_nor_known(running: RunningCatalog) -> None:
    await plant(running)
    for name in PLANTED:
        hidden = f"{SECRET} theme {name}"
        refused = await running.get("/api/v1/datasets", theme=hidden)
        other = await running.get("/api/v1/datasets", theme=f"{SECRET} theme nobody")
        assert (refused.status_code, other.status_code) == (422, 422)
        assert SECRET not in refused.json()["errors"][0]["cure"]
        assert (await running.get("/api/v1/datasets", "operator", theme=hidden)).status_code == 200


async def test_a_type_that_the_feed_does_not_tell_is_refused(running: RunningCatalog) -> None:
    answer = await running.get("/api/v1/events", type="nutmeg.catalog.dataset.change.v1")
    assert answer.status_code == 422
    assert "nutmeg.catalog.dataset.changed.v1" in answer.json()["errors"][0]["cure"]
    known = await running.get("/api/v1/events", type="nutmeg.catalog.dataset.withdrawn.v1")
    assert known.status_code == 200
