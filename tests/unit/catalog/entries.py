"""Entries for tests of the catalogue."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from services.catalog.datasets.domain.entry import CatalogEntry, GovernanceContext
from shared.events.catalog import DatasetState

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
NOTHING_AROUND = GovernanceContext({}, {}, {})


def state_of(number: int = 1, **fields: Any) -> DatasetState:
    """A dataset as its source tells it."""
    values: dict[str, Any] = {
        "dataset_id": UUID(int=number),
        "source_id": "source",
        "identifier": f"d{number}",
        "title": f"Title {number}",
        "publisher_name": "Department of Roads",
        "registered_at": NOW,
        "metadata_changed_at": NOW,
    }
    return DatasetState(**(values | fields))


def entry_of(number: int = 1, *, source: dict[str, Any] | None = None, **fields: Any) -> CatalogEntry:
    """An entry of it, told as its source tells it."""
    state = state_of(number, **(source or {}))
    return replace(CatalogEntry(state.dataset_id, state, f"hash {number}", state), **fields)
