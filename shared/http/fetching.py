"""Fetches of addresses that people typed in: feeds, files.

The address is input. So: http and https only, ordinary ports, no passwords in it, every redirect looked
at again, the name resolved once and the connection made to the very address that was checked, no proxy
from the environment, bounds on time, bytes and unpacked bytes.
"""

import asyncio
import re
import shutil
import socket
import ssl
import tempfile
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import IO, TypeAlias

import httpcore
import httpx

from shared.http.downloads import Download, FetchError
from shared.http.networks import Network, is_allowed

__all__ = ["Fetched", "GuardedDownloads", "GuardedFetcher", "Resolver"]

ORDINARY_PORTS = frozenset({80, 443, 8000, 8080, 8443})
URL_CHARACTERS_MAX = 2048
UNPACK_STEP_BYTES = 1024 * 1024
_HOST = re.compile(r"[A-Za-z0-9._:\-]+")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

Resolver: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the IP addresses of a host name. Raises ``OSError`` where there are none."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came. ``path`` holds the unpacked content and is deleted after the block; ``None`` for a 304."""

    url: str
    path: Path | None
    size_bytes: int
    content_type: str | None
    etag: str | None
    last_modified: str | None

    @property
    def is_not_modified(self) -> bool:
        """The source says that nothing changed since the ETag or date that was sent."""
        return self.path is None


