"""The JSON of the catalogue's API."""

from typing import Any
from uuid import UUID

from pydantic import Field

from services.catalog.domain.reconciling import IndexDrift
from services.catalog.domain.views import (
    AgencyView,
    DatasetSummary,
    DatasetView,
    HarvestView,
    ResultView,
    SearchView,
)
from shared.events.model import PublicModel
from shared.events.public import PublicDatasetState

__all__ = [
    "agency_document",
    "dataset_document",
    "drift_document",
    "harvest_document",
    "harvest_result",
    "search_document",
]


class CureDocument(PublicModel):
    """What was wrong with a field of the source record, and what was done about it."""

    field: str
    message: str
    cure: str


class DatasetDocument(PublicDatasetState):
    """What the API tells of a dataset's state: an allow-list, as everything that leaves."""

    source_id: str
    cures: list[CureDocument] = Field(default_factory=list)


def dataset_document(view: DatasetView) -> dict[str, Any]:
    """One dataset: its state, what quality says of it, and its version."""
    document = DatasetDocument.model_validate(view.state).model_dump(mode="json", exclude={"retired_at"})
    return document | {
        "id": str(view.state.dataset_id),
        "version": view.version,
        "has_steward": view.has_steward,
        "quality_score": view.quality_score,
        "freshness": {"status": view.freshness, "reason": view.freshness_reason},
        "condition": _condition(view),
        "links": {
            "page": f"/datasets/{view.state.dataset_id}",
            "dcat": f"/api/v1/datasets/{view.state.dataset_id}/dcat",
            "changes": f"/api/v1/events?dataset={view.state.dataset_id}",
            "quality": f"/api/v1/quality/datasets/{view.state.dataset_id}",
            "usage": f"/api/v1/usage/datasets/{view.state.dataset_id}",
        },
    }


def search_document(view: SearchView) -> dict[str, Any]:
    """One page of results with its facets."""
    return {
        "total": view.total,
        "total_relation": view.total_relation,
        "results": [_result(result) for result in view.results],
        "facets": {
            facet: [
                {"value": one.value, "label": one.label, "count": one.count, "chosen": one.chosen}
                for one in counts
            ]
            for facet, counts in view.facets.items()
        },
        "next_cursor": view.next_cursor,
        "relaxed": view.relaxed,
    }


def harvest_document(view: HarvestView) -> dict[str, Any]:
    """One harvest: how far it is, and its result so far."""
    return {
        "id": str(view.harvest_id),
        "source": view.source_id,
        "url": view.url,
        "status": view.status,
        "first_harvest": view.first_harvest,
        "progress": {"processed": view.processed, "total": view.total},
        "known": view.known,
        "missing": view.missing,
        "message": view.message,
        "requested_at": _moment(view.requested_at),
        "started_at": _moment(view.started_at),
        "completed_at": _moment(view.completed_at),
        "result": harvest_result(view),
    }


def harvest_result(view: HarvestView) -> dict[str, Any]:
    """What the harvest did, in the shape of ``nutmeg harvest --json``."""
    return {
        "created": view.created,
        "changed": view.changed,
        "unchanged": view.unchanged,
        "retired": view.retired,
        "rejected": view.rejected,
        "rejections": [record.model_dump(mode="json") for record in view.rejections],
    }


def agency_document(view: AgencyView) -> dict[str, Any]:
    """One agency with its number of datasets."""
    return {
        "id": str(view.agency_id),
        "code": view.code,
        "name": view.name,
        "datasets": view.datasets,
        "links": {"datasets": _search_link(view.agency_id)},
    }


def drift_document(drift: IndexDrift) -> dict[str, int]:
    """How index and catalogue differ, in the shape of ``nutmeg reconcile --json``."""
    return {
        "store": drift.store,
        "index": drift.index,
        "missing": drift.missing,
        "extra": drift.extra,
        "stale": drift.stale,
        "repaired": drift.repaired,
        "purged": drift.purged,
    }


def _result(result: ResultView) -> dict[str, Any]:
    dataset: DatasetSummary = result.dataset
    return {
        "id": str(dataset.dataset_id),
        "title": dataset.title,
        "description": dataset.description,
        "identifier": dataset.identifier,
        "agency": None
        if dataset.agency_id is None
        else {"id": str(dataset.agency_id), "name": dataset.agency_name},
        "publisher_name": dataset.publisher_name,
        "themes": list(dataset.themes),
        "formats": list(dataset.formats),
        "access_level": dataset.access_level,
        "visibility": dataset.visibility,
        "license": dataset.license,
        "modified": dataset.modified,
        "data_updated_at": _moment(dataset.data_updated_at),
        "freshness": {"status": dataset.freshness, "reason": dataset.freshness_reason},
        "condition": _condition(dataset),
        "quality_score": dataset.quality_score,
        "uses_30d": dataset.uses_30d,
        "is_sample": dataset.is_sample,
        "highlights": {
            "title": [[segment.text, segment.matched] for segment in result.title],
            "description": [[segment.text, segment.matched] for segment in result.excerpt],
        },
        "score": result.score,
        "explain": [{"reason": one.reason, "points": one.points} for one in result.explain],
    }


def _condition(dataset: DatasetSummary | DatasetView) -> dict[str, Any]:
    condition, alerts = dataset.condition, dataset.open_alerts
    return {
        "status": condition.status,
        "cause": condition.cause,
        "alert_kind": condition.alert_kind,
        "open_alerts": 0 if alerts is None else alerts.count,
    }


def _search_link(agency_id: UUID) -> str:
    return f"/api/v1/datasets?agency={agency_id}"


def _moment(moment: Any) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
