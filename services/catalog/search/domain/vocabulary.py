"""Words that mean the same, words that say nothing, and words nearly every record has: data, replaceable.

An installation replaces or extends :data:`DEFAULT_VOCABULARY` through its settings, for instance with the
name of its state as ambient words and its own programmes as synonyms.
"""

from dataclasses import dataclass

# fmt: off
STOPWORDS = frozenset({
    "a", "about", "an", "and", "are", "as", "at", "be", "by", "for", "from", "has", "have", "how",
    "in", "into", "is", "it", "its", "of", "on", "or", "our", "per", "that", "the", "their",
    "there", "these", "this", "to", "via", "was", "were", "what", "when", "where", "which", "who",
    "will", "with", "within", "you", "your",
})
AMBIENT_WORDS = frozenset({"data", "dataset", "datasets", "database", "statewide"})
SYNONYMS: tuple[tuple[str, ...], ...] = (
    ("SNAP", "food stamps", "Supplemental Nutrition Assistance Program"),
    ("WIC", "Women, Infants and Children"),
    ("TANF", "Temporary Assistance for Needy Families", "cash assistance"),
    ("ADT", "AADT", "average daily traffic"),
    ("DMV", "motor vehicles"),
    ("EV", "electric vehicle"),
    ("EMS", "emergency medical services"),
    ("EMT", "emergency medical technician"),
    ("COVID", "coronavirus", "SARS-CoV-2"),
    ("STD", "STI", "sexually transmitted disease", "sexually transmitted infection"),
    ("GIS", "geographic information system"),
    ("PFAS", "forever chemicals"),
    ("EPSDT", "early periodic screening"),
    ("FOIA", "FOI", "freedom of information"),
    ("RFP", "request for proposals"),
    ("town", "municipality", "city"),
    ("child", "kid"),
    ("elderly", "senior citizen", "older adult"),
    ("jail", "prison", "correctional facility"),
    ("doctor", "physician"),
    ("job", "employment"),
    ("unemployment", "jobless"),
    ("salary", "payroll", "wage"),
    ("spending", "expenditure", "expense"),
    ("vendor", "supplier"),
    ("contract", "procurement"),
    ("license", "licensing", "licensure", "licence"),
    ("permit", "permitting"),
    ("crash", "collision"),
    ("car", "automobile"),
    ("bike", "bicycle", "cycling"),
    ("house price", "home price", "real estate sale"),
    ("lead poisoning", "blood lead"),
    ("opioid", "opiate"),
    ("overdose", "drug related death", "drug poisoning"),
    ("vaccine", "vaccination", "immunization", "immunisation"),
    ("death", "mortality", "fatality"),
    ("birth", "natality"),
    ("pupil", "student"),
)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """``synonyms``: groups of words or phrases that stand for one another in a query.

    ``stopwords`` are dropped from a query outside quotes, unless nothing else is left.
    ``ambient`` words (``data``, the state's own name) help a match but are never required, unless nothing
    else is left: nearly every record is about them although few say so.
    """

    synonyms: tuple[tuple[str, ...], ...] = ()
    stopwords: frozenset[str] = frozenset()
    ambient: frozenset[str] = frozenset()

    def extended(self, synonyms: tuple[tuple[str, ...], ...], ambient: frozenset[str]) -> "Vocabulary":
        """This vocabulary with an installation's own entries added."""
        return Vocabulary(self.synonyms + synonyms, self.stopwords, self.ambient | ambient)


# fmt: on


DEFAULT_VOCABULARY = Vocabulary(SYNONYMS, STOPWORDS, AMBIENT_WORDS)
