"""The catalogue's pages: home, search, browse, a dataset, its files and its changes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple, cast
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi import Path as PathParameter
from fastapi.responses import RedirectResponse, Response

from services.catalog.domain.dcat_export import Installation
from services.catalog.domain.search import QUERY_CHARACTERS_MAX, Facet, InvalidSearchError
from services.catalog.domain.views import DatasetView, OwnDatasets, RetiredView, SearchView
from services.catalog.entrypoints import words
from services.catalog.entrypoints.answers import index_away, not_found, shown
from services.catalog.entrypoints.atom_feed import ATOM_MEDIA_TYPE, atom_feed
from services.catalog.entrypoints.dataset_page import dataset_page, ways_to_get
from services.catalog.entrypoints.filter_values import refuse_unknown_values
from services.catalog.entrypoints.search_address import PAGE_SIZE, SORTS, SearchAddress
from services.catalog.ports import CatalogIndexError, CatalogReader
from shared.events.catalog import DatasetState
from shared.http.problems import FieldProblem, ProblemError
from shared.http.viewing import ViewerDependency, access
from shared.identity.viewer import Viewer
from shared.web.templating import Templates, build_templates

__all__ = ["DatasetAct", "build_pages"]

TEMPLATES = Path(__file__).parent / "templates"
TILES_MAX = 8
"""More themes than these are on the page of all subjects."""

Values = Annotated[list[Annotated[str, Query(max_length=500)]] | None, Query(max_length=100)]


class DatasetAct(NamedTuple):
    """A button that the installation adds to a dataset's page: a form is posted to ``href``.

    ``app.state.dataset_acts(state, viewer)`` gives them; ``meaning`` says what the button will do.
    """

    label: str
    href: str
    meaning: str


def build_pages(reader: CatalogReader, installation: Installation) -> APIRouter:
    """Return the page routes. Every page works without scripts."""
    templates = build_templates(TEMPLATES)
    templates.environment.globals.update(
        condition_light=words.condition_light,
        access_badge=words.access_badge,
        field_words=words.field_words,
        first_sentence=words.first_sentence,
        is_web_address=words.is_web_address,
        marked=words.marked,
        own_href=_own_href,
        reason_words=words.reason_words,
        theme_icon=words.theme_icon,
        uses_words=words.uses_words,
    )
    router = APIRouter(include_in_schema=False)
    _add_finding(router, reader, installation, templates)
    _add_browsing(router, reader, templates)
    _add_dataset(router, reader, installation, templates)
    return router


def _add_finding(
    router: APIRouter, reader: CatalogReader, installation: Installation, templates: Templates
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
        query = address.query(cursor)
        try:
            view = await reader.search(query, viewer)
            plain = SearchAddress.read(address.text, {}, sort).href()
            steps = [("Search without filters", plain)]
            await refuse_unknown_values(reader, query, viewer, view, next_steps=steps)
        except InvalidSearchError as error:
            raise _page_is_gone(address, error) from error
        except CatalogIndexError as error:
            raise index_away() from error
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


def _add_browsing(router: APIRouter, reader: CatalogReader, templates: Templates) -> None:
    @router.get("/", dependencies=[access("public")])
    async def show_home(request: Request, viewer: ViewerDependency) -> Response:
        try:
            home = await reader.home(viewer)
        except CatalogIndexError as error:
            raise index_away() from error
        most = sorted(home.tiles, key=lambda tile: -tile.datasets)[:TILES_MAX]
        tiles = [tile for tile in home.tiles if tile in most]
        return templates.render(
            request, "home.html", home=home, tiles=tiles, has_more_themes=len(home.tiles) > TILES_MAX
        )

    @router.get("/datasets", dependencies=[access("public")])
    async def browse(request: Request, viewer: ViewerDependency) -> Response:
        try:
            themes = await reader.themes(viewer)
        except CatalogIndexError as error:
            raise index_away() from error
        agencies = await reader.agencies(viewer)
        return templates.render(
            request,
            "browse.html",
            themes=themes,
            agencies=[agency for agency in agencies if agency.datasets],
            idle_agencies=[agency for agency in agencies if not agency.datasets],
        )


def _add_dataset(
    router: APIRouter, reader: CatalogReader, installation: Installation, templates: Templates
) -> None:
    async def found(dataset_id: UUID, viewer: Viewer) -> DatasetView | RetiredView:
        try:
            view = await reader.dataset(dataset_id, viewer)
        except CatalogIndexError as error:
            raise index_away() from error
        if view is None:
            raise not_found(dataset_id)
        return view

    @router.get("/datasets/{dataset_id}", dependencies=[access("public")])
    async def show_dataset(dataset_id: UUID, request: Request, viewer: ViewerDependency) -> Response:
        view = await found(dataset_id, viewer)
        if isinstance(view, RetiredView):
            return templates.render(request, "retired.html", status_code=410, retired=view)
        state = request.app.state
        acts: Callable[[DatasetState, Viewer], Sequence[DatasetAct]] = getattr(
            state, "dataset_acts", _no_acts
        )
        return templates.render(
            request,
            "dataset.html",
            view=view,
            dataset=view.state,
            page=dataset_page(view, installation, state.installation_name, state.now()),
            page_url=installation.dataset_url(dataset_id),
            acts=acts(view.state, viewer),
        )

    @router.get("/datasets/{dataset_id}/get/{number}", dependencies=[access("public")])
    async def get_data(
        dataset_id: UUID, number: Annotated[int, PathParameter(ge=0, le=1_000_000)], viewer: ViewerDependency
    ) -> Response:
        view = shown(await found(dataset_id, viewer), dataset_id)
        for way in ways_to_get(view.state):
            if way.number == number:
                return RedirectResponse(way.address, status_code=307, headers={"Cache-Control": "no-store"})
        raise _no_such_way(view.state)

    @router.get("/datasets/{dataset_id}/changes.atom", dependencies=[access("public")])
    async def follow(dataset_id: UUID, viewer: ViewerDependency) -> Response:
        view = shown(await found(dataset_id, viewer), dataset_id)
        headers = {"Cache-Control": "private, no-cache", "Vary": "Authorization, Cookie"}
        return Response(atom_feed(view, installation), media_type=ATOM_MEDIA_TYPE, headers=headers)


def _own_href(own: OwnDatasets, **filters: tuple[str, ...]) -> str:
    """The list of what somebody answers for, narrowed by facets."""
    agencies = tuple(str(agency_id) for agency_id in own.agency_ids)
    chosen: dict[Facet, tuple[str, ...]] = {"agency": agencies} if agencies else {}
    return SearchAddress(filters=chosen | cast("dict[Facet, tuple[str, ...]]", filters)).href()


def _no_acts(state: DatasetState, viewer: Viewer) -> Sequence[DatasetAct]:
    del state, viewer
    return ()


def _no_such_way(state: DatasetState) -> ProblemError:
    page = f"/datasets/{state.dataset_id}"
    if state.access_level != "public":
        return ProblemError(
            403,
            "data-not-public",
            "This data is not public",
            "Its record is here, the data is not: the agency decides who may have it.",
            next_steps=[
                ("Ask for this data", f"/sharing-requests/new?dataset={state.dataset_id}"),
                ("See the dataset", page),
            ],
        )
    return ProblemError(
        404,
        "file-not-found",
        "The data is no longer at this address",
        "The record has changed since the link was made. Its page lists where the data is now.",
        next_steps=[("See the dataset", page)],
    )


def _page_is_gone(address: SearchAddress, error: InvalidSearchError) -> ProblemError:
    return ProblemError(
        400,
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
