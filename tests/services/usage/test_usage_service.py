"""Usage as it runs: hits by HTTP, counts through the real log, rollups, alerts and what may be read."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from sqlalchemy import select, text

from services.usage.migrations.tables import DELIVERY, METADATA, VISITOR_SALTS
from shared.clock import SimulatedClock
from shared.events.alerts import AlertChanged, AlertOpened, AlertResolved
from shared.events.usage import HitRecorded, RollupUpdated
from shared.log.port import OutgoingRecord, TopicPartition
from tests.services.usage.usage_system import (
    AGENCY,
    OTHER_AGENCY,
    TAKER,
    UsageSystem,
    dataset_id,
    running,
    visit,
)

DAY = datetime(2026, 3, 2, tzinfo=UTC)


async def test_three_thousand_hits_posted_twice_and_delivered_again_are_counted_once(
    system: UsageSystem,
) -> None:
    # 100 visitors, 10 rounds 100 s apart on two datasets: 20 views each; each download is clicked twice.
    hits = [
        hit
        for number in range(100)
        for turn in range(10)
        for hit in (
            visit("roads", number, turn * 100),
            visit("schools", number, turn * 100, "download"),
            visit("schools", number, turn * 100 + 29, "download"),
        )
    ]
    assert len(hits) == 3_000
    batches = [{"hits": hits[start : start + 1_000]} for start in (0, 1_000, 2_000)]
    async with system.client("importer") as client:
        for result in ("accepted", "duplicate"):
            for batch in batches:
                answer = await client.post("/api/v1/usage/hits:batch", json=batch)
                assert (answer.status_code, answer.json()[result]) == (202, 1_000)
    await system.settle()
    records = await system.log.read(TopicPartition("usage.hits", 0), from_offset=0, records_max=10_000)
    assert len(records) == 3_000
    again = [
        OutgoingRecord(one.topic, one.key, one.key, one.headers, one.value)
        for one in (*records[1_500:], *records[:1_500])
    ]
    await system.log.publish(again)
    await system.settle()
    days = await system.rollups()
    roads, schools = days[dataset_id("roads"), DAY], days[dataset_id("schools"), DAY]
    assert (roads.views, roads.total_item_investigations, roads.unique_item_investigations) == (
        1_000,
        1_000,
        100,
    )
    assert (schools.downloads, schools.total_item_requests, schools.unique_item_requests) == (
        1_000,
        1_000,
        100,
    )
    hours = await system.rollups("hour")
    assert sum(row.views for row in hours.values()) == 1_000
    assert system.metrics.value("nutmeg_usage_hits_total", kind="view", result="counted") == 1_000
    assert system.metrics.value("nutmeg_usage_hits_total", kind="download", result="duplicate") == 2_000


async def test_the_last_rollup_of_each_window_tells_the_absolute_counts(system: UsageSystem) -> None:
    async with system.client("importer") as client:
        for number in range(3):
            await client.post("/api/v1/usage/hits", json=visit("roads", number))
    await system.settle()
    latest = {}
    for event in await system.events("usage.rollups"):
        assert event.subjectversion is not None
        latest[event.subject] = (event.subjectversion, event.payload(RollupUpdated).rollup.views)
    roads = dataset_id("roads")
    assert {key: views for key, (_, views) in latest.items()} == {
        f"{roads}/day/2026-03-02": 3,
        f"{roads}/hour/2026-03-02T08Z": 3,
    }


async def test_a_restart_goes_on_where_it_was(tmp_path: Path, clock: SimulatedClock) -> None:
    async with running(tmp_path, clock) as first:
        await first.register("roads")
        async with first.client() as client:
            await client.post(
                "/api/v1/usage/hits", json={"dataset_id": str(dataset_id("roads")), "kind": "view"}
            )
        await first.settle()
    clock.advance(timedelta(seconds=10))
    async with running(tmp_path, clock) as second:
        async with second.client() as client:
            await client.post(
                "/api/v1/usage/hits", json={"dataset_id": str(dataset_id("roads")), "kind": "view"}
            )
        await second.settle()
        ((_, day),) = (await second.rollups()).items()
        # The same visitor 10 s later, before and after the restart: a double click.
        assert day.views == 1


class TestTakingHits:
    async def test_a_person_s_own_hit_is_taken_by_any_name_of_the_dataset(self, system: UsageSystem) -> None:
        async with system.client() as client:
            for hit in (
                {"dataset_id": str(dataset_id("roads")), "kind": "view"},
                {"identifier": "https://data.example/id/roads", "kind": "download"},
                {"landing_page": "http://data.example/d/roads/", "kind": "api-call"},
            ):
                answer = await client.post("/api/v1/usage/hits", json=hit)
                assert (answer.status_code, answer.json()["result"]) == (202, "accepted")
        await system.settle()
        day = (await system.rollups())[dataset_id("roads"), DAY]
        assert (day.views, day.downloads, day.api_calls) == (1, 1, 1)

    async def test_a_beacon_is_taken_as_plain_text_and_from_other_sites(self, system: UsageSystem) -> None:
        body = f'{{"dataset_id": "{dataset_id("roads")}", "kind": "view"}}'
        headers = {"Content-Type": "text/plain;charset=UTF-8", "Sec-Fetch-Site": "cross-site"}
        async with system.client() as client:
            answer = await client.post("/usage/beacon", content=body, headers=headers)
            assert answer.status_code == 204
            broken = await client.post("/usage/beacon", content="view", headers=headers)
        assert broken.status_code == 422
        await system.settle()
        assert (await system.rollups())[dataset_id("roads"), DAY].views == 1

    async def test_hidden_and_unknown_datasets_are_rejected_in_the_same_words(
        self, system: UsageSystem
    ) -> None:
        await system.register("secrets", visibility="agency", agency=OTHER_AGENCY)
        hits = [
            {"dataset_id": str(dataset_id("secrets")), "kind": "view"},
            {"dataset_id": str(uuid4()), "kind": "view"},
        ]
        async with system.client() as client:
            answer = (await client.post("/api/v1/usage/hits:batch", json={"hits": hits})).json()
            single = await client.post("/api/v1/usage/hits", json=hits[0])
        first, second = (item["problems"][0] for item in answer["items"])
        assert first.pop("pointer") == "#/hits/0/dataset_id"
        assert second.pop("pointer") == "#/hits/1/dataset_id"
        assert first == second
        assert (single.status_code, single.json()["errors"][0]["pointer"]) == (422, "#/dataset_id")
        async with system.client() as client:
            for name in (dataset_id("secrets"), uuid4()):
                assert (await client.get(f"/api/v1/usage/datasets/{name}")).status_code == 404
        async with system.client("importer") as client:
            assert (await client.post("/api/v1/usage/hits", json=hits[0])).status_code == 202

    async def test_one_wrong_hit_does_not_spoil_the_others(self, system: UsageSystem) -> None:
        roads = str(dataset_id("roads"))
        hits = [
            {"dataset_id": roads, "kind": "view"},
            {"dataset_id": roads, "kind": "look"},
            {"kind": "view"},
            {"dataset_id": roads, "kind": "view", "occurred_at": "2026-03-02T08:00:00"},
            {"dataset_id": roads, "kind": "view", "colour": "red"},
            "view",
            10**30,
            {"identifier": "\ud800", "kind": "view"},
            {"landing_page": "http://[", "kind": "view"},
        ]
        async with system.client() as client:
            content = json.dumps({"hits": hits})
            answer = (
                await client.post(
                    "/api/v1/usage/hits:batch",
                    content=content,
                    headers={"Content-Type": "application/json"},
                )
            ).json()
        assert (answer["accepted"], answer["rejected"]) == (1, 8)
        problems = [item["problems"][0] for item in answer["items"][1:]]
        assert [problem["pointer"] for problem in problems] == [
            "#/hits/1/kind",
            "#/hits/2",
            "#/hits/3/occurred_at",
            "#/hits/4/colour",
            "#/hits/5",
            "#/hits/6",
            "#/hits/7/identifier",
            "#/hits/8/landing_page",
        ]
        assert problems[0]["cure"] == "Use view, download or api-call."
        assert all(problem["cure"] for problem in problems)

    async def test_only_importers_speak_for_others_or_of_long_ago_or_at_length(
        self, system: UsageSystem
    ) -> None:
        foreign = visit("roads", 1)
        old = {"dataset_id": str(dataset_id("roads")), "kind": "view", "occurred_at": "2026-02-20T08:00:00Z"}
        for who in (None, "steward"):
            async with system.client(who) as client:
                assert (await client.post("/api/v1/usage/hits", json=foreign)).status_code == 403
                assert (await client.post("/api/v1/usage/hits", json=old)).status_code == 422
                many = {"hits": [old] * 101}
                assert (await client.post("/api/v1/usage/hits:batch", json=many)).status_code == 422
        async with system.client("importer") as client:
            assert (await client.post("/api/v1/usage/hits", json=foreign)).status_code == 202
            assert (await client.post("/api/v1/usage/hits", json=old)).status_code == 202

    async def test_an_importer_of_one_agency_speaks_for_that_agency_alone(self, system: UsageSystem) -> None:
        await system.register("forests", agency=OTHER_AGENCY)
        batch = {"hits": [visit("roads", 1), visit("forests", 1)]}
        async with system.client("agency-importer") as client:
            answer = (await client.post("/api/v1/usage/hits:batch", json=batch)).json()
        assert [item["result"] for item in answer["items"]] == ["accepted", "rejected"]

    async def test_a_batch_without_times_or_ids_sent_twice_counts_once(self, system: UsageSystem) -> None:
        batch = {"hits": [{"dataset_id": str(dataset_id("roads")), "kind": "view"}]}
        async with system.client(address="192.0.2.1") as client:
            first = (await client.post("/api/v1/usage/hits:batch", json=batch)).json()
            second = (await client.post("/api/v1/usage/hits:batch", json=batch)).json()
        async with system.client(address="192.0.2.2") as client:
            other = (await client.post("/api/v1/usage/hits:batch", json=batch)).json()
        assert (first["accepted"], second["duplicate"], other["accepted"]) == (1, 1, 1)

    async def test_a_key_gives_the_kept_answer_and_another_key_another_batch(
        self, system: UsageSystem
    ) -> None:
        batch = {"hits": [{"dataset_id": str(dataset_id("roads")), "kind": "view"}]}
        async with system.client("importer") as client:
            answers = [
                await client.post("/api/v1/usage/hits:batch", json=batch, headers={"Idempotency-Key": key})
                for key in ("one", "one", "two")
            ]
        assert [answer.json()["accepted"] for answer in answers] == [1, 1, 1]
        assert answers[1].headers["Idempotent-Replayed"] == "true"
        assert len(await _hits(system)) == 2

    async def test_robots_are_taken_and_not_counted_and_programs_are_counted_apart(
        self, system: UsageSystem
    ) -> None:
        robot = visit("roads", 1) | {"visitor": {"address": "10.0.0.1", "user_agent": "examplebot/1.0"}}
        program = visit("roads", 2, kind="api-call") | {
            "visitor": {"address": "10.0.0.2", "user_agent": "python-requests/2.32"}
        }
        async with system.client("importer") as client:
            await client.post("/api/v1/usage/hits:batch", json={"hits": [robot, program]})
        await system.settle()
        day = (await system.rollups())[dataset_id("roads"), DAY]
        assert (day.views, day.api_calls, day.total_item_requests, day.tdm_item_requests) == (0, 1, 0, 1)
        assert system.metrics.value("nutmeg_usage_hits_total", kind="view", result="robot") == 1


async def _hits(system: UsageSystem) -> list[HitRecorded]:
    await system.settle()
    return [event.payload(HitRecorded) for event in await system.events("usage.hits")]


class TestPrivacy:
    async def test_no_address_and_no_agent_is_kept_anywhere(
        self, system: UsageSystem, tmp_path: Path
    ) -> None:
        await _use_with_marks(system)
        kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        assert str(dataset_id("roads")).encode() in kept
        for mark in (b"198.51.100.77", b"203.0.113.99", b"MarkedAgent", b"marked-session"):
            assert mark not in kept

    async def test_salts_end_with_their_day_and_late_hits_get_another(
        self, system: UsageSystem, clock: SimulatedClock, tmp_path: Path
    ) -> None:
        async with system.client("importer") as client:
            await client.post("/api/v1/usage/hits", json=visit("roads", 1))
        (before,) = await _salts(system)
        is_in_files = any(before in path.read_bytes() for path in tmp_path.rglob("usage.db*"))
        assert is_in_files is not system.usage.service.store.is_shared  # PostgreSQL's files are the server's
        clock.advance(timedelta(days=1))
        await system.settle()
        assert await _salts(system) == []
        assert not any(before in path.read_bytes() for path in tmp_path.rglob("usage.db*"))
        async with system.client("importer") as client:
            await client.post("/api/v1/usage/hits", json=visit("roads", 1, 600))
        (late,) = await _salts(system)
        assert late != before
        first, second = (one.hit for one in await _hits(system))
        assert first.visitor_hash != second.visitor_hash

    async def test_an_import_of_past_days_is_counted_by_the_same_rules(self, system: UsageSystem) -> None:
        week = -7 * 86_400
        batch = {"hits": [visit("roads", 1, week + gap) for gap in (0, 20, 40, 200)]}
        async with system.client("importer") as client:
            await client.post("/api/v1/usage/hits:batch", json=batch)
        await system.settle()
        day = (await system.rollups())[dataset_id("roads"), DAY - timedelta(days=7)]
        assert (day.views, day.unique_item_investigations) == (2, 1)


async def _use_with_marks(system: UsageSystem) -> None:
    roads = {"dataset_id": str(dataset_id("roads")), "kind": "view"}
    visitor = {"address": "203.0.113.99", "user_agent": "MarkedAgent/1", "session": "marked-session"}
    for who, hit in ((None, roads), ("importer", roads | {"visitor": visitor})):
        async with system.client(who, address="198.51.100.77") as client:
            client.headers["User-Agent"] = "Mozilla/5.0 MarkedAgent"
            key = {"Idempotency-Key": "marked"}
            batch = {"hits": [hit]}
            answer = await client.post("/api/v1/usage/hits:batch", json=batch, headers=key)
            assert answer.json()["accepted"] == 1
            assert (await client.post("/api/v1/usage/hits", json=hit)).status_code == 202
    await system.settle()


async def _salts(system: UsageSystem) -> list[bytes]:
    async with system.usage.service.store.read() as connection:
        return list((await connection.execute(select(VISITOR_SALTS.c.salt))).scalars())


class TestAlerts:
    async def test_a_spike_opens_an_alert_once_and_it_resolves_when_the_days_are_over(
        self, system: UsageSystem, clock: SimulatedClock
    ) -> None:
        usual = [
            visit("roads", number, -days_ago * 86_400) for days_ago in range(2, 22) for number in range(5)
        ]
        spike = [visit("roads", number, -86_400) for number in range(60)]
        async with system.client("importer") as client:
            await client.post("/api/v1/usage/hits:batch", json={"hits": usual})
            await system.settle()
            assert await system.events("usage.alerts") == []
            await client.post("/api/v1/usage/hits:batch", json={"hits": spike})
            await client.post("/api/v1/usage/hits:batch", json={"hits": [visit("roads", 1, -86_300)]})
            await system.settle()
        (opened,) = [event.payload(AlertOpened).alert for event in await system.events("usage.alerts")]
        assert (opened.kind, opened.dataset_title, opened.agency_id) == ("use-spiked", "Roads", AGENCY)
        clock.advance(timedelta(days=2))
        await system.settle()
        _, resolved = await system.events("usage.alerts")
        assert resolved.payload(AlertResolved).alert.alert_id == opened.alert_id
        assert resolved.subjectversion == 2
        assert (
            system.metrics.value("nutmeg_alerts_total", service="usage", kind="use-spiked", change="opened")
            == 1
        )

    async def test_an_alert_that_somebody_took_says_so_once_and_is_still_resolved(
        self, system: UsageSystem
    ) -> None:
        usual = [
            visit("roads", number, -days_ago * 86_400) for days_ago in range(5, 25) for number in range(5)
        ]
        others = [visit("schools", 1, -days_ago * 86_400) for days_ago in range(25)]
        async with system.client("importer") as client:
            await client.post("/api/v1/usage/hits:batch", json={"hits": usual + others})
            await system.settle()
            (opened,) = [event.payload(AlertOpened).alert for event in await system.events("usage.alerts")]
            await system.acknowledge(opened.alert_id, "roads")
            await system.acknowledge(opened.alert_id, "roads")
            await system.acknowledge(uuid4(), "roads")
            (_, told) = await system.events("usage.alerts")
            taken = told.payload(AlertChanged)
            assert (taken.change, taken.alert.state, told.subjectversion) == (
                "acknowledged",
                "acknowledged",
                2,
            )
            assert taken.alert.acknowledged_by == TAKER
            assert taken.alert.acknowledged_at is not None
            await system.retire("roads")
        *_, over = await system.events("usage.alerts")
        assert (over.payload(AlertResolved).alert.acknowledged_by, over.subjectversion) == (TAKER, 3)

    async def test_a_retired_dataset_has_no_open_alerts_and_takes_no_hits(
        self, system: UsageSystem, clock: SimulatedClock
    ) -> None:
        usual = [
            visit("roads", number, -days_ago * 86_400) for days_ago in range(5, 25) for number in range(5)
        ]
        others = [visit("schools", 1, -days_ago * 86_400) for days_ago in range(25)]
        async with system.client("importer") as client:
            await client.post("/api/v1/usage/hits:batch", json={"hits": usual + others})
            await system.settle()
            (opened,) = await system.events("usage.alerts")
            assert opened.payload(AlertOpened).alert.kind == "use-silent"
            await system.retire("roads")
            assert (await client.post("/api/v1/usage/hits", json=visit("roads", 1))).status_code == 422
        assert [event.type.split(".")[3] for event in await system.events("usage.alerts")] == [
            "opened",
            "resolved",
        ]
        clock.advance(timedelta(days=91))
        (pruning,) = [work for work in system.usage.service.works if work.name == "usage.prune"]
        assert await pruning.run_once() > 0
        await system.settle()
        assert (await system.events("usage.alerts"))[-1].data is None


async def test_what_has_served_its_purpose_is_deleted_and_daily_counts_stay(
    system: UsageSystem, clock: SimulatedClock
) -> None:
    async with system.client("importer") as client:
        await client.post("/api/v1/usage/hits", json=visit("roads", 1))
    await system.settle()
    clock.advance(timedelta(days=401))
    (pruning,) = [work for work in system.usage.service.works if work.name == "usage.prune"]
    while await pruning.run_once():
        continue
    await system.settle()
    await system.runner.relay.prune()
    assert (await system.rollups("hour"), len(await system.rollups("day"))) == ({}, 1)
    kept = {"rollups", "counted_days", "watched_datasets", "known_datasets", "dataset_names", "principals"}
    kept |= {
        DELIVERY.log_marks.name,
        DELIVERY.applied_versions.name,
        DELIVERY.handled_offsets.name,
        DELIVERY.store_notes.name,
    }
    async with system.usage.service.store.read() as connection:
        for table in METADATA.tables.values():
            count = (await connection.execute(text(f"SELECT count(*) FROM {table.name}"))).scalar_one()
            assert (table.name, bool(count)) == (table.name, table.name in kept)
