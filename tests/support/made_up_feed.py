"""A DCAT-US 1.1 feed of any size, with the variety of a large real one, that leads to no server of others."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from services.catalog.search.domain.search import SearchDocument
from tests.benchmarks.corpus import Corpus

__all__ = ["SCHEMA", "made_up_records", "write_made_up_feed"]

SCHEMA = "https://project-open-data.cio.gov/v1.1/schema"


def made_up_records(count: int) -> Iterator[dict[str, Any]]:
    """The first ``count`` records; record ``n`` is the same in every run. None offers a file to download."""
    return map(_record, Corpus().documents(count))


def write_made_up_feed(path: Path, count: int) -> None:
    """Write a feed of ``count`` records, one at a time, so that any size fits into memory."""
    with path.open("wb") as file:
        file.write(b'{"conformsTo": ' + orjson.dumps(SCHEMA) + b', "dataset": [')
        for number, record in enumerate(made_up_records(count)):
            file.write((b",\n" if number else b"\n") + orjson.dumps(record))
        file.write(b"\n]}\n")


def _record(document: SearchDocument) -> dict[str, Any]:
    updated = document.data_updated_at
    return {
        "@type": "dcat:Dataset",
        "identifier": document.identifier,
        "title": document.title,
        "description": document.description,
        "keyword": list(document.keywords),
        "theme": list(document.themes),
        "modified": None if updated is None else updated.date().isoformat(),
        "publisher": {"@type": "org:Organization", "name": document.publisher_name},
        "contactPoint": {
            "@type": "vcard:Contact",
            "fn": "Open data team",
            "hasEmail": "mailto:opendata@example.gov",
        },
        "accessLevel": document.access_level,
        "license": document.license,
        "landingPage": f"https://data.example.gov/d/{document.identifier}",
        **({} if document.access_level == "public" else {"rights": "Ask the agency for the data."}),
        "distribution": [
            {
                "@type": "dcat:Distribution",
                "title": f"{document.title} ({label})",
                "accessURL": f"https://data.example.gov/d/{document.identifier}/{label.lower()}",
                "format": label,
            }
            for label in document.formats
        ],
    }
