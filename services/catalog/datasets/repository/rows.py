"""Catalog entries as rows of ``datasets``, and back."""

from collections.abc import Collection
from typing import Any

from services.catalog.datasets.domain.condition import OpenAlerts, open_alerts_of_row
from services.catalog.datasets.domain.entry import CatalogEntry, Overrides
from shared.datasets.publisher_names import normalize_publisher
from shared.events.catalog import Column, DatasetState

__all__ = [
    "alerts_row",
    "entry_of",
    "row_of",
]


def row_of(entry: CatalogEntry, jurisdiction_words: Collection[str]) -> dict[str, Any]:
    """The row of an entry. A new one begins with nothing indexed."""
    state = entry.state
    return {
        "dataset_id": entry.dataset_id,
        "source_id": entry.source.source_id,
        "identifier": entry.source.identifier,
        "title": state.title,
        "publisher_normalised": normalize_publisher(entry.source.publisher_name or "", jurisdiction_words),
        "agency_id": state.agency_id,
        "steward_id": state.steward_id,
        "visibility": state.visibility,
        "access_level": state.access_level,
        "retired": entry.retired_at is not None,
        "retired_at": entry.retired_at,
        "retired_reason": entry.retired_reason,
        "ended": False,
        "content_hash": entry.content_hash,
        "version": entry.version,
        "document_revision": entry.document_revision,
        "indexed_revision": 0,
        "quality_score": entry.quality_score,
        "freshness": entry.freshness,
        "freshness_reason": entry.freshness_reason,
        "uses_30d": entry.uses_30d,
        "popularity_bucket": entry.popularity_bucket,
        **alerts_row(entry.open_alerts),
        "alerts_changed_at": entry.alerts_changed_at,
        "decisions": {
            name: value
            for name in Overrides.__slots__
            if (value := getattr(entry.decisions, name)) is not None
        },
        "dictionary_from": entry.columns_from,
        "dictionary": [column.model_dump(exclude_none=True) for column in entry.columns],
        "source": entry.source.model_dump(mode="json", exclude_none=True),
        "state": state.model_dump(mode="json", exclude_none=True),
    }


def entry_of(row: Any) -> CatalogEntry:
    """The entry in a row of ``datasets``."""
    return CatalogEntry(
        dataset_id=row.dataset_id,
        source=DatasetState.model_validate(row.source),
        content_hash=row.content_hash,
        state=DatasetState.model_validate(row.state),
        columns=tuple(Column.model_validate(column) for column in row.dictionary),
        columns_from=row.dictionary_from,
        decisions=Overrides(**row.decisions),
        version=row.version,
        document_revision=row.document_revision,
        retired_at=row.retired_at,
        retired_reason=row.retired_reason,
        quality_score=row.quality_score,
        freshness=row.freshness,
        freshness_reason=row.freshness_reason,
        uses_30d=row.uses_30d,
        popularity_bucket=row.popularity_bucket,
        open_alerts=open_alerts_of_row(row),
        alerts_changed_at=row.alerts_changed_at,
    )


def alerts_row(alerts: OpenAlerts | None) -> dict[str, Any]:
    """The columns that sum up the open alerts of a dataset."""
    if alerts is None:
        return {"open_alerts": 0, "alert_severity": None, "alert_kind": None}
    return {"open_alerts": alerts.count, "alert_severity": alerts.severity, "alert_kind": alerts.kind}
