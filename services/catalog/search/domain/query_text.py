"""Words: one analysis for documents, queries and highlights, the same for every search engine.

An engine gets :func:`terms` joined by blanks and splits on blanks; it never analyses or parses a text by
itself. So a query is data, whatever it holds, and both engines find the same documents.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from services.catalog.search.domain.search import QUERY_CHARACTERS_MAX
from services.catalog.search.domain.vocabulary import Vocabulary

TERM_CHARACTERS_MAX = 64
"""A longer word is cut, in documents and queries alike."""

GROUPS_MAX = 24
"""Words or phrases of one query that count; what follows is ignored."""

SPLIT_CHARACTERS_MIN = 3
"""Neither half of a compound ("childcare") is shorter."""

REMEMBERED_CHARACTERS_MAX = 200
"""Of texts up to this length very many are remembered: agencies, keywords and columns come again."""

_WORD = re.compile(r"(?:[^\W\d_]\.){2,}|[^\W_]+(?:['\u2019\u02bc][^\W_]+)*")
_QUOTED = re.compile(r"[\"\u201c\u201d\u201e]([^\"\u201c\u201d\u201e]*)[\"\u201c\u201d\u201e]")
_APOSTROPHES = str.maketrans("\u2019\u02bc", "''")
_IRREGULAR = {"children": "child", "women": "woman", "men": "man", "mice": "mouse", "feet": "foot"}


class Token(NamedTuple):
    """One word of a text: its term, and where it stands in the composed (NFC) text."""

    term: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Alternative:
    """Terms that answer for a word group: one, several in a row (``ordered``), or several anywhere.

    ``direct`` is false for a synonym or another spelling: it matches a little less.
    """

    terms: tuple[str, ...]
    ordered: bool = True
    direct: bool = True
    needles: tuple[str, ...] = field(init=False)
    """What to look for in terms joined and enclosed by blanks: made once, looked for in every candidate."""

    def __post_init__(self) -> None:
        parts = (" ".join(self.terms),) if self.ordered else self.terms
        object.__setattr__(self, "needles", tuple(f" {part} " for part in parts))


@dataclass(frozen=True, slots=True)
class WordGroup:
    """One thing that was asked for: any of the alternatives will do."""

    words: str
    alternatives: tuple[Alternative, ...]
    required: bool = True
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """A query text understood. ``title_key`` is compared with :func:`title_key` of a title."""

    groups: tuple[WordGroup, ...]
    terms: tuple[str, ...]
    title_key: str
    phrase: str = field(init=False)
    """All terms in a row, to look for in terms enclosed by blanks: made once, as an alternative's needles."""
    marked_terms: frozenset[str] = field(init=False)
    """Words that are marked wherever they stand."""
    marked_phrases: frozenset[tuple[str, ...]] = field(init=False)
    """Words that are marked only in a row."""

    def __post_init__(self) -> None:
        wanted = [alternative for group in self.groups for alternative in group.alternatives]
        phrases = frozenset(found.terms for found in wanted if found.ordered and len(found.terms) > 1)
        single = frozenset(
            term for found in wanted if not (found.ordered and len(found.terms) > 1) for term in found.terms
        )
        object.__setattr__(self, "phrase", f" {' '.join(self.terms)} ")
        object.__setattr__(self, "marked_terms", single)
        object.__setattr__(self, "marked_phrases", phrases)

    @property
    def required(self) -> tuple[WordGroup, ...]:
        """The groups that a result must match, unless the query is relaxed."""
        return tuple(group for group in self.groups if group.required)


@dataclass(frozen=True, slots=True)
class Relaxation:
    """One step from strict to loose: how many required groups must match, and what to tell people."""

    plan: QueryPlan
    minimum_matches: int
    told: str | None


