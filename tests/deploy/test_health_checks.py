"""The health checks of compose, run as they stand there: true, and without an interpreter for each look."""

import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.deploy.files import compose_services, interpolated

KAFKA, PROCESS = "kafka", "usage-worker"
API_VERSIONS = bytes.fromhex("0000000a0012000000000001ffff")
"""A request of Kafka's protocol: size, key 18, version 0, correlation 1, no client id."""
ADDRESSES = {KAFKA: "/dev/tcp/kafka/9092", PROCESS: "/dev/tcp/127.0.0.1/8080"}


def checked(name: str, port: int) -> int:
    """Run the check of a service of compose against a port of this machine; return its exit code."""
    marker, program, *arguments = interpolated(compose_services()[name]["healthcheck"]["test"])
    assert (marker, program) == ("CMD", "bash")
    assert ADDRESSES[name] in arguments[-1]
    moved = [one.replace(ADDRESSES[name], f"/dev/tcp/127.0.0.1/{port}") for one in arguments]
    bash = shutil.which("bash")
    assert bash is not None
    return subprocess.run([bash, *moved], capture_output=True, check=False, timeout=60).returncode


@contextmanager
def answering(reply: Callable[[bytes], bytes]) -> Iterator[int]:
    """Answer one request on the port that is yielded, then close."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                request = b""
                # A shell sends it line by line.
                while not request.endswith((b"\r\n\r\n", API_VERSIONS)):
                    request += connection.recv(65_536)
                connection.sendall(reply(request))

        threading.Thread(target=serve, daemon=True).start()
        port: int = listener.getsockname()[1]
        yield port


def test_kafka_is_well_when_it_answers_in_its_protocol() -> None:
    def answer(request: bytes) -> bytes:
        return bytes.fromhex("00000006000000010000") if request == API_VERSIONS else b"what?"

    with answering(answer) as port:
        assert checked(KAFKA, port) == 0


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_kafka_is_not_well_when_something_else_answers_or_nothing(reply: bytes) -> None:
    with answering(lambda _request: reply) as port:
        assert checked(KAFKA, port) != 0


@pytest.mark.parametrize(
    ("reply", "is_well"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", True),
        (b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", False),
        (b"", False),
    ],
)
def test_a_process_is_well_when_it_says_that_it_is_ready(reply: bytes, is_well: bool) -> None:
    requests = []

    def answer(request: bytes) -> bytes:
        requests.append(request)
        return reply

    with answering(answer) as port:
        assert (checked(PROCESS, port) == 0) is is_well
    assert requests[0].startswith(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n")


@pytest.mark.parametrize("name", [KAFKA, PROCESS])
def test_a_closed_port_is_not_well(name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port: int = closed.getsockname()[1]
    assert checked(name, port) != 0


@pytest.mark.cluster
def test_a_real_broker_is_well(real_kafka: str) -> None:
    assert checked(KAFKA, int(real_kafka.rsplit(":", 1)[1])) == 0
