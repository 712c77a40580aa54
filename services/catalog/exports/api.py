"""The public catalog as one DCAT-US file over HTTP."""

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response

from services.catalog.exports.reader import CatalogExports
from shared.http.conditional import matches
from shared.http.viewing import access

__all__ = ["build_exports_api"]


def build_exports_api(exports: CatalogExports) -> APIRouter:
    """Return the route ``/data.json``."""
    router = APIRouter(tags=["exports"])

    @router.get("/data.json", dependencies=[access("public")])
    async def export_catalog(request: Request) -> Response:
        """Give the public catalog as DCAT-US 1.1 (non-federal)."""
        path, etag = await exports.catalog()
        headers = {"ETag": etag, "Cache-Control": "public, no-cache"}
        if matches(request.headers.get("if-none-match"), etag):
            return Response(status_code=304, headers=headers)
        return FileResponse(path, media_type="application/json", headers=headers)

    return router
