"""The edge of compose, run by a real nginx: what it answers itself, and whose request it passes on."""

import os
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from shared.http.problems import PROBLEM_MEDIA_TYPE
from tests.architecture.project import read
from tests.deploy.files import EDGE

OWN_PROBLEM = b'{"title": "of a service"}'
PAGE = {"Accept": "text/html,application/xhtml+xml"}
BURST = int(re.findall(r"burst=(\d+)", read(EDGE))[0])


class Service(BaseHTTPRequestHandler):
    """Answers 503 with a body of its own, and remembers the headers that it was sent."""

    seen: list[dict[str, str]]

    def do_GET(self) -> None:
        """Answer."""
        self.seen.append({name.lower(): value for name, value in self.headers.items()})
        self.send_response(503)
        self.send_header("Content-Length", str(len(OWN_PROBLEM)))
        self.end_headers()
        self.wfile.write(OWN_PROBLEM)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


@dataclass
class Edge:
    """A running edge: where it listens, plainly and for the PROXY protocol, and what its service was sent."""

    directory: Path
    upstream: int
    seen: list[dict[str, str]]
    ports: tuple[int, int] = field(default_factory=lambda: (_free_port(), _free_port()))
    process: "subprocess.Popen[bytes] | None" = None

    def start(self, added: str = "") -> None:
        """Run nginx with the configuration of compose, but for addresses, and ``added`` in ``edge.d``."""
        nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
        if nginx is None:
            told = "nginx is not installed. On Debian and Ubuntu: apt-get install nginx-light"
            assert not os.environ.get("CI"), told
            pytest.skip(told)
        (self.directory / "edge.d").mkdir()
        (self.directory / "edge.d" / "one.conf").write_text(added)
        moved = {
            "/tmp/": f"{self.directory}/",
            "/dev/stderr": f"{self.directory}/error.log",
            "listen 8080;": f"listen 127.0.0.1:{self.ports[0]};",
            "listen 8081 ": f"listen 127.0.0.1:{self.ports[1]} ",
            "http://$answers:8080": f"http://127.0.0.1:{self.upstream}",
        }
        text = read(EDGE)
        for here, there in moved.items():
            assert here in text
            text = text.replace(here, there)
        configuration = self.directory / "nginx.conf"
        configuration.write_text(text)
        errors = str(self.directory / "error.log")
        self.process = subprocess.Popen([nginx, "-c", configuration, "-e", errors, "-g", "daemon off;"])
        while self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.ports[0]), timeout=5).close()
            except OSError:
                continue
            return
        raise AssertionError(Path(errors).read_text())

    def stop(self) -> None:
        """Stop nginx, if it runs."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Ask for a path."""
        return httpx.get(f"http://127.0.0.1:{self.ports[0]}{path}", headers=headers, trust_env=False)

    def raw(self, port: int, sent: bytes) -> bytes:
        """Send these bytes, and return all that comes back."""
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(sent)
            return b"".join(iter(lambda: connection.recv(65_536), b""))


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    """An edge that is not started yet, before a service that runs."""
    seen: list[dict[str, str]] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Seen", (Service,), {"seen": seen}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made = Edge(tmp_path, server.server_address[1], seen)
    try:
        yield made
    finally:
        made.stop()
        server.shutdown()
        server.server_close()


def assert_problem(answer: httpx.Response, status: int, slug: str, retry_after: str | None) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM_MEDIA_TYPE)
    problem = answer.json()
    assert (problem["status"], problem["type"]) == (status, f"urn:nutmeg:problem:{slug}")
    assert problem["title"]
    assert problem["detail"].endswith(".")
    assert answer.headers.get("retry-after") == retry_after
    assert answer.headers["cache-control"] == "no-store"


def assert_page(answer: httpx.Response, status: int, retry_after: str | None) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert re.search(r'<html lang="en">.*<h1>[A-Z][^<]+</h1><p>[^<]+\.</p>', answer.text)
    assert answer.headers.get("retry-after") == retry_after
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_what_a_service_answers_passes_as_it_is(edge: Edge) -> None:
    edge.start()
    answer = edge.get("/api/v1/datasets")
    assert (answer.status_code, answer.content) == (503, OWN_PROBLEM)


def test_a_service_that_is_away_is_told_to_programs_and_to_people(edge: Edge) -> None:
    edge.upstream = _free_port()
    edge.start()
    assert_problem(edge.get("/api/v1/datasets"), 502, "unavailable", "5")
    assert_problem(edge.get("/api/v1/datasets", **PAGE), 502, "unavailable", "5")
    assert_problem(edge.get("/datasets"), 502, "unavailable", "5")
    assert_page(edge.get("/datasets", **PAGE), 502, "5")


def test_too_many_requests_are_told_when_to_come_back(edge: Edge) -> None:
    edge.start()
    one = b"GET /api/v1/datasets HTTP/1.1\r\nHost: localhost\r\n\r\n"
    many = edge.raw(
        edge.ports[0], one * (BURST + 200) + one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    )
    assert b"HTTP/1.1 429 " in many
    assert many.count(b"urn:nutmeg:problem:too-many-requests") == many.count(b"HTTP/1.1 429 ")
    assert many.count(b"Retry-After: 1\r\n") == many.count(b"HTTP/1.1 429 ")
    pages = edge.raw(
        edge.ports[0],
        b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n\r\n" * 100
        + b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    )
    assert b"<h1>Too many requests</h1>" in pages


def test_requests_that_cannot_be_taken_are_told_in_words(edge: Edge) -> None:
    edge.start()
    long = "a" * 9_000
    assert_problem(edge.get(f"/api/v1/{long}"), 414, "too-long", None)
    assert_problem(edge.get("/api/v1/datasets", cookie=long), 431, "headers-too-large", None)
    assert_page(edge.get("/", accept="text/html", cookie=long), 431, None)
    unreadable = edge.raw(edge.ports[0], b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n")
    assert unreadable.startswith(b"HTTP/1.1 400 ")
    assert b'"status":400' in unreadable
    for path in ("/metrics", "/healthz", "/readyz", "/-edge/page"):
        assert_problem(edge.get(path), 404, "not-found", None)
    assert not edge.seen


def test_a_client_cannot_say_who_it_is(edge: Edge) -> None:
    edge.start()
    edge.get("/", **{"x-forwarded-for": "198.51.100.7"})
    assert edge.seen[0]["x-forwarded-for"] == "127.0.0.1"


def test_a_proxy_in_front_that_is_named_says_who_asks_and_nobody_else(edge: Edge) -> None:
    edge.start(
        "set_real_ip_from 127.0.0.1; set_real_ip_from 10.0.0.0/8;"
        "real_ip_header X-Forwarded-For; real_ip_recursive on;"
    )
    edge.get("/", **{"x-forwarded-for": "203.0.113.9, 198.51.100.7, 10.1.2.3"})
    assert edge.seen[0]["x-forwarded-for"] == "198.51.100.7"


def test_a_balancer_with_the_proxy_protocol_says_who_asks(edge: Edge) -> None:
    edge.start("set_real_ip_from 127.0.0.1; real_ip_header proxy_protocol;")
    edge.raw(
        edge.ports[1],
        b"PROXY TCP4 198.51.100.7 127.0.0.1 50000 8081\r\n"
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 203.0.113.9\r\nConnection: close\r\n\r\n",
    )
    assert edge.seen[0]["x-forwarded-for"] == "198.51.100.7"
