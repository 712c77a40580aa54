"""Parts of a whole Nutmeg broken on purpose: what is held up, what is told, and the exact counts after it."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import pytest

from services.host import bootstrap as host_bootstrap
from services.host.operations.observed_log import ObservedLog
from services.usage.handlers import COUNTING_HANDLERS, UsageContext
from shared.clock import Clock
from shared.consuming.handling import Answer
from shared.errors import TransientError
from shared.events.envelope import Event
from shared.events.registry import DATASET_REGISTERED, HIT_RECORDED
from shared.events.topics import DEAD_LETTER_SUFFIX, GROUPS
from shared.log.port import EventLog, OutgoingRecord
from shared.store.unit_of_work import UnitOfWork
from tests.support.faulty_log import FaultyLog
from tests.support.host_in_process import RunningHost, feed_of, run_host

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

READERS = sorted(group.name for group in GROUPS.values() if "catalog.datasets" in group.topics)
HITS = 1_000


def hit_id(number: int) -> UUID:
    return uuid5(NAMESPACE_URL, f"hit {number}")


def hits(ids: Sequence[str], count: int, *, moment: datetime | None = None) -> list[dict[str, Any]]:
    """So many views, each by another visitor, spread evenly over the datasets."""
    at = (moment or datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    return [
        {
            "dataset_id": ids[number % len(ids)],
            "hit_id": str(hit_id(number)),
            "kind": "view",
            "occurred_at": at,
            "visitor": {"address": f"visitor {number}", "user_agent": "Mozilla/5.0 Firefox/132.0"},
        }
        for number in range(count)
    ]


async def views(running: RunningHost) -> int:
    ((total,),) = await running.rows("usage", "SELECT SUM(views) FROM rollups WHERE granularity = 'day'")
    ((told,),) = await running.rows("catalog", "SELECT SUM(views) FROM usage_daily")
    assert told == total, "the catalogue heard of other counts"
    return int(total or 0)


async def test_a_handler_that_fails_on_one_record_in_a_hundred_loses_none_and_its_replay_repeats_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = {str(hit_id(number)) for number in range(7, HITS, 100)}
    is_broken = True
    count_hits = COUNTING_HANDLERS[HIT_RECORDED.name]

    async def fail_on_some(
        batch: Sequence[Event], work: UnitOfWork, context: UsageContext
    ) -> Sequence[Answer] | None:
        # The transaction is half done when it fails: nothing of it may stay.
        outcomes = await count_hits(batch, work, context)
        if is_broken and any(event.subject in bad for event in batch):
            raise RuntimeError("this handler has a fault")
        return outcomes

    monkeypatch.setitem(COUNTING_HANDLERS, HIT_RECORDED.name, fail_on_some)
    async with run_host(tmp_path / "data") as running:
        await running.harvest(feed_of(*(f"d{number}" for number in range(10))))
        await running.idle()
        ids = sorted((await running.dataset_ids()).values())
        answer = await running.client.post("/api/v1/usage/hits:batch", json={"hits": hits(ids, HITS)})
        assert answer.json()["accepted"] == HITS
        await running.idle()
        letters = await running.dead_letters()
        assert {letter["key"] for letter in letters} == bad
        assert len(letters) == len(bad) == HITS // 100
        assert {(letter["group"], letter["reason"]) for letter in letters} == {("usage.counting", "failed")}
        assert await views(running) == HITS - len(bad)
        assert (await running.client.get("/readyz")).json()["status"] == "ok"

        is_broken = False
        asked = await running.client.post("/api/v1/ops/dead-letters/replay", json={})
        assert len(asked.json()["requested"]) == len(bad)
        await running.idle()
        assert await views(running) == HITS
        assert {letter["state"] for letter in await running.dead_letters()} == {"replayed"}

        again = {"ids": asked.json()["requested"]}
        await running.client.post("/api/v1/ops/dead-letters/replay", json=again)
        await running.idle()
        assert await views(running) == HITS


def poison(number: int, value: bytes) -> OutgoingRecord:
    key = str(uuid5(NAMESPACE_URL, f"poison {number}"))
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", key.encode()),
        ("ce_type", DATASET_REGISTERED.name.encode()),
        ("ce_source", DATASET_REGISTERED.source.encode()),
        ("ce_subject", key.encode()),
        ("ce_time", b"2026-03-02T09:00:00Z"),
        ("ce_subjectversion", b"1"),
    ]
    return OutgoingRecord("catalog.datasets", key, key, headers if number else [], value)


POISONS = [poison(0, b"no headers"), poison(1, b"\xff\x00 no JSON"), poison(2, b'{"dataset": {"title": 7}}')]


async def test_poison_among_the_datasets_is_put_aside_by_each_group_and_what_follows_is_handled(
    tmp_path: Path,
) -> None:
    async with run_host(tmp_path / "data") as running:
        await running.harvest(feed_of("before"), "a")
        await running.host.log.publish(POISONS)
        await running.harvest(feed_of("after"), "b")
        await running.idle()
        assert (await running.client.get("/readyz")).json()["status"] == "ok"
        assert_put_aside_once_by_each(await running.dead_letters())
        letters = (await running.host.dead_letters.list(limit=100)).items
        assert {view.letter.source.value for view in letters} == {record.value for record in POISONS}
        await assert_known_everywhere(running, "before", "after")


def assert_put_aside_once_by_each(letters: Sequence[dict[str, Any]]) -> None:
    found = Counter((letter["group"], letter["key"], letter["reason"]) for letter in letters)
    assert found == Counter((group, record.key, "invalid") for group in READERS for record in POISONS)


async def assert_known_everywhere(running: RunningHost, *titles: str) -> None:
    """Hold every service's own copy of the catalogue to these titles."""
    assert sorted(await running.dataset_ids()) == sorted(titles)
    ids = set((await running.dataset_ids()).values())
    for service, statement in (
        ("governance", "SELECT dataset_id FROM known_datasets"),
        ("usage", "SELECT dataset_id FROM known_datasets"),
        ("notify", "SELECT dataset_id FROM known_datasets"),
        ("quality", "SELECT dataset_id FROM dataset_quality"),
        ("catalog", f"SELECT subject FROM changes WHERE event_type = '{DATASET_REGISTERED.name}'"),
    ):
        rows = [str(UUID(row[0])) for row in await running.rows(service, statement)]
        assert sorted(rows) == sorted(ids), service


