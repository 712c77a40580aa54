"""Search over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from services.catalog.datasets.reader.datasets import DatasetReader
from services.catalog.search.api.documents import results_document
from services.catalog.search.domain.search import FACET_LIMIT_MAX, Facet, SearchQuery, SortOrder
from services.catalog.search.reader.filter_values import refuse_unknown_values
from services.catalog.search.reader.search import SearchReader
from shared.http.conditional import conditional_response
from shared.http.page_links import link_pages
from shared.http.viewing import ViewerDependency, access

__all__ = ["build_search_api"]

Values = Annotated[list[str] | None, Query(max_length=100)]


def build_search_api(searches: SearchReader, datasets: DatasetReader) -> APIRouter:
    """Return search below ``/api/v1/datasets``."""
    router = APIRouter(tags=["search"])

    @router.get("/api/v1/datasets", dependencies=[access("public")])
    async def search_datasets(
        request: Request,
        viewer: ViewerDependency,
        q: Annotated[str, Query(max_length=1_000)] = "",
        agency: Values = None,
        theme: Values = None,
        keyword: Values = None,
        format: Values = None,  # noqa: A002 - the name of the parameter
        access: Values = None,
        condition: Values = None,
        freshness: Values = None,
        license: Values = None,  # noqa: A002 - the name of the parameter
        sort: SortOrder = "relevance",
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        cursor: Annotated[str | None, Query(max_length=4_096)] = None,
        explain: bool = False,
        facet_limit: Annotated[int | None, Query(ge=1, le=FACET_LIMIT_MAX)] = None,
    ) -> Response:
        """Search: words, filters (values of one are alternatives), facets with counts, pages by cursor.

        ``facet_limit`` is how many values are listed under each facet, in place of 50 (keywords: 20).
        """
        filters: dict[Facet, list[str] | None] = {
            "agency": agency,
            "theme": theme,
            "keyword": keyword,
            "format": format,
            "access_level": access,
            "condition": condition,
            "freshness": freshness,
            "license": license,
        }
        query = SearchQuery(
            text=q,
            filters={facet: frozenset(values) for facet, values in filters.items() if values},
            sort=sort,
            size=limit,
            cursor=cursor or None,
            facet_limit=facet_limit,
        )
        view = await searches.search(query, viewer)
        await refuse_unknown_values(searches, datasets, query, viewer, view)
        document = results_document(view)
        if not explain:
            for result in document["results"]:
                del result["explain"]
        response = conditional_response(request, document)
        link_pages(request, response, view.next_cursor)
        return response

    @router.get("/api/v1/datasets/suggest", dependencies=[access("public")])
    async def suggest_titles(
        request: Request,
        viewer: ViewerDependency,
        prefix: Annotated[str, Query(max_length=200)] = "",
        limit: Annotated[int, Query(ge=1, le=20)] = 8,
    ) -> Response:
        """Suggest titles with words that begin like those typed."""
        suggestions = await searches.suggest(prefix, viewer, limit)
        items = [{"id": str(suggestion.dataset_id), "title": suggestion.title} for suggestion in suggestions]
        return conditional_response(request, {"items": items})

    return router
