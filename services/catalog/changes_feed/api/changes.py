"""The changes feed over HTTP: pages by cursor, or server-sent events as they happen."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Request, Response

from services.catalog.changes_feed.api.documents import ChangesDocument
from services.catalog.changes_feed.domain.lines import WITHDRAWN, FeedLine, cloud_event
from services.catalog.changes_feed.reader import ChangesReader
from shared.events.public import PUBLIC_MODELS
from shared.http.cursors import CursorCodec, CursorDependency
from shared.http.known_values import require_known_values
from shared.http.problems import FieldProblem, ProblemError
from shared.http.streams import EVENT_STREAM, LastEventID, open_stream
from shared.http.viewing import ViewerDependency, access
from shared.identity.sealing import UnsealableError
from shared.identity.viewer import TokenScope, Viewer

__all__ = ["Bell", "build_changes_api", "stream_changes"]

FEED = "changes"
LINES_PER_READ = 50
"""A stream holds no more than these at once, however many wait for a slow reader."""
HEARTBEAT_SECONDS = 15.0
STREAM_SECONDS_MAX = 300.0
"""A stream ends after this time and the client comes back, so that rights are looked at again."""


class Bell:
    """Wakes everybody who waits for news, in this process."""

    def __init__(self, look_seconds: float = HEARTBEAT_SECONDS) -> None:
        self.look_seconds = look_seconds
        """How long to wait unrung before looking all the same: short where another process takes the news."""
        self._rung = asyncio.Event()
        self.is_closed = False

    def ring(self) -> None:
        """Wake who waits now."""
        rung, self._rung = self._rung, asyncio.Event()
        rung.set()

    def close(self) -> None:
        """End all waiting, for good."""
        self.is_closed = True
        self.ring()

    async def wait(self, timeout_seconds: float) -> None:
        """Return at the next ring, or after the time."""
        try:
            await asyncio.wait_for(self._rung.wait(), timeout_seconds)
        except TimeoutError:
            return


def build_changes_api(changes: ChangesReader, bell: Bell) -> APIRouter:
    """Return the route ``/api/v1/events``."""
    router = APIRouter(tags=["changes"])

    @router.get(
        "/api/v1/events",
        dependencies=[access("public", TokenScope.EVENTS)],
        responses={200: {"model": ChangesDocument}},
    )
    async def read_changes(
        request: Request,
        viewer: ViewerDependency,
        cursors: CursorDependency,
        last_event_id: LastEventID = None,
        cursor: Annotated[str | None, Query(max_length=200)] = None,
        type: Annotated[str | None, Query(max_length=120)] = None,  # noqa: A002 - the name of the parameter
        dataset: UUID | None = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> Response:
        """Read what changed, oldest first, as CloudEvents that the caller may see now.

        ``cursor`` is the ``next_cursor`` of the page before, or ``latest`` for what comes from now on. It is
        another text at each answer, also where nothing changed. With
        ``Accept: text/event-stream`` new changes are pushed; ``Last-Event-ID`` goes on after that one.
        """
        if type is not None:
            require_known_values("type", [type], [*PUBLIC_MODELS, WITHDRAWN])
        after = await _position(changes, cursors, last_event_id or cursor)
        if EVENT_STREAM in request.headers.get("accept", ""):
            lines = stream_changes(
                changes, cursors, bell, viewer, after=after, event_type=type, dataset_id=dataset
            )
            return open_stream(request, lines)
        newest = await changes.last_sequence()
        found = await changes.read(viewer, after=after, limit=limit, event_type=type, dataset_id=dataset)
        is_full = len(found) == limit
        reached = found[-1].sequence if is_full else max(after, newest, *(line.sequence for line in found))
        body = orjson.dumps(
            {
                "events": [cloud_event(line) for line in found],
                "next_cursor": cursors.encode_place(reached, FEED),
                "is_last": not is_full,
            }
        )
        return Response(body, media_type="application/json", headers={"Cache-Control": "private, no-cache"})

    return router


async def _position(changes: ChangesReader, cursors: CursorCodec, cursor: str | None) -> int:
    if not cursor:
        return 0
    if cursor == "latest":
        return await changes.last_sequence()
    try:
        after = cursors.decode_place(cursor, FEED)
    except UnsealableError as error:
        raise _wrong_cursor(400, "This is no cursor of the changes feed.") from error
    first = await changes.first_sequence()
    if first > after + 1:
        raise _wrong_cursor(410, "The changes after this cursor are no longer kept.")
    if after > await changes.last_sequence():
        # Given out before the catalogue was restored from a copy: waiting for it would pass over changes.
        raise _wrong_cursor(410, "The feed has not come as far as this cursor.")
    return after


def _wrong_cursor(status: int, detail: str) -> ProblemError:
    cure = "Read the catalogue anew, then go on from cursor=latest."
    return ProblemError(
        status,
        "cursor",
        "The feed cannot go on from here",
        f"{detail} {cure}",
        errors=[FieldProblem(detail, cure, parameter="cursor", code="cursor")],
    )


async def stream_changes(
    changes: ChangesReader,
    cursors: CursorCodec,
    bell: Bell,
    viewer: Viewer,
    *,
    after: int,
    event_type: str | None = None,
    dataset_id: UUID | None = None,
) -> AsyncIterator[bytes]:
    """Server-sent events (HTML Living Standard, section 9.2), until time is up.

    Signs of life come by the clock alone: one at every look would tell of changes that are hidden.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + STREAM_SECONDS_MAX
    next_sign = loop.time() + HEARTBEAT_SECONDS
    yield b"retry: 2000\n\n"
    while loop.time() < until and not bell.is_closed:
        newest = await changes.last_sequence()
        found = await changes.read(
            viewer, after=after, limit=LINES_PER_READ, event_type=event_type, dataset_id=dataset_id
        )
        is_full = len(found) == LINES_PER_READ
        after = found[-1].sequence if is_full else max(after, newest, *(line.sequence for line in found))
        told = [_told(line, cursors) for line in found]
        del found  # while this waits, it holds nothing
        for text in told:
            yield text
        told.clear()
        if loop.time() >= next_sign:
            next_sign = loop.time() + HEARTBEAT_SECONDS
            yield b": waiting\n\n"
        if not is_full and await changes.last_sequence() == after:
            await bell.wait(min(bell.look_seconds, max(0.0, next_sign - loop.time())))


def _told(line: FeedLine, cursors: CursorCodec) -> bytes:
    data = orjson.dumps(cloud_event(line))
    place = cursors.encode_place(line.sequence, FEED).encode()
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (place, line.event_type.encode(), data)
