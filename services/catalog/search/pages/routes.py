"""Home, search and browse."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, cast
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response

from services.catalog.datasets.domain.views import OwnDatasets
from services.catalog.datasets.reader import words as dataset_words
from services.catalog.datasets.reader.datasets import DatasetReader
from services.catalog.dcat.domain.export import Installation
from services.catalog.search.domain.search import QUERY_CHARACTERS_MAX, Facet, InvalidSearchError
from services.catalog.search.domain.views import SearchView
from services.catalog.search.pages import words
from services.catalog.search.pages.address import PAGE_SIZE, SORTS, SearchAddress
from services.catalog.search.reader.filter_values import refuse_unknown_values
from services.catalog.search.reader.home import HomeReader
from services.catalog.search.reader.search import SearchReader
from shared.http.problems import FieldProblem, ProblemError
from shared.http.viewing import ViewerDependency, access
from shared.web.templating import Templates, build_templates

__all__ = ["build_search_pages"]

TEMPLATES = Path(__file__).parent.parent / "templates"

TILES_MAX = 8
"""More themes than these are on the page of all subjects."""
Values = Annotated[list[Annotated[str, Query(max_length=500)]] | None, Query(max_length=100)]


def build_search_pages(
    home: HomeReader, searches: SearchReader, datasets: DatasetReader, installation: Installation
) -> APIRouter:
    """Return the page routes. Every page works without scripts."""
    templates = build_templates(TEMPLATES)
    templates.environment.globals.update(
        condition_light=dataset_words.condition_light,
        access_badge=dataset_words.access_badge,
        field_words=dataset_words.field_words,
        first_sentence=dataset_words.first_sentence,
        marked=words.marked,
        own_href=_own_href,
        reason_words=words.reason_words,
        theme_icon=words.theme_icon,
        uses_words=dataset_words.uses_words,
    )
    router = APIRouter(include_in_schema=False)
    _add_finding(router, searches, datasets, installation, templates)
    _add_browsing(router, home, searches, datasets, templates)
    return router


def _add_finding(
    router: APIRouter,
    searches: SearchReader,
    datasets: DatasetReader,
    installation: Installation,
    templates: Templates,
) -> None:
    @router.get("/search", dependencies=[access("public")])
    async def show_results(
        request: Request,
        viewer: ViewerDependency,
        q: str = "",
        agency: Values = None,
        theme: Values = None,
        keyword: Values = None,
        format: Values = None,  # noqa: A002 - the name of the parameter
        access: Values = None,
        condition: Values = None,
        freshness: Values = None,
        license: Values = None,  # noqa: A002 - the name of the parameter
        sort: str | None = None,
        cursor: Annotated[str | None, Query(max_length=4_096)] = None,
        start: Annotated[int, Query(ge=1, le=1_000_000_000)] = 1,
        more: str | None = None,
    ) -> Response:
        chosen: dict[Facet, Sequence[str] | None] = {
            "agency": agency,
            "theme": theme,
            "keyword": keyword,
            "format": format,
            "access_level": access,
            "condition": condition,
            "freshness": freshness,
            "license": license,
        }
        address = SearchAddress.read(q[:QUERY_CHARACTERS_MAX], chosen, sort, lists_more=more == "1")
        try:
            query = address.query(cursor)
            view = await searches.search(query, viewer)
            plain = SearchAddress.read(address.text, {}, sort).href()
            steps = [("Search without filters", plain)]
            await refuse_unknown_values(searches, datasets, query, viewer, view, next_steps=steps)
        except InvalidSearchError as error:
            raise _page_is_gone(address, error) from error
        next_href = ""
        if view.next_cursor is not None:
            next_href = address.href(cursor=view.next_cursor, start=start + len(view.results))
        return templates.render(
            request,
            "search.html",
            address=address,
            view=view,
            sorts=SORTS,
            total_words=_total_words(view, address),
            summary=_summary(view, start if cursor else 1),
            first_href=address.href() if cursor else "",
            next_href=next_href,
            suggest_href=_suggest_href(address.text, installation),
        )


def _add_browsing(
    router: APIRouter,
    reader: HomeReader,
    searches: SearchReader,
    datasets: DatasetReader,
    templates: Templates,
) -> None:
    @router.get("/", dependencies=[access("public")])
    async def show_home(request: Request, viewer: ViewerDependency) -> Response:
        home = await reader.home(viewer)
        most = sorted(home.tiles, key=lambda tile: -tile.datasets)[:TILES_MAX]
        tiles = [tile for tile in home.tiles if tile in most]
        return templates.render(
            request, "home.html", home=home, tiles=tiles, has_more_themes=len(home.tiles) > TILES_MAX
        )

    @router.get("/datasets", dependencies=[access("public")])
    async def browse(request: Request, viewer: ViewerDependency) -> Response:
        themes = await searches.themes(viewer)
        agencies = await datasets.agencies(viewer)
        return templates.render(
            request,
            "browse.html",
            themes=themes,
            agencies=[agency for agency in agencies if agency.datasets],
            idle_agencies=[agency for agency in agencies if not agency.datasets],
        )


def _own_href(own: OwnDatasets, **filters: tuple[str, ...]) -> str:
    """The list of what somebody answers for, narrowed by facets."""
    agencies = tuple(str(agency_id) for agency_id in own.agency_ids)
    chosen: dict[Facet, tuple[str, ...]] = {"agency": agencies} if agencies else {}
    return SearchAddress(filters=chosen | cast("dict[Facet, tuple[str, ...]]", filters)).href()


def _page_is_gone(address: SearchAddress, error: InvalidSearchError) -> ProblemError:
    return ProblemError(
        422,
        "search",
        "This page of results is no longer there",
        "A link to a later page works for whoever searched, while the search stays the same.",
        errors=[FieldProblem(str(error), "", parameter=error.field, code="search")],
        next_steps=[("Show the first page of this search", address.href())],
    )


def _total_words(view: SearchView, address: SearchAddress) -> str:
    noun = "dataset" if view.total == 1 else "datasets"
    at_least = "At least " if view.total_relation == "gte" else ""
    told = f"{at_least}{view.total:,} {noun}"
    return f"{told} for “{address.text}”" if address.text else told


def _summary(view: SearchView, start: int) -> str:
    at_least = "at least " if view.total_relation == "gte" else ""
    if view.total <= PAGE_SIZE:
        return "These are all." if view.total > 1 else "This is the only one."
    return f"{start:,} to {start + len(view.results) - 1:,} of {at_least}{view.total:,}"


def _suggest_href(text: str, installation: Installation) -> str:
    """A mail to the installation's own mailbox about data that nobody has listed yet."""
    subject = f"Please add a dataset: {text[:120]}" if text else "Please add a dataset"
    body = f"I looked for: {text}\n\nWhat I need it for, and which agency may hold it:\n"
    address = quote(installation.contact_email, safe="@+")
    return f"mailto:{address}?subject={quote(subject)}&body={quote(body)}"
