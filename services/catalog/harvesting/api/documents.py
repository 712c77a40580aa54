"""The JSON of a harvest."""

from typing import Any

from services.catalog.harvesting.domain.views import HarvestView

__all__ = ["harvest_document"]


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


def _moment(moment: Any) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
