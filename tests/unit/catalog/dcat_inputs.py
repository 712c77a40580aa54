"""Inputs that the tests of the harvest share: small records, the real feeds, and the official schema."""

import json
from collections.abc import Iterable
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from services.catalog.dcat.domain.export import Installation
from services.catalog.dcat.domain.records import ParsedRecord, SourceDefaults, parse_record
from services.catalog.harvesting.domain.differences import dataset_state
from shared.events.catalog import DatasetState, RejectedRecord

REAL_DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
DEFAULTS = SourceDefaults(
    publisher_name="State of Example",
    contact_name="Open data team",
    contact_email="opendata@example.gov",
    harvested_on=date(2026, 1, 15),
)
INSTALLATION = Installation(
    base_url="https://nutmeg.example.gov",
    title="Example catalogue",
    publisher_name="State of Example",
    contact_name="Open data team",
    contact_email="opendata@example.gov",
)
GOOD_RECORD: dict[str, Any] = {
    "@type": "dcat:Dataset",
    "identifier": "https://data.example.gov/id/lead",
    "title": "Lead screening by town",
    "description": "One row is one town and year.",
    "keyword": ["lead", "health"],
    "theme": ["Health"],
    "modified": "2025-12-01",
    "issued": "2020-05-06",
    "accessLevel": "public",
    "license": "https://creativecommons.org/publicdomain/zero/1.0/",
    "landingPage": "https://data.example.gov/d/lead",
    "accrualPeriodicity": "R/P1Y",
    "temporal": "2015-01-01/2025-01-01",
    "spatial": "Example",
    "language": ["en-US"],
    "references": ["https://data.example.gov/about"],
    "isPartOf": "health-collection",
    "describedBy": "https://data.example.gov/dictionaries/lead.json",
    "publisher": {"@type": "org:Organization", "name": "Department of Public Health"},
    "contactPoint": {
        "@type": "vcard:Contact",
        "fn": "Health data desk",
        "hasEmail": "mailto:health@example.gov",
    },
    "distribution": [
        {
            "@type": "dcat:Distribution",
            "downloadURL": "https://data.example.gov/lead.csv",
            "mediaType": "text/csv",
        }
    ],
}


def record(**changes: object) -> dict[str, Any]:
    """The good record with fields changed; ``...`` removes a field."""
    merged = {**GOOD_RECORD, **changes}
    return {name: value for name, value in merged.items() if value is not ...}


def parsed(**changes: object) -> ParsedRecord:
    """The good record with fields changed, which must be kept."""
    result = parse_record(record(**changes), defaults=DEFAULTS)
    assert isinstance(result, ParsedRecord), result
    return result


def cured_fields(result: ParsedRecord) -> set[str]:
    return {cure.field for cure in result.cures}


def state_of(result: ParsedRecord) -> DatasetState:
    return dataset_state(
        result,
        dataset_id=uuid5(NAMESPACE_URL, result.identifier),
        source_id="test",
        registered_at=NOW,
        metadata_changed_at=NOW,
    )


def real_file(path: str) -> Path:
    """A file of the real input; the test is skipped where it is absent."""
    file = REAL_DATA / path
    if not file.exists():
        pytest.skip(f"the real input ../shared/data/{path} is not here")
    return file


def real_records(path: str) -> list[dict[str, Any]]:
    """The datasets of one real feed."""
    records: list[dict[str, Any]] = json.loads(real_file(path).read_bytes()).get("dataset", [])
    return records


def parse_all(records: Iterable[object]) -> tuple[list[ParsedRecord], list[RejectedRecord]]:
    """Kept and rejected records, each in order."""
    results = [parse_record(raw, defaults=DEFAULTS) for raw in records]
    kept = [result for result in results if isinstance(result, ParsedRecord)]
    return kept, [result for result in results if isinstance(result, RejectedRecord)]


@cache
def official_validator() -> Draft202012Validator:
    """The judge of exports: the official schema with format checking on."""
    schema = json.loads(real_file("schemas/dcatus1.1/non-federal_dataset.json").read_bytes())
    return Draft202012Validator(schema, format_checker=FormatChecker())
