"""What is asked of the catalogue index, and what it answers: the same words for every search engine.

Everything here is an immutable value. Shapes follow design, section 5 (catalog).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, get_args
from uuid import UUID

from services.catalog.datasets.domain.condition import ConditionStatus, Freshness
from shared.errors import InvalidInputError
from shared.events.catalog import Visibility

Facet = Literal["agency", "theme", "keyword", "format", "access_level", "condition", "freshness", "license"]
"""A property that people narrow a search by. The value of ``agency`` is an agency id."""

FACETS: tuple[Facet, ...] = get_args(Facet)

SortOrder = Literal["relevance", "title", "modified", "popular", "quality"]
"""``title`` rises, the others fall. ``relevance`` without words orders by quality, freshness and use."""


PAGE_SIZE_MAX = 100
"""Most hits on one page."""

QUERY_CHARACTERS_MAX = 1_000
"""What lies beyond in a query text is ignored: no one types it, and it must not cost anything."""

FILTER_VALUES_MAX = 100
"""Most values of one facet in one query."""

FACET_VALUES_MAX: dict[Facet, int] = dict.fromkeys(FACETS, 50) | {"keyword": 20}
"""Most values listed under each facet; chosen values are listed always. Keywords have no end: few are."""

FACET_LIMIT_MAX = 500
"""Most values that can be asked for under each facet, in place of those above."""

RESCORE_WINDOW = 300
"""How many of the engine's first candidates our ranking orders again."""


class InvalidSearchError(InvalidInputError):
    """The query can't be answered as asked. ``field`` names what to change; the message tells the cure."""

    slug = "search"
    title = "The search cannot be answered as asked"

    def __init__(self, field_name: str, message: str) -> None:
        super().__init__(message, field=field_name)


@dataclass(frozen=True, slots=True)
class ViewerScope:
    """Which records the asking person may see. Part of every query, its facets and its suggestions.

    A public record is seen by everyone, a government record by any signed-in government person, an agency
    record by the people of that agency alone. ``level`` ``all`` sees every record (chief data officer,
    operator). Hidden documents (retired datasets) are seen by no one.
    """

    level: Literal["public", "government", "all"] = "public"
    agency_ids: frozenset[UUID] = frozenset()

    @classmethod
    def public(cls) -> "ViewerScope":
        """Anyone, signed in or not."""
        return cls()

    @classmethod
    def government(cls, agency_ids: frozenset[UUID] = frozenset()) -> "ViewerScope":
        """A signed-in government person who works for ``agency_ids``."""
        return cls("government", agency_ids)

    @classmethod
    def everything(cls) -> "ViewerScope":
        """A person whose grants cover every agency."""
        return cls("all")

    def audiences(self) -> frozenset[str] | None:
        """Values of :meth:`SearchDocument.audience` that this viewer may see; None means every one."""
        if self.level == "all":
            return None
        agencies = {f"agency:{agency_id}" for agency_id in self.agency_ids}
        if self.level == "government":
            return frozenset({"public", "government"} | agencies)
        return frozenset({"public"} | agencies)


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """One search. ``filters``: values of one facet are alternatives, facets are combined with "and".

    Raises :class:`InvalidSearchError` for an unknown facet or sort, a size outside 1..100, too many values.
    ``cursor`` is the ``next_cursor`` of a page of the same query.
    """

    text: str = ""
    filters: Mapping[Facet, frozenset[str]] = field(default_factory=dict)
    sort: SortOrder = "relevance"
    size: int = 20
    cursor: str | None = None
    viewer: ViewerScope = ViewerScope()
    with_facets: bool = True
    facet_limit: int | None = None
    """Values listed under each facet; None for as many as each usually has."""

    def __post_init__(self) -> None:
        if self.sort not in get_args(SortOrder):
            orders = ", ".join(get_args(SortOrder))
            raise InvalidSearchError("sort", f"Unknown sort {self.sort!r}: use one of {orders}.")
        if not 1 <= self.size <= PAGE_SIZE_MAX:
            raise InvalidSearchError("size", f"Ask for 1 to {PAGE_SIZE_MAX} results a page, not {self.size}.")
        if self.facet_limit is not None and not 1 <= self.facet_limit <= FACET_LIMIT_MAX:
            told = f"Ask for 1 to {FACET_LIMIT_MAX} values a facet, not {self.facet_limit}."
            raise InvalidSearchError("facet_limit", told)
        for facet, values in self.filters.items():
            if facet not in FACETS:
                raise InvalidSearchError(facet, f"Unknown filter {facet!r}: use one of {', '.join(FACETS)}.")
            if len(values) > FILTER_VALUES_MAX:
                raise InvalidSearchError(facet, f"Choose at most {FILTER_VALUES_MAX} values of {facet!r}.")

    def listed_max(self, facet: Facet) -> int:
        """How many values of a facet are listed, chosen ones aside."""
        return self.facet_limit or FACET_VALUES_MAX[facet]


