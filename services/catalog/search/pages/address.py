"""The state of the search page, which is its address and nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import get_args
from urllib.parse import urlencode

from services.catalog.search.domain.search import (
    FACET_LIMIT_MAX,
    FACET_VALUES_MAX,
    Facet,
    FacetCount,
    SearchQuery,
    SortOrder,
)
from services.catalog.search.pages.words import facet_words
from shared.web.elements import Chip, Option
from shared.web.elements import Facet as FacetGroup
from shared.web.elements import FacetOption as FacetValue

__all__ = ["PAGE_SIZE", "PARAMETERS", "SORTS", "SearchAddress"]

PAGE_SIZE = 20

PARAMETERS: Mapping[Facet, str] = {
    "theme": "theme",
    "agency": "agency",
    "format": "format",
    "access_level": "access",
    "condition": "condition",
    "freshness": "freshness",
    "license": "license",
    "keyword": "keyword",
}
"""Parameter of each facet, as in the API; in the order of the page."""

_TITLES: Mapping[Facet, str] = {
    "theme": "Subject",
    "agency": "Agency",
    "format": "Format",
    "access_level": "Who may get it",
    "condition": "Condition",
    "freshness": "Freshness",
    "license": "Licence",
    "keyword": "Keyword",
}

SORTS = (
    Option("relevance", "Best match"),
    Option("popular", "Most used"),
    Option("modified", "Newest data"),
    Option("quality", "Best quality"),
    Option("title", "Title, A to Z"),
)


@dataclass(frozen=True, slots=True)
class SearchAddress:
    """What is searched for: words, chosen values of each facet, the order; whether to list more values."""

    text: str = ""
    filters: Mapping[Facet, tuple[str, ...]] = field(default_factory=dict)
    sort: SortOrder = "relevance"
    lists_more: bool = False

    @classmethod
    def read(
        cls,
        text: str,
        chosen: Mapping[Facet, Sequence[str] | None],
        sort: str | None,
        *,
        lists_more: bool = False,
    ) -> "SearchAddress":
        """Read it from a request; an order that does not exist falls back to the best match."""
        filters = {facet: tuple(dict.fromkeys(values)) for facet, values in chosen.items() if values}
        known: Mapping[str, SortOrder] = {order: order for order in get_args(SortOrder)}
        return cls(" ".join(text.split()), filters, known.get(sort or "", "relevance"), lists_more)

    @property
    def chosen_count(self) -> int:
        """How many values are chosen."""
        return sum(len(values) for values in self.filters.values())

    def pairs(self, *, with_text: bool = True, with_sort: bool = True) -> list[tuple[str, str]]:
        """Parameters and values, in one order, so that one search has one address."""
        pairs = [("q", self.text)] if with_text and self.text else []
        for facet, parameter in PARAMETERS.items():
            pairs += [(parameter, value) for value in sorted(self.filters.get(facet, ()))]
        if with_sort and self.sort != "relevance":
            pairs.append(("sort", self.sort))
        if self.lists_more:
            pairs.append(("more", "1"))
        return pairs

    def href(self, **position: str | int) -> str:
        """Return the address; ``position`` is where a later page begins."""
        pairs = [*self.pairs(), *((name, str(value)) for name, value in position.items())]
        return f"/search?{urlencode(pairs)}" if pairs else "/search"

    def toggled(self, facet: Facet, value: str) -> "SearchAddress":
        """Return it with the value chosen, or no longer."""
        before = self.filters.get(facet, ())
        after = tuple(one for one in before if one != value) if value in before else (*before, value)
        filters = {name: values for name, values in self.filters.items() if name != facet}
        return replace(self, filters=filters | {facet: after} if after else filters)

    def without_filters(self) -> "SearchAddress":
        """Return it with words and order only."""
        return replace(self, filters={})

    def query(self, cursor: str | None) -> SearchQuery:
        """Return the query. Raises ``InvalidSearchError``, which names the parameter."""
        return SearchQuery(
            text=self.text,
            filters={facet: frozenset(values) for facet, values in self.filters.items()},
            sort=self.sort,
            size=PAGE_SIZE,
            cursor=cursor or None,
            facet_limit=FACET_LIMIT_MAX if self.lists_more else None,
        )

    def groups(self, facets: Mapping[Facet, Sequence[FacetCount]]) -> list[FacetGroup]:
        """Return the facets beside the results, without those whose only value would narrow nothing."""
        groups = []
        for facet in PARAMETERS:
            counts = facets.get(facet, ())
            chosen = self.filters.get(facet, ())
            if len(counts) < 2 and not chosen:
                continue
            options = [
                FacetValue(
                    facet_words(facet, one.value, one.label),
                    one.count,
                    self.toggled(facet, one.value).href(),
                    one.value in chosen,
                )
                for one in counts
            ]
            is_cut = len(counts) >= FACET_VALUES_MAX[facet] and not self.lists_more
            more_href = replace(self, lists_more=True).href() if is_cut else ""
            groups.append(FacetGroup(_TITLES[facet], options, more_href))
        return groups

    def chips(self, facets: Mapping[Facet, Sequence[FacetCount]]) -> list[Chip]:
        """Return the chosen values, each with the address without it."""
        return [
            Chip(
                facet_words(facet, value, labels.get(value, value)),
                self.toggled(facet, value).href(),
                _TITLES[facet],
            )
            for facet in PARAMETERS
            for labels in [{one.value: one.label for one in facets.get(facet, ())}]
            for value in self.filters.get(facet, ())
        ]
