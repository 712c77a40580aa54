"""What is due on datasets as time goes by: uses that grow old, keys of retired datasets, old deliveries."""

from datetime import timedelta

from services.catalog.datasets.commands.context import DatasetContext
from services.catalog.datasets.commands.editing import end_retired, review_use
from shared.store.engine import Store

__all__ = ["DatasetUpkeep"]

DELIVERIES_KEPT = timedelta(days=30)
"""As long as the topic keeps them: an alert that is told late still finds who was notified."""


class DatasetUpkeep:
    """Recurring work."""

    def __init__(self, store: Store, context: DatasetContext) -> None:
        self._store = store
        self._context = context

    async def run_once(self) -> int:
        """Do all of it; return how many retired keys were ended, as there may be more."""
        async with self._store.unit_of_work() as work:
            await review_use(work, self._context)
            await self._context.insights.prune_deliveries(work, work.clock.now() - DELIVERIES_KEPT)
            return await end_retired(work, self._context)

    async def pending(self) -> int:
        """Nobody waits for it."""
        return 0
