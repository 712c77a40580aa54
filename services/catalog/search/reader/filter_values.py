"""Which values the filters of search take: those of the catalogue that the viewer may see, and no others."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, get_args

from services.catalog.datasets.domain.condition import ConditionStatus, Freshness
from services.catalog.datasets.reader.datasets import DatasetReader
from services.catalog.search.domain.search import FACET_LIMIT_MAX, Facet, SearchQuery
from services.catalog.search.domain.views import SearchView
from services.catalog.search.reader.search import SearchReader
from shared.events.catalog import AccessLevel
from shared.http.known_values import require_known_values
from shared.identity.viewer import Viewer

__all__ = ["refuse_unknown_values"]

_ALWAYS: Mapping[Facet, frozenset[str]] = {
    "access_level": frozenset(get_args(AccessLevel)),
    "condition": frozenset(get_args(ConditionStatus)),
    "freshness": frozenset(get_args(Freshness)),
}
"""A search for stale datasets is a good one where none is stale."""

_OPEN: frozenset[Facet] = frozenset({"keyword"})
"""Whatever a publisher writes: too many to list, so a search for one that is not there finds nothing."""

_PARAMETERS: Mapping[Facet, str] = {"access_level": "access"}


async def refuse_unknown_values(
    searches: SearchReader,
    datasets: DatasetReader,
    query: SearchQuery,
    viewer: Viewer,
    view: SearchView,
    *,
    next_steps: Sequence[tuple[str, str]] = (),
) -> None:
    """Raise the 422 problem for a filter value that no record has which ``viewer`` may see.

    Looks beyond ``view``, the answer, only for values that it has no record for.
    """
    doubtful = {
        facet: values - _ALWAYS.get(facet, frozenset()) - _found(view, facet)
        for facet, values in query.filters.items()
        if facet not in _OPEN
    }
    doubtful = {facet: values for facet, values in doubtful.items() if values}
    if not doubtful:
        return
    whole = await searches.search(SearchQuery(size=1, facet_limit=FACET_LIMIT_MAX), viewer)
    for facet, values in doubtful.items():
        listed = _found(whole, facet)
        if len(listed) >= FACET_LIMIT_MAX:
            continue  # there are more than are listed
        known: Collection[str] = listed | _ALWAYS.get(facet, frozenset())
        if facet == "agency":
            known = listed | {str(agency.agency_id) for agency in await datasets.agencies(viewer)}
        parameter = _PARAMETERS.get(facet, facet)
        require_known_values(parameter, sorted(values), known, next_steps=next_steps)


def _found(view: Any, facet: Facet) -> frozenset[str]:
    return frozenset(count.value for count in view.facets.get(facet, ()) if count.count)
