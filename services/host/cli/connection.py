"""How a command reaches Nutmeg: by the API of a running server, or of one that it runs itself, in-process.

A command takes the data directory's lock. If it gets it, no server runs there: it starts the host without a
socket, does the work by the same API, and waits for all that it caused. If another process has the lock and
serves, the command goes through that. ``--api`` names a server elsewhere. ``--profile cluster`` runs the API
of operations in-process, over the cluster's own databases and Kafka.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from secrets import compare_digest, token_hex
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx

from services.host.cli.errors import CommandError
from services.host.data_directory import DataDirectory, ServerAddress
from shared.errors import LogBusyError
from shared.identity.tokens import AuthenticationError
from shared.identity.viewer import Grant, Role, Viewer
from shared.log.sqlite.file_lock import FileLock

if TYPE_CHECKING:
    from services.host.running import Host
    from services.host.settings import HostSettings

__all__ = ["Connection", "connected", "in_cluster"]

API_SECONDS = 900.0
BUSY_WAIT_SECONDS = 5.0
BUSY_LOOK_SECONDS = 0.1
DRAIN_SECONDS = 600.0


class Connection:
    """Calls the API. Every failure becomes a ``CommandError`` of one line."""

    def __init__(self, client: httpx.AsyncClient, *, streams: bool = True) -> None:
        self.client = client
        self.streams = streams
        """Whether an answer arrives bit by bit: in-process it comes whole, once it has ended."""
        self.has_changed = False
        """Whether anything was asked for that may cause events."""
        self.is_awaited = False
        """Whether the command has waited for what it caused, as long as it wanted to."""

    async def get(self, path: str, **parameters: Any) -> Any:
        """Return the JSON answer to a GET. Parameters that are ``None`` are left out."""
        return await self.call("GET", path, parameters=parameters)

    async def call(
        self,
        method: str,
        path: str,
        *,
        parameters: Mapping[str, Any] | None = None,
        **request: Any,
    ) -> Any:
        """Return the JSON answer, ``None`` for an empty one."""
        given = {name: value for name, value in (parameters or {}).items() if value is not None}
        self.has_changed |= method != "GET"
        try:
            response = await self.client.request(method, path, params=given, **request)
        except httpx.HTTPError as error:
            raise CommandError(
                f"{self.client.base_url} does not answer: {error or type(error).__name__}"
            ) from error
        if response.is_error:
            raise CommandError(self.problem_line(response))
        return response.json() if response.content else None

    def problem_line(self, response: httpx.Response) -> str:
        """Return the problem that was answered, on one line."""
        return _problem_line(response)

    async def drain(self) -> None:
        """Wait until everything that was caused so far is done, wherever it runs."""
        answer = await self.call("POST", "/api/v1/ops/drain", parameters={"timeout_seconds": DRAIN_SECONDS})
        if not answer["idle"]:
            raise CommandError(answer["busy"])


@asynccontextmanager
async def connected(
    settings: "HostSettings", *, api: str | None = None, token: str | None = None
) -> AsyncIterator[Connection]:
    """Connect as the module's docstring tells. In-process, what the block caused is awaited at its end.

    Raises ``CommandError`` if the directory is taken by a process that does not serve.
    """
    if api is not None:
        async with _client(api, token) as client:
            yield Connection(client)
        return
    found = await _server_or_lock(settings)
    if isinstance(found, FileLock):
        async with _in_process(settings, found) as connection:
            yield connection
        return
    async with _client(found.local_url, token or _admin_token(settings)) as client:
        yield Connection(client)


@asynccontextmanager
async def in_cluster() -> AsyncIterator[Connection]:
    """Connect to a cluster's operations. Who has its secrets may do everything, so no token is asked for."""
    # Imported only where they are needed: other installations have no client for Kafka.
    from services.host.bootstrap_cluster import SERVICE_SETTINGS, bootstrap_operations
    from shared.process.context import cluster_context
    from shared.telemetry.logging import configure_logging

    ground = cluster_context(own_settings=SERVICE_SETTINGS)
    configure_logging("cli", level=ground.settings.log_level)
    secret = token_hex()
    process = bootstrap_operations(ground, authenticator=_Insider(secret))
    try:
        await process.operations.open()
        transport = httpx.ASGITransport(app=process.app)
        async with _client(ground.http.base_url, secret, transport=transport) as client:
            yield Connection(client)
    finally:
        await process.close()


