"""What is answered for a dataset that is not here."""

from uuid import UUID

from services.catalog.datasets.domain.views import DatasetView, RetiredView
from shared.errors import GoneError, NotFoundError

__all__ = ["DatasetNotFoundError", "DatasetRetiredError", "require_dataset"]

_SEARCH = (("Search", "/search"),)


class DatasetNotFoundError(NotFoundError):
    """The same words for an unknown and for a hidden dataset: neither may be told from the other."""

    slug = "dataset-not-found"

    def __init__(self, dataset_id: UUID) -> None:
        super().__init__(
            f"No dataset that you may see has the id {dataset_id}.",
            what="dataset",
            fix="Search for it by name, or sign in.",
            next_steps=_SEARCH,
        )


class DatasetRetiredError(GoneError):
    """It left the catalog, with its reason."""

    slug = "dataset-retired"
    title = "This dataset was retired"

    def __init__(self, retired: RetiredView) -> None:
        super().__init__(
            f"{retired.title} left the catalog on {retired.retired_at:%Y-%m-%d}. {retired.reason}",
            next_steps=_SEARCH,
        )


def require_dataset(view: DatasetView | RetiredView | None, dataset_id: UUID) -> DatasetView:
    """Return the dataset. Raises ``DatasetNotFoundError`` and ``DatasetRetiredError``."""
    if view is None:
        raise DatasetNotFoundError(dataset_id)
    if isinstance(view, RetiredView):
        raise DatasetRetiredError(view)
    return view
