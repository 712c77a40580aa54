"""A made-up catalogue of any size for measurements: deterministic, with the shape of a large real one.

Titles of 4 to 10 words, descriptions of about 45 (as in the federal feeds), words and keywords by Zipf's law,
600 agencies of very different size. Document ``n`` is the same in every run and for every corpus size.
"""

import random
import uuid
from bisect import bisect
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Literal

from services.catalog.datasets.domain.condition import Freshness
from services.catalog.search.domain.search import SearchDocument

_NAMESPACE = uuid.UUID("6f0e5b52-6f4c-5d0e-9c1c-6b1a52f0a9d1")
_EPOCH = datetime(2026, 1, 15, tzinfo=UTC)

SUBJECTS = (
    "water quality", "air quality", "drinking water", "child care", "school enrollment",
    "traffic counts", "bridge condition", "crash records", "overdose deaths", "hospital discharges",
    "nursing homes", "building permits", "business licenses", "property sales", "tax receipts",
    "state expenditures", "vendor payments", "employee salaries", "unemployment claims",
    "job openings", "food inspections", "restaurant violations", "beach closures", "fish stocking",
    "forest cover", "soil survey", "groundwater wells", "flood zones", "land parcels",
    "zoning districts", "bus routes", "rail stations", "airport operations",
    "electric vehicle charging", "solar installations", "energy benchmarks",
    "greenhouse gas emissions", "crime incidents", "court cases", "prison population",
    "parole decisions", "fire incidents", "emergency calls", "immunization rates", "birth outcomes",
    "cancer incidence", "lead testing", "asthma visits", "medicaid enrollment", "food stamps",
    "housing vouchers", "eviction filings", "homeless shelters", "library visits",
    "park attendance", "museum collections", "election results", "campaign finance",
    "lobbyist registrations", "public meetings", "grant awards", "student assessment",
    "graduation rates", "teacher certification", "special education", "college completion",
    "farm acreage", "crop yields", "pesticide use", "animal licenses", "hunting permits",
    "wildlife sightings", "snow depth", "stream flow", "weather stations", "census blocks",
    "population estimates", "migration flows",
)  # fmt: skip
MEASURES = (
    "annual summary", "monthly counts", "by county", "by town", "by district", "quarterly report",
    "inventory", "locations", "survey responses", "time series", "trends", "rates", "directory",
    "point layer", "polygon layer", "index", "statistics", "daily totals", "open ledger",
    "performance indicators",
)  # fmt: skip
THEMES = (
    "Health", "Transportation", "Education", "Environment", "Public Safety", "Business", "Finance",
    "Housing", "Energy", "Agriculture", "Culture", "Government", "Science", "Population", "Justice",
    "Economy",
)  # fmt: skip
FORMATS = ("CSV", "JSON", "XLSX", "PDF", "GEOJSON", "KML", "XML", "SHP", "API", "ZIP", "HTML", "TXT")
LICENSES = (
    "https://creativecommons.org/publicdomain/zero/1.0/",
    "https://creativecommons.org/licenses/by/4.0/",
    "https://www.usa.gov/government-works",
    "https://opendatacommons.org/licenses/odbl/1-0/",
)
_COMMON_TEXT = (
    "the of and data for each is by in to a records with from this dataset are state which includes "
    "information collected reported year annual program department county public number agency updated "
    "file contains"
)
COMMON = tuple(_COMMON_TEXT.split())
_ONSETS = (
    "b", "br", "c", "ch", "d", "f", "fl", "g", "gr", "h", "k", "l", "m", "n", "p", "pl", "r", "s",
    "st", "t", "tr", "v", "w",
)  # fmt: skip
_VOWELS = ("a", "e", "i", "o", "u", "ea", "ou")
_ENDS = ("", "n", "r", "l", "m", "nd", "rk", "st", "x", "ton", "ing", "ment")
_FRESHNESS: tuple[Freshness, ...] = ("ok", "ok", "ok", "late", "stale", "not-known")


