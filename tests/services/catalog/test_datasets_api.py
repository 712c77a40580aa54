"""Datasets over HTTP: search, single records, decisions with If-Match, columns, and the DCAT-US export."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft4Validator
from jsonschema.validators import validator_for

from shared.events.catalog import DatasetChanged
from shared.events.governance import StewardshipChanged, StewardshipState
from shared.events.registry import STEWARDSHIP_CHANGED
from tests.support.catalog_service import AGENCY_A, RunningCatalog, bearer, dataset, feed_of


async def owned(running: RunningCatalog) -> str:
    """Harvest one dataset of agency A; return its id."""
    state = StewardshipState(identifier="a", agency_id=AGENCY_A)
    await running.tell(STEWARDSHIP_CHANGED, StewardshipChanged(stewardship=state), "a")
    await running.harvest(feed_of(dataset("a")))
    (result,) = (await running.search())["results"]
    return str(result["id"])


async def test_a_search_page_tells_totals_facets_marks_and_where_it_goes_on(
    running: RunningCatalog,
) -> None:
    await running.harvest(feed_of(*(dataset(f"d{number}", title=f"Bridge {number}") for number in range(5))))
    answer = await running.get("/api/v1/datasets", q="bridge", limit=2)
    page = answer.json()
    assert (page["total"], page["total_relation"], page["relaxed"]) == (5, "eq", None)
    assert set(page["results"][0]) >= {"id", "title", "description", "agency", "highlights", "formats"}
    assert ["Bridge", True] in page["results"][0]["highlights"]["title"]
    assert "explain" not in page["results"][0]
    assert page["facets"]["theme"] == [
        {"value": "Transport", "label": "Transport", "count": 5, "chosen": False}
    ]
    seen = [result["id"] for result in page["results"]]
    assert 'rel="next"' in answer.headers["link"]
    while page["next_cursor"]:
        page = await running.search(q="bridge", limit=2, cursor=page["next_cursor"])
        seen += [result["id"] for result in page["results"]]
    assert len(seen) == len(set(seen)) == 5
    explained = await running.search(q="bridge", explain="true")
    first = explained["results"][0]
    assert sum(part["points"] for part in first["explain"]) == pytest.approx(first["score"])


@pytest.mark.parametrize(
    ("params", "status", "parameter"),
    [
        ({"cursor": "made up"}, 422, "cursor"),
        ({"limit": 0}, 422, "limit"),
        ({"limit": 101}, 422, "limit"),
        ({"sort": "backwards"}, 422, "sort"),
        ({"q": "x" * 1_001}, 422, "q"),
        ({"size": 5}, 422, "size"),
        ({"utm_source": "mail"}, 422, "utm_source"),
    ],
)
async def test_a_search_that_cannot_be_answered_names_the_parameter(
    running: RunningCatalog, params: dict[str, Any], status: int, parameter: str
) -> None:
    answer = await running.get("/api/v1/datasets", **params)
    assert answer.status_code == status
    assert [error["parameter"] for error in answer.json()["errors"]] == [parameter]


async def test_suggestions_are_titles_that_begin_like_the_words_typed(running: RunningCatalog) -> None:
    await running.harvest(feed_of(dataset("a", title="Bridge inspections"), dataset("b", title="Schools")))
    items = (await running.get("/api/v1/datasets/suggest", prefix="bri")).json()["items"]
    assert [item["title"] for item in items] == ["Bridge inspections"]


async def test_a_dataset_is_read_again_only_when_it_changed(running: RunningCatalog) -> None:
    dataset_id = await owned(running)
    path = f"/api/v1/datasets/{dataset_id}"
    first = await running.get(path)
    tag = {"If-None-Match": first.headers["etag"]}
    assert (await running.client.get(path, headers=tag)).status_code == 304
    await running.harvest(feed_of(dataset("a", title="Changed")))
    again = await running.client.get(path, headers=tag)
    assert (again.status_code, again.json()["title"]) == (200, "Changed")


async def test_a_decision_needs_the_version_that_was_read(running: RunningCatalog) -> None:
    dataset_id = await owned(running)
    path = f"/api/v1/datasets/{dataset_id}"
    etag = (await running.get(path)).headers["etag"]
    without = await running.client.patch(path, json={"rights": "Ask us."}, headers=bearer("steward-a"))
    assert without.status_code == 428
    first = await running.client.patch(
        path, json={"rights": "Ask us."}, headers=bearer("steward-a") | {"If-Match": etag}
    )
    assert (first.status_code, first.json()["rights"]) == (200, "Ask us.")
    late = await running.client.patch(
        path, json={"rights": "Never."}, headers=bearer("steward-a") | {"If-Match": etag}
    )
    assert late.status_code == 412
    assert (await running.get(path)).json()["rights"] == "Ask us."
    back = await running.client.patch(
        path, json={"rights": None}, headers=bearer("officer") | {"If-Match": first.headers["etag"]}
    )
    assert back.json()["rights"] is None


async def test_a_decision_outlives_the_next_harvest(running: RunningCatalog) -> None:
    dataset_id = await owned(running)
    path = f"/api/v1/datasets/{dataset_id}"
    etag = (await running.get(path)).headers["etag"]
    decided = {"visibility": "agency", "access_level": "non-public"}
    await running.client.patch(path, json=decided, headers=bearer("steward-a") | {"If-Match": etag})
    await running.harvest(feed_of(dataset("a", title="Changed")))
    assert (await running.get(path)).status_code == 404
    kept = (await running.get(path, "steward-a")).json()
    assert {name: kept[name] for name in ("visibility", "access_level", "title")} == decided | {
        "title": "Changed"
    }


@pytest.mark.parametrize(
    ("viewer", "status"), [(None, 401), ("requester", 403), ("steward-b", 403), ("operator", 403)]
)
async def test_only_people_of_the_agency_and_the_chief_data_officer_decide(
    running: RunningCatalog, viewer: str | None, status: int
) -> None:
    dataset_id = await owned(running)
    path = f"/api/v1/datasets/{dataset_id}"
    headers = (bearer(viewer) if viewer else {}) | {"If-Match": "*"}
    assert (await running.client.patch(path, json={}, headers=headers)).status_code == status
    columns = await running.client.put(f"{path}/columns", content=b'["town"]', headers=headers)
    assert columns.status_code == status


async def test_a_steward_describes_the_columns_and_no_fetched_dictionary_replaces_them(
    running: RunningCatalog,
) -> None:
    dataset_id = await owned(running)
    path = f"/api/v1/datasets/{dataset_id}"
    etag = (await running.get(path)).headers["etag"]
    schema = {"fields": [{"name": "town", "type": "string", "description": "The municipality"}]}
    answer = await running.client.put(
        f"{path}/columns", json=schema, headers=bearer("steward-a") | {"If-Match": etag}
    )
    assert answer.status_code == 200
    assert [column["name"] for column in answer.json()["columns"]] == ["town"]
    await running.idle()
    change = (await running.events())[-1].payload(DatasetChanged)
    assert change.changed_fields == ["columns"]
    await running.harvest(feed_of(dataset("a", title="Changed")))
    assert [column["name"] for column in (await running.get(path)).json()["columns"]] == ["town"]
    assert (await running.search(q="municipality"))["total"] == 1


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"fields": "none"}', b"7"])
async def test_a_dictionary_without_columns_is_refused_with_an_example(
    running: RunningCatalog, body: bytes
) -> None:
    dataset_id = await owned(running)
    answer = await running.client.put(
        f"/api/v1/datasets/{dataset_id}/columns",
        content=body,
        headers=bearer("steward-a") | {"If-Match": "*"},
    )
    assert answer.status_code == 422
    assert '"fields"' in answer.json()["errors"][0]["cure"]


async def test_one_dataset_is_told_as_json_ld(running: RunningCatalog) -> None:
    dataset_id = await owned(running)
    answer = await running.get(f"/api/v1/datasets/{dataset_id}/dcat")
    assert answer.headers["content-type"] == "application/ld+json"
    document = answer.json()
    assert (document["@type"], document["identifier"]) == ("dcat:Dataset", "a")
    assert document["@context"].endswith("catalog.jsonld")


async def test_the_export_is_written_anew_only_when_the_catalogue_changed(running: RunningCatalog) -> None:
    await running.harvest(feed_of(dataset("a")))
    first = await running.get("/data.json")
    tag = {"If-None-Match": first.headers["etag"]}
    assert (await running.client.get("/data.json", headers=tag)).status_code == 304
    await running.harvest(feed_of(dataset("a"), dataset("b")))
    again = await running.client.get("/data.json", headers=tag)
    assert again.status_code == 200
    assert {item["identifier"] for item in again.json()["dataset"]} == {"a", "b"}


async def test_an_empty_catalogue_is_exported_as_one(running: RunningCatalog) -> None:
    assert (await running.get("/data.json")).json()["dataset"] == []


async def test_the_export_of_all_real_datasets_satisfies_the_official_schema(
    running: RunningCatalog, real_data: Path
) -> None:
    await running.harvest((real_data / "ct" / "data.json").read_bytes(), source="ct")
    exported = (await running.get("/data.json")).json()
    assert len(exported["dataset"]) == 307
    schema = orjson.loads((real_data / "schemas" / "dcatus1.1" / "non-federal_dataset.json").read_bytes())
    kind = validator_for(schema, default=Draft4Validator)
    validator = kind(schema, format_checker=kind.FORMAT_CHECKER)
    problems = [
        f"{item['identifier']}: {error.message}"
        for item in exported["dataset"]
        for error in validator.iter_errors(item)
    ]
    assert problems == []
