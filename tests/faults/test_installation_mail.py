"""The mail server of a whole Nutmeg down, refusing and slow: nothing waits for it, and no message is lost."""

import asyncio
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from shared.clock import SimulatedClock
from shared.events.envelope import decode
from shared.events.registry import DELIVERY_DEAD, DELIVERY_DEFERRED, DELIVERY_SENT
from shared.log.port import TopicPartition
from tests.support.host_in_process import RunningHost, feed_of, run_host
from tests.support.installation import free_port
from tests.support.mail_server import run_mail_server

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

STEWARDS = 3
AGENCIES = "code,name\nROADS,Department of Roads\n"
STEWARDSHIPS = "identifier,agency_code,steward_email\n" + "".join(
    f"d{number},ROADS,steward{number}@example.gov\n" for number in range(STEWARDS)
)
FIRST_WAIT = timedelta(seconds=40)
LATER_WAIT = timedelta(minutes=6)


async def test_a_mail_server_that_is_down_then_refuses_then_is_slow_costs_only_time(
    tmp_path: Path, clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    for name, value in (
        ("SMTP_HOST", "127.0.0.1"),
        ("SMTP_PORT", str(port)),
        ("SMTP_TIMEOUT_SECONDS", "5"),
        ("POLL_SECONDS", "0.05"),
    ):
        monkeypatch.setenv(f"NUTMEG_NOTIFY_{name}", value)
    async with run_host(tmp_path / "data", clock=clock) as running:
        with run_mail_server(port) as server:
            await running.import_csv("agencies", AGENCIES)
            await running.import_csv("stewardships", STEWARDSHIPS)
            await running.idle()
            names = [f"d{number}" for number in range(STEWARDS)]
            await running.harvest(feed_of(*names, accessLevel="restricted public", rights="Ask."))
            await running.idle()
            # Each steward has a summary of the first harvest, and so has the chief data officer.
            assert len(server.accepted) == STEWARDS + 1
        summaries = {("sent", 1): STEWARDS + 1}

        await ask_for_each(running)
        await running.idle()
        assert await deliveries(running) == summaries | {("deferred", 1): STEWARDS}
        await assert_nothing_waits(running)

        with run_mail_server(port) as server:
            server.answers = ["550 nobody here", "451 not now"]
            await move(running, clock, FIRST_WAIT, attempts=3 * STEWARDS + 1)
            answered = summaries | {("dead", 2): 1, ("sent", 2): 1}
            assert await deliveries(running) == answered | {("deferred", 2): 1}

            server.delay_seconds = 3_600
            await move(running, clock, LATER_WAIT, attempts=3 * STEWARDS + 2)
            assert await deliveries(running) == answered | {("deferred", 3): 1}
            await assert_nothing_waits(running)

            server.delay_seconds = 0
            await move(running, clock, LATER_WAIT, attempts=3 * STEWARDS + 3)
            await running.idle()
            copies = Counter(message["Message-ID"] for message in server.accepted)
        assert await deliveries(running) == answered | {("sent", 4): 1}
        # What the slow server took and did not say in time it got again, and could tell by the id.
        assert sorted(copies.values()) == [1, 2]
        assert await told(running) == {
            DELIVERY_DEFERRED.name: STEWARDS + 2,
            DELIVERY_DEAD.name: 1,
            DELIVERY_SENT.name: STEWARDS + 3,
        }


async def ask_for_each(running: RunningHost) -> None:
    for dataset_id in (await running.dataset_ids()).values():
        wish = {"dataset_id": dataset_id, "purpose": "To study roads.", "data_wanted": "All rows."}
        answer = await running.client.post("/api/v1/sharing-requests", json=wish)
        assert answer.status_code == 201, answer.text


async def assert_nothing_waits(running: RunningHost) -> None:
    """The inboxes have their lines, and neither events nor requests are held up."""
    ((lines,),) = await running.rows(
        "notify",
        "SELECT COUNT(*) FROM inbox_entries JOIN inbox_items USING (item_id) WHERE kind LIKE 'sharing%'",
    )
    assert lines == STEWARDS
    status = (await running.client.get("/api/v1/ops/status")).json()
    assert {one["lag_records"] for one in status["consumers"]} == {0}
    assert {one["records"] for one in status["outboxes"]} == {0}
    assert (await running.client.get("/readyz")).json()["status"] == "ok"


async def deliveries(running: RunningHost) -> dict[tuple[str, int], int]:
    """How many messages stand where, by state and attempts."""
    rows = await running.rows(
        "notify", "SELECT state, attempts, COUNT(*) FROM deliveries GROUP BY state, attempts"
    )
    return {(state, attempts): count for state, attempts, count in rows}


async def move(running: RunningHost, clock: SimulatedClock, by: timedelta, *, attempts: int) -> None:
    """Move the clock, and wait until all messages together were tried so often."""
    clock.advance(by)
    async with asyncio.timeout(120):
        while await attempts_made(running) != attempts:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.05)


async def attempts_made(running: RunningHost) -> int:
    ((total,),) = await running.rows("notify", "SELECT SUM(attempts) FROM deliveries")
    return int(total)


async def told(running: RunningHost) -> Counter[str]:
    """Events on ``notify.deliveries``, by type."""
    place = TopicPartition(DELIVERY_SENT.topic.name, 0)
    records = await running.host.log.read(place, from_offset=0, records_max=1_000)
    return Counter(decode(record.headers, record.value).type for record in records)
