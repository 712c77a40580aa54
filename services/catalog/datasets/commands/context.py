"""What the commands of datasets work with."""

from collections.abc import Callable
from dataclasses import dataclass

from services.catalog.datasets.repository.datasets import DatasetRepository
from services.catalog.datasets.repository.directory import DirectoryReplica
from services.catalog.datasets.repository.insights import InsightRepository

__all__ = ["DatasetContext"]


@dataclass(frozen=True, slots=True)
class DatasetContext:
    """``wake_indexing`` tells waiting work that rows are ahead of the index; it never blocks."""

    datasets: DatasetRepository
    directory: DirectoryReplica
    insights: InsightRepository
    wake_indexing: Callable[[], None]
