"""A small catalogue written for this test, and what people would want to find in it: graded by hand.

``judged_documents.csv`` is the catalogue. ``judged_queries.csv`` has a line for each title worth finding:
grade 3 is the very dataset, 2 clearly useful, 1 related; ``relaxed`` says that none has all the words.
"""

import csv
import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from services.catalog.search.domain.search import SearchDocument

_FOLDER = Path(__file__).parent
_NAMESPACE = uuid.UUID("0d7a9f52-0b43-5d9e-8f3c-7d3f6f1f2a10")


@dataclass(frozen=True, slots=True)
class JudgedQuery:
    """A text and the grades of the titles it should find; titles that are not named are worth nothing."""

    text: str
    grades: Mapping[str, int]
    relaxed: bool


def judged_queries() -> list[JudgedQuery]:
    """All queries, in the order of the file."""
    rows = _rows("judged_queries.csv")
    return [
        JudgedQuery(text, {row["title"]: int(row["grade"]) for row in found}, found[0]["relaxed"] == "yes")
        for text, group in groupby(rows, key=lambda row: row["query"])
        if (found := list(group))
    ]


def judged_documents() -> list[SearchDocument]:
    """The catalogue. Quality and use vary without regard to any query, so ranking by them alone fails."""
    return [
        SearchDocument(
            dataset_id=uuid.uuid5(_NAMESPACE, row["title"]),
            revision=1,
            title=row["title"],
            description=row["description"],
            keywords=tuple(row["keywords"].split("|")),
            themes=(row["agency"],),
            agency_id=uuid.uuid5(_NAMESPACE, row["agency"]),
            agency_name=row["agency"],
            formats=("CSV",),
            quality_score=number % 10 / 10,
            popularity_bucket=number % 7,
        )
        for number, row in enumerate(_rows("judged_documents.csv"))
    ]


def ndcg_at_10(found: Sequence[str], grades: Mapping[str, int]) -> float:
    """Normalised discounted cumulative gain of the first ten titles (Järvelin and Kekäläinen, 2002)."""
    ideal = _gain(sorted(grades.values(), reverse=True)[:10])
    return _gain([grades.get(title, 0) for title in found[:10]]) / ideal


def _gain(grades: Sequence[int]) -> float:
    return sum((2.0**grade - 1) / math.log2(place + 1) for place, grade in enumerate(grades, 1))


def _rows(name: str) -> list[dict[str, str]]:
    with (_FOLDER / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
