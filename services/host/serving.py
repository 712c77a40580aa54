"""Listens on a socket and serves the host until a signal ends it."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext, suppress

import uvicorn

from services.host.running import Host
from services.host.settings import HostSettings
from shared.bus.running import settle_collector
from shared.errors import NutmegError

__all__ = ["CannotListenError", "answering", "listening_socket", "serve"]

BACKLOG = 2_048
OPEN_REQUESTS_SECONDS = 5

Announce = Callable[[], Awaitable[None]]


class CannotListenError(NutmegError):
    """The address or port cannot be listened on. The message says which, and the cure."""


class _Server(uvicorn.Server):
    """A server that leaves signals to :func:`serve`, which has more to stop than a socket."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]  # a generator there
        return nullcontext()


def listening_socket(settings: HostSettings) -> socket.socket:
    """Return a bound socket; its port is known before anything is built. Raises ``CannotListenError``."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((settings.host, settings.port))
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise CannotListenError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror}; "
            "choose another one with --port, or 0 for any"
        ) from error
    return bound


async def serve(host: Host, bound: socket.socket, *, announce: Announce | None = None) -> None:
    """Start the host, serve until SIGINT or SIGTERM, and stop it in good order.

    ``announce`` runs once requests are answered. Should it raise, everything stops and the error goes on.
    """
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    port = bound.getsockname()[1]
    base_url = str(host.app.state.http_settings.base_url)
    try:
        await host.start()
        settle_collector()
        async with answering(host, bound) as serving:
            try:
                host.directory.write_server(port, base_url, host.settings.local_url(port))
                if announce is not None:
                    await _unless_ended(announce(), ended)
                await _first_of(ended, serving)
            finally:
                host.directory.remove_server()
    finally:
        await host.stop()


@asynccontextmanager
async def answering(host: Host, bound: socket.socket) -> AsyncIterator["asyncio.Task[None]"]:
    """Answer requests on ``bound`` for the length of the block; yield the server's task."""
    server = _Server(
        uvicorn.Config(
            host.app,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=OPEN_REQUESTS_SECONDS,
            proxy_headers=False,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[bound]), name="http server")
    try:
        await _until_started(server, serving)
        yield serving
    finally:
        server.should_exit = True
        with suppress(asyncio.CancelledError):
            await serving


async def _until_started(server: uvicorn.Server, serving: "asyncio.Task[None]") -> None:
    while not server.started:
        if serving.done():
            serving.result()
            raise CannotListenError("the HTTP server ended before it had started")
        await asyncio.sleep(0.005)


async def _unless_ended(act: Awaitable[None], ended: asyncio.Event) -> None:
    """Await ``act``, but give it up when a signal comes."""
    acting = asyncio.ensure_future(act)
    waiting = asyncio.ensure_future(ended.wait())
    await asyncio.wait({acting, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not acting.done():
        acting.cancel()
        with suppress(asyncio.CancelledError):
            await acting
        return
    acting.result()


async def _first_of(ended: asyncio.Event, serving: "asyncio.Task[None]") -> None:
    waiting = asyncio.ensure_future(ended.wait())
    await asyncio.wait({waiting, serving}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