def composed(text: str) -> str:
    """The text in Unicode's composed form (NFC), so that an accented letter is one character."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


@lru_cache(maxsize=65_536)
def folded(word: str) -> str:
    """A word without case, accents, apostrophes and the dots of an abbreviation; possessives lose their s."""
    if not word.isascii():
        # Compatibility letters come apart here, even into blanks: only letters and digits are kept.
        word = word.translate(_APOSTROPHES)
        decomposed = unicodedata.normalize("NFKD", word.casefold())
        word = "".join(letter for letter in decomposed if letter.isalnum() or letter == "'")
    word = word.casefold().removesuffix("'s").replace("'", "").replace(".", "")
    return word[:TERM_CHARACTERS_MAX]


@lru_cache(maxsize=65_536)
def term_of(word: str) -> str:
    """The term of a word: folded and without its plural, after Harman's S-stemmer (JASIS 42, 1991).

    Deliberately light: ``parks`` finds ``park``, and ``housing`` does not find ``house``.
    """
    word = folded(word)
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) <= 3 or not word.endswith("s") or not word.isalpha():
        return word
    if word.endswith("ies") and len(word) > 4 and word[-4] not in "ae":
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zzes")):
        return word[:-2]
    if word.endswith(("us", "ss", "is")):
        return word
    return word[:-1]


def tokens(text: str) -> list[Token]:
    """The words of a composed text with their places."""
    found: list[Token] = []
    end = 0
    # Between two words there is no letter, so that each is found where it stands; a match object costs more.
    for word in _WORD.findall(text):
        start = text.find(word, end)
        end = start + len(word)
        if term := term_of(word):
            found.append(Token(term, start, end))
    return found


def terms(text: str) -> tuple[str, ...]:
    """The terms of a text, in order."""
    return _terms_of_short(text) if len(text) <= REMEMBERED_CHARACTERS_MAX else _terms_of_long(text)


def words(text: str) -> list[str]:
    """The folded words of a text, plurals kept: for typeahead."""
    return [word for word in map(folded, _WORD.findall(composed(text))) if word]


def title_key(text: str) -> str:
    """What two titles that a person would call the same have in common: case, accents and marks apart."""
    return " ".join(words(text))


def plan_query(text: str, vocabulary: Vocabulary) -> QueryPlan:
    """Understand a query text. Never raises; an empty plan means that nothing is asked for."""
    text = composed(text[:QUERY_CHARACTERS_MAX])
    synonyms = _synonym_table(vocabulary)
    groups: list[WordGroup] = []
    position = 0
    for quoted in _QUOTED.finditer(text):
        groups += _bare_groups(text[position : quoted.start()], vocabulary, synonyms)
        groups += _quoted_group(quoted.group(1))
        position = quoted.end()
    groups += _bare_groups(text[position:], vocabulary, synonyms)
    return QueryPlan(_some_required(groups[:GROUPS_MAX]), terms(text), title_key(text))


def relaxations(plan: QueryPlan) -> list[Relaxation]:
    """From strict to loose: every word; quotes loosened; fewer and fewer words. The first with hits counts.

    An all-words search that gives nothing because of one word is the most told complaint about catalogues.
    """
    steps = [Relaxation(plan, len(plan.required), None)]
    if any(group.quoted and len(group.alternatives[0].terms) > 1 for group in plan.groups):
        plan = _without_quotes(plan)
        told = "Nothing has these exact words in a row. These results have the words in any order."
        steps.append(Relaxation(plan, len(plan.required), told))
    asked = len(plan.required)
    for minimum in sorted({asked - 1, asked // 2, 1}, reverse=True):
        if 1 <= minimum < asked:
            told = f"Nothing has all {asked} words. These results have at least {minimum} of them."
            steps.append(Relaxation(plan, minimum, told))
    return steps


def _terms(text: str) -> tuple[str, ...]:
    return tuple(filter(None, map(term_of, _WORD.findall(composed(text)))))


_terms_of_short = lru_cache(maxsize=8_192)(_terms)
# A description is asked for twice in a row: to be found by, and to be ranked by.
_terms_of_long = lru_cache(maxsize=4)(_terms)


def _bare_groups(
    text: str, vocabulary: Vocabulary, synonyms: dict[tuple[str, ...], tuple[tuple[str, ...], ...]]
) -> list[WordGroup]:
    """Groups of the words outside quotes: synonyms first, the longest first, then single words."""
    found = _WORD.findall(text)
    pairs = [(word, term_of(word)) for word in found if term_of(word)]
    longest = max(map(len, synonyms), default=1)
    groups: list[WordGroup] = []
    at = 0
    while at < len(pairs):
        for length in range(min(longest, len(pairs) - at), 0, -1):
            key = tuple(term for _, term in pairs[at : at + length])
            if key in synonyms:
                same = tuple(Alternative(other, direct=False) for other in synonyms[key])
                spoken = " ".join(word for word, _ in pairs[at : at + length])
                telling = tuple(term for term in key if term not in vocabulary.stopwords)
                own = Alternative(telling or key, ordered=False)
                groups.append(WordGroup(spoken, (own, *same)))
                at += length
                break
        else:
            word, term = pairs[at]
            if folded(word) not in vocabulary.stopwords:
                required = folded(word) not in vocabulary.ambient
                groups.append(WordGroup(word, (Alternative((term,)), *_split_compound(term)), required))
            elif len(pairs) == 1 or all(folded(other) in vocabulary.stopwords for other, _ in pairs):
                groups.append(WordGroup(word, (Alternative((term,)),), required=False))
            at += 1
    return _join_compounds(groups)


def _quoted_group(text: str) -> list[WordGroup]:
    phrase = terms(text)
    return [WordGroup(text.strip(), (Alternative(phrase),), quoted=True)] if phrase else []


def _split_compound(term: str) -> tuple[Alternative, ...]:
    """``childcare`` also finds ``child care``: each way to cut the word, as two words in a row.

    A cut that makes no words costs nothing: no document has them in a row.
    """
    if not 2 * SPLIT_CHARACTERS_MIN <= len(term) <= 20:
        return ()
    cuts = range(SPLIT_CHARACTERS_MIN, len(term) - SPLIT_CHARACTERS_MIN + 1)
    digits = [at for at in range(1, len(term)) if term[at - 1].isalpha() and term[at].isdigit()]
    places = digits if any(letter.isdigit() for letter in term) else list(cuts)
    return tuple(Alternative((term_of(term[:at]), term[at:]), direct=False) for at in places)


def _join_compounds(groups: list[WordGroup]) -> list[WordGroup]:
    """``child care`` also finds ``childcare``: the joined word answers for both of its neighbours."""
    joined = list(groups)
    for at in range(len(groups) - 1):
        first, second = groups[at].alternatives[0].terms, groups[at + 1].alternatives[0].terms
        if len(first) == len(second) == 1 and groups[at].required and groups[at + 1].required:
            compound = Alternative((first[0] + second[0],), direct=False)
            for place in (at, at + 1):
                group = joined[place]
                joined[place] = WordGroup(group.words, (*group.alternatives, compound), group.required)
    return joined


def _some_required(groups: Sequence[WordGroup]) -> tuple[WordGroup, ...]:
    """The groups; when none is required, all of them are: someone who types only "data" means it."""
    if any(group.required for group in groups):
        return tuple(groups)
    return tuple(WordGroup(group.words, group.alternatives, True, group.quoted) for group in groups)


def _without_quotes(plan: QueryPlan) -> QueryPlan:
    groups: list[WordGroup] = []
    for group in plan.groups:
        if group.quoted:
            groups += [WordGroup(term, (Alternative((term,)),)) for term in group.alternatives[0].terms]
        else:
            groups.append(group)
    return QueryPlan(tuple(groups[:GROUPS_MAX]), plan.terms, plan.title_key)


@lru_cache(maxsize=8)
def _synonym_table(vocabulary: Vocabulary) -> dict[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Each entry's terms, and the terms of the entries that mean the same."""
    table: dict[tuple[str, ...], tuple[tuple[str, ...], ...]] = {}
    for entries in vocabulary.synonyms:
        keys = list(dict.fromkeys(terms(entry) for entry in entries))
        for key in filter(None, keys):
            others = tuple(other for other in keys if other and other != key)
            table[key] = table.get(key, ()) + others
    return table
