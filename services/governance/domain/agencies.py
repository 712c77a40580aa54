"""Which agency a publisher's spelling means, or that a person has to say.

A feed spells one agency five ways ("Oiffce of Policy and Management", "CT Dept of Social Services",
"DSS"). The rules below go from certain to likely; what stays unsure is listed for a person with its best
candidates, and never guessed.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from rapidfuzz import fuzz

from shared.datasets.publisher_names import normalize_publisher

__all__ = ["IMPORT_RULE", "AgencyCandidate", "AgencyName", "PublisherMatch", "PublisherNames"]

IMPORT_RULE = "import"
"""What settled a spelling that stood in an imported list of agencies."""

SIMILARITY_MIN = 91.0
"""Percent. Two swapped letters in three words keep 92 and more; "Aging" against "Housing" stays below 85."""

LEAD_MIN = 4.0
"""How many percent the best must lead the second by, else a person decides."""

CANDIDATES_MAX = 3

OTHER_JURISDICTION_FIRST_WORDS = frozenset({"u", "us", "united", "federal", "city", "town", "county"})
"""Federal and local bodies often bear a state agency's name ("U.S. Dept. of Agriculture")."""


@dataclass(frozen=True, slots=True)
class AgencyName:
    """An agency with its code, its official name, and every spelling that was settled before."""

    agency_id: UUID
    code: str
    name: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AgencyCandidate:
    """An agency that a spelling might mean. ``similarity`` is 0 to 100."""

    agency_id: UUID
    name: str
    similarity: float


@dataclass(frozen=True, slots=True)
class PublisherMatch:
    """The answer: an agency and how it was found, or ``None`` with candidates for a person."""

    agency_id: UUID | None
    rule: str
    candidates: tuple[AgencyCandidate, ...] = ()


class PublisherNames:
    """Every settled spelling of every agency, normalized once for all that is asked of it."""

    def __init__(self, agencies: Sequence[AgencyName], jurisdiction_words: Collection[str] = ()) -> None:
        self._agencies = agencies
        self._jurisdiction_words = jurisdiction_words
        self._known = [
            (agency, normalize_publisher(name, jurisdiction_words))
            for agency in agencies
            for name in (agency.name, *agency.aliases)
        ]
        self._owners: dict[str, set[UUID]] = defaultdict(set)
        for agency, name in self._known:
            self._owners[name].add(agency.agency_id)

    def match(self, spelling: str) -> PublisherMatch:
        """Find the agency that ``spelling`` means.

        Rules, first hit wins: the same words; the agency's code as a word of its own; the official name
        inside a longer one ("…Section, Department of Transportation"); words that stand in one agency's name
        alone ("State Comptroller"); nearly the same letters, clearly ahead of the next. A body of another
        jurisdiction ("U.S. Department of Agriculture") is taken only for the same words.
        """
        wanted = normalize_publisher(spelling, self._jurisdiction_words)
        exact = self._owners.get(wanted, set())
        if len(exact) == 1:
            return PublisherMatch(next(iter(exact)), "same words")
        words = wanted.split()
        if _is_of_another_jurisdiction(spelling):
            nearest = tuple(_ranked(wanted, self._known)[:CANDIDATES_MAX])
            return PublisherMatch(None, "another jurisdiction", nearest)
        by_code = {agency.agency_id for agency in self._agencies if agency.code.lower() in words}
        if len(by_code) == 1:
            return PublisherMatch(by_code.pop(), "agency code")
        inside = _longest_inside(words, self._known)
        if inside is not None:
            return PublisherMatch(inside, "official name inside")
        around = {agency.agency_id for agency, name in self._known if set(words) <= set(name.split())}
        if len(around) == 1:
            return PublisherMatch(around.pop(), "words of one name alone")
        ranked = _ranked(wanted, self._known)
        if ranked and ranked[0].similarity >= SIMILARITY_MIN:
            second = ranked[1].similarity if len(ranked) > 1 else 0.0
            if ranked[0].similarity - second >= LEAD_MIN:
                return PublisherMatch(ranked[0].agency_id, "nearly the same letters", tuple(ranked))
        return PublisherMatch(None, "a person decides", tuple(ranked[:CANDIDATES_MAX]))


def _is_of_another_jurisdiction(spelling: str) -> bool:
    return normalize_publisher(spelling).split(" ", 1)[0] in OTHER_JURISDICTION_FIRST_WORDS


def _longest_inside(words: list[str], known: Sequence[tuple[AgencyName, str]]) -> UUID | None:
    best: tuple[int, UUID] | None = None
    for agency, name in known:
        parts = name.split()
        # One word alone ("labor") says too little; a distinctive name has at least two.
        if len(parts) < 2 or len(parts) > len(words):
            continue
        starts = range(len(words) - len(parts) + 1)
        if any(words[start : start + len(parts)] == parts for start in starts) and (
            best is None or len(parts) > best[0]
        ):
            best = (len(parts), agency.agency_id)
    return best[1] if best else None


def _ranked(wanted: str, known: Sequence[tuple[AgencyName, str]]) -> list[AgencyCandidate]:
    best: dict[UUID, AgencyCandidate] = {}
    for agency, name in known:
        similarity = max(fuzz.ratio(wanted, name), fuzz.token_sort_ratio(wanted, name))
        if agency.agency_id not in best or similarity > best[agency.agency_id].similarity:
            best[agency.agency_id] = AgencyCandidate(agency.agency_id, agency.name, round(similarity, 1))
    return sorted(best.values(), key=lambda candidate: (-candidate.similarity, candidate.name))
