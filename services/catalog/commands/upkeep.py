"""What is due as time goes by: old uses, retired keys, old lines of the changes feed, left-over feeds."""

from datetime import timedelta

from services.catalog.commands.editing import end_retired, review_use
from services.catalog.ports import CatalogPorts, FeedShelf
from shared.store.engine import Store

__all__ = ["Upkeep"]

DELIVERIES_KEPT = timedelta(days=30)
"""As long as the topic keeps them: an alert that is told late still finds who was notified."""


class Upkeep:
    """Recurring work; ``changes_kept`` is how long the changes feed can be read back."""

    def __init__(self, store: Store, ports: CatalogPorts, feeds: FeedShelf, changes_kept: timedelta) -> None:
        self._store = store
        self._ports = ports
        self._feeds = feeds
        self._changes_kept = changes_kept

    async def run_once(self) -> int:
        """Do all of it; return how many retired keys were ended, as there may be more."""
        await self._feeds.prune(await self._ports.harvests.awaited())
        async with self._store.unit_of_work() as work:
            await review_use(work, self._ports)
            await self._ports.changes.prune(work, work.clock.now() - self._changes_kept)
            await self._ports.insights.prune_deliveries(work, work.clock.now() - DELIVERIES_KEPT)
            return await end_retired(work, self._ports)

    async def pending(self) -> int:
        """Nobody waits for it."""
        return 0
