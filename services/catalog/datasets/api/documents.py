"""The JSON of the catalogue's API."""

from typing import Any
from uuid import UUID

from pydantic import Field

from services.catalog.datasets.domain.condition import condition_document
from services.catalog.datasets.domain.views import AgencyView, DatasetView
from shared.events.model import PublicModel
from shared.events.public import PublicDatasetState

__all__ = [
    "agency_document",
    "dataset_document",
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
        "condition": condition_document(view.condition, view.open_alerts),
        "links": {
            "page": f"/datasets/{view.state.dataset_id}",
            "dcat": f"/api/v1/datasets/{view.state.dataset_id}/dcat",
            "changes": f"/api/v1/events?dataset={view.state.dataset_id}",
            "quality": f"/api/v1/quality/datasets/{view.state.dataset_id}",
            "usage": f"/api/v1/usage/datasets/{view.state.dataset_id}",
        },
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


def _search_link(agency_id: UUID) -> str:
    return f"/api/v1/datasets?agency={agency_id}"
