"""Who is looked at, and what a use that cannot be judged does to the others."""

from datetime import date, timedelta
from typing import Any

import pytest

from services.usage.anomalies import commands, repository
from services.usage.anomalies.commands import JUDGED_AGAIN_AFTER, detect_anomalies
from services.usage.anomalies.domain.signals import signals
from shared.clock import SimulatedClock
from shared.events.alerts import AlertOpened
from tests.services.usage.usage_system import UsageSystem, dataset_id, visit

NAMES = ("roads", "schools", "forests", "bridges", "ferries")


@pytest.mark.parametrize("page", [1, 2, 100])
async def test_what_others_look_at_does_not_hide_what_is_wanted(
    system: UsageSystem, clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(repository, "DUE_PER_PAGE", page)
    async with system.usage.service.store.unit_of_work() as work:
        for number, name in enumerate(NAMES):
            moment = clock.now() - timedelta(minutes=number // 2)
            await system.usage.context.detection.monitor.begin(
                work, {dataset_id(name): date(2026, 1, 1)}, due_at=moment
            )
        everyone = await system.usage.context.detection.monitor.due(work, now=clock.now(), rows_max=10)
        assert {one.dataset_id for one in everyone} == {dataset_id(name) for name in NAMES}
        wanted = {dataset_id("roads"), dataset_id("ferries")}
        found = await system.usage.context.detection.monitor.due(
            work, now=clock.now(), rows_max=10, is_wanted=wanted.__contains__
        )
        assert [one.dataset_id for one in found] == [dataset_id("ferries"), dataset_id("roads")]
        (first,) = await system.usage.context.detection.monitor.due(
            work, now=clock.now(), rows_max=1, is_wanted=wanted.__contains__
        )
        assert first.dataset_id == dataset_id("ferries")
        assert not await system.usage.context.detection.monitor.due(
            work, now=clock.now(), rows_max=10, is_wanted=lambda _: False
        )


async def test_uses_that_cannot_be_judged_hold_up_no_other_and_are_looked_at_again(
    system: UsageSystem, clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = 1

    def failing_first(uses: Any, **more: Any) -> Any:
        nonlocal failures
        if sum(uses.values()) > 200 and failures:
            failures -= 1
            raise ZeroDivisionError("a bug in the rules")
        return signals(uses, **more)

    monkeypatch.setattr(commands, "signals", failing_first)
    hits = [
        visit(name, number, -days_ago * 86_400)
        for name in ("roads", "schools")
        for days_ago in range(2, 22)
        for number in range(5)
    ]
    hits += [visit("roads", number, -86_400) for number in range(130)]
    hits += [visit("schools", number, -86_400) for number in range(60)]
    async with system.client("importer") as client:
        await client.post("/api/v1/usage/hits:batch", json={"hits": hits})
    await system.settle()
    told = [event.payload(AlertOpened).alert.dataset_title for event in await system.events("usage.alerts")]
    assert told == ["Schools"]
    work_failures = system.metrics.value("nutmeg_work_failures_total", service="usage", work="usage.watch")
    assert work_failures == 1
    clock.advance(JUDGED_AGAIN_AFTER)
    await system.settle()
    told = [event.payload(AlertOpened).alert.dataset_title for event in await system.events("usage.alerts")]
    assert told == ["Schools", "Roads"]
    async with system.usage.service.store.unit_of_work() as work:
        assert await detect_anomalies(work, system.usage.context.detection) == 0
