"""A feed of any number of varied datasets, as a file: the benchmarks' corpus, written as DCAT-US 1.1."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from services.catalog.search.domain.search import SearchDocument
from tests.benchmarks.corpus import Corpus

__all__ = ["record_of", "write_feed"]

TOLD_EVERY = 5_000


def record_of(document: SearchDocument) -> dict[str, Any]:
    """The record of a feed from which the catalogue makes this document."""
    return {
        "@type": "dcat:Dataset",
        "identifier": document.identifier,
        "title": document.title,
        "description": document.description,
        "keyword": list(document.keywords),
        "theme": list(document.themes),
        "modified": document.data_updated_at.date().isoformat() if document.data_updated_at else None,
        "publisher": {"@type": "org:Organization", "name": document.publisher_name},
        "contactPoint": {
            "@type": "vcard:Contact",
            "fn": "Open data team",
            "hasEmail": "mailto:data@example.gov",
        },
        "accessLevel": document.access_level,
        "rights": "Ask the agency." if document.access_level != "public" else None,
        "license": document.license,
        "distribution": [
            {
                "@type": "dcat:Distribution",
                "downloadURL": f"https://data.example.gov/{document.identifier}.{name.lower()}",
                "format": name,
            }
            for name in document.formats
        ],
    }


def write_feed(path: Path, count: int, tell: Callable[[int], None]) -> int:
    """Write the first ``count`` datasets of the corpus; return the size of the file in bytes."""
    with path.open("wb") as file:
        file.write(b'{"conformsTo": "https://project-open-data.cio.gov/v1.1/schema", "dataset": [')
        for number, document in enumerate(Corpus().documents(count)):
            if number % TOLD_EVERY == 0:
                tell(number)
            record = {name: value for name, value in record_of(document).items() if value is not None}
            file.write(b",\n" if number else b"\n")
            file.write(orjson.dumps(record))
        file.write(b"\n]}\n")
    return path.stat().st_size
