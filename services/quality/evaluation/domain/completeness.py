"""How complete is the description of a dataset? A list of criteria, each with its cure for the steward.

The criteria follow the fields of DCAT-US 1.1 and what data portals score (licence, frequency, open format,
documented columns); the dimension of each is named as in ISO/IEC 25012.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from services.quality.alerts.domain.findings import Finding, FindingEvidence, joined
from services.quality.evaluation.domain.dimensions import Dimension
from shared.datasets.frequency import parse_periodicity
from shared.events.catalog import DatasetState, Distribution

DESCRIPTION_CHARACTERS_MIN = 80
DESCRIPTION_WORDS_MIN = 12
KEYWORDS_MIN = 3
DEGRADED_SCORE_DROP = 0.10
"""A score that falls by this much from its baseline is told to the steward."""

OPEN_FORMATS = frozenset(
    {
        "csv",
        "tsv",
        "json",
        "geojson",
        "ndjson",
        "xml",
        "rdf",
        "ttl",
        "parquet",
        "kml",
        "gpkg",
        "txt",
        "ods",
        "gtfs",
    }
)
OPEN_MEDIA_TYPES = frozenset(
    {
        "text/csv",
        "text/tab-separated-values",
        "application/json",
        "application/geo+json",
        "application/vnd.geo+json",
        "application/x-ndjson",
        "application/xml",
        "text/xml",
        "text/plain",
        "application/rdf+xml",
        "text/turtle",
        "application/ld+json",
        "application/vnd.apache.parquet",
        "application/vnd.google-earth.kml+xml",
        "application/geopackage+sqlite3",
    }
)

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


@dataclass(frozen=True, slots=True)
class Criterion:
    """One question about a record. ``check`` answers None when the question does not apply to it."""

    criterion_id: str
    words: str
    dimension: Dimension
    weight: float
    check: Callable[[DatasetState], bool | None]
    cure: str


@dataclass(frozen=True, slots=True)
class CriterionResult:
    """The answer for one record; ``cure`` is set only where the criterion is not met."""

    criterion_id: str
    words: str
    dimension: Dimension
    weight: float
    passed: bool | None
    cure: str | None = None


@dataclass(frozen=True, slots=True)
class CompletenessReport:
    """``score`` is the weighted share, 0 to 1, of the criteria that apply and are met."""

    score: float
    results: tuple[CriterionResult, ...]

    @property
    def unmet(self) -> tuple[CriterionResult, ...]:
        """The criteria that are not met, the heaviest first."""
        return tuple(
            sorted((one for one in self.results if one.passed is False), key=lambda one: -one.weight)
        )

    def score_in(self, dimension: Dimension) -> float | None:
        """The score over the criteria of one dimension; None when none of them applies."""
        return _score([one for one in self.results if one.dimension == dimension])


def judge_completeness(dataset: DatasetState) -> CompletenessReport:
    """Ask every criterion of :data:`CRITERIA` about the record."""
    results = tuple(_result(criterion, dataset) for criterion in CRITERIA)
    return CompletenessReport(score=_score(list(results)) or 0.0, results=results)


def completeness_findings(baseline: CompletenessReport, current: CompletenessReport) -> tuple[Finding, ...]:
    """One finding when the description became clearly poorer than it was, naming what was lost."""
    if baseline.score - current.score < DEGRADED_SCORE_DROP - 1e-9:
        return ()
    met_before = {one.criterion_id for one in baseline.results if one.passed}
    lost = [one for one in current.unmet if one.criterion_id in met_before]
    if not lost:
        return ()
    words = joined([one.words.lower() for one in lost])
    return (
        Finding(
            kind="metadata-degraded",
            severity="warning",
            cause=f"The description lost what it had: {words}.",
            next_act=lost[0].cure or "Restore the fields that were lost.",
            evidence=(
                FindingEvidence("metadata score", f"{baseline.score:.0%}", f"{current.score:.0%}"),
                *(FindingEvidence(one.criterion_id, one.words, "not met") for one in lost[:10]),
            ),
        ),
    )


def is_open_distribution(distribution: Distribution) -> bool:
    """True when the format is machine-readable and free of any one vendor's product."""
    media_type = (distribution.media_type or "").partition(";")[0].strip().lower()
    name = (distribution.format or "").strip().lower().lstrip(".")
    return media_type in OPEN_MEDIA_TYPES or name in OPEN_FORMATS or name in OPEN_MEDIA_TYPES


def is_uri(text: str | None) -> bool:
    """True for an absolute ``http``, ``https`` or ``urn`` identifier."""
    if not text or any(character.isspace() for character in text):
        return False
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return (parts.scheme in ("http", "https") and bool(parts.netloc)) or (
        parts.scheme == "urn" and bool(parts.path)
    )


def _result(criterion: Criterion, dataset: DatasetState) -> CriterionResult:
    passed = criterion.check(dataset)
    return CriterionResult(
        criterion_id=criterion.criterion_id,
        words=criterion.words,
        dimension=criterion.dimension,
        weight=criterion.weight,
        passed=passed,
        cure=criterion.cure if passed is False else None,
    )


def _score(results: list[CriterionResult]) -> float | None:
    applicable = [one for one in results if one.passed is not None]
    weight = sum(one.weight for one in applicable)
    return sum(one.weight for one in applicable if one.passed) / weight if weight else None


