"""The sample as a DCAT-US 1.1 feed, and its data dictionaries as Frictionless table schemas.

Sources: DCAT-US 1.1 (Project Open Data metadata v1.1, the non-federal schema), Table Schema 2.0.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from services.host.sample.catalog import (
    CATALOGUE_TITLE,
    SAMPLE_KEYWORD,
    SampleColumn,
    SampleDataset,
    focal_point_titles,
    sample_agency,
    sample_dataset,
    sample_datasets,
    steward_display_name,
)
from services.host.sample.degradations import check_names, is_degraded

_CONFORMS_TO = "https://project-open-data.cio.gov/v1.1/schema"
_TABLE_SCHEMA = "https://datapackage.org/profiles/2.0/tableschema.json"


def build_feed(
    base_url: str,
    today: date,
    degraded: frozenset[str] = frozenset(),
    *,
    degraded_at: datetime | None = None,
) -> dict[str, Any]:
    """The whole sample as one catalogue.

    ``base_url`` is the address without a trailing slash that serves ``/sample/files`` and
    ``/sample/dictionaries``. A dataset's ``modified`` lies its own number of days before ``today``, except
    where a fault from ``degraded`` strikes it: then it is ``degraded_at`` (by default ``today``), because a
    portal marks a file as changed whenever one is uploaded, a bad one too.
    Raises ``ValueError`` for an unknown fault, or a ``degraded_at`` without a time zone.

    The feed holds hidden records too, since DCAT-US has no field for the visibility of a record; it is for
    the harvester, and isn't to be served to the public.
    """
    check_names(degraded)
    if degraded_at is not None and degraded_at.tzinfo is None:
        raise ValueError("degraded_at: has no time zone; pass an aware datetime such as datetime.now(UTC)")
    base_url = base_url.rstrip("/")
    changed_at = (
        degraded_at.astimezone(UTC).isoformat(timespec="seconds") if degraded_at else today.isoformat()
    )
    return {
        "@context": f"{_CONFORMS_TO}/catalog.jsonld",
        "@id": f"{base_url}/sample/data.json",
        "@type": "dcat:Catalog",
        "conformsTo": _CONFORMS_TO,
        "describedBy": f"{_CONFORMS_TO}/catalog.json",
        "title": CATALOGUE_TITLE,
        "dataset": [
            _describe(
                dataset,
                base_url,
                changed_at
                if is_degraded(dataset.slug, degraded)
                else data_updated_on(dataset, today).isoformat(),
            )
            for dataset in sample_datasets()
        ],
    }


def data_updated_on(dataset: SampleDataset, today: date) -> date:
    """The day on which the dataset's rows last changed, as seen on ``today``."""
    return today - timedelta(days=dataset.days_since_data_updated)


def has_open_dictionary(slug: str) -> bool:
    """Whether the dictionary may be served to anyone: a hidden record's columns are hidden with it.

    Raises ``NotFoundError`` when the sample has no such dataset.
    """
    return sample_dataset(slug).visibility == "public"


def build_dictionary(slug: str) -> dict[str, Any]:
    """The data dictionary of one dataset as a Frictionless Table Schema 2.0.

    Raises ``NotFoundError`` when the sample has no such dataset. Ask :func:`has_open_dictionary` before
    serving it.
    """
    dataset = sample_dataset(slug)
    schema: dict[str, Any] = {
        "$schema": _TABLE_SCHEMA,
        "name": dataset.slug,
        "title": dataset.title,
        "description": f"One row is {dataset.row_meaning}.",
        "fields": [_field(column, dataset) for column in dataset.columns],
        "missingValues": [""],
    }
    if dataset.primary_key:
        schema["primaryKey"] = list(dataset.primary_key)
    return schema


def _field(column: SampleColumn, dataset: SampleDataset) -> dict[str, Any]:
    field: dict[str, Any] = {
        "name": column.name,
        "title": column.title,
        "type": column.type,
        "description": column.description,
    }
    if column.name in dataset.primary_key:
        field["constraints"] = {"required": True}
    return field


def _describe(dataset: SampleDataset, base_url: str, modified: str) -> dict[str, Any]:
    agency = sample_agency(dataset.agency_code)
    record: dict[str, Any] = {
        "@type": "dcat:Dataset",
        "identifier": dataset.identifier,
        "title": dataset.title,
        "description": f"{dataset.description} One row is {dataset.row_meaning}.",
        "keyword": [*dataset.keywords, SAMPLE_KEYWORD],
        "theme": focal_point_titles(dataset),
        "issued": dataset.issued,
        "modified": modified,
        "accessLevel": dataset.access,
        "accrualPeriodicity": dataset.frequency.accrual_periodicity,
        "language": ["en-US"],
        "spatial": "Connecticut",
        "publisher": {
            "@type": "org:Organization",
            "name": dataset.publisher_name or agency.name,
            "subOrganizationOf": {"@type": "org:Organization", "name": agency.parent},
        },
        "contactPoint": {
            "@type": "vcard:Contact",
            "fn": steward_display_name(dataset.steward_email, dataset.agency_code),
            "hasEmail": f"mailto:{dataset.steward_email}",
        },
    }
    optional = {
        "rights": dataset.rights,
        "license": dataset.license,
        "landingPage": dataset.landing_page,
        "temporal": dataset.temporal,
    }
    record |= {name: value for name, value in optional.items() if value is not None}
    if has_open_dictionary(dataset.slug):
        record["describedBy"] = f"{base_url}/sample/dictionaries/{dataset.slug}.json"
        record["describedByType"] = "application/json"
    distribution = _distribution(dataset, base_url)
    if distribution is not None:
        record["distribution"] = [distribution]
    return record


def _distribution(dataset: SampleDataset, base_url: str) -> dict[str, Any] | None:
    """A file for public data, the place to ask for restricted data, nothing for the rest."""
    if dataset.has_file:
        return {
            "@type": "dcat:Distribution",
            "title": f"{dataset.title} as CSV",
            "downloadURL": f"{base_url}/sample/files/{dataset.slug}.csv",
            "mediaType": "text/csv",
            "format": "CSV",
        }
    if dataset.access == "restricted public":
        return {
            "@type": "dcat:Distribution",
            "title": f"How to ask for {dataset.title}",
            "accessURL": dataset.landing_page or f"{base_url}/sharing-requests",
        }
    return None
