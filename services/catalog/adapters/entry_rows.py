"""Catalog entries as rows of ``datasets``, and back."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, TypeVar

from services.catalog.domain.condition import OpenAlerts
from services.catalog.domain.entry import CatalogEntry, Decisions, search_document
from services.catalog.domain.search import SearchDocument
from services.catalog.migrations.tables import DATASETS
from shared.datasets.publisher_names import normalize_publisher
from shared.events.catalog import Column, DatasetState

__all__ = [
    "INDEXED_COLUMNS",
    "ROWS_PER_STATEMENT_MAX",
    "alerts_of",
    "alerts_row",
    "chunks",
    "entry_of",
    "indexed_document_of",
    "row_of",
]

ROWS_PER_STATEMENT_MAX = 500

T = TypeVar("T")


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
            for name in Decisions.__slots__
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
        decisions=Decisions(**row.decisions),
        version=row.version,
        document_revision=row.document_revision,
        retired_at=row.retired_at,
        retired_reason=row.retired_reason,
        quality_score=row.quality_score,
        freshness=row.freshness,
        freshness_reason=row.freshness_reason,
        uses_30d=row.uses_30d,
        popularity_bucket=row.popularity_bucket,
        open_alerts=alerts_of(row),
        alerts_changed_at=row.alerts_changed_at,
    )


def alerts_row(alerts: OpenAlerts | None) -> dict[str, Any]:
    """The columns that sum up the open alerts of a dataset."""
    if alerts is None:
        return {"open_alerts": 0, "alert_severity": None, "alert_kind": None}
    return {"open_alerts": alerts.count, "alert_severity": alerts.severity, "alert_kind": alerts.kind}


def alerts_of(row: Any) -> OpenAlerts | None:
    """What those columns say."""
    return OpenAlerts(row.open_alerts, row.alert_severity, row.alert_kind) if row.open_alerts else None


INDEXED_COLUMNS = (
    DATASETS.c.dataset_id,
    DATASETS.c.state,
    DATASETS.c.document_revision,
    DATASETS.c.retired_at,
    DATASETS.c.quality_score,
    DATASETS.c.freshness,
    DATASETS.c.popularity_bucket,
    DATASETS.c.open_alerts,
    DATASETS.c.alert_severity,
    DATASETS.c.alert_kind,
)
"""What :func:`indexed_document_of` needs; reading the rest would double its time."""


def indexed_document_of(row: Any) -> SearchDocument:
    """What the index ought to hold of a row with :data:`INDEXED_COLUMNS`."""
    state = DatasetState.model_validate(row.state)
    return search_document(
        CatalogEntry(
            row.dataset_id,
            state,
            "",
            state,
            document_revision=row.document_revision,
            retired_at=row.retired_at,
            quality_score=row.quality_score,
            freshness=row.freshness,
            popularity_bucket=row.popularity_bucket,
            open_alerts=alerts_of(row),
        )
    )


def chunks(items: Collection[T]) -> Iterator[Sequence[T]]:
    """The items in portions that fit into one statement."""
    listed = list(items)
    for start in range(0, len(listed), ROWS_PER_STATEMENT_MAX):
        yield listed[start : start + ROWS_PER_STATEMENT_MAX]