class Corpus:
    """Word lists are made once; :meth:`document` is a pure function of its number."""

    def __init__(self) -> None:
        source = random.Random(20_260_115)
        self._words = sorted({_pseudo_word(source) for _ in range(30_000)})
        source.shuffle(self._words)
        self._word_weights = _zipf(len(self._words))
        self._places = [word.capitalize() for word in self._words[:1_500]]
        self._place_weights = _zipf(len(self._places))
        self._agencies = [
            (
                uuid.uuid5(_NAMESPACE, f"agency {n}"),
                f"{self._places[n]} Department of {SUBJECTS[n % 70].title()}",
            )
            for n in range(600)
        ]
        self._agency_weights = _zipf(len(self._agencies))
        self._common_weights = _zipf(len(COMMON))

    def documents(self, count: int) -> Iterator[SearchDocument]:
        """The first ``count`` documents."""
        return map(self.document, range(count))

    def document(self, number: int, revision: int = 1) -> SearchDocument:
        """Document ``number``: always the same."""
        source = random.Random(number * 7_919 + 13)
        subject = SUBJECTS[int(source.random() ** 1.5 * len(SUBJECTS))]
        place = self._places[_pick(source, self._place_weights)]
        measure = source.choice(MEASURES)
        year = 2000 + int(source.random() * 26)
        telling = [self._words[_pick(source, self._word_weights)] for _ in range(12)]
        title = (
            f"{place} {subject} {measure} {telling[0]} {year}"
            if number % 3
            else f"{subject} {measure}: {place} {telling[1]}"
        )
        agency_id, agency_name = self._agencies[_pick(source, self._agency_weights)]
        keywords = (subject, *(f"{word} {subject.split()[0]}" for word in telling[2:4]), telling[4])
        visibility: Literal["public", "government", "agency"] = "public"
        if number % 50 == 7:
            visibility = "agency" if number % 100 == 7 else "government"
        return SearchDocument(
            dataset_id=uuid.uuid5(_NAMESPACE, f"dataset {number}"),
            revision=revision,
            title=title[0].upper() + title[1:],
            description=self._description(source, subject, place, telling),
            keywords=keywords,
            themes=(THEMES[hash_of(subject) % len(THEMES)],),
            agency_id=agency_id,
            agency_name=agency_name,
            publisher_name=agency_name,
            formats=tuple(source.sample(FORMATS, 1 + number % 3)),
            access_level="public" if number % 20 else "restricted public",
            visibility=visibility,
            license=LICENSES[int(source.random() ** 2 * len(LICENSES))],
            column_names=(f"{telling[5]}_id", "report_date", f"{telling[6]}_count", "town"),
            identifier=f"{place.lower()}-{number:06d}",
            data_updated_at=_EPOCH - timedelta(hours=source.random() ** 2 * 90_000),
            freshness=source.choice(_FRESHNESS),
            quality_score=round(source.random(), 2) if number % 4 else None,
            popularity_bucket=int(10 * source.random() ** 4),
        )

    def selective_queries(self, count: int) -> list[str]:
        """Queries of people who look for one thing: two to four telling words of some document."""
        source = random.Random(4_242)
        found = []
        for _ in range(count):
            document = self.document(source.randrange(400_000))
            words = [word for word in document.title.replace(":", "").split() if not word.isdigit()]
            found.append(" ".join(source.sample(words, min(len(words), source.choice((3, 4))))))
        return found

    def _description(self, source: random.Random, subject: str, place: str, telling: list[str]) -> str:
        words = [f"This dataset has {subject} of {place}."]
        for at in range(15 + int(source.random() * 40)):
            common = source.random() < 0.6
            words.append(
                COMMON[_pick(source, self._common_weights)]
                if common
                else telling[at % 12]
                if at % 2
                else self._words[_pick(source, self._word_weights)]
            )
        return " ".join(words) + "."


def hash_of(text: str) -> int:
    """A number of a text that is the same in every process."""
    return sum(ord(letter) * place for place, letter in enumerate(text, 1))


def _zipf(count: int) -> list[float]:
    """Cumulated weights 1, 1/2, 1/3 …"""
    return list(accumulate(1 / rank for rank in range(1, count + 1)))


def _pick(source: random.Random, cumulated: list[float]) -> int:
    return bisect(cumulated, source.random() * cumulated[-1], 0, len(cumulated) - 1)


def _pseudo_word(source: random.Random) -> str:
    syllables = source.choice((1, 2, 2, 3))
    body = "".join(source.choice(_ONSETS) + source.choice(_VOWELS) for _ in range(syllables))
    return body + source.choice(_ENDS)
