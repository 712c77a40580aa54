"""The first candidates of an engine put into our order, and pages cut from it: the same for every engine."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from services.catalog.search.domain.cursor import CursorPosition
from services.catalog.search.domain.highlighting import highlights
from services.catalog.search.domain.query_text import QueryPlan
from services.catalog.search.domain.ranking import RankFeatures, explain, score
from services.catalog.search.domain.search import SearchHit


@dataclass(frozen=True, slots=True)
class StoredHit:
    """What an engine keeps with a document to rank and to show it."""

    dataset_id: UUID
    title: str
    description: str
    features: RankFeatures


@dataclass(frozen=True, slots=True)
class RankedCandidate:
    """One of the engine's first candidates with our score. ``key`` decides between equal scores."""

    score: float
    key: str
    stored: StoredHit


def ranked(plan: QueryPlan, found: Iterable[StoredHit]) -> list[RankedCandidate]:
    """Candidates in our order: by score, then by id."""
    candidates = [
        RankedCandidate(round(score(plan, stored.features), 6), str(stored.dataset_id), stored)
        for stored in found
    ]
    candidates.sort(key=_order)
    return candidates


def after(candidates: Sequence[RankedCandidate], position: CursorPosition | None) -> list[RankedCandidate]:
    """The candidates behind a position within the window; all of them without one."""
    if position is None:
        return list(candidates)
    last = (-float(position.after[0]), str(position.after[1]))
    return [candidate for candidate in candidates if _order(candidate) > last]


def position_of(candidate: RankedCandidate) -> CursorPosition:
    """Where the page behind this candidate begins."""
    return CursorPosition("window", (candidate.score, candidate.key))


def explained_hit(plan: QueryPlan, candidate: RankedCandidate) -> SearchHit:
    """A result that our order placed, with the reasons."""
    stored = candidate.stored
    marked = highlights(plan, stored.title, stored.description)
    reasons = explain(plan, stored.features)
    return SearchHit(stored.dataset_id, stored.title, candidate.score, marked, reasons)


def plain_hit(plan: QueryPlan, stored: StoredHit) -> SearchHit:
    """A result that the engine, or an explicit order, placed."""
    marked = highlights(plan, stored.title, stored.description)
    return SearchHit(stored.dataset_id, stored.title, None, marked, ())


def _order(candidate: RankedCandidate) -> tuple[float, str]:
    return -candidate.score, candidate.key
