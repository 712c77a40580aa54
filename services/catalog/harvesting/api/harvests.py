"""Harvests over HTTP: send a feed or its address, follow the job, confirm one that is held."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from services.catalog.dcat.domain.export import Installation
from services.catalog.dcat.domain.records import SourceDefaults
from services.catalog.harvesting.api.documents import harvest_document
from services.catalog.harvesting.commands.choosing_source import sketch
from services.catalog.harvesting.commands.context import HarvestContext
from services.catalog.harvesting.commands.starting import HarvestRequest, confirm_held, request_harvest
from services.catalog.harvesting.domain.feeds import FeedStorage
from services.catalog.harvesting.domain.source_choice import name_of_address
from services.catalog.harvesting.domain.views import HarvestView
from services.catalog.harvesting.reader.harvests import HarvestReader
from shared.bounded_json import InvalidJSONError, JSONBoundError, JSONLimits, loads
from shared.errors import NotFoundError
from shared.http.problems import FieldProblem, ProblemError
from shared.http.viewing import ViewerDependency, access
from shared.identity.viewer import Role, TokenScope, Viewer
from shared.store.engine import Store

__all__ = ["build_harvests_api"]

HARVESTERS = (Role.OPERATOR, Role.CHIEF_DATA_OFFICER, TokenScope.HARVEST)
CONFIRMERS = (Role.OPERATOR, Role.CHIEF_DATA_OFFICER)
ADDRESS_BYTES_MAX = 8 * 1024
"""A larger body is a feed, never the address of one."""
ADDRESS_LIMITS = JSONLimits(bytes_max=ADDRESS_BYTES_MAX, elements_max=ADDRESS_BYTES_MAX)
PRINTED = r"^[^\x00-\x1f\x7f]+$"
"""No database and no page could hold the others."""
ADDRESS_CHARACTERS_MAX = 2_048
WAIT_STEP_SECONDS = 0.05

Text = Annotated[str | None, Query(min_length=1, max_length=500)]
"""What a source says once for records that do not say it."""


def build_harvests_api(
    store: Store,
    context: HarvestContext,
    reader: HarvestReader,
    feeds: FeedStorage,
    owner: Installation,
    feed_bytes_max: int,
) -> APIRouter:
    """Return the routes below ``/api/v1/harvests``."""
    router = APIRouter(prefix="/api/v1/harvests", tags=["harvests"])

    _add_start(router, store, context, reader, feeds, owner, feed_bytes_max)

    @router.get("", dependencies=[access(*HARVESTERS)])
    async def list_harvests(limit: Annotated[int, Query(ge=1, le=200)] = 50) -> dict[str, Any]:
        """List the latest harvests, newest first, without their rejections."""
        views = await reader.harvests(limit)
        return {"items": [harvest_document(view) for view in views]}

    @router.get("/{harvest_id}", dependencies=[access(*HARVESTERS)])
    async def show_harvest(harvest_id: UUID) -> dict[str, Any]:
        """Show how far a harvest is, and what it did."""
        return harvest_document(_found(await reader.harvest(harvest_id)))

    # A held harvest waits for a person: a program may not answer for one.
    @router.post("/{harvest_id}/confirm", status_code=202, dependencies=[access(*CONFIRMERS)])
    async def confirm_harvest(
        harvest_id: UUID,
        wait: bool = False,
        timeout_seconds: Annotated[float, Query(gt=0, le=3_600)] = 600,
    ) -> Response:
        """Say that the datasets missing from a held feed are really gone; they are then retired."""
        await confirm_held(store, context, harvest_id)
        return await _answer(reader, harvest_id, timeout_seconds if wait else 0.0)

    return router


def _add_start(
    router: APIRouter,
    store: Store,
    context: HarvestContext,
    reader: HarvestReader,
    feeds: FeedStorage,
    owner: Installation,
    feed_bytes_max: int,
) -> None:
    @router.post("", status_code=202, dependencies=[access(*HARVESTERS, body_bytes_max=feed_bytes_max)])
    async def start_harvest(
        request: Request,
        viewer: ViewerDependency,
        source: Annotated[str | None, Query(min_length=1, max_length=200, pattern=PRINTED)] = None,
        file_name: Text = None,
        url: Annotated[str | None, Query(max_length=ADDRESS_CHARACTERS_MAX)] = None,
        publisher: Text = None,
        contact_name: Text = None,
        contact_email: Text = None,
        sample: bool = False,
        confirm: bool = False,
        wait: bool = False,
        timeout_seconds: Annotated[float, Query(gt=0, le=3_600)] = 600,
    ) -> Response:
        """Harvest a DCAT-US feed: the body is the feed, or ``{"url": "https://…"}``.

        With ``wait`` the answer comes when the harvest has ended: 200 with its result. ``confirm`` says
        beforehand that datasets may go although the feed lost more than half of them.

        Without ``source`` a feed is recognised by its address, or by its records; one that is not gets a
        source of its own, named by its address, its ``@id`` or ``file_name``.
        """
        harvest_id = _harvest_id(request, viewer)
        known = await reader.harvest(harvest_id)
        if known is None:
            path = feeds.path_of(harvest_id)
            address = _checked(url) or await _receive(request, path)
            names = (
                publisher or owner.publisher_name,
                contact_name or owner.contact_name,
                contact_email or owner.contact_email,
            )
            first_records = None
            if source is None and address is None:
                defaults = SourceDefaults(*names, store.clock.now().date())
                first_records = await sketch(feeds.open(harvest_id, defaults))
            if address is None:
                await feeds.keep(harvest_id)
            await request_harvest(
                store,
                context,
                HarvestRequest(
                    harvest_id,
                    source,
                    *names,
                    address=address,
                    sketch=first_records,
                    file_name=file_name,
                    is_sample=sample,
                    is_confirmed=confirm,
                ),
            )
        return await _answer(reader, harvest_id, timeout_seconds if wait else 0.0)


async def _receive(request: Request, path: Path) -> str | None:
    """Stream the body to ``path``; return the address if that is all that the body holds."""
    partial = path.with_name(f"{path.name}.part")
    size_bytes = 0
    try:
        with await asyncio.to_thread(partial.open, "wb") as file:
            async for chunk in request.stream():
                size_bytes += len(chunk)
                await asyncio.to_thread(file.write, chunk)
            await asyncio.to_thread(_make_durable, file.fileno(), file.flush)
        if size_bytes == 0:
            raise _no_feed("The body is empty.")
        if size_bytes <= ADDRESS_BYTES_MAX:
            address = _address_in(await asyncio.to_thread(partial.read_bytes))
            if address is not None:
                return address
        await asyncio.to_thread(partial.replace, path)
        return None
    finally:
        await asyncio.to_thread(partial.unlink, missing_ok=True)


def _make_durable(descriptor: int, flush: Any) -> None:
    flush()
    os.fsync(descriptor)


def _address_in(body: bytes) -> str | None:
    document: Any = None
    with suppress(InvalidJSONError, JSONBoundError):  # the reader of feeds tells it better
        document = loads(body, ADDRESS_LIMITS)
    if not isinstance(document, dict) or "url" not in document or "dataset" in document:
        return None
    if not isinstance(document["url"], str):
        raise _no_feed("url is not a text.")
    return _checked(document["url"])


def _checked(address: str | None) -> str | None:
    """The address, if there is one. Raises the 422 problem for what no fetch could ever take."""
    if address is None:
        return None
    is_whole = address.isprintable() and " " not in address and len(address) <= ADDRESS_CHARACTERS_MAX
    if not (is_whole and address.startswith(("http://", "https://")) and name_of_address(address)):
        raise _no_feed("url is no http or https address.")
    return address


def _harvest_id(request: Request, viewer: Viewer) -> UUID:
    """The same Idempotency-Key of the same person always means the same harvest."""
    key = request.headers.get("Idempotency-Key")
    return uuid5(NAMESPACE_URL, f"nutmeg:harvest:{viewer.person_id}:{key}") if key else uuid4()


async def _answer(reader: HarvestReader, harvest_id: UUID, timeout_seconds: float) -> Response:
    """202 with the job as it is, or 200 with its result if it ends within the time."""
    view = _found(await reader.harvest(harvest_id))
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_seconds):
            while view.status in ("queued", "running"):
                await asyncio.sleep(WAIT_STEP_SECONDS)
                view = _found(await reader.harvest(harvest_id))
    is_open = view.status in ("queued", "running")
    return JSONResponse(
        harvest_document(view),
        status_code=202 if is_open or not timeout_seconds else 200,
        headers={"Location": f"/api/v1/harvests/{harvest_id}"},
    )


def _found(view: HarvestView | None) -> HarvestView:
    if view is None:
        raise NotFoundError(
            "No harvest here has this id.", what="harvest", fix="Look at the list of harvests."
        )
    return view


def _no_feed(detail: str) -> ProblemError:
    cure = 'Send the feed itself as the body, or {"url": "https://…/data.json"}.'
    return ProblemError(
        422,
        "feed",
        "There is nothing to harvest",
        f"{detail} {cure}",
        errors=[FieldProblem(detail, cure, pointer="#", code="feed")],
    )
