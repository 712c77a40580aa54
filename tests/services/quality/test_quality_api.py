"""Quality over HTTP: what each viewer may see and do."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from services.quality.alerts.domain.alerts import AlertKey, alert_id_of
from tests.services.quality.quality_system import (
    AGENCY,
    OTHER_AGENCY,
    Portal,
    QualitySystem,
    csv_of,
    dataset_id,
)


async def get(system: QualitySystem, path: str, who: str | None = None, **headers: str) -> Any:
    async with system.client(who) as client:
        return await client.get(path, headers=headers)


async def post(
    system: QualitySystem, path: str, who: str | None = None, content: bytes = b"", **headers: str
) -> Any:
    async with system.client(who) as client:
        return await client.post(path, content=content, headers=headers)


@pytest.fixture
async def degraded(system: QualitySystem, portal: Portal) -> QualitySystem:
    """Roads lost rows; schools are of another agency and lost rows too."""
    await system.hire()
    portal.files |= {"/roads.csv": csv_of(100), "/schools.csv": csv_of(100)}
    await system.register("roads", has_file=True)
    await system.register("schools", has_file=True, agency_id=OTHER_AGENCY, agency_name="Other")
    await system.update_file("roads", csv_of(10))
    await system.update_file("schools", csv_of(10))
    return system


async def test_a_dataset_tells_its_scores_with_reasons_and_its_history(degraded: QualitySystem) -> None:
    response = await get(degraded, f"/api/v1/quality/datasets/{dataset_id('roads')}")
    assert response.status_code == 200
    found = response.json()
    assert all(one["reason"] for one in found["dimensions"])
    assert found["freshness"]["status"] == "ok"
    assert found["freshness"]["reason"].startswith("updated less than two hours ago; promised")
    assert found["profile"]["row_count"] == 10
    assert [line["row_count"] for line in found["history"] if line["kind"] == "profile"] == [10, 100]
    assert {one["criterion"] for one in found["metadata"]["criteria"] if one["cure"]} >= {"spatial"}
    assert found["job"]["state"] == "done"
    assert "alerts" not in found
    again = await get(
        degraded,
        f"/api/v1/quality/datasets/{dataset_id('roads')}",
        **{"If-None-Match": response.headers["etag"]},
    )
    assert again.status_code == 304


async def test_records_that_a_viewer_may_not_see_are_not_there(system: QualitySystem) -> None:
    await system.hire()
    await system.register("plans", visibility="agency")
    path = f"/api/v1/quality/datasets/{dataset_id('plans')}"
    statuses = {who: (await get(system, path, who)).status_code for who in (None, "other-steward", "steward")}
    assert statuses == {None: 404, "other-steward": 404, "steward": 200}
    assert (await get(system, "/api/v1/quality/summary")).json()["datasets"] == 0
    assert (await get(system, "/api/v1/quality/summary", "steward")).json()["datasets"] == 1
    assert (await get(system, f"/api/v1/quality/datasets/{uuid4()}")).status_code == 404


async def test_rows_of_records_that_are_not_public_are_shown_to_nobody(
    system: QualitySystem, portal: Portal
) -> None:
    await system.hire()
    portal.files["/plans.csv"] = b"name,age\nSecretive,41\nHidden,42\n"
    await system.register("plans", has_file=True, visibility="government")
    response = await get(system, f"/api/v1/quality/datasets/{dataset_id('plans')}", "operator")
    assert response.json()["profile"]["row_count"] == 2
    assert "Secretive" not in response.text
    assert "Hidden" not in response.text


async def test_alerts_are_for_the_government_people_of_the_agency(degraded: QualitySystem) -> None:
    path = "/api/v1/quality/alerts?state=open"
    seen = {}
    for who in ("steward", "other-steward", "operator"):
        response = await get(degraded, path, who)
        seen[who] = sorted(one["dataset_title"] for one in response.json()["items"])
    assert seen == {
        "steward": ["Roads"],
        "other-steward": ["Schools"],
        "operator": ["Roads", "Schools"],
    }
    assert (await get(degraded, path)).status_code == 401
    assert (await get(degraded, path, "requester")).status_code == 403
    one = f"/api/v1/quality/alerts/{alert_id_of(dataset_id('schools'), AlertKey('row-count-dropped'))}"
    assert (await get(degraded, one, "steward")).status_code == 404
    found = (await get(degraded, one, "other-steward")).json()
    assert (found["kind"], found["state"], found["version"]) == ("row-count-dropped", "open", 1)


async def test_alerts_are_listed_page_by_page_and_filtered(degraded: QualitySystem) -> None:
    misspelt = await get(degraded, "/api/v1/quality/alerts?stat=open", "operator")
    assert (misspelt.status_code, misspelt.json()["errors"][0]["parameter"]) == (422, "stat")
    assert misspelt.json()["errors"][0]["cure"].startswith("Use one of state, ")
    first = (await get(degraded, "/api/v1/quality/alerts?limit=1", "operator")).json()
    assert [one["dataset_title"] for one in first["items"]] == ["Schools"]
    second = (
        await get(degraded, f"/api/v1/quality/alerts?limit=1&cursor={first['next_cursor']}", "operator")
    ).json()
    assert [one["dataset_title"] for one in second["items"]] == ["Roads"]
    assert second["next_cursor"] is None
    by_agency = (await get(degraded, f"/api/v1/quality/alerts?agency={AGENCY}", "operator")).json()
    assert [one["dataset_title"] for one in by_agency["items"]] == ["Roads"]
    for filtered in ("kind=link-broken", "state=resolved"):
        found = await get(degraded, f"/api/v1/quality/alerts?{filtered}", "operator")
        assert found.json()["items"] == []
    other = await get(
        degraded, f"/api/v1/quality/alerts?state=open&cursor={first['next_cursor']}", "operator"
    )
    assert other.status_code == 400


async def test_a_steward_measures_again_and_a_stranger_does_not(
    degraded: QualitySystem, portal: Portal
) -> None:
    path = f"/api/v1/quality/datasets/{dataset_id('roads')}/measure"
    portal.files["/roads.csv"] = csv_of(100)
    refused = {
        who: (await post(degraded, path, who)).status_code for who in (None, "requester", "other-steward")
    }
    assert refused == {None: 401, "requester": 403, "other-steward": 403}
    answer = await post(degraded, path, "steward", b"", **{"Idempotency-Key": "once"})
    assert (answer.status_code, answer.json()) == (202, {"dataset_id": str(dataset_id("roads"))})
    assert answer.headers["location"] == f"/api/v1/quality/datasets/{dataset_id('roads')}"
    await degraded.settle()
    asked = len(portal.asked)
    assert "resolved row-count-dropped" in await degraded.alert_words()
    await post(degraded, path, "steward", b"", **{"Idempotency-Key": "once"})
    await degraded.settle()
    assert len(portal.asked) == asked


async def test_a_loss_that_a_steward_confirms_is_the_new_baseline(degraded: QualitySystem) -> None:
    path = f"/api/v1/quality/datasets/{dataset_id('roads')}/baseline"
    assert (await post(degraded, path, "steward")).status_code == 202
    await degraded.settle()
    told = [word for word, _, alert in await degraded.alerts() if alert.dataset_title == "Roads"]
    assert told == ["opened", "resolved"]
    await degraded.update_file("roads", csv_of(11))
    assert len([1 for _, _, alert in await degraded.alerts() if alert.dataset_title == "Roads"]) == 2
    await degraded.update_file("roads", csv_of(2))
    assert (await degraded.alerts())[-1][0] == "opened"


async def test_an_uploaded_file_is_profiled_for_stewards(system: QualitySystem) -> None:
    await system.hire()
    path = "/api/v1/quality/profile"
    answer = await post(system, path, "steward", csv_of(7), **{"Content-Type": "text/csv"})
    assert answer.status_code == 200
    assert (answer.json()["row_count"], answer.json()["column_count"]) == (7, 2)
    assert (await post(system, path, None, csv_of(7))).status_code == 401
    for rubbish in (b"", b"\x00\xff\xfe\x00PK\x03\x04" * 100):
        answer = await post(system, path, "steward", rubbish)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["cure"]


async def test_the_summary_counts_freshness_and_averages_completeness_by_agency(
    system: QualitySystem,
) -> None:
    old = system.clock.now() - timedelta(days=400)
    await system.register("roads", "parks")
    await system.register("schools", agency_id=OTHER_AGENCY, agency_name="Other", data_updated_at=old)
    found = (await get(system, "/api/v1/quality/summary")).json()
    assert found["freshness"] == {"ok": 2, "stale": 1}
    names = {one["agency_name"]: one for one in found["agencies"]}
    assert names["Department of Examples"]["datasets"] == 2
    assert 0.5 < names["Department of Examples"]["mean_completeness"] < 1
    assert names["Other"]["freshness"] == {"stale": 1}
    assert "open_alerts" not in names["Other"]


async def test_the_overview_page_shows_agencies_to_all_and_alerts_to_government(
    degraded: QualitySystem,
) -> None:
    for_all = await get(degraded, "/quality", None, Accept="text/html")
    assert for_all.status_code == 200
    assert "Department of Examples" in for_all.text
    assert "rows are gone" not in for_all.text
    for_steward = await get(degraded, "/quality", "steward", Accept="text/html")
    assert "rows are gone" in for_steward.text
    assert "Schools" not in for_steward.text
