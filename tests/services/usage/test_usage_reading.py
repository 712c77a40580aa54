"""What may be read of use, by whom, and what stands where nothing was counted."""

import csv
import io

import pytest

from tests.services.usage.usage_system import AGENCY, OTHER_AGENCY, UsageSystem, dataset_id, visit


class TestReadingUse:
    async def test_what_was_not_counted_is_null_and_never_zero(self, system: UsageSystem) -> None:
        async with system.client("importer") as client:
            batch = {"hits": [visit("roads", 1, -2 * 86_400), visit("roads", 2)]}
            await client.post("/api/v1/usage/hits:batch", json=batch)
            await system.settle()
            path = f"/api/v1/usage/datasets/{dataset_id('roads')}"
            answer = await client.get(path, params={"from": "2026-02-27", "to": "2026-03-03"})
            again = await client.get(
                path,
                params={"from": "2026-02-27", "to": "2026-03-03"},
                headers={"If-None-Match": answer.headers["ETag"]},
            )
        # Counting began on 28 February; nobody counted on 1 March; 3 March is to come.
        assert [item["views"] for item in answer.json()["items"]] == [None, 1, None, 1, None]
        assert answer.json()["total"]["views"] == 2
        assert answer.json()["counted_since"] == "2026-02-28"
        assert again.status_code == 304

    async def test_a_counted_day_without_use_is_zero(self, system: UsageSystem) -> None:
        async with system.client() as client:
            path = f"/api/v1/usage/datasets/{dataset_id('schools')}"
            answer = (await client.get(path, params={"from": "2026-03-02", "to": "2026-03-02"})).json()
            hours = (
                await client.get(
                    path, params={"granularity": "hour", "from": "2026-03-02", "to": "2026-03-02"}
                )
            ).json()
        assert answer["items"][0]["views"] == 0
        # It is nine o'clock: ten hours have begun.
        assert [item["views"] for item in hours["items"]] == [0] * 10 + [None] * 14

    async def test_the_most_used_come_first_and_hidden_ones_never(self, system: UsageSystem) -> None:
        await system.register("secrets", visibility="agency", agency=AGENCY)
        hits = [visit("schools", 1), *(visit("roads", n) for n in range(2)), visit("secrets", 1)]
        async with system.client("importer") as client:
            await client.post("/api/v1/usage/hits:batch", json={"hits": hits})
        await system.settle()
        async with system.client() as client:
            public = (await client.get("/api/v1/usage/top")).json()
        async with system.client("steward") as client:
            steward = (await client.get("/api/v1/usage/top", params={"days": 1})).json()
        assert [(item["title"], item["uses"]) for item in public["items"]] == [("Roads", 2), ("Schools", 1)]
        assert {item["title"] for item in steward["items"]} == {"Roads", "Schools", "Secrets"}

    async def test_the_report_lists_datasets_without_use_too_page_by_page(self, system: UsageSystem) -> None:
        await system.register("forests", agency=OTHER_AGENCY)
        async with system.client("importer") as client:
            await client.post("/api/v1/usage/hits", json=visit("roads", 1, kind="download"))
        await system.settle()
        async with system.client() as client:
            titles, cursor = [], None
            while True:
                params = {"limit": "1"} | ({"cursor": cursor} if cursor else {})
                page = (await client.get("/api/v1/usage/report", params=params)).json()
                titles += [item["title"] for item in page["items"]]
                cursor = page["next_cursor"]
                if cursor is None:
                    break
            ours = await client.get("/api/v1/usage/report", params={"agency": "department of examples"})
            past = await client.get("/api/v1/usage/report", params={"from": "2025-01-01", "to": "2025-01-31"})
        assert titles == ["Forests", "Roads", "Schools"]
        assert [item["total_item_requests"] for item in ours.json()["items"]] == [1, 0]
        assert ours.json()["counted_until"].startswith("2026-03-02T09:")
        assert {item["views"] for item in past.json()["items"]} == {None}

    async def test_the_report_is_there_as_csv(self, system: UsageSystem) -> None:
        await system.register("=formula")
        async with system.client("importer") as client:
            await client.post("/api/v1/usage/hits", json=visit("roads", 1))
            await system.settle()
            headers = {"Accept": "text/csv"}
            answer = await client.get("/api/v1/usage/report", headers=headers)
            page = await client.get("/api/v1/usage/report", headers=headers, params={"limit": 1})
        rows = {row["title"]: row for row in csv.DictReader(io.StringIO(answer.text))}
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert (rows["Roads"]["views"], rows["Schools"]["views"]) == ("1", "0")
        assert rows["Roads"]["data_type"] == "Dataset"
        assert "'=formula" in rows
        assert page.headers["Link"].endswith('rel="next"')

    @pytest.mark.parametrize(
        "params",
        [
            {"from": "2026-03-02", "to": "2026-03-01"},
            {"from": "2020-01-01"},
            {"from": "9999-12-31", "to": "9999-12-31"},
            {"to": "0001-01-01"},
            {"from": "yesterday"},
            {"granularity": "minute"},
        ],
        ids=str,
    )
    async def test_a_range_that_cannot_be_used_is_told_with_its_cure(
        self, system: UsageSystem, params: dict[str, str]
    ) -> None:
        async with system.client() as client:
            path = f"/api/v1/usage/datasets/{dataset_id('roads')}"
            answer = await client.get(path, params=params)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["cure"]
