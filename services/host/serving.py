"""Serves the host until a signal ends it."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

from services.host.running import Host
from shared.gc_tuning import freeze_survivors
from shared.process.limits import require_descriptors, sweep_leftovers
from shared.process.serving import answering, ended_by_signal, first_of

__all__ = ["serve"]

Announce = Callable[[], Awaitable[None]]


async def serve(host: Host, bound: socket.socket, *, announce: Announce | None = None) -> None:
    """Start the host, serve until SIGINT or SIGTERM, and stop it in good order.

    ``announce`` runs once requests are answered. Should it raise, everything stops and the error goes on.
    """
    ended = ended_by_signal()
    require_descriptors()
    await asyncio.to_thread(sweep_leftovers)
    port = bound.getsockname()[1]
    base_url = str(host.app.state.http_settings.base_url)
    try:
        await host.start()
        freeze_survivors()
        async with answering(host.app, bound) as serving:
            try:
                host.directory.write_server(port, base_url, host.settings.local_url(port))
                if announce is not None:
                    await _unless_ended(announce(), ended)
                await first_of(ended, serving=serving)
            finally:
                host.directory.remove_server()
    finally:
        await host.stop()


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