@dataclass(frozen=True, slots=True)
class SearchDocument:
    """One dataset as the index holds it. ``revision`` is catalog's ``document_revision``: newer wins.

    ``quality_score`` is 0..1, or None when not measured; ``popularity_bucket`` is 0 (no known use) upwards,
    a logarithmic step of use, so that a document changes only when its use changes much. ``hidden`` marks
    a retired dataset: it keeps its revision, so a late write can't bring it back, and no one finds it.
    """

    dataset_id: UUID
    revision: int
    title: str
    description: str = ""
    keywords: tuple[str, ...] = ()
    themes: tuple[str, ...] = ()
    agency_id: UUID | None = None
    agency_name: str | None = None
    publisher_name: str | None = None
    formats: tuple[str, ...] = ()
    access_level: str = "public"
    visibility: Visibility = "public"
    license: str | None = None
    column_names: tuple[str, ...] = ()
    column_descriptions: tuple[str, ...] = ()
    identifier: str | None = None
    data_updated_at: datetime | None = None
    freshness: Freshness = "not-known"
    condition: ConditionStatus = "not-known"
    quality_score: float | None = None
    popularity_bucket: int = 0
    hidden: bool = False

    def audience(self) -> str | None:
        """Who may find the document: ``public``, ``government``, ``agency:<id>``; None for no one.

        An agency record without an agency is shown only to viewers of every record.
        """
        if self.hidden:
            return None
        if self.visibility == "agency":
            return f"agency:{self.agency_id}"
        return self.visibility


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of plain text (never markup), and whether it is a word that was searched for."""

    text: str
    matched: bool = False


@dataclass(frozen=True, slots=True)
class Highlight:
    """Where the query was found. The segments join to the whole field, or to an excerpt of it."""

    field: Literal["title", "description"]
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Reason:
    """One part of a score, in words and points. The points of a hit's reasons add up to its score."""

    reason: str
    points: float


@dataclass(frozen=True, slots=True)
class SearchHit:
    """One result. ``score`` and ``explain`` are empty where an explicit sort or the engine ordered it."""

    dataset_id: UUID
    title: str
    score: float | None
    highlights: tuple[Highlight, ...]
    explain: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class FacetCount:
    """One value under a facet: documents of the result with it, ignoring the filter on this same facet."""

    value: str
    label: str
    count: int
    chosen: bool = False


@dataclass(frozen=True, slots=True)
class SearchPage:
    """One page. ``relaxed`` tells in a sentence what was loosened because nothing matched all words."""

    total: int
    total_relation: Literal["eq", "gte"]
    results: tuple[SearchHit, ...]
    facets: Mapping[Facet, tuple[FacetCount, ...]]
    next_cursor: str | None
    relaxed: str | None


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One line of the typeahead."""

    dataset_id: UUID
    title: str


@dataclass(frozen=True, slots=True)
class UpsertOutcome:
    """What became of one document: ``stale`` is no fault (this or a newer revision is held already);
    ``refused`` can never be indexed, ``reason`` tells why; ``deferred`` may be written again later."""

    dataset_id: UUID
    revision: int
    status: Literal["applied", "stale", "refused", "deferred"]
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class IndexedRevision:
    """One held document, hidden ones included: what a reconcile compares with catalog's own rows."""

    dataset_id: UUID
    revision: int
    hidden: bool


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """What a rebuild did: ``caught_up`` are documents written meanwhile; refused ones carry their reason."""

    applied: int
    caught_up: int
    refused: tuple[UpsertOutcome, ...]


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """``needs_rebuild`` tells why the index can't be trusted to be complete, None when it can."""

    documents: int
    generation: str
    needs_rebuild: str | None
