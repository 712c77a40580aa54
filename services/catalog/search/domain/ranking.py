"""The order of results: one pure function over the engine's first candidates, whatever the engine.

Points come in two kinds. *Textual* points are whole multiples of ten, so documents fall into classes: the
exact title, the words in a row in the title, all words in the title, how well the words are covered.
*Tie-breakers* (quality, freshness, use) add up to less than ten together, so they order within a class and
never outrank one; a document without use or quality loses nothing but the tie.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from services.catalog.datasets.domain.condition import Freshness
from services.catalog.search.domain.query_text import Alternative, QueryPlan, WordGroup, terms, title_key
from services.catalog.search.domain.search import Reason, SearchDocument

CLASS_STEP_POINTS = 10
"""Textual points are multiples of this; tie-breakers together stay below."""

EXACT_TITLE_POINTS = 5_000
EXACT_IDENTIFIER_POINTS = 4_000
TITLE_PHRASE_POINTS = 1_000
ALL_IN_TITLE_POINTS = 500
PHRASE_ELSEWHERE_POINTS = 100
WORDS_MATCHED_POINTS = 300
FIELD_POINTS = (("title", 100), ("labels", 60), ("agency", 40), ("columns", 30), ("description", 20))
TITLE_POINTS = FIELD_POINTS[0][1]
SYNONYM_SHARE = 0.8
TITLE_FOCUS_POINTS = 40
TITLE_FOCUS_MIN = 0.4
"""A title of which less was asked for says much else; how much less is no reason for an order."""

_EXACT_REASONS = {
    EXACT_TITLE_POINTS: "the title is exactly this",
    EXACT_IDENTIFIER_POINTS: "the identifier is exactly this",
    TITLE_PHRASE_POINTS: "the title has these words in a row",
    PHRASE_ELSEWHERE_POINTS: "the text has these words in a row",
}
_OTHER_REASONS = (
    "where the words stand",
    "all words in the title",
    "the title says little else",
    "quality, freshness and use",
)

QUALITY_POINTS = 4.0
FRESHNESS_POINTS: dict[Freshness, float] = {
    "ok": 2.0,
    "not-applicable": 1.0,
    "not-known": 1.0,
    "late": 0.5,
    "stale": 0.0,
}
USE_POINTS = 3.0

DESCRIPTION_TERMS_MAX = 600
COLUMN_TERMS_MAX = 600
"""Terms beyond are found by the engine but count no more for the order."""


@dataclass(frozen=True, slots=True)
class RankFeatures:
    """What ranking looks at: terms joined and enclosed by single blanks, so that " a b " is a phrase test.

    ``labels`` are keywords, themes and identifier, each entry apart (``|``), so no phrase spans two.
    """

    title_key: str
    identifier_key: str
    title: str
    labels: str
    agency: str
    columns: str
    description: str
    standing: float

    def as_tuple(self) -> tuple[str, str, str, str, str, str, str, float]:
        """All of it in order, as an engine keeps it."""
        texts = (self.title_key, self.identifier_key, self.title, self.labels, self.agency, self.columns)
        return (*texts, self.description, self.standing)


def standing(quality_score: float | None, freshness: Freshness, popularity_bucket: int) -> float:
    """The tie-breaker points of a dataset, 0 up to 9. Not measured counts as middling, no use as zero."""
    return sum(points for _, points in _standing_parts(quality_score, freshness, popularity_bucket))


def rank_features(document: SearchDocument) -> RankFeatures:
    """What an engine stores with a document, so that its candidates can be ranked without analysis."""
    labels = (*document.keywords, *document.themes, document.identifier or "")
    return RankFeatures(
        title_key=title_key(document.title),
        identifier_key=title_key(document.identifier or ""),
        title=_enclosed(terms(document.title)),
        labels=_apart(labels, COLUMN_TERMS_MAX),
        agency=_apart((document.agency_name or "", document.publisher_name or ""), COLUMN_TERMS_MAX),
        columns=_apart((*document.column_names, *document.column_descriptions), COLUMN_TERMS_MAX),
        description=_enclosed(terms(document.description)[:DESCRIPTION_TERMS_MAX]),
        standing=standing(document.quality_score, document.freshness, document.popularity_bucket),
    )


def score(plan: QueryPlan, features: RankFeatures) -> float:
    """Points of one candidate: the sum of :func:`explain`. Runs for hundreds of candidates a search."""
    return sum(_points(plan, features))


def explain(plan: QueryPlan, features: RankFeatures) -> tuple[Reason, ...]:
    """Why a candidate stands where it stands: reasons in words, with points that add up to its score."""
    points = _points(plan, features)
    exact, matched = points[:2]
    asked = len(plan.groups)
    found = round(matched * asked / WORDS_MATCHED_POINTS)
    reasons = (_EXACT_REASONS.get(int(exact), ""), f"{found} of {asked} words found", *_OTHER_REASONS)
    return tuple(Reason(words, each) for words, each in zip(reasons, points, strict=True) if each)


def explain_standing(document: SearchDocument) -> tuple[Reason, ...]:
    """The parts of :func:`standing`, for a page that shows them."""
    parts = _standing_parts(document.quality_score, document.freshness, document.popularity_bucket)
    return tuple(Reason(words, points) for words, points in parts)


def _points(plan: QueryPlan, features: RankFeatures) -> tuple[float, ...]:
    """Exact match, words found, and one number for each of ``_OTHER_REASONS``."""
    return (_exact(plan, features), *_coverage(plan, features), round(features.standing, 3))


def _exact(plan: QueryPlan, features: RankFeatures) -> int:
    if not plan.title_key:
        return 0
    if plan.title_key == features.title_key:
        return EXACT_TITLE_POINTS
    if plan.title_key == features.identifier_key:
        return EXACT_IDENTIFIER_POINTS
    if len(plan.terms) > 1:
        phrase = plan.phrase
        if phrase in features.title:
            return TITLE_PHRASE_POINTS
        if phrase in features.labels or phrase in features.description or phrase in features.columns:
            return PHRASE_ELSEWHERE_POINTS
    return 0


def _coverage(plan: QueryPlan, features: RankFeatures) -> tuple[int, int, int, int]:
    """How many of the words were found, and where: the best field of each word counts."""
    asked = len(plan.groups)
    if not asked:
        return 0, 0, 0, 0
    matched = in_title = direct_title_terms = 0
    field_points = 0.0
    title = features.title
    fields = (title, features.labels, features.agency, features.columns, features.description)
    everything = "|".join(fields)
    for group in plan.groups:
        first = group.alternatives[0]
        points: float = TITLE_POINTS
        alternative: Alternative | None = first
        if not (first.direct and _found(first, title)):
            points, alternative = _best_match(group, fields, everything)
        if alternative is None:
            continue
        matched += 1
        field_points += points
        if points >= TITLE_POINTS * SYNONYM_SHARE:
            in_title += 1
            direct_title_terms += len(alternative.terms) if alternative.direct else 0
    share = min(1.0, direct_title_terms / max(1, title.count(" ") - 1))
    return (
        _stepped(WORDS_MATCHED_POINTS * matched / asked),
        _stepped(field_points / asked),
        ALL_IN_TITLE_POINTS if in_title == asked else 0,
        _stepped(TITLE_FOCUS_POINTS * share if share >= TITLE_FOCUS_MIN else 0.0),
    )


def _best_match(group: WordGroup, fields: Sequence[str], everything: str) -> tuple[float, Alternative | None]:
    """The points of the weightiest field in which a word was found, and what was found there.

    Words that belong together but stand in different fields count as if in the least of them.
    """
    best_points, best = 0.0, None
    for alternative in group.alternatives:
        # Most alternatives are nowhere: one look at all fields together spares one at each.
        if not _found(alternative, everything):
            continue
        share = 1.0 if alternative.direct else SYNONYM_SHARE
        found = FIELD_POINTS[-1][1] * SYNONYM_SHARE
        for (_, field_points), text in zip(FIELD_POINTS, fields, strict=True):
            if _found(alternative, text):
                found = max(found, field_points * share)
                break
        if found > best_points:
            best_points, best = found, alternative
    return best_points, best


def _found(alternative: Alternative, text: str) -> bool:
    needles = alternative.needles
    if len(needles) == 1:
        return needles[0] in text
    return all(needle in text for needle in needles)


def _stepped(points: float) -> int:
    """Points rounded to whole classes, so that tie-breakers decide between near equals."""
    return CLASS_STEP_POINTS * round(points / CLASS_STEP_POINTS)


def _standing_parts(
    quality_score: float | None, freshness: Freshness, popularity_bucket: int
) -> tuple[tuple[str, float], ...]:
    quality = 0.5 if quality_score is None else min(1.0, max(0.0, quality_score))
    bucket = max(0, popularity_bucket)
    return (
        ("quality", QUALITY_POINTS * quality),
        ("freshness", FRESHNESS_POINTS.get(freshness, FRESHNESS_POINTS["not-known"])),
        ("use", USE_POINTS * bucket / (bucket + 3)),
    )


def _enclosed(found: Sequence[str]) -> str:
    return f" {' '.join(found)} " if found else " "


def _apart(entries: Sequence[str], terms_max: int) -> str:
    """Entries' terms with a bar between entries, at most ``terms_max`` terms."""
    found: list[str] = []
    for entry in entries:
        entry_terms = terms(entry)
        if entry_terms:
            found += entry_terms
            found.append("|")
        if len(found) >= terms_max:
            break
    return _enclosed(found[:terms_max])
