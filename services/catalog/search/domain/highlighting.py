"""Which words of a title and a description to mark, as plain segments: markup is the page's business."""

from collections.abc import Sequence
from itertools import pairwise

from services.catalog.search.domain.query_text import QueryPlan, composed, tokens
from services.catalog.search.domain.search import Highlight, Segment

EXCERPT_CHARACTERS = 240
"""About how much of a description is shown around the first matches."""

_LEAD_CHARACTERS = 60


def highlights(plan: QueryPlan, title: str, description: str) -> tuple[Highlight, ...]:
    """The title, and the excerpt of the description that holds most of what was asked for."""
    title, description = composed(title), composed(description)
    found = [Highlight("title", _segments(title, 0, len(title), _marked(plan, title)))]
    if description:
        marked = _marked(plan, description)
        start, end = _excerpt(description, marked)
        found.append(Highlight("description", _segments(description, start, end, marked)))
    return tuple(found)


def _marked(plan: QueryPlan, text: str) -> list[tuple[int, int]]:
    """Ranges of the words that answer the query; a phrase counts only in a row, unordered words alone."""
    single, phrases = plan.marked_terms, plan.marked_phrases
    if not single and not phrases:
        return []
    found = tokens(text)
    hits = {at for at, token in enumerate(found) if token.term in single}
    if phrases:
        spoken = [token.term for token in found]
        # Most ways to cut a compound are no words of this text: they are passed over at once.
        said = set(spoken)
        present = [phrase for phrase in phrases if phrase[0] in said and phrase[-1] in said]
        for phrase in present:
            first, length = phrase[0], len(phrase)
            for at, term in enumerate(spoken):
                if term == first and tuple(spoken[at : at + length]) == phrase:
                    hits.update(range(at, at + length))
    return [(found[at].start, found[at].end) for at in sorted(hits)]


def _excerpt(text: str, marked: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Start and end of the stretch with the most marks, widened to whole words."""
    if len(text) <= EXCERPT_CHARACTERS:
        return 0, len(text)
    start, most = 0, 0
    for mark_start, _ in marked[:100]:
        inside = sum(
            1 for other, end in marked[:100] if mark_start <= other and end <= mark_start + EXCERPT_CHARACTERS
        )
        if inside > most:
            start, most = mark_start, inside
    start = max(0, start - _LEAD_CHARACTERS) if start > _LEAD_CHARACTERS else 0
    if start:
        blank = text.find(" ", start, start + _LEAD_CHARACTERS)
        start = blank + 1 if blank >= 0 else start
    end = min(len(text), start + EXCERPT_CHARACTERS)
    if end < len(text):
        blank = text.rfind(" ", end - _LEAD_CHARACTERS, end)
        end = blank if blank > start else end
    return start, end


def _segments(text: str, start: int, end: int, marked: Sequence[tuple[int, int]]) -> tuple[Segment, ...]:
    """The text from start to end in pieces, marked and not in turn; ellipses where it is cut."""
    pieces: list[Segment] = []
    inside = [(first, last) for first, last in marked if first >= start and last <= end]
    edges = [(start, start), *inside, (end, end)]
    for (_, previous_end), (first, last) in pairwise(edges):
        if first > previous_end:
            pieces.append(Segment(text[previous_end:first]))
        if last > first:
            pieces.append(Segment(text[first:last], matched=True))
    if start > 0:
        pieces.insert(0, Segment("… "))
    if end < len(text):
        pieces.append(Segment(" …"))
    return tuple(pieces)
