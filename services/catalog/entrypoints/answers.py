"""Problems that several routes of the catalogue answer with."""

from uuid import UUID

from services.catalog.domain.search import InvalidSearchError
from services.catalog.domain.views import DatasetView, RetiredView
from shared.http.problems import FieldProblem, ProblemError

__all__ = ["index_away", "not_found", "shown", "wrong_search"]


def not_found(dataset_id: UUID) -> ProblemError:
    """The same words for an unknown and for a hidden dataset: neither may be told from the other."""
    return ProblemError(
        404,
        "dataset-not-found",
        "There is no such dataset here",
        f"No dataset that you may see has the id {dataset_id}. Search for it by name, or sign in.",
        next_steps=[("Search", "/search")],
    )


def shown(found: DatasetView | RetiredView | None, dataset_id: UUID) -> DatasetView:
    """The dataset, or the 404 or 410 problem."""
    if found is None:
        raise not_found(dataset_id)
    if isinstance(found, RetiredView):
        raise ProblemError(
            410,
            "dataset-retired",
            "This dataset was retired",
            f"{found.title} left the catalogue on {found.retired_at:%Y-%m-%d}. {found.reason}",
            next_steps=[("Search", "/search")],
        )
    return found


def wrong_search(error: InvalidSearchError) -> ProblemError:
    """The 400 problem of a search that cannot be answered as asked."""
    return ProblemError(
        400,
        "search",
        "The search cannot be answered as asked",
        str(error),
        errors=[FieldProblem(str(error), "", parameter=error.field, code="search")],
    )


def index_away() -> ProblemError:
    """The 503 problem while the index cannot be reached."""
    return ProblemError(
        503,
        "search-unavailable",
        "Search is away for a moment",
        "The index cannot be reached. Nothing is lost; try again in a few seconds.",
        headers={"Retry-After": "5"},
    )
