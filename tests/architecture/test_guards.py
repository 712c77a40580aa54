"""The guards of the test suite itself hold."""

import os
import socket

import pytest
from pytest_socket import SocketConnectBlockedError


def test_a_test_cannot_reach_another_host() -> None:
    # 192.0.2.1 is reserved for documentation (RFC 5737). The guard also warns, which is an error here.
    with socket.socket() as probe, pytest.raises((SocketConnectBlockedError, UserWarning)):
        probe.connect(("192.0.2.1", 9))


def test_a_test_can_reach_this_host() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as probe,
    ):
        assert probe.getpeername() == server.getsockname()


def test_no_setting_comes_from_the_environment() -> None:
    assert [name for name in os.environ if name.startswith("NUTMEG_")] == []
