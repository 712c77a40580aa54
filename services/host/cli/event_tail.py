"""Follows the changes feed: pages up to the newest event, then server-sent events, again after a break."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import httpx

from services.host.cli.errors import CommandError

if TYPE_CHECKING:
    from services.host.cli.connection import Connection

__all__ = ["EventTail", "server_sent_events"]

PAGE_EVENTS_MAX = 200
LOOK_SECONDS = 0.5
SILENCE_SECONDS_MAX = 60.0
"""The server sends a comment every 15 seconds; a longer silence is a dead connection."""
PAUSE_SECONDS_MIN = 2.0
PAUSE_SECONDS_MAX = 30.0
PATH = "/api/v1/events"

Event = dict[str, Any]


class EventTail:
    """Reads events one by one from ``cursor`` on: a cursor of the feed, ``latest``, or ``0`` for the first.

    ``complain`` is told, once for each break, that the server is away. ``pause`` waits before the next try.
    """

    def __init__(
        self,
        connection: "Connection",
        cursor: str,
        *,
        event_type: str | None,
        dataset: str | None,
        complain: Callable[[str], None],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._connection = connection
        self._position: str | None = None if cursor == "0" else cursor
        self._narrowed = {"type": event_type, "dataset": dataset}
        self._complain = complain
        self._pause = pause

    @property
    def position(self) -> str:
        """The cursor behind the last event that was given."""
        return self._position or "0"

    async def known(self) -> AsyncIterator[Event]:
        """Give the events that there are by now. Raises ``CommandError``."""
        is_last = False
        while not is_last:
            page = await self._connection.get(
                PATH, cursor=self._position, limit=PAGE_EVENTS_MAX, **self._narrowed
            )
            for event in page["events"]:
                yield event
            self._position, is_last = page["next_cursor"], page["is_last"]

    async def followed(self) -> AsyncIterator[Event]:
        """Give these, and then each as it comes, for ever. Raises ``CommandError``."""
        async for event in self.known():
            yield event
        if not self._connection.streams:
            while True:
                await self._pause(LOOK_SECONDS)
                async for event in self.known():
                    yield event
        pause_seconds = PAUSE_SECONDS_MIN
        while True:
            try:
                async for number, event in self._streamed():
                    self._position, pause_seconds = number, PAUSE_SECONDS_MIN
                    yield event
                # The server ends a stream now and then, so that rights are looked at again.
                await self._pause(LOOK_SECONDS)
            except httpx.HTTPError as error:
                if pause_seconds == PAUSE_SECONDS_MIN:
                    self._complain(f"the server is away ({error or type(error).__name__}), trying again")
                await self._pause(pause_seconds)
                pause_seconds = min(pause_seconds * 2, PAUSE_SECONDS_MAX)

    async def _streamed(self) -> AsyncIterator[tuple[str, Event]]:
        headers = {"Accept": "text/event-stream"}
        if self._position is not None:
            headers["Last-Event-ID"] = self._position
        given = {name: value for name, value in self._narrowed.items() if value is not None}
        timeout = httpx.Timeout(10.0, read=SILENCE_SECONDS_MAX)
        async with self._connection.client.stream(
            "GET", PATH, params=given, headers=headers, timeout=timeout
        ) as answer:
            if answer.is_server_error:
                answer.raise_for_status()
            if answer.is_error:
                await answer.aread()
                raise CommandError(self._connection.problem_line(answer))
            async for number, data in server_sent_events(answer.aiter_bytes()):
                yield number, json.loads(data)


async def server_sent_events(chunks: AsyncIterator[bytes]) -> AsyncIterator[tuple[str, str]]:
    """Give (id, data) of each event that has both (HTML Living Standard, section 9.2.6; lines end in LF).

    An event that was cut off is not given: it comes again after the next connect.
    """
    rest = b""
    async for chunk in chunks:
        *blocks, rest = (rest + chunk).split(b"\n\n")
        for block in blocks:
            fields: dict[str, str] = {}
            for line in block.decode().split("\n"):
                name, _, value = line.partition(":")
                fields[name] = value.removeprefix(" ")
            if "id" in fields and "data" in fields:
                yield fields["id"], fields["data"]