class _Insider:
    """An authenticator that knows one token, for as long as the command runs."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    async def authenticate(self, token: str) -> Viewer:
        if not compare_digest(token, self._secret):
            raise AuthenticationError("unknown", "The token belongs to nobody who is known here.")
        return Viewer(UUID(int=0), frozenset({Grant(Role.OPERATOR)}), None)


async def _server_or_lock(settings: "HostSettings") -> ServerAddress | FileLock:
    """Return a running server's address, or the directory's lock where no server runs."""
    directory = DataDirectory(settings.data_dir)
    until = asyncio.get_running_loop().time() + BUSY_WAIT_SECONDS
    while True:
        try:
            return directory.lock()
        except LogBusyError:
            address = directory.read_server()
            if address is not None and await _answers(address):
                return address
            # Another command may be at work there, or a server may be starting.
            if asyncio.get_running_loop().time() > until:
                raise
            await asyncio.sleep(BUSY_LOOK_SECONDS)


@asynccontextmanager
async def _in_process(settings: "HostSettings", lock: FileLock) -> AsyncIterator[Connection]:
    # Imported only where they are needed: a command that finds a server answers much sooner.
    from services.host.bootstrap import bootstrap_host
    from services.host.demo.state import DemoStateFile
    from shared.process.serving import answering, listening_socket
    from shared.telemetry.logging import configure_logging

    configure_logging("cli", level=settings.log_level)
    async with AsyncExitStack() as stack:
        stack.callback(lock.release)
        demo = DemoStateFile.find(DataDirectory(settings.data_dir).demo_state)
        if demo is not None:
            settings = settings.model_copy(update={"port": demo.state.port})
        # A demo's clock can be moved, and what becomes due by that is to be done.
        host = bootstrap_host(settings, lock=lock, is_passing=demo is None)
        stack.push_async_callback(host.stop)
        await host.start()
        # A process that was killed may have left some of that to this one.
        await host.wait_for_index()
        if demo is not None:
            # The sample's files are fetched over HTTP from the addresses that the feed names.
            bound = stack.enter_context(listening_socket(settings))
            await stack.enter_async_context(answering(host.app, bound))
        transport = httpx.ASGITransport(app=host.app)
        base_url = host.app.state.http_settings.base_url
        token = host.directory.read_admin_token()
        client = await stack.enter_async_context(_client(base_url, token, transport=transport))
        connection = Connection(client, streams=False)
        yield connection
        if connection.has_changed:
            if not connection.is_awaited:
                await connection.drain()
            await _tell_postponed(host)


async def _tell_postponed(host: "Host") -> None:
    from services.host.cli.output import tell

    for runner in host.runners:
        for work in runner.service.works:
            left = await work.postponed() if work.postponed is not None else None
            if left is not None:
                when = f"from {left.next_at:%Y-%m-%d %H:%M:%S} UTC on"
                tell(f"{left.what}: {left.count:,}. Tried again {when}, by nutmeg up or the next command.")


async def _answers(address: ServerAddress) -> bool:
    try:
        async with _client(address.local_url, None) as client:
            return (await client.get("/healthz", timeout=5.0)).is_success
    except httpx.HTTPError:
        return False


def _client(
    base_url: str, token: str | None, *, transport: httpx.AsyncBaseTransport | None = None
) -> httpx.AsyncClient:
    headers = {"Accept": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return httpx.AsyncClient(
        base_url=base_url, headers=headers, timeout=API_SECONDS, transport=transport, trust_env=False
    )


def _admin_token(settings: "HostSettings") -> str:
    directory = DataDirectory(settings.data_dir)
    token = directory.read_admin_token()
    if token is None:
        raise CommandError(f"{directory.admin_token} is missing; give --token, or start the server again")
    return token


def _problem_line(response: httpx.Response) -> str:
    """Return a problem document (RFC 9457) as one line: title, detail, then each field with its cure.

    A field is left out where the detail has said the same already.
    """
    try:
        problem = response.json()
        told = " ".join(problem.get("detail", "").split())
        words = [f"{problem['title']}: {told}" if told else problem["title"]]
        for each in problem.get("errors", []):
            where = each.get("pointer") or each.get("parameter") or each.get("header") or ""
            field = " ".join(f"{each['detail']} {each.get('cure') or ''}".split())
            if field not in told:
                words.append(f"[{where}: {field}]")
    except (ValueError, KeyError, TypeError, AttributeError):
        words = [f"the server answered {response.status_code}"]
    return " ".join(" ".join(words).split())