def _described(dataset: DatasetState) -> bool:
    text = dataset.description.strip()
    long_enough = len(text) >= DESCRIPTION_CHARACTERS_MIN and len(text.split()) >= DESCRIPTION_WORDS_MIN
    return long_enough and text.casefold() != dataset.title.strip().casefold()


def _columns_documented(dataset: DatasetState) -> bool | None:
    """At least four in five columns say what they hold. An address of a dictionary explains nothing yet.

    The catalog reads dictionaries from their addresses; what it could read is in ``columns``.
    """
    if not dataset.columns:
        return False if _offers_data(dataset) else None
    documented = sum(1 for column in dataset.columns if (column.description or "").strip())
    return documented >= 0.8 * len(dataset.columns)


def _offers_data(dataset: DatasetState) -> bool:
    return dataset.access_level == "public"


def _is_graded_for_access(dataset: DatasetState) -> bool:
    """Whoever may not have the data, or not even the record, cannot find it hard to get."""
    return dataset.visibility == "public" and _offers_data(dataset)


def _reachable(dataset: DatasetState) -> bool | None:
    if not _is_graded_for_access(dataset):
        return None
    return any(is_uri(one.download_url) or is_uri(one.access_url) for one in dataset.distributions)


def _landing_page(dataset: DatasetState) -> bool | None:
    return is_uri(dataset.landing_page) if _is_graded_for_access(dataset) else None


def _open_format(dataset: DatasetState) -> bool | None:
    if not _is_graded_for_access(dataset):
        return None
    return any(is_open_distribution(one) for one in dataset.distributions)


def _rights_explained(dataset: DatasetState) -> bool | None:
    return None if _offers_data(dataset) else bool((dataset.rights or "").strip())


def _licensed(dataset: DatasetState) -> bool | None:
    return is_uri(dataset.license) if _offers_data(dataset) else None


def _time_known(dataset: DatasetState) -> bool:
    return dataset.data_updated_at is not None or bool((dataset.modified or "").strip())


CRITERIA: tuple[Criterion, ...] = (
    Criterion(
        "description",
        "The description says what the data is",
        "understandability",
        2.0,
        _described,
        f"Write at least {DESCRIPTION_CHARACTERS_MIN} characters: what the data is, what one row is, and "
        "where it comes from.",
    ),
    Criterion(
        "columns-documented",
        "The columns are explained",
        "understandability",
        2.0,
        _columns_documented,
        "Describe every column in the data dictionary: meaning, unit, codes.",
    ),
    Criterion(
        "keywords",
        f"There are at least {KEYWORDS_MIN} keywords",
        "completeness",
        1.0,
        lambda dataset: len({word.strip().casefold() for word in dataset.keywords} - {""}) >= KEYWORDS_MIN,
        "Add the words that people would search for, at least three.",
    ),
    Criterion(
        "theme",
        "There is a theme",
        "completeness",
        1.0,
        lambda dataset: any(theme.strip() for theme in dataset.themes),
        "Choose the theme (category) under which people would look for the data.",
    ),
    Criterion(
        "temporal",
        "The period that the data covers is given",
        "completeness",
        0.5,
        lambda dataset: bool((dataset.temporal or "").strip()),
        "Give the first and last day that the data covers, as 2020-01-01/2024-12-31.",
    ),
    Criterion(
        "spatial",
        "The area that the data covers is given",
        "completeness",
        0.5,
        lambda dataset: bool((dataset.spatial or "").strip()),
        "Name the area that the data covers, and its unit: town, county, whole state.",
    ),
    Criterion(
        "updated",
        "The last update is dated",
        "completeness",
        1.0,
        _time_known,
        "Give the date of the last update of the data (DCAT-US field modified).",
    ),
    Criterion(
        "cadence",
        "The update frequency is declared",
        "compliance",
        2.0,
        lambda dataset: parse_periodicity(dataset.accrual_periodicity) is not None,
        "Declare how often the data is updated, as an ISO 8601 interval such as R/P1M, or irregular.",
    ),
    Criterion(
        "license",
        "The licence is given as a web address",
        "compliance",
        2.0,
        _licensed,
        "Give the web address of the licence, not its name.",
    ),
    Criterion(
        "rights",
        "The reason for the restriction is given",
        "compliance",
        2.0,
        _rights_explained,
        "Say in the rights field why the data is restricted, and who may ask for it.",
    ),
    Criterion(
        "contact",
        "There is a contact with an e-mail address",
        "compliance",
        1.5,
        lambda dataset: bool(_EMAIL.fullmatch((dataset.contact_email or "").removeprefix("mailto:"))),
        "Give the e-mail address of a role mailbox that answers questions.",
    ),
    Criterion(
        "publisher",
        "The publisher is a known agency",
        "compliance",
        1.5,
        lambda dataset: dataset.agency_id is not None,
        "Name the publisher as in the list of agencies, or add this spelling as an alias of its agency.",
    ),
    Criterion(
        "distribution",
        "There is an address to get the data from",
        "accessibility",
        2.0,
        _reachable,
        "Add a distribution with a download or access address.",
    ),
    Criterion(
        "open-format",
        "The data is offered in an open format",
        "accessibility",
        1.5,
        _open_format,
        "Offer the data as CSV, JSON or another open format, and state its media type.",
    ),
    Criterion(
        "landing-page",
        "There is a landing page",
        "accessibility",
        0.5,
        _landing_page,
        "Give the web address of the page that presents the dataset.",
    ),
)
