"""``/ops``: is it well, in one glance; then the causes; then the button that mends, with what it will do."""

from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Form, Query, Request
from fastapi import Path as PathParameter
from starlette.responses import RedirectResponse, Response

from services.catalog.search.commands.indexing import IndexWorker
from services.catalog.search.domain.index import CatalogIndexError
from services.host.operations.commands.parked_jobs import release_parked_job
from services.host.operations.domain import REASON_CHARACTERS_MAX
from services.host.operations.installation import OperatedInstallation
from services.host.operations.reader.dead_letters import (
    dead_letter_detail,
    latest_dead_letters,
    outcome_words,
)
from services.host.operations.reader.paths import correlation_id_in, event_path, hops_of
from services.host.operations.reader.status import operations_status
from shared.http.forms import NEW_FORM, FormState, shown_again, uuid_in
from shared.http.problems import ProblemError
from shared.http.security_contact import operator_notices
from shared.http.viewing import ViewerDependency, access
from shared.identity.viewer import Role
from shared.web.templating import Templates, build_templates
from shared.web.wording import exact_time

__all__ = ["build_operations_pages"]

TEMPLATES = Path(__file__).parent / "templates"
DEAD_LETTERS_SHOWN = 20
STATE_KINDS = {
    "open": "bad",
    "failed": "bad",
    "requested": "info",
    "waiting": "info",
    "replayed": "ok",
    "superseded": "ok",
    "discarded": "unknown",
    "running": "ok",
    "starting": "info",
    "paused": "warn",
    "stopped": "bad",
}


def build_operations_pages(installation: OperatedInstallation, indexing: IndexWorker) -> APIRouter:
    """Return the pages below ``/ops``, for operators."""
    templates = build_templates(TEMPLATES)
    router = APIRouter(prefix="/ops", include_in_schema=False, dependencies=[access(Role.OPERATOR)])
    _add_overview(router, installation, indexing, templates)
    _add_dead_letters(router, installation, templates)
    _add_paths(router, installation, templates)
    return router


def _add_overview(
    router: APIRouter, installation: OperatedInstallation, indexing: IndexWorker, templates: Templates
) -> None:
    async def overview(
        request: Request, *, cursor: UUID | None = None, index_words: str = "", form: FormState = NEW_FORM
    ) -> Response:
        return templates.render(
            request,
            "operations.html",
            status_code=form.status_code,
            status=await operations_status(
                installation, version("nutmeg"), notices=operator_notices(request.app.state.http_settings)
            ),
            letters=await latest_dead_letters(installation, cursor, DEAD_LETTERS_SHOWN),
            kinds=STATE_KINDS,
            index_words=index_words,
            outcome_words=outcome_words,
            form=form,
            can_restart=installation.runs_consumers,
        )

    async def show_again(request: Request, form: FormState) -> Response:
        return await overview(request, form=form)

    @router.get("")
    @shown_again(show_again, {"path": "Correlation id"})
    async def show_operations(
        request: Request, cursor: Annotated[UUID | None, Query()] = None, path: str = ""
    ) -> Response:
        if path:
            return RedirectResponse(f"/ops/paths/{correlation_id_in(path)}", status_code=303)
        return await overview(request, cursor=cursor)

    @router.post("/index/{act}")
    async def care_for_index(request: Request, act: Literal["compare", "mend", "rebuild"]) -> Response:
        try:
            if act == "rebuild":
                report = await indexing.reindex()
                return await overview(request, index_words=f"Built anew with {report.applied:,} documents.")
            drift = await indexing.reconcile(repair=act == "mend")
        except CatalogIndexError as error:
            raise ProblemError(503, "index-away", "The search index is away", str(error)) from error
        words = (
            f"{drift.store:,} datasets in the catalogue, {drift.index:,} in the index: "
            f"{drift.missing:,} missing, {drift.extra:,} extra, {drift.stale:,} stale; "
            f"{drift.repaired:,} mended."
        )
        return await overview(request, index_words=words)

    @router.post("/consumers/{group}/restart")
    async def start_again(group: str) -> Response:
        installation.restart_consumer(group)
        return RedirectResponse("/ops", status_code=303)

    @router.post("/parked-jobs/{queue}/{job_id}/release")
    async def release(queue: Annotated[str, PathParameter(max_length=120)], job_id: UUID) -> Response:
        await release_parked_job(installation, queue, job_id)
        return RedirectResponse("/ops#parked-jobs", status_code=303)


def _add_dead_letters(router: APIRouter, installation: OperatedInstallation, templates: Templates) -> None:
    async def show_page(request: Request, dead_letter_id: UUID, form: FormState) -> Response:
        letter = await dead_letter_detail(installation, dead_letter_id)
        value = orjson.dumps(letter.value, option=orjson.OPT_INDENT_2).decode()
        correlation_id = letter.headers.get("ce_correlationid") or letter.headers.get("ce_id") or ""
        return templates.render(
            request,
            "dead_letter.html",
            status_code=form.status_code,
            form=form,
            letter=letter,
            value=value,
            correlation_id=correlation_id,
            kinds=STATE_KINDS,
            decided=[
                (
                    exact_time(one.happened_at),
                    "Replayed" if one.act == "replay" else "Discarded",
                    one.person_id or "a command",
                    one.reason or "–",
                )
                for one in letter.history
            ],
        )

    async def show_again(request: Request, form: FormState) -> Response:
        return await show_page(request, uuid_in(request.path_params["dead_letter_id"]), form)

    @router.get("/dead-letters/{dead_letter_id}")
    async def show_dead_letter(request: Request, dead_letter_id: UUID) -> Response:
        return await show_page(request, dead_letter_id, NEW_FORM)

    @router.post("/dead-letters/{dead_letter_id}/discard")
    @shown_again(show_again, {"reason": "Why is it never to be handled?"})
    async def discard(
        dead_letter_id: UUID,
        viewer: ViewerDependency,
        reason: Annotated[str, Form(max_length=REASON_CHARACTERS_MAX)] = "",
    ) -> Response:
        await installation.dead_letters.discard([str(dead_letter_id)], reason=reason, by=viewer.person_id)
        return RedirectResponse(f"/ops/dead-letters/{dead_letter_id}", status_code=303)

    @router.post("/dead-letters/replay")
    async def replay(
        viewer: ViewerDependency, dead_letter_id: Annotated[UUID | None, Form()] = None
    ) -> Response:
        await installation.dead_letters.replay(
            None if dead_letter_id is None else [str(dead_letter_id)], by=viewer.person_id
        )
        back = "/ops#dead-letters" if dead_letter_id is None else f"/ops/dead-letters/{dead_letter_id}"
        return RedirectResponse(back, status_code=303)


def _add_paths(router: APIRouter, installation: OperatedInstallation, templates: Templates) -> None:
    @router.get("/paths/{correlation_id}")
    async def show_path(
        request: Request, correlation_id: UUID, part: Annotated[bool, Query()] = False
    ) -> Response:
        path = await event_path(installation, correlation_id)
        hops, milliseconds = hops_of(path)
        return templates.render(
            request,
            "event_path_boxes.html" if part else "event_path.html",
            hops=hops,
            milliseconds=milliseconds,
            is_finished=path.is_finished,
            correlation_id=correlation_id,
            href=f"/ops/paths/{correlation_id}?part=true",
            events=path.events,
        )
