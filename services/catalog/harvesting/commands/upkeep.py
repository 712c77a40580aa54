"""Forgets feeds that no harvest waits for."""

from services.catalog.harvesting.domain.feeds import FeedStorage
from services.catalog.harvesting.repository import HarvestRepository

__all__ = ["FeedUpkeep"]


class FeedUpkeep:
    """Recurring work."""

    def __init__(self, harvests: HarvestRepository, feeds: FeedStorage) -> None:
        self._harvests = harvests
        self._feeds = feeds

    async def run_once(self) -> int:
        """Forget what was left over; 0, since nothing more is due right afterwards."""
        await self._feeds.prune(await self._harvests.awaited())
        return 0

    async def pending(self) -> int:
        """Nobody waits for it."""
        return 0
