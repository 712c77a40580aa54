"""One spelling for a publisher's name, so that aliases of an agency can be looked up exactly."""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

NAME_CHARACTERS_MAX = 500

_ABBREVIATIONS = {
    "dept": "department",
    "dep": "department",
    "dpt": "department",
    "depts": "department",
    "div": "division",
    "ofc": "office",
    "off": "office",
    "comm": "commission",
    "auth": "authority",
    "bd": "board",
    "univ": "university",
    "svcs": "services",
    "svc": "service",
    "mgmt": "management",
    "mgt": "management",
    "admin": "administration",
    "govt": "government",
    "gov": "government",
    "&": "and",
}
_STOP_WORDS = frozenset(("a", "an", "and", "for", "in", "of", "on", "the", "to"))
# "Labor, Department of", "Labor Department" and "Department of Labor" are one name.
_KINDS = (
    "department",
    "office",
    "division",
    "bureau",
    "commission",
    "board",
    "council",
    "authority",
    "agency",
)
_POSSESSIVE = re.compile(r"['’]s\b")
_PARENTHESIS = re.compile(r"\([^()]*\)")
_INITIALS = re.compile(r"\b(?:[a-z]\.){2,6}")
_TOKEN = re.compile(r"[^\W_]+|&")


@lru_cache(maxsize=64)
def _jurisdiction_pattern(words: tuple[str, ...]) -> re.Pattern[str] | None:
    """The phrases that only say which state it is: "State of X", "X State", "X", the longest first."""
    phrases = [" ".join(_TOKEN.findall(_fold(word))) for word in words]
    names = sorted((phrase for phrase in phrases if phrase), key=len, reverse=True)
    if not names:
        return None
    either = "|".join(map(re.escape, names))
    return re.compile(rf"\b(?:state of (?:{either})|(?:{either})(?: state)?)\b")


def _fold(text: str) -> str:
    """Lower case, without accents."""
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(character for character in decomposed if not unicodedata.combining(character)).casefold()


def normalise_publisher(name: str, jurisdiction_words: Sequence[str] = ()) -> str:
    """The key of a publisher's name: equal for spellings that differ in case, punctuation or form only.

    ``jurisdiction_words`` are the names of the installation's state, in full and short: alone or as "State
    of …" they say nothing about which of its agencies is meant. Misspellings are not guessed at; they are
    aliases. A name that consists of nothing else keeps its words. The result is lower case without accents.
    """
    folded = _POSSESSIVE.sub("", _fold(name[:NAME_CHARACTERS_MAX]))
    folded = _INITIALS.sub(lambda match: match[0].replace(".", "") + " ", folded)
    words = _TOKEN.findall(_PARENTHESIS.sub(" ", folded)) or _TOKEN.findall(folded)
    plain = [_ABBREVIATIONS.get(word, word) for word in words]
    text = " ".join(plain)
    pattern = _jurisdiction_pattern(tuple(jurisdiction_words))
    if pattern is not None:
        text = pattern.sub(" ", text)
    kept = [word for word in text.split() if word not in _STOP_WORDS]
    if any(word not in _KINDS and word != "state" for word in kept):
        kept = [word for word in kept if word != "state"]
    kind = next((word for word in _KINDS if word in kept), None)
    if kind is not None:
        kept.remove(kind)
        kept.insert(0, kind)
    return " ".join(kept or plain)
