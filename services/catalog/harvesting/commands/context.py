"""What the commands of harvesting work with."""

from collections.abc import Callable
from dataclasses import dataclass

from services.catalog.datasets.commands.context import DatasetContext
from services.catalog.dictionary.commands import DictionaryContext
from services.catalog.harvesting.repository import HarvestRepository

__all__ = ["HarvestContext"]


@dataclass(frozen=True, slots=True)
class HarvestContext:
    """A batch of a feed is one transaction: its datasets, their dictionaries and the job's progress.

    ``wake_harvesting`` tells waiting work that a job is queued; it never blocks.
    """

    harvests: HarvestRepository
    datasets: DatasetContext
    dictionaries: DictionaryContext
    wake_harvesting: Callable[[], None]
