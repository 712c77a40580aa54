"""The socket that a process answers on."""

import asyncio
import socket

import pytest
import uvicorn
from fastapi import APIRouter

from shared.process.serving import answering, listening_socket
from shared.process.settings import ProcessSettings
from tests.unit.http.application import build


class Taken(asyncio.Protocol):
    """Notes whether Nagle's delay is off on a connection that was taken."""

    def __init__(self, noted: "asyncio.Future[int]") -> None:
        self._noted = noted

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        connection: socket.socket = transport.get_extra_info("socket")
        self._noted.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))


async def test_an_answer_does_not_wait_for_the_client_to_acknowledge_its_first_half() -> None:
    loop = asyncio.get_running_loop()
    noted: asyncio.Future[int] = loop.create_future()
    bound = listening_socket(ProcessSettings(port=0))
    async with await loop.create_server(lambda: Taken(noted), sock=bound):
        _, writer = await asyncio.open_connection(*bound.getsockname())
        is_sent_at_once = await noted
        writer.close()
        await writer.wait_closed()

    assert is_sent_at_once


async def test_an_idle_connection_is_kept_longer_than_a_proxy_keeps_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[uvicorn.Config] = []
    prepare = uvicorn.Server.__init__

    def noting(server: uvicorn.Server, config: uvicorn.Config) -> None:
        asked.append(config)
        prepare(server, config)

    monkeypatch.setattr(uvicorn.Server, "__init__", noting)
    with listening_socket(ProcessSettings(port=0)) as bound:
        async with answering(build(APIRouter()), bound):
            pass

    # nginx, its ingress controller and the load balancers of the large clouds keep one for 60 s.
    assert [config.timeout_keep_alive > 60 for config in asked] == [True]
