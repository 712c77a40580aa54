"""What quality remembers of a dataset between two measurements."""

from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import urlsplit
from uuid import UUID

from services.quality.alerts.domain.alerts import AlertKey
from services.quality.alerts.domain.findings import AlertKind
from services.quality.evaluation.domain.completeness import CompletenessReport
from services.quality.evaluation.domain.freshness import GAPS_LEARNT_FROM_MAX
from services.quality.evaluation.domain.volume import RowCount
from services.quality.profiling.domain.profile import Profile
from shared.events.catalog import DatasetState, Distribution

ROW_COUNTS_MAX = 60
"""So many row counts are kept to tell a usual change from an unusual one."""

FETCHED_FIELDS = frozenset({"distributions", "modified", "data_updated_at", "access_level"})
"""A change of one of these fields makes the file be read again."""


@dataclass(frozen=True, slots=True)
class DatasetQuality:
    """One dataset as it was last measured.

    ``baselined`` are the kinds of alert that were looked at once: what the first look found is in
    ``known_at_baseline`` and does not alarm. ``metadata_baseline`` is the best description so far.
    ``updated_at`` are the last distinct data updates. ``harvest_id`` is set for datasets of a first harvest.
    """

    dataset: DatasetState
    is_retired: bool = False
    harvest_id: UUID | None = None
    known_at_baseline: frozenset[AlertKey] = frozenset()
    baselined: frozenset[AlertKind] = frozenset()
    metadata_baseline: CompletenessReport | None = None
    link_works: bool | None = None
    updated_at: tuple[datetime, ...] = ()
    next_check_at: datetime | None = None

    @property
    def holds_public_data(self) -> bool:
        """Values of the rows may be told: the record and its data are both for everyone."""
        return self.dataset.visibility == "public" and self.dataset.access_level == "public"

    def with_dataset(self, dataset: DatasetState, *, is_retired: bool) -> "DatasetQuality":
        """The same quality with a newer state of the catalog."""
        updated_at = set(self.updated_at)
        if dataset.data_updated_at is not None:
            updated_at.add(dataset.data_updated_at)
        return replace(
            self,
            dataset=dataset,
            is_retired=is_retired,
            updated_at=tuple(sorted(updated_at))[-(GAPS_LEARNT_FROM_MAX + 1) :],
        )


@dataclass(frozen=True, slots=True)
class FileBaseline:
    """What is remembered of the data file: the profile to compare with, the latest one, and row counts.

    ``url``, ``etag`` and ``last_modified`` belong to the latest readable file and make a fetch conditional.
    """

    baseline: Profile | None = None
    latest: Profile | None = None
    row_counts: tuple[RowCount, ...] = ()
    url: str | None = None
    etag: str | None = None
    last_modified: str | None = None


def new_dataset_quality(dataset: DatasetState, *, harvest_id: UUID | None) -> DatasetQuality:
    """The quality of a dataset that was never measured."""
    return DatasetQuality(dataset=dataset, harvest_id=harvest_id).with_dataset(dataset, is_retired=False)


def profiled_distribution(quality: DatasetQuality) -> Distribution | None:
    """The CSV file to look into; None when the data is not public, or no CSV is offered for download."""
    if quality.is_retired or quality.dataset.access_level != "public":
        return None
    return next((one for one in quality.dataset.distributions if _is_csv(one)), None)


def _is_csv(distribution: Distribution) -> bool:
    if not distribution.download_url:
        return False
    media_type = (distribution.media_type or "").partition(";")[0].strip().lower()
    name = (distribution.format or "").strip().lower().lstrip(".")
    if media_type == "text/csv" or name in ("csv", "text/csv"):
        return True
    try:
        path = urlsplit(distribution.download_url).path.lower()
    except ValueError:
        return False
    return not media_type and not name and path.endswith((".csv", ".csv.gz"))
