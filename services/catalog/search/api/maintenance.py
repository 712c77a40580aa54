"""Care for the search index over HTTP: build it anew, compare it with the catalogue, mend it."""

from typing import Any

from fastapi import APIRouter

from services.catalog.search.api.documents import drift_document
from services.catalog.search.commands.indexing import IndexWorker
from shared.http.viewing import access
from shared.identity.viewer import Role

__all__ = ["build_maintenance_api"]


def build_maintenance_api(worker: IndexWorker) -> APIRouter:
    """Return the routes below ``/api/v1/catalog``."""
    router = APIRouter(
        prefix="/api/v1/catalog",
        tags=["maintenance"],
        dependencies=[access(Role.OPERATOR, Role.CHIEF_DATA_OFFICER)],
    )

    @router.post("/reindex")
    async def reindex() -> dict[str, Any]:
        """Build the index anew beside the old one and swap them; searches go on meanwhile."""
        report = await worker.reindex()
        refused = [{"id": str(outcome.dataset_id), "reason": outcome.reason} for outcome in report.refused]
        return {"applied": report.applied, "caught_up": report.caught_up, "refused": refused}

    @router.post("/reconcile")
    async def reconcile(repair: bool = False) -> dict[str, int]:
        """Compare the index with the catalogue; with ``repair``, mend what differs."""
        return drift_document(await worker.reconcile(repair=repair))

    return router
