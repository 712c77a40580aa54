"""Facets, reasons and subjects in plain words."""

import re
from collections.abc import Sequence

from markupsafe import Markup, escape

from services.catalog.datasets.reader.words import FRESHNESS, access_words, license_words
from services.catalog.search.domain.search import Facet, Reason, Segment

__all__ = ["facet_words", "marked", "reason_words", "theme_icon"]

# Whole words or beginnings of words in a theme, and the drawing of that subject.
_THEME_ICONS = (
    ("education", ("educat", "school", "workforce", "learning", "student")),
    ("substance", ("substance", "addict", "overdose", "drug", "opioid")),
    ("health", ("health", "medic", "human service", "social service", "wellness")),
    (
        "fraud",
        (
            "fraud",
            "waste",
            "abuse",
            "audit",
            "spending",
            "budget",
            "finance",
            "government",
            "public safety",
            "justice",
        ),
    ),
    ("resilience", ("resilien", "climate", "environment", "energy", "weather", "emergenc")),
    ("traffic", ("traffic", "transport", "road", "crash", "mobility")),
    ("economy", ("econom", "business", "tax", "industry", "labor", "job", "commerce")),
    ("land", ("land", "housing", "parcel", "geograph", "planning", "property", "map")),
)


_FINE_POINTS = frozenset(
    {"where the words stand", "the title says little else", "quality, freshness and use"}
)


_CONDITIONS: dict[str, str] = {
    "ok": "No problem known",
    "not-known": "Not known yet",
    "notice": "Something to know",
    "attention": "Needs attention",
    "problem": "Has a problem",
}


def facet_words(facet: Facet, value: str, label: str) -> str:
    """Say a value of a facet in words."""
    if facet == "freshness":
        return next((told.word for code, told in FRESHNESS.items() if code == value), label)
    if facet == "condition":
        return _CONDITIONS.get(value, label)
    if facet == "access_level":
        return access_words(value)
    if facet == "license":
        return license_words(value) or label
    return label


def marked(segments: Sequence[Segment]) -> Markup:
    """Write segments with the words that were searched for marked."""
    return Markup("").join(
        Markup("<mark>{}</mark>").format(segment.text) if segment.matched else escape(segment.text)
        for segment in segments
    )


def reason_words(reasons: Sequence[Reason]) -> str:
    """Say why a result is here, without the parts of its score that tell a reader nothing."""
    return "; ".join(one.reason for one in reasons if one.reason not in _FINE_POINTS)


def theme_icon(theme: str) -> str:
    """Choose a drawing for a theme."""
    lowered = theme.casefold()
    for name, beginnings in _THEME_ICONS:
        if any(re.search(rf"\b{beginning}", lowered) for beginning in beginnings):
            return name
    return "dataset"
