"""Answers HTTP on a socket until a signal ends the process."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext, suppress
from functools import partial
from typing import cast

import uvicorn
from fastapi import FastAPI

from shared.errors import NutmegError
from shared.http.connections import ConnectionGuard, GuardedProtocol, room_for_connections
from shared.http.settings import HTTPSettings
from shared.http.streams import EventStreams
from shared.process.settings import ProcessSettings

__all__ = ["CannotListenError", "answering", "ended_by_signal", "first_of", "listening_socket"]

BACKLOG = 2_048
OPEN_REQUESTS_SECONDS = 5


class CannotListenError(NutmegError):
    """The address or port cannot be listened on. The message says which, and the cure."""


class _Server(uvicorn.Server):
    """A server that leaves signals to its caller, which has more to stop than a socket."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]  # a generator there
        return nullcontext()


def listening_socket(settings: ProcessSettings) -> socket.socket:
    """Return a bound socket; its port is known before anything is built. Raises ``CannotListenError``."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # asyncio turns Nagle's delay off for sockets that name TCP alone; with it, the second half of an answer
    # waits up to 40 ms for the client's acknowledgement of the first.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((settings.host, settings.port))
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise CannotListenError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror}; "
            "choose another one with --port or NUTMEG_PORT, or 0 for any"
        ) from error
    return bound


def ended_by_signal() -> asyncio.Event:
    """Return an event that SIGINT and SIGTERM set."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    return ended


@asynccontextmanager
async def answering(app: FastAPI, bound: socket.socket) -> AsyncIterator["asyncio.Task[None]"]:
    """Answer requests on ``bound`` for the length of the block; yield the server's task.

    ``app`` was built by :func:`shared.http.app.build_app`: it says what a connection is held to.
    """
    settings: HTTPSettings = app.state.http_settings
    streams: EventStreams = app.state.event_streams
    guard = ConnectionGuard(
        settings,
        app.state.metrics,
        connections_max=room_for_connections(settings),
        trusted_proxies=app.state.trusted_proxies,
    )
    server = _Server(_configuration(app, settings, guard))
    serving = asyncio.create_task(server.serve(sockets=[bound]), name="http server")
    watching = asyncio.create_task(guard.watch(), name="http connections")
    try:
        await _until_started(server, serving)
        yield serving
    finally:
        streams.close()
        server.should_exit = True
        with suppress(asyncio.CancelledError):
            await serving
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


def _configuration(app: FastAPI, settings: HTTPSettings, guard: ConnectionGuard) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        # uvicorn calls it to make one protocol for each connection, which is all it asks of a class.
        http=cast("type[asyncio.Protocol]", partial(GuardedProtocol, guard=guard)),
        ws="none",
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=OPEN_REQUESTS_SECONDS,
        timeout_keep_alive=int(settings.idle_seconds) + 1,  # the guard ends idle connections, a moment before
        proxy_headers=False,
    )


async def first_of(*events: asyncio.Event, serving: "asyncio.Task[None]") -> None:
    """Return when one of ``events`` is set, or the server's task has ended."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait({*waiting, serving}, return_when=asyncio.FIRST_COMPLETED)
    for each in waiting:
        each.cancel()


async def _until_started(server: uvicorn.Server, serving: "asyncio.Task[None]") -> None:
    while not server.started:
        if serving.done():
            serving.result()
            raise CannotListenError("the HTTP server ended before it had started")
        await asyncio.sleep(0.005)
