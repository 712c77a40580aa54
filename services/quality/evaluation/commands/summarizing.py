"""The first look at many datasets becomes one summary per steward."""

from services.quality.evaluation.commands.context import EvaluationContext
from services.quality.evaluation.domain.baseline import BaselineMeasurement, summarize_baseline
from services.quality.evaluation.domain.payloads import baseline_measurement, baseline_notice
from shared.events.registry import BASELINE_SUMMARISED
from shared.store.chunks import chunks
from shared.store.engine import Store

__all__ = ["summarize_first_harvests"]

DATASETS_AT_ONCE_MAX = 1_000


async def summarize_first_harvests(store: Store, context: EvaluationContext) -> int:
    """Tell each steward once what a first harvest brought; return how many harvests were summarized.

    A harvest with datasets that never arrive is summarized after ``baseline_wait`` with those that did.
    """
    now = context.clock.now()
    async with store.unit_of_work() as work:
        ready = await context.harvests.ready(work, waited_since=now - context.baseline_wait)
        for harvest in ready:
            dataset_ids = await context.harvests.dataset_ids(work, harvest.harvest_id)
            measured: list[BaselineMeasurement] = []
            for ids in chunks(dataset_ids, DATASETS_AT_ONCE_MAX):
                part = await context.qualities.of(work, ids)
                measured += [
                    baseline_measurement(quality, None, now, context.calendar) for quality in part.values()
                ]
            for summary in summarize_baseline(measured):
                notice = baseline_notice(harvest.harvest_id, summary)
                work.emit(
                    BASELINE_SUMMARISED,
                    notice,
                    subject=str(notice.notice_id),
                    event_id=str(notice.notice_id),
                )
            await context.harvests.mark_summarized(work, harvest.harvest_id)
    return len(ready)