class GuardedFetcher:
    """Fetches by GET from public addresses and from ``allowed_networks``."""

    def __init__(
        self,
        *,
        allowed_networks: Sequence[Network] = (),
        allowed_ports: frozenset[int] = ORDINARY_PORTS,
        timeout_seconds: float = 120.0,
        size_bytes_max: int = 1024**3,
        redirects_max: int = 5,
        user_agent: str = "Nutmeg (open data catalogue)",
        resolver: Resolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._backend = _CheckedBackend(tuple(allowed_networks), resolver or _resolve)
        self._allowed_ports = allowed_ports
        self._timeout_seconds = timeout_seconds
        self._size_bytes_max = size_bytes_max
        self._redirects_max = redirects_max
        self._user_agent = user_agent
        self._ssl_context = ssl_context

    @asynccontextmanager
    async def fetch(
        self, url: str, *, etag: str | None = None, last_modified: str | None = None
    ) -> AsyncIterator[Fetched]:
        """Fetch ``url`` into a temporary file and yield it; with ``etag`` or date, only if it changed.

        Raises ``FetchError``.
        """
        headers = {"User-Agent": self._user_agent, "Accept": "*/*", "Accept-Encoding": "gzip"}
        if etag:
            headers["If-None-Match"] = etag
        if last_modified:
            headers["If-Modified-Since"] = last_modified
        with tempfile.TemporaryDirectory(prefix="nutmeg-fetch-") as directory:
            path = Path(directory) / "content"
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    fetched = await self._follow(self._checked_url(url), headers, path)
            except TimeoutError as error:
                raise FetchError(
                    "timeout", f"The source did not answer in full within {self._timeout_seconds:g} seconds."
                ) from error
            yield fetched

    async def _follow(self, url: httpx.URL, headers: dict[str, str], path: Path) -> Fetched:
        async with httpx.AsyncClient(
            transport=self._transport(), trust_env=False, timeout=self._timeout_seconds
        ) as client:
            for _ in range(self._redirects_max + 1):
                try:
                    async with client.stream("GET", url, headers=headers, follow_redirects=False) as response:
                        if response.status_code not in _REDIRECTS:
                            return await self._take(response, path)
                        url = self._checked_url(_redirect_target(response))
                except httpx.HTTPError as error:
                    raise _told(error, url) from error
        raise FetchError(
            "redirects",
            f"The source sent us on more than {self._redirects_max} times. Enter the final address.",
            is_permanent=True,
        )

    async def _take(self, response: httpx.Response, path: Path) -> Fetched:
        size_bytes = 0
        kept: Path | None = None
        if response.status_code != 304:
            _check_status(response)
            declared = response.headers.get("content-length", "")
            if declared.isdigit() and int(declared) > self._size_bytes_max:
                raise self._too_large()
            size_bytes, kept = await self._save(response, path), path
        return Fetched(
            url=str(response.url),
            path=kept,
            size_bytes=size_bytes,
            content_type=response.headers.get("content-type"),
            etag=response.headers.get("etag"),
            last_modified=_last_modified(response.headers),
        )

    async def _save(self, response: httpx.Response, path: Path) -> int:
        unpacker = _Unpacker(response.headers.get("content-encoding", ""))
        received_bytes = size_bytes = 0
        with await asyncio.to_thread(path.open, "wb") as file:
            async for packed in response.aiter_raw(UNPACK_STEP_BYTES):
                received_bytes += len(packed)
                for piece in unpacker.feed(packed):
                    size_bytes += len(piece)
                    if max(received_bytes, size_bytes) > self._size_bytes_max:
                        raise self._too_large()
                    await asyncio.to_thread(_write, file, piece)
            rest = unpacker.finish()
            await asyncio.to_thread(_write, file, rest)
        return size_bytes + len(rest)

    def _checked_url(self, text: str) -> httpx.URL:
        if len(text) > URL_CHARACTERS_MAX:
            raise FetchError(
                "url", f"The address is longer than {URL_CHARACTERS_MAX} characters.", is_permanent=True
            )
        try:
            url = httpx.URL(text)
        except httpx.InvalidURL as error:
            raise FetchError("url", f"The address cannot be read: {error}.", is_permanent=True) from error
        problem = None
        if url.scheme not in ("http", "https"):
            problem = f"Addresses begin with https:// or http://, not {url.scheme or 'nothing'}."
        elif not url.host:
            problem = "The address names no host."
        elif not _HOST.fullmatch(url.raw_host.decode("ascii", "replace")):
            problem = "The address names a host with characters that no host has."
        elif url.userinfo:
            problem = "The address holds a user name or password; remove it."
        elif (url.port or _default_port(url)) not in self._allowed_ports:
            ports = ", ".join(map(str, sorted(self._allowed_ports)))
            problem = f"Port {url.port} is not one that we fetch from; allowed are {ports}."
        if problem:
            raise FetchError("url", problem, is_permanent=True)
        return url

    def _too_large(self) -> FetchError:
        return FetchError(
            "size", f"The source holds more than {self._size_bytes_max:,} bytes.", is_permanent=True
        )

    def _transport(self) -> httpx.AsyncBaseTransport:
        if self._ssl_context is None:
            # Reading all trusted certificates takes a while, so it is done once.
            self._ssl_context = httpx.create_ssl_context(trust_env=False)
        return _CheckedTransport(self._ssl_context, self._backend)


class _CheckedTransport(httpx.AsyncHTTPTransport):
    """httpx's transport on a pool that connects through our backend; httpx has no argument for it.

    The host name stays what TLS and the Host header use; only the connection goes to the checked address.
    """

    def __init__(self, ssl_context: ssl.SSLContext, backend: httpcore.AsyncNetworkBackend) -> None:
        super().__init__(verify=ssl_context, trust_env=False)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl_context, max_keepalive_connections=0, network_backend=backend
        )


class _CheckedBackend(httpcore.AsyncNetworkBackend):
    """Resolves, checks every address, and connects to those very addresses."""

    def __init__(self, allowed_networks: Sequence[Network], resolve: Resolver) -> None:
        self._allowed_networks = allowed_networks
        self._resolve = resolve
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise FetchError("dns", f"The host {host} cannot be found. Check its spelling.") from error
        # One bad address refuses the name: which one a later lookup prefers is not ours to choose.
        if not addresses or not all(is_allowed(address, self._allowed_networks) for address in addresses):
            raise FetchError(
                "address",
                f"The host {host} is on a private or reserved network. An operator can allow its network.",
                is_permanent=True,
            )
        failure: Exception | None = None
        for address in addresses:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore.ConnectError as error:
                failure = error
        raise failure or httpcore.ConnectError("no address answered")

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


