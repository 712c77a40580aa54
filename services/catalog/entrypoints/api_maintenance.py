"""Care for the search index over HTTP: build it anew, compare it with the catalogue, mend it."""

from typing import Any

from fastapi import APIRouter

from services.catalog.commands.indexing import IndexWorker
from services.catalog.entrypoints.answers import index_away
from services.catalog.entrypoints.documents import drift_document
from services.catalog.ports import CatalogIndexError
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
        try:
            report = await worker.reindex()
        except CatalogIndexError as error:
            raise index_away() from error
        refused = [{"id": str(one.dataset_id), "reason": one.reason} for one in report.refused]
        return {"applied": report.applied, "caught_up": report.caught_up, "refused": refused}

    @router.post("/reconcile")
    async def reconcile(repair: bool = False) -> dict[str, int]:
        """Compare the index with the catalogue; with ``repair``, mend what differs."""
        try:
            return drift_document(await worker.reconcile(repair=repair))
        except CatalogIndexError as error:
            raise index_away() from error

    return router
