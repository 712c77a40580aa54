"""Views for the tests of pages: one full dataset, one with nothing known, and very long and many of each."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid5

from services.catalog.changes_feed.domain.history import ChangeView
from services.catalog.datasets.domain.condition import OpenAlerts
from services.catalog.datasets.domain.views import (
    AgencyView,
    AlertView,
    DatasetSummary,
    DatasetView,
    RetiredView,
    UseOfDay,
    UseOfMonth,
    UseView,
)
from services.catalog.harvesting.domain.views import HarvestView
from services.catalog.search.domain.search import Facet, FacetCount, Reason, Segment
from services.catalog.search.domain.views import HomeView, ResultView, SearchView, ThemeTile
from shared.events.catalog import Column, Cure, DatasetState, Distribution, RejectedRecord, TruncatedText
from shared.events.quality import ColumnProfiled, DimensionScore, Measurement, ValueCount
from tests.unit.web.web_style_guide import LONG_TITLE

NOW = datetime(2026, 3, 15, 9, 30, tzinfo=UTC)
FULL = UUID("11111111-0000-4000-8000-000000000001")
BARE = UUID("11111111-0000-4000-8000-000000000002")
RESTRICTED = UUID("11111111-0000-4000-8000-000000000003")
LONG = UUID("11111111-0000-4000-8000-000000000004")
RETIRED = UUID("11111111-0000-4000-8000-000000000005")
HEALTH = UUID("22222222-0000-4000-8000-000000000001")
RUNNING_HARVEST = UUID("33333333-0000-4000-8000-000000000001")
HELD_HARVEST = UUID("33333333-0000-4000-8000-000000000002")
DONE_HARVEST = UUID("33333333-0000-4000-8000-000000000003")

TITLE = "Accidental Drug Related Deaths by Town and Substance"
DESCRIPTION = (
    "Each row counts the deaths of one half-year in one town that a medical examiner found to be caused by "
    "drugs by accident. Substances are those named on the certificate, so one death can name several.\n"
    "Counts below six are left out, so that nobody can be recognised."
)
_SUBJECTS = (
    "Education and workforce",
    "Health and service delivery",
    "Fraud, waste and abuse",
    "Substance abuse and addiction",
    "Resilience",
    "Traffic safety",
    "Economic development",
    "Land use",
)
_PREVIEW_HEADER = ["Town", "Half-year", "Substance", "Deaths", "Rate per 100,000", "Flag"]


def state(dataset_id: UUID = FULL, **changes: object) -> DatasetState:
    full: dict[str, object] = {
        "dataset_id": dataset_id,
        "source_id": "sample",
        "identifier": "https://data.example.gov/datasets/overdose-deaths",
        "title": TITLE,
        "description": DESCRIPTION,
        "keywords": ["overdose", "opioid", "town", "mortality"],
        "themes": ["Substance abuse and addiction"],
        "publisher_name": "Office of the Chief Medical Examiner",
        "agency_id": HEALTH,
        "agency_name": "Office of the Chief Medical Examiner",
        "contact_name": "Pat Doe",
        "contact_email": "data.ocme@example.gov",
        "license": "https://creativecommons.org/publicdomain/zero/1.0/",
        "landing_page": "https://data.example.gov/d/overdose",
        "issued": "2014-05-20",
        "data_updated_at": NOW - timedelta(days=41),
        "accrual_periodicity": "R/P6M",
        "temporal": "2012-01-01/2025-12-31",
        "references": ["https://data.example.gov/about", "javascript:alert(1)"],
        "distributions": [
            Distribution(
                title="At the source", access_url="https://data.example.gov/api/overdose", format="API"
            ),
            Distribution(
                title="Comma-separated file", download_url="https://data.example.gov/o.csv", format="CSV"
            ),
            Distribution(title="Nowhere", download_url="javascript:alert(1)", format="HTML"),
        ],
        "columns": [
            Column(name="Town", type="string", description="Town where the person died."),
            Column(name="Half-year", type="date", description="First day of the half-year."),
            Column(name="Substance", title="Substance named", type="string"),
            Column(name="Deaths", type="integer", description="Deaths; blank where below six."),
        ],
        "cures": [
            Cure(
                field="license", message="It was the name CC0.", cure="The licence's own address was put in."
            )
        ],
        "registered_at": datetime(2025, 9, 1, tzinfo=UTC),
        "metadata_changed_at": NOW - timedelta(days=2),
        "is_sample": True,
    }
    return DatasetState.model_validate(full | changes)


def measurements(dataset_id: UUID = FULL) -> dict[str, Measurement]:
    rows = [
        [
            f"Town {number}",
            "2025-07-01",
            "Fentanyl",
            str(6 + number),
            f"{number / 3:.1f}",
            "" if number % 3 else "low",
        ]
        for number in range(20)
    ]
    names = ["Town", "Half-year", "Substance", "Deaths", "Rate per 100,000", "Flag"]
    types = ["string", "date", "string", "integer", "number", "string"]
    return {
        "profile": Measurement(
            dataset_id=dataset_id,
            kind="profile",
            row_count=4_812,
            columns=[
                ColumnProfiled(
                    name=name,
                    type=kind,
                    null_fraction=0.004 * place,
                    minimum=rows[0][place],
                    maximum="Z",
                    distinct_estimate=6 if kind == "string" else 100,
                    commonest=[ValueCount(value="Fentanyl", rows=2_406)] if name == "Substance" else [],
                )
                for place, (name, kind) in enumerate(zip(names, types, strict=True))
            ],
            preview_header=_PREVIEW_HEADER,
            preview_rows=rows,
            measured_at=NOW - timedelta(days=1),
        ),
        "overall": Measurement(
            dataset_id=dataset_id,
            kind="overall",
            score=0.82,
            dimensions=[
                DimensionScore(dimension="completeness", score=0.91, reason="91% of the cells hold a value"),
                DimensionScore(
                    dimension="currentness", score=1.0, reason="updated 41 days ago, promised half-yearly"
                ),
                DimensionScore(
                    dimension="understandability", score=0.5, reason="not met: every column is explained"
                ),
                DimensionScore(dimension="consistency", score=None, reason="not measured"),
            ],
            measured_at=NOW - timedelta(days=1),
        ),
    }


def use() -> UseView:
    firsts = [date(2025, month, 1) for month in range(4, 13)] + [date(2026, month, 1) for month in (1, 2, 3)]
    amounts = (0, 0, 0, 0, 0, 410, 388, 505, 471, 690, 1_204, 380)
    days = [NOW.date() - timedelta(days=back) for back in range(29, -1, -1)]
    return UseView(
        days=tuple(
            UseOfDay(day, 20 + 7 * (place % 5), place % 4, place % 3) for place, day in enumerate(days)
        ),
        months=tuple(
            UseOfMonth(first, amount, amount // 10, 0) for first, amount in zip(firsts, amounts, strict=True)
        ),
        uses_30d=1_104,
    )


def change(number: int, **changes: object) -> ChangeView:
    line: dict[str, object] = {
        "event_id": f"event-{number}",
        "dataset_id": FULL,
        "title": TITLE,
        "agency_name": "Office of the Chief Medical Examiner",
        "kind": "changed",
        "changed_fields": ("description", "columns", "license"),
        "reason": None,
        "happened_at": NOW - timedelta(hours=number),
    }
    return ChangeView(**(line | changes))  # type: ignore[arg-type]


def summary(dataset_id: UUID = FULL, **changes: object) -> DatasetSummary:
    one: dict[str, object] = {
        "dataset_id": dataset_id,
        "title": TITLE,
        "description": DESCRIPTION,
        "identifier": "overdose",
        "agency_id": HEALTH,
        "agency_name": "Office of the Chief Medical Examiner",
        "publisher_name": None,
        "themes": ("Substance abuse and addiction",),
        "formats": ("CSV", "API"),
        "access_level": "public",
        "visibility": "public",
        "license": None,
        "modified": "2026-02-02",
        "data_updated_at": NOW,
        "freshness": "ok",
        "freshness_reason": "",
        "quality_score": 0.82,
        "uses_30d": 1_104,
        "is_sample": True,
    }
    return DatasetSummary(**(one | changes))  # type: ignore[arg-type]


def full_dataset() -> DatasetView:
    return DatasetView(
        state=state(),
        version=7,
        etag='"7.9"',
        has_steward=True,
        quality_score=0.82,
        freshness="ok",
        freshness_reason="Updated 41 days ago; every 6 months was promised.",
        measurements=measurements(),
        use=use(),
        history=(change(3), change(50, kind="registered", changed_fields=())),
        alerts=(
            AlertView(
                "row-count-dropped",
                "error",
                "60% of the rows are gone.",
                NOW,
                is_taken=True,
                notified="steward",
                notified_at=NOW,
            ),
            AlertView("freshness-stale", "warning", None, NOW - timedelta(days=9), is_taken=False),
        ),
        open_alerts=OpenAlerts(2, "error", "row-count-dropped"),
        alerts_changed_at=NOW,
        related=(
            summary(RESTRICTED, title="Suspected Nonfatal Overdose Surveillance", freshness="late"),
            summary(LONG, title=LONG_TITLE, freshness="stale"),
            summary(BARE, title="Pharmacies Offering Naloxone", freshness="not-known"),
        ),
    )


def bare_dataset(dataset_id: UUID = BARE, **changes: object) -> DatasetView:
    nothing: dict[str, object] = {
        "description": "",
        "keywords": [],
        "themes": [],
        "publisher_name": None,
        "agency_id": None,
        "agency_name": None,
        "contact_email": None,
        "license": None,
        "landing_page": None,
        "issued": None,
        "data_updated_at": None,
        "accrual_periodicity": None,
        "temporal": None,
        "references": [],
        "distributions": [],
        "columns": [],
        "cures": [],
        "is_sample": False,
    }
    return DatasetView(
        state=state(dataset_id, **(nothing | changes)),
        version=1,
        etag='"1.1"',
        has_steward=False,
        quality_score=None,
        freshness="not-known",
        freshness_reason="",
    )


def restricted_dataset() -> DatasetView:
    rights = "Names of patients can be worked out from it, so only researchers with an agreement may have it."
    return bare_dataset(
        RESTRICTED,
        title="P20 WIN De-identified Outcomes Extract",
        description="Pupils' ways from school into work.",
        access_level="restricted public",
        rights=rights,
        agency_name="Office of Policy and Management",
        distributions=[Distribution(access_url="https://data.example.gov/secret")],
    )


def long_dataset() -> DatasetView:
    unbroken = "x" * 300
    return DatasetView(
        state=state(
            LONG,
            title=LONG_TITLE,
            description=f"{LONG_TITLE} {unbroken}",
            agency_name=LONG_TITLE,
            identifier=f"https://data.example.gov/{unbroken}",
            keywords=[f"keyword number {number}" for number in range(40)],
            columns=[
                Column(name=f"column_{number}_{unbroken[:40]}", description=LONG_TITLE)
                for number in range(40)
            ],
            distributions=[
                Distribution(
                    title=LONG_TITLE, download_url=f"https://data.example.gov/{unbroken}", format="CSV"
                ),
                Distribution(title=unbroken, access_url="https://data.example.gov/y", format=unbroken[:60]),
            ],
            truncated=[TruncatedText(field="description", size_bytes=1_000_000, sha256="0" * 64)],
        ),
        version=123,
        etag='"123.4"',
        has_steward=True,
        quality_score=0.4,
        freshness="stale",
        freshness_reason=LONG_TITLE,
        measurements=measurements(LONG),
        use=UseView(),
        history=tuple(change(number, reason=LONG_TITLE, kind="retired") for number in range(1, 31)),
    )


def retired_dataset() -> RetiredView:
    return RetiredView(
        RETIRED, "Naloxone Prescribing Pharmacists", "It left its source.", NOW - timedelta(days=9)
    )


def facets() -> dict[Facet, tuple[FacetCount, ...]]:
    return {
        "theme": tuple(FacetCount(one, one, 9 - place) for place, one in enumerate(_SUBJECTS)),
        "agency": tuple(
            FacetCount(str(uuid5(HEALTH, str(number))), f"Department of Public Matter {number}", 80 - number)
            for number in range(40)
        ),
        "format": (FacetCount("CSV", "CSV", 27, chosen=True), FacetCount("API", "API", 9)),
        "access_level": (
            FacetCount("public", "public", 27),
            FacetCount("restricted public", "restricted public", 7),
        ),
        "freshness": (FacetCount("ok", "ok", 20), FacetCount("stale", "stale", 4)),
        "license": (FacetCount("https://creativecommons.org/licenses/by/4.0/", "", 3),),
    }


def results(*, relaxed: str | None = None, next_cursor: str | None = "next") -> SearchView:
    marked = (
        Segment("Accidental "),
        Segment("Drug", True),
        Segment(" Related Deaths by "),
        Segment("Town", True),
    )
    hits = [
        ResultView(
            summary(), marked, (Segment("Each row <b>counts</b> the "), Segment("deaths", True)), 9.0, ()
        ),
        ResultView(
            summary(LONG, title=LONG_TITLE, agency_name=LONG_TITLE, freshness="stale", uses_30d=None),
            (Segment(LONG_TITLE),),
            (Segment("x" * 240),),
            3.0,
            (Reason("2 of 3 words found", 2.0), Reason("quality, freshness and use", 0.4)),
        ),
        ResultView(
            summary(
                RESTRICTED, title="P20 WIN Extract", access_level="restricted public", freshness="not-known"
            ),
            (Segment("P20 WIN Extract"),),
            (),
            None,
            (),
        ),
    ]
    return SearchView(1_204, "eq", tuple(hits), facets(), next_cursor, relaxed)


def nothing_found() -> SearchView:
    return SearchView(0, "eq", (), {}, None, None)


def home() -> HomeView:
    return HomeView(
        datasets=40,
        agencies=21,
        tiles=tuple(ThemeTile(subject, 4 + place) for place, subject in enumerate(_SUBJECTS)),
        changed_today=(
            change(1, times=3),
            change(2, kind="registered", changed_fields=(), title=LONG_TITLE),
            change(4, kind="retired", changed_fields=(), reason="It left its source."),
        ),
        changed_today_total=14,
        most_used=(
            summary(),
            summary(LONG, title=LONG_TITLE, freshness="stale"),
            summary(BARE, freshness="late"),
        ),
        is_sample=True,
    )


def empty_home() -> HomeView:
    return HomeView(0, 0, (), (), 0, (), is_sample=False)


def agencies() -> tuple[AgencyView, ...]:
    return (
        AgencyView(HEALTH, "OCME", "Office of the Chief Medical Examiner", 2),
        AgencyView(uuid5(HEALTH, "long"), "LONG", LONG_TITLE, 1_204),
        AgencyView(uuid5(HEALTH, "idle"), "IDLE", "Department of Nothing Yet", 0),
    )


def harvest(harvest_id: UUID, **changes: object) -> HarvestView:
    one: dict[str, object] = {
        "harvest_id": harvest_id,
        "source_id": "data.example.gov",
        "url": "https://data.example.gov/data.json",
        "status": "completed",
        "first_harvest": False,
        "processed": 307,
        "total": 307,
        "created": 3,
        "changed": 12,
        "unchanged": 291,
        "retired": 0,
        "rejected": 1,
        "known": 304,
        "missing": 0,
        "message": None,
        "rejections": (
            RejectedRecord(
                title=LONG_TITLE,
                problems=[Cure(field="identifier", message="It is missing.", cure="Give each record one.")],
            ),
        ),
        "requested_at": NOW - timedelta(minutes=3),
        "started_at": NOW - timedelta(minutes=2),
        "completed_at": NOW - timedelta(minutes=1),
    }
    return HarvestView(**(one | changes))  # type: ignore[arg-type]


def harvests() -> tuple[HarvestView, ...]:
    return (
        harvest(
            RUNNING_HARVEST, status="running", processed=120, completed_at=None, rejections=(), rejected=0
        ),
        harvest(HELD_HARVEST, status="held", known=304, missing=200, rejections=(), rejected=0),
        harvest(DONE_HARVEST),
    )
