"""Numbers what happened for outside services, and forgets what is too old to be read back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from services.catalog.changes_feed.domain.lines import NewFeedLine
from services.catalog.changes_feed.repository import ChangesRepository
from shared.store.engine import Store
from shared.store.unit_of_work import UnitOfWork

__all__ = ["ChangesContext", "ChangesUpkeep", "number_lines"]


@dataclass(frozen=True, slots=True)
class ChangesContext:
    """``wake_readers`` is called when the feed has new lines; it never blocks."""

    changes: ChangesRepository
    wake_readers: Callable[[], None]


async def number_lines(work: UnitOfWork, context: ChangesContext, lines: Sequence[NewFeedLine]) -> None:
    """Write what outside services may read, in one unbroken numbering."""
    if lines:
        await context.changes.append(work, lines)
        work.after_commit(context.wake_readers)


class ChangesUpkeep:
    """Recurring work; ``kept`` is how long the feed can be read back."""

    def __init__(self, store: Store, context: ChangesContext, kept: timedelta) -> None:
        self._store = store
        self._context = context
        self._kept = kept

    async def run_once(self) -> int:
        """Forget old lines; 0, since nothing more is due right afterwards."""
        async with self._store.unit_of_work() as work:
            await self._context.changes.prune(work, work.clock.now() - self._kept)
        return 0

    async def pending(self) -> int:
        """Nobody waits for it."""
        return 0
