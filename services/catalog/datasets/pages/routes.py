"""The pages of a dataset, its files and its changes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi import Path as PathParameter
from fastapi.responses import RedirectResponse, Response

from services.catalog.datasets.domain.errors import DatasetNotFoundError, require_dataset
from services.catalog.datasets.domain.views import DatasetView, RetiredView
from services.catalog.datasets.pages.atom_feed import ATOM_MEDIA_TYPE, atom_feed
from services.catalog.datasets.pages.page import dataset_page, ways_to_get
from services.catalog.datasets.reader import words
from services.catalog.datasets.reader.datasets import DatasetReader
from services.catalog.dcat.domain.export import Installation
from shared.events.catalog import DatasetState
from shared.http.problems import ProblemError
from shared.http.viewing import ViewerDependency, access
from shared.identity.viewer import Viewer
from shared.web.templating import Templates, build_templates

__all__ = ["DatasetAct", "build_dataset_pages"]

TEMPLATES = Path(__file__).parent.parent / "templates"


class DatasetAct(NamedTuple):
    """A button that the installation adds to a dataset's page: a form is posted to ``href``.

    ``app.state.dataset_acts(state, viewer)`` gives them; ``meaning`` says what the button will do.
    """

    label: str
    href: str
    meaning: str


def build_dataset_pages(reader: DatasetReader, installation: Installation) -> APIRouter:
    """Return the page routes. Every page works without scripts."""
    templates = build_templates(TEMPLATES)
    templates.environment.globals.update(
        condition_light=words.condition_light,
        access_badge=words.access_badge,
        field_words=words.field_words,
        first_sentence=words.first_sentence,
        is_web_address=words.is_web_address,
        uses_words=words.uses_words,
    )
    router = APIRouter(include_in_schema=False)
    _add_dataset(router, reader, installation, templates)
    return router


def _add_dataset(
    router: APIRouter, reader: DatasetReader, installation: Installation, templates: Templates
) -> None:
    async def found(dataset_id: UUID, viewer: Viewer) -> DatasetView | RetiredView:
        view = await reader.dataset(dataset_id, viewer)
        if view is None:
            raise DatasetNotFoundError(dataset_id)
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
        view = require_dataset(await found(dataset_id, viewer), dataset_id)
        for way in ways_to_get(view.state):
            if way.number == number:
                return RedirectResponse(way.address, status_code=307, headers={"Cache-Control": "no-store"})
        raise _no_such_way(view.state)

    @router.get("/datasets/{dataset_id}/changes.atom", dependencies=[access("public")])
    async def follow(dataset_id: UUID, viewer: ViewerDependency) -> Response:
        view = require_dataset(await found(dataset_id, viewer), dataset_id)
        headers = {"Cache-Control": "private, no-cache", "Vary": "Authorization, Cookie"}
        return Response(atom_feed(view, installation), media_type=ATOM_MEDIA_TYPE, headers=headers)


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