async def _resolve(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _default_port(url: httpx.URL) -> int:
    return 443 if url.scheme == "https" else 80


def _redirect_target(response: httpx.Response) -> str:
    location = response.headers.get("location", "")
    try:
        return str(response.url.join(location)) if location else ""
    except (httpx.InvalidURL, ValueError) as error:
        raise FetchError(
            "url", "The source sent us on to an address that cannot be read.", is_permanent=True
        ) from error


def _check_status(response: httpx.Response) -> None:
    status = response.status_code
    if 200 <= status < 300:
        return
    hints = {
        401: "It asks for a password; publish it openly, or upload the file.",
        403: "It refuses us; ask its owner to allow Nutmeg.",
        404: "There is nothing at this address; check it.",
        410: "It says that this is gone for good.",
        429: "It says that we ask too often; we try again later.",
    }
    hint = hints.get(status, "It has trouble; we try again later." if status >= 500 else "")
    raise FetchError(
        "status",
        f"The source answered with status {status}. {hint}".strip(),
        is_permanent=status in (401, 403, 404, 410),
        status=status,
    )


def _told(error: httpx.HTTPError, url: httpx.URL) -> FetchError:
    if isinstance(error, httpx.TimeoutException):
        return FetchError("timeout", f"{url.host} did not answer in time.")
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return FetchError("tls", f"{url.host} has no valid certificate: {cause.reason or cause}.")
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.ConnectError):
        return FetchError("connection", f"{url.host} does not accept connections.")
    return FetchError("connection", f"The connection to {url.host} broke before all was read.")


def _last_modified(headers: httpx.Headers) -> str | None:
    """Return the date to ask by next time, if no change can hide behind it.

    Dates have whole seconds: a file that is written twice in one of them answers 304 for ever after. So the
    answer must be at least a second younger than the file (RFC 9110 §8.8.2.2).
    """
    date = headers.get("last-modified")
    try:
        age = parsedate_to_datetime(headers["date"]) - parsedate_to_datetime(date)
    except (KeyError, TypeError, ValueError):
        return None
    return date if age >= timedelta(seconds=1) else None


class _Unpacker:
    """Unpacks a body in pieces of at most 1 MiB, so that a bomb meets the size limit early."""

    def __init__(self, encoding: str) -> None:
        name = encoding.strip().lower()
        if name not in ("", "identity", "gzip", "x-gzip"):
            raise FetchError("content", f"The source packs its answer as {name}, which we did not ask for.")
        self._inflater = zlib.decompressobj(wbits=31) if name.endswith("gzip") else None

    def feed(self, packed: bytes) -> Iterator[bytes]:
        """Yield what ``packed`` holds."""
        if self._inflater is None:
            yield packed
            return
        try:
            while packed and not self._inflater.eof:
                yield self._inflater.decompress(packed, UNPACK_STEP_BYTES)
                packed = self._inflater.unconsumed_tail
        except zlib.error as error:
            raise FetchError("content", "The source's answer is damaged and cannot be unpacked.") from error

    def finish(self) -> bytes:
        """Return what is left (less than the library's own small buffer). Raises for a cut-off body."""
        if self._inflater is None:
            return b""
        rest = self._inflater.flush()
        if not self._inflater.eof:
            raise FetchError("content", "The source's answer was cut off before its end.")
        return rest


def _write(file: IO[bytes], piece: bytes) -> None:
    file.write(piece)


class GuardedDownloads:
    """Implements :class:`shared.http.downloads.Downloads`; ``fetcher_for`` takes a size limit in bytes."""

    def __init__(self, fetcher_for: Callable[[int], GuardedFetcher]) -> None:
        self._fetcher_for = fetcher_for

    async def fetch(
        self,
        url: str,
        path: Path,
        *,
        size_bytes_max: int,
        etag: str | None = None,
        last_modified: str | None = None,
    ) -> Download:
        """Fetch to a file. Raises :class:`FetchError`."""
        fetcher = self._fetcher_for(size_bytes_max)
        async with fetcher.fetch(url, etag=etag, last_modified=last_modified) as fetched:
            if fetched.path is None:
                return Download(is_new=False)
            await asyncio.to_thread(_keep, fetched.path, path)
            return Download(True, fetched.etag, fetched.last_modified)


def _keep(fetched: Path, path: Path) -> None:
    """Put the file in its place at once: a half-copied one never bears the name."""
    partial = path.with_name(f"{path.name}.part")
    shutil.copyfile(fetched, partial)
    partial.replace(path)