async def test_without_room_for_dead_letters_consumers_stop_say_so_and_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty: list[FaultyLog] = []

    def observe(log: EventLog, clock: Clock) -> ObservedLog:
        faulty.append(FaultyLog(log))
        return ObservedLog(faulty[0], clock)

    def refuse_dead_letters(records: Sequence[OutgoingRecord]) -> None:
        if any(record.topic.endswith(DEAD_LETTER_SUFFIX) for record in records):
            raise TransientError("no space left")

    monkeypatch.setattr(host_bootstrap, "ObservedLog", observe)
    async with run_host(tmp_path / "data") as running:
        await running.harvest(feed_of("before"), "a")
        await running.idle()
        faulty[0].before_publish = refuse_dead_letters
        await running.host.log.publish(POISONS)
        await until(lambda: all_have_stopped(running))
        # Pages are served from what is known so far, and the cause is told beside.
        answer = await running.client.get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
        assert (await running.client.get("/")).status_code == 200
        for group in READERS:
            (cause,) = [cause for cause in answer.json()["causes"] if group in cause]
            assert "no space left" in cause
            assert "catalog.datasets/0@" in cause
        status = (await running.client.get("/api/v1/ops/status")).json()
        assert status["status"] == "attention"
        # What does not read that topic goes on: datasets are still taken in and found.
        await running.harvest(feed_of("after"), "b")
        await until(lambda: are_found(running, "after", "before"))
        assert await all_have_stopped(running)
        assert await running.dead_letters() == []

        # An operator starts one too early: it stops again at the same record.
        await start_again(running, READERS[0])
        await until(lambda: all_have_stopped(running))
        faulty[0].before_publish = lambda _records: None
        # One need not wait for its next look, the others go on by themselves.
        await start_again(running, READERS[0])
        await until(lambda: none_has_stopped(running))
        await running.idle()
        assert (await running.client.get("/readyz")).json()["status"] == "ok"
        assert_put_aside_once_by_each(await running.dead_letters())
        await assert_known_everywhere(running, "before", "after")


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(120):
        while not await condition():  # noqa: ASYNC110 - it is looked at from outside, as an operator does
            await asyncio.sleep(0.05)


async def all_have_stopped(running: RunningHost) -> bool:
    found = (await running.client.get("/api/v1/ops/status")).json()["consumers"]
    return sorted(one["group"] for one in found if one["state"] == "stopped") == READERS


async def none_has_stopped(running: RunningHost) -> bool:
    found = (await running.client.get("/api/v1/ops/status")).json()["consumers"]
    return all(one["state"] == "running" for one in found)


async def are_found(running: RunningHost, *titles: str) -> bool:
    return sorted(await running.dataset_ids()) == sorted(titles)


async def start_again(running: RunningHost, group: str) -> None:
    answer = await running.client.post(f"/api/v1/ops/consumers/{group}/restart")
    assert answer.status_code == 204, answer.text


async def test_a_batch_of_hits_that_is_sent_again_counts_once(tmp_path: Path) -> None:
    async with run_host(tmp_path / "data") as running:
        await running.harvest(feed_of("d0", "d1"))
        await running.idle()
        ids = sorted((await running.dataset_ids()).values())
        batch = [{name: value for name, value in hit.items() if name != "hit_id"} for hit in hits(ids, 50)]

        async def post(key: str | None) -> tuple[int, dict[str, Any]]:
            headers = {"Idempotency-Key": key} if key else {}
            answer = await running.client.post(
                "/api/v1/usage/hits:batch", json={"hits": batch}, headers=headers
            )
            return answer.status_code, answer.json()

        at_once = await asyncio.gather(*(post("one") for _ in range(5)))
        assert {status for status, _ in at_once} <= {202, 409}
        taken = [answer for status, answer in at_once if status == 202]
        assert taken
        assert (taken[0]["accepted"], taken[0]["duplicate"]) == (50, 0)
        _, replayed = await post("one")
        assert all(answer == replayed for answer in taken)
        await running.idle()
        assert await views(running) == 50

        # Without a key, a hit is known by its time, its visitor and its place in the batch.
        _, first = await post(None)
        _, second = await post(None)
        assert (first["duplicate"], second["accepted"], second["duplicate"]) == (0, 0, 50)
        await running.idle()
        # The same visitors at the same moments as under the key: to the counter these are double clicks.
        assert await views(running) == 50
