"""Fetches over real connections to a real server, and all that must never be connected to."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from shared.http.downloads import FetchError
from shared.http.fetching import GuardedFetcher, Resolver
from shared.http.networks import Network

LOOPBACK: Sequence[Network] = [ip_network("127.0.0.0/8")]
FEED = b'{"dataset": []}' * 100


@dataclass
class Source:
    """A raw HTTP/1.1 server: what it sends is written byte by byte, so that it can also misbehave."""

    port: int = 0
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            path = head[0].split(" ")[1]
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            self.asked.append((path, headers))
            await self.answer(path, headers, writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    async def answer(self, path: str, headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        if path == "/feed" and headers.get("if-none-match") == '"v1"':
            writer.write(head(304, ETag='"v1"'))
        elif path == "/endless":
            writer.write(head(200))
            while True:
                writer.write(b"x" * 10_000)
                await writer.drain()
        elif path == "/slow":
            writer.write(head(200, Content_Length=100) + b"x")
            await writer.drain()
            await asyncio.sleep(2)
        elif path.startswith("/to/"):
            writer.write(head(302, Location=path.removeprefix("/to/"), Content_Length=0))
        elif path.startswith("/written/"):
            written = path.removeprefix("/written/")
            writer.write(head(200, Content_Length=0, Date=DATE, Last_Modified=f"{DAY} {written} GMT"))
        elif path.startswith("/status/"):
            writer.write(head(int(path.removeprefix("/status/")), Content_Length=0))
        else:
            writer.write(CANNED.get(path, b""))


DAY = "Mon, 02 Mar 2026"
DATE = f"{DAY} 09:00:00 GMT"


def head(status: int, **headers: object) -> bytes:
    lines = [f"HTTP/1.1 {status} Words"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join([*lines, "Connection: close"]) + "\r\n\r\n").encode()


def packed(content: bytes, encoding: str = "gzip") -> bytes:
    return head(200, Content_Length=len(content), Content_Encoding=encoding) + content


def bomb() -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    return b"".join(packer.compress(bytes(1_000_000)) for _ in range(50)) + packer.flush()


CANNED = {
    "/feed": head(200, Content_Length=len(FEED), ETag='"v1"', Content_Type="application/json") + FEED,
    "/gzip": packed(gzip.compress(FEED)),
    "/bomb": packed(bomb()),
    "/cut-gzip": packed(gzip.compress(FEED)[:-12]),
    "/not-gzip": packed(b"plain"),
    "/brotli": packed(b"12345", "br"),
    "/declared-large": head(200, Content_Length=10**12),
    "/short": head(200, Content_Length=1000) + b"only this",
}


@asynccontextmanager
async def serving(source: Source, host: str = "127.0.0.1") -> AsyncIterator[None]:
    server = await asyncio.start_server(source.serve, host, 0)
    source.port = server.sockets[0].getsockname()[1]
    try:
        yield
    finally:
        server.close()


@pytest.fixture
async def source() -> AsyncIterator[Source]:
    one = Source()
    async with serving(one):
        yield one


def fetcher(source: Source, networks: Sequence[Network] = LOOPBACK, **options: Any) -> GuardedFetcher:
    ports = frozenset({80, 443, source.port})
    return GuardedFetcher(allowed_networks=networks, allowed_ports=ports, **options)


def resolving(*answers: Sequence[str]) -> tuple[Resolver, list[str]]:
    """A name server that gives one answer after the other, and what it was asked for."""
    asked: list[str] = []

    async def resolve(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    return resolve, asked


async def refused(fetching: GuardedFetcher, url: str) -> FetchError:
    with pytest.raises(FetchError) as caught:
        async with fetching.fetch(url):
            raise AssertionError("nothing should have come")
    return caught.value


async def test_content_comes_into_a_file_that_is_gone_afterwards(source: Source) -> None:
    async with fetcher(source).fetch(f"http://127.0.0.1:{source.port}/feed") as fetched:
        assert fetched.path is not None
        assert fetched.path.read_bytes() == FEED
        assert fetched.size_bytes == len(FEED)
        assert fetched.etag == '"v1"'
        assert fetched.content_type == "application/json"
        kept: Path = fetched.path
    assert not kept.exists()
    assert source.asked[0][1]["host"] == f"127.0.0.1:{source.port}"


async def test_an_unchanged_source_answers_not_modified(source: Source) -> None:
    url = f"http://127.0.0.1:{source.port}/feed"
    async with fetcher(source).fetch(
        url, etag='"v1"', last_modified="Mon, 02 Mar 2026 09:00:00 GMT"
    ) as found:
        assert found.is_not_modified
        assert found.path is None
    assert source.asked[0][1]["if-modified-since"] == "mon, 02 mar 2026 09:00:00 gmt"


@pytest.mark.parametrize(
    ("written", "is_kept"), [("08:59:59", True), ("09:00:00", False), ("09:00:07", False), ("when", False)]
)
async def test_a_date_is_asked_by_only_if_no_second_write_can_hide_in_its_second(
    source: Source, written: str, is_kept: bool
) -> None:
    async with fetcher(source).fetch(f"http://127.0.0.1:{source.port}/written/{written}") as fetched:
        assert fetched.last_modified == (f"{DAY} {written} GMT" if is_kept else None)


async def test_packed_content_is_unpacked(source: Source) -> None:
    async with fetcher(source).fetch(f"http://127.0.0.1:{source.port}/gzip") as fetched:
        assert fetched.path is not None
        assert fetched.path.read_bytes() == FEED


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/bomb", "size"),
        ("/endless", "size"),
        ("/declared-large", "size"),
        ("/cut-gzip", "content"),
        ("/not-gzip", "content"),
        ("/brotli", "content"),
        ("/short", "connection"),
        ("/nothing-at-all", "connection"),
        ("/status/404", "status"),
        ("/status/500", "status"),
        ("/status/403", "status"),
    ],
)
async def test_bad_content_ends_in_plain_words(source: Source, path: str, reason: str) -> None:
    fetching = fetcher(source, size_bytes_max=1_000_000)
    error = await refused(fetching, f"http://127.0.0.1:{source.port}{path}")
    assert error.reason == reason
    assert str(error).endswith(".")


async def test_a_source_that_drips_is_given_up_after_the_time_limit(source: Source) -> None:
    error = await refused(fetcher(source, timeout_seconds=0.3), f"http://127.0.0.1:{source.port}/slow")
    assert error.reason == "timeout"
    assert not error.is_permanent


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://0/",
        "http://0.0.0.0/",
        "http://[::]/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[::127.0.0.1]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/",
        "http://10.0.0.1/",
        "https://192.168.1.1/",
    ],
)
async def test_addresses_inside_are_never_connected_to(url: str) -> None:
    error = await refused(GuardedFetcher(), url)
    assert error.reason in ("address", "dns", "url")
    assert error.reason != "connection"


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.org/feed",
        "gopher://example.org/",
        "data:text/plain,hello",
        "//example.org/feed",
        "example.org/feed",
        "",
        "http://",
        "http:///feed",
        "http://user:secret@example.org/feed",
        "http://user@example.org/feed",
        "http://example.org:22/",
        "http://example.org:99999/",
        "http://exa mple.org/",
        "http://" + "a" * 3000,
    ],
)
async def test_addresses_that_are_no_plain_web_address_are_refused_unresolved(url: str) -> None:
    resolve, asked = resolving(["1.1.1.1"])
    error = await refused(GuardedFetcher(resolver=resolve), url)
    assert error.reason == "url"
    assert error.is_permanent
    assert asked == []
    assert "secret" not in str(error)


async def test_a_name_is_resolved_once_and_the_checked_address_is_the_one_connected_to() -> None:
    """DNS rebinding: a second look-up would give the address of a service that must not be reached."""
    allowed, forbidden = Source(), Source()
    async with serving(allowed, "127.0.0.1"), serving(forbidden, "127.0.0.2"):
        resolve, asked = resolving(["127.0.0.1"], ["127.0.0.2"])
        fetching = fetcher(allowed, [ip_network("127.0.0.1/32")], resolver=resolve)
        async with fetching.fetch(f"http://rebinding.example:{allowed.port}/feed") as fetched:
            assert fetched.size_bytes == len(FEED)
    assert asked == ["rebinding.example"]
    assert allowed.asked[0][1]["host"] == f"rebinding.example:{allowed.port}"
    assert forbidden.asked == []


async def test_a_name_with_one_forbidden_address_among_good_ones_is_refused(source: Source) -> None:
    resolve, _ = resolving(["127.0.0.1", "10.0.0.1"])
    error = await refused(fetcher(source, resolver=resolve), f"http://mixed.example:{source.port}/feed")
    assert error.reason == "address"
    assert source.asked == []


async def test_a_name_that_does_not_exist_is_told_as_such(source: Source) -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        raise OSError("no such name")

    error = await refused(fetcher(source, resolver=resolve), f"http://nowhere.example:{source.port}/feed")
    assert error.reason == "dns"
    assert "nowhere.example" in str(error)


async def test_redirects_are_followed_to_the_end(source: Source) -> None:
    url = f"http://127.0.0.1:{source.port}/to//feed"
    async with fetcher(source).fetch(url) as fetched:
        assert fetched.url == f"http://127.0.0.1:{source.port}/feed"
        assert fetched.size_bytes == len(FEED)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("http://169.254.169.254/latest/meta-data/", "address"),
        ("http://[::ffff:169.254.169.254]/", "address"),
        ("http://10.0.0.1/", "address"),
        ("file:///etc/passwd", "url"),
        ("http://user:secret@127.0.0.1/", "url"),
        ("http://127.0.0.1:22/", "url"),
    ],
)
async def test_every_redirect_is_looked_at_like_the_first_address(
    source: Source, target: str, reason: str
) -> None:
    error = await refused(fetcher(source), f"http://127.0.0.1:{source.port}/to/{target}")
    assert error.reason == reason
    assert len(source.asked) == 1


async def test_a_circle_of_redirects_ends(source: Source) -> None:
    resolve, _ = resolving(["127.0.0.1"])
    target = f"http://127.0.0.1:{source.port}/to/"
    fetching = fetcher(source, redirects_max=3, resolver=resolve)
    error = await refused(fetching, target + target + target + target + target)
    assert error.reason == "redirects"
    assert len(source.asked) == 4


async def test_a_source_that_does_not_speak_tls_is_told_as_such(source: Source) -> None:
    async def speak_plainly(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 This is no TLS\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak_plainly, "127.0.0.1", 0)
    source.port = server.sockets[0].getsockname()[1]
    error = await refused(fetcher(source), f"https://127.0.0.1:{source.port}/feed")
    server.close()
    assert error.reason == "tls"


async def test_the_environment_s_proxy_is_not_used(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with fetcher(source).fetch(f"http://127.0.0.1:{source.port}/feed") as fetched:
        assert fetched.size_bytes == len(FEED)
