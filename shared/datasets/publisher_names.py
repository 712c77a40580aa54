"""One spelling of a publisher's name, so that feeds which write it in five ways can be compared.

Pure. Nothing here knows a state: the words that name the jurisdiction are an argument.
"""

import re
import unicodedata
from collections.abc import Collection

__all__ = ["normalize_publisher"]

_ABBREVIATIONS = {
    "dept": "department",
    "depts": "departments",
    "dep": "department",
    "div": "division",
    "off": "office",
    "comm": "commission",
    "auth": "authority",
    "natl": "national",
    "svcs": "services",
    "&": "and",
}
_FILLERS = frozenset({"the", "of", "for", "and", "on", "s"})
_WORD = re.compile(r"[a-z0-9]+|&")


def normalize_publisher(name: str, jurisdiction_words: Collection[str] = ()) -> str:
    """Return lower-case words without punctuation, fillers, abbreviations and jurisdiction words.

    >>> normalise_publisher("CT Dept. of Social Services", {"ct"})
    'department social services'
    >>> normalise_publisher("State of Ohio Department for Ageing", {"state", "ohio"})
    'department ageing'

    A name made of jurisdiction words alone keeps them: an empty key would match everything.
    """
    text = unicodedata.normalize("NFKD", name).lower()
    words = [_ABBREVIATIONS.get(word, word) for word in _WORD.findall(text)]
    dropped = _FILLERS | {word.lower() for word in jurisdiction_words}
    kept = [word for word in words if word not in dropped]
    return " ".join(kept or words)
