"""The JSON of search and of the care for its index."""

from typing import Any

from services.catalog.datasets.domain.condition import condition_document
from services.catalog.datasets.domain.views import DatasetSummary
from services.catalog.search.domain.reconciling import IndexDrift
from services.catalog.search.domain.views import ResultView, SearchView

__all__ = ["drift_document", "results_document"]


def results_document(view: SearchView) -> dict[str, Any]:
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
        "condition": condition_document(dataset.condition, dataset.open_alerts),
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


def _moment(moment: Any) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
