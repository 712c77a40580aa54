"""Operators see what waits for what: page, API, metrics, in one process and over a cluster's databases."""

from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

from shared.clock import SimulatedClock
from shared.events.alerts import AlertOpened, AlertState
from shared.events.envelope import encode, new_event
from shared.events.registry import QUALITY_ALERT_OPENED
from shared.log.port import OutgoingRecord
from tests.services.host.test_cluster_pages import operators_of
from tests.support.host_in_process import RunningHost, run_host
from tests.support.log_bench import until

ROUTING = "notify.routing"


async def raise_alert(running: RunningHost, dataset_id: UUID) -> UUID:
    """Put an alert on the log whose dataset nobody knows."""
    now, alert_id = running.host.clock.now(), uuid4()
    alert = AlertState(
        alert_id=alert_id,
        dataset_id=dataset_id,
        dataset_title="Nobody's dataset",
        kind="link-broken",
        severity="error",
        state="open",
        cause="The file is gone.",
        next_act="Put it back.",
        opened_at=now,
        changed_at=now,
    )
    event = new_event(
        QUALITY_ALERT_OPENED, AlertOpened(alert=alert), subject=str(alert_id), subjectversion=1, time=now
    )
    headers, value = encode(event)
    await running.host.log.publish(
        [OutgoingRecord("quality.alerts", str(alert_id), str(dataset_id), headers, value)]
    )
    return alert_id


async def test_operators_see_who_waits_for_what_and_since_when(tmp_path: Path, clock: SimulatedClock) -> None:
    dataset_id = uuid4()
    async with run_host(tmp_path / "data", clock=clock) as running:
        before = (await running.client.get("/ops")).text
        assert "Waiting for data</h2>" not in before
        alert_id = await raise_alert(running, dataset_id)

        async def routing() -> int:
            status = (await running.client.get("/api/v1/ops/status")).json()
            (found,) = [one for one in status["consumers"] if one["group"] == ROUTING]
            return int(found["waiting_records"])

        async def is_waiting() -> bool:
            return await routing() == 1

        await until(is_waiting)
        status = (await running.client.get("/api/v1/ops/status")).json()
        (record,) = status["waiting"]
        assert (record["group"], record["key"]) == (ROUTING, str(alert_id))
        assert record["waits_for"] == f"dataset {dataset_id}"
        assert all(one["state"] == "running" for one in status["consumers"])
        page = (await running.client.get("/ops")).text
        assert f"dataset {dataset_id}" in page
        metrics = (await running.client.get("/metrics")).text
        assert f'nutmeg_waiting_records{{group="{ROUTING}"}}' in metrics
        async with operators_of(running) as operators:
            outside = (await operators.get("/api/v1/ops/status")).json()
            assert outside["waiting"] == status["waiting"]
            assert f"dataset {dataset_id}" in (await operators.get("/ops")).text
        clock.advance(timedelta(minutes=20))

        async def is_over() -> bool:
            return await routing() == 0

        await until(is_over)
