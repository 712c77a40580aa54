"""The first look at many datasets becomes one summary per steward."""

from services.quality.domain.baseline import BaselineMeasurement, summarise_baseline
from services.quality.domain.telling import baseline_measurement, baseline_notice
from services.quality.ports import QualityPorts
from shared.events.registry import BASELINE_SUMMARISED
from shared.store.engine import Store

__all__ = ["summarise_first_harvests"]

DATASETS_AT_ONCE_MAX = 1_000


async def summarise_first_harvests(store: Store, ports: QualityPorts) -> int:
    """Tell each steward once what a first harvest brought; return how many harvests were summarised.

    A harvest with datasets that never arrive is summarised after ``baseline_wait`` with those that did.
    """
    now = ports.clock.now()
    async with store.unit_of_work() as work:
        ready = await ports.harvests.ready(work, waited_since=now - ports.baseline_wait)
        for harvest in ready:
            dataset_ids = await ports.harvests.dataset_ids(work, harvest.harvest_id)
            measured: list[BaselineMeasurement] = []
            for start in range(0, len(dataset_ids), DATASETS_AT_ONCE_MAX):
                part = await ports.standings.of(work, dataset_ids[start : start + DATASETS_AT_ONCE_MAX])
                measured += [
                    baseline_measurement(standing, None, now, ports.calendar) for standing in part.values()
                ]
            for summary in summarise_baseline(measured):
                notice = baseline_notice(harvest.harvest_id, summary)
                work.emit(
                    BASELINE_SUMMARISED,
                    notice,
                    subject=str(notice.notice_id),
                    event_id=str(notice.notice_id),
                )
            await ports.harvests.mark_summarised(work, harvest.harvest_id)
    return len(ready)
