"""Load on a whole Nutmeg, and what has to come of it, computed beside the product.

Each second brings 185 hits; each ten seconds a feed in which 100 of 300 datasets changed, and 50 of these
lost their description or got it back, which opens or resolves an alert: 200 events a second, and what
follows from them (rollups, measurements, public records, deliveries) comes on top.
"""

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

__all__ = ["CYCLE_SECONDS", "DATASETS", "EVENTS_PER_SECOND", "STEWARDS", "Feed", "Hits", "steward_email"]

DATASETS = 300
CHANGED_PER_CYCLE = 100
TOGGLED_PER_CYCLE = 50
CYCLE_SECONDS = 10.0
HITS_PER_SECOND = 185
EVENTS_PER_SECOND = HITS_PER_SECOND + (CHANGED_PER_CYCLE + TOGGLED_PER_CYCLE) / CYCLE_SECONDS
STEWARDS = 10
KINDS = {"view": "views", "download": "downloads", "api-call": "api_calls"}
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0"
GOOD = (
    "Vehicles that were counted on state roads by permanent and portable counters: one row for each counter, "
    "direction and hour, with the number of vehicles and their classes. Revision {}."
)
POOR = "Counts."


def steward_email(number: int) -> str:
    """The address of who answers for dataset ``number``."""
    return f"steward-{number % STEWARDS}@example.gov"


@dataclass
class Feed:
    """A DCAT-US feed whose datasets change in turn. ``toggles``: how often each lost or regained its text."""

    cycles: int = 0
    toggles: list[int] = field(default_factory=lambda: [0] * DATASETS)
    revisions: list[int] = field(default_factory=lambda: [0] * DATASETS)

    def change(self) -> int:
        """Change the datasets whose turn it is; return how many."""
        first = (self.cycles * CHANGED_PER_CYCLE) % DATASETS
        for place in range(CHANGED_PER_CYCLE):
            number = first + place
            if place < TOGGLED_PER_CYCLE:
                self.toggles[number] += 1
            else:
                self.revisions[number] += 1
        self.cycles += 1
        return CHANGED_PER_CYCLE

    def is_poor(self, number: int) -> bool:
        """Whether a dataset is without its description just now, and so has an open alert."""
        return self.toggles[number] % 2 == 1

    def document(self) -> bytes:
        """The feed as it is now."""
        records = [self._record(number) for number in range(DATASETS)]
        conforms = "https://project-open-data.cio.gov/v1.1/schema"
        return orjson.dumps({"conformsTo": conforms, "dataset": records})

    def _record(self, number: int) -> dict[str, Any]:
        text = POOR if self.is_poor(number) else GOOD.format(self.revisions[number])
        return {
            "@type": "dcat:Dataset",
            "identifier": f"road-{number}",
            "title": f"Road counts {number}",
            "description": text,
            "keyword": ["roads", "traffic", "counts"],
            "theme": ["Transportation"],
            "modified": datetime.now(UTC).date().isoformat(),
            "publisher": {"@type": "org:Organization", "name": "Department of Transportation"},
            "contactPoint": {
                "@type": "vcard:Contact",
                "fn": "Road counts",
                "hasEmail": "mailto:roads@example.gov",
            },
            "accessLevel": "public",
            "license": "https://creativecommons.org/publicdomain/zero/1.0/",
            "distribution": [],
        }


@dataclass
class Hits:
    """Hits of ever new visitors, so that each counts. ``expected``: by dataset and column of the report."""

    dataset_ids: list[UUID]
    sent: int = 0
    expected: Counter[tuple[UUID, str]] = field(default_factory=Counter)
    _source: random.Random = field(default_factory=lambda: random.Random(20_261_123))

    def batch(self) -> list[dict[str, Any]]:
        """The hits of one second."""
        return [self._hit() for _ in range(HITS_PER_SECOND)]

    def _hit(self) -> dict[str, Any]:
        self.sent += 1
        dataset_id = self.dataset_ids[int(self._source.random() ** 2 * len(self.dataset_ids))]
        kind = self._source.choices(list(KINDS), (7, 2, 1))[0]
        self.expected[dataset_id, KINDS[kind]] += 1
        number = self.sent
        address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        return {
            "dataset_id": str(dataset_id),
            "kind": kind,
            "occurred_at": datetime.now(UTC).isoformat(),
            "visitor": {"address": address, "user_agent": AGENT},
        }
