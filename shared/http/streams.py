"""Streams of server-sent events (HTML Living Standard, section 9.2): bounded in number, and ended in time.

A stream outlives the look at its caller's rights that every other request ends with. So the rights are looked
at again every :data:`REVIEW_SECONDS`, and a stream whose token was revoked, has expired or lost a role ends.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Annotated

from fastapi import Header
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from shared.errors import TransientError
from shared.http.networks import client_group
from shared.http.problems import ProblemError
from shared.http.settings import HTTPSettings
from shared.identity.principals import Authenticator
from shared.identity.tokens import AuthenticationError
from shared.identity.viewer import Viewer
from shared.telemetry.metrics import Metrics

__all__ = ["EVENT_STREAM", "EventStreams", "LastEventID", "open_stream"]

EVENT_STREAM = "text/event-stream"
REVIEW_SECONDS = 2.0
RETRY_SECONDS = 30
LAST_WORD_SECONDS = 1.0

LastEventID = Annotated[str | None, Header(alias="Last-Event-ID", max_length=200)]
"""Where a client that was cut off wants to go on."""


class EventStreams:
    """The open streams of one application."""

    def __init__(self, settings: HTTPSettings, authenticator: Authenticator, metrics: Metrics) -> None:
        self._settings = settings
        self._authenticator = authenticator
        self._metrics = metrics
        self._open: set[_EventStream] = set()
        self._by_client: Counter[str] = Counter()
        self._reviewing: asyncio.Task[None] | None = None
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, request: Request, lines: AsyncIterator[bytes]) -> Response:
        """Return the answer that streams ``lines``. Raises the 429 problem where too many are open."""
        client = _client_of(request)
        if len(self._open) >= self._settings.streams_max:
            raise self._refusal("Too many event streams are open just now.")
        if self._by_client[client] >= self._settings.streams_per_client_max:
            raise self._refusal(f"You have {self._settings.streams_per_client_max} event streams open.")
        return _EventStream(self, client, request.state.presenter, request.state.presented_token, lines)

    def close(self) -> None:
        """End all streams, and those that are asked for from now on. Idempotent."""
        self._is_closed = True
        for stream in list(self._open):
            stream.end()

    async def review(self) -> None:
        """End every stream whose token no longer gives what it gave when the stream began."""
        by_token: dict[str, list[_EventStream]] = {}
        for stream in self._open:
            if stream.token is not None:
                by_token.setdefault(stream.token, []).append(stream)
        for token, streams in by_token.items():
            viewer = await self._viewer_of(token, streams[0].viewer)
            for stream in streams:
                if viewer != stream.viewer:
                    stream.end()

    def enter(self, stream: "_EventStream") -> None:
        """Count a stream that begins."""
        self._open.add(stream)
        self._by_client[stream.client] += 1
        self._metrics.set("nutmeg_http_streams", len(self._open))
        if self._is_closed:
            stream.end()
        elif self._reviewing is None or self._reviewing.done():
            self._reviewing = asyncio.create_task(self._review_while_open(), name="review of event streams")

    def leave(self, stream: "_EventStream") -> None:
        """Count a stream no longer."""
        self._open.discard(stream)
        self._by_client[stream.client] -= 1
        if not self._by_client[stream.client]:
            del self._by_client[stream.client]
        self._metrics.set("nutmeg_http_streams", len(self._open))
        if not self._open and self._reviewing is not None:
            self._reviewing.cancel()
            self._reviewing = None

    async def _review_while_open(self) -> None:
        while self._open:
            await asyncio.sleep(REVIEW_SECONDS)
            await self.review()

    async def _viewer_of(self, token: str, before: Viewer) -> Viewer | None:
        try:
            return await self._authenticator.authenticate(token)
        except AuthenticationError:
            return None
        except TransientError:
            return before  # the store is away, so no stream reads from it either; asked again soon

    def _refusal(self, detail: str) -> ProblemError:
        self._metrics.count("nutmeg_http_refusals_total", reason="streams")
        return ProblemError(
            429,
            "too-many-streams",
            "Too many event streams",
            f"{detail} Close one, read pages with ?cursor= instead, or try again in {RETRY_SECONDS} seconds.",
            headers={"Retry-After": str(RETRY_SECONDS)},
        )


class _EventStream(Response):
    """One stream; it ends with its lines, its client, or by :meth:`end`."""

    def __init__(
        self,
        streams: EventStreams,
        client: str,
        viewer: Viewer,
        token: str | None,
        lines: AsyncIterator[bytes],
    ) -> None:
        super().__init__(media_type=EVENT_STREAM, headers=_HEADERS)
        del self.headers["content-length"]
        self.client = client
        self.viewer = viewer
        self.token = token
        self._streams = streams
        self._lines = lines
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end(self) -> None:
        """End the stream at the next turn of the loop. Idempotent."""
        if not self._ended.done():
            self._ended.set_result(None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's
        self._streams.enter(self)
        sending = asyncio.create_task(self._send_lines(send))
        leaving = asyncio.create_task(_until_gone(receive))
        try:
            await asyncio.wait({sending, leaving, self._ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._streams.leave(self)
            for task in (sending, leaving):
                task.cancel()
            results = await asyncio.gather(sending, leaving, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORD_SECONDS):
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_lines(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for line in self._lines:
            await send({"type": "http.response.body", "body": line, "more_body": True})


_HEADERS: Mapping[str, str] = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def open_stream(request: Request, lines: AsyncIterator[bytes]) -> Response:
    """Answer ``request`` with a stream of server-sent events. Raises the 429 problem."""
    streams: EventStreams = request.app.state.event_streams
    return streams.begin(request, lines)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _client_of(request: Request) -> str:
    viewer: Viewer = request.state.viewer
    if viewer.person_id is not None:
        return f"person:{viewer.person_id}"
    return f"address:{client_group(request.client.host if request.client else '')}"
