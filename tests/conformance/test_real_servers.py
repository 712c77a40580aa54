"""The servers that tests run against are real, are shared by a session, and leave nothing behind."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from tests.servers.fixtures import OwnServers
from tests.servers.missing import ServerMissingError, require_program
from tests.servers.sharing import shared_server

pytestmark = pytest.mark.cluster

CONNECTION_ENDS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)
ROOT = Path(__file__).parents[2]
STARTS_AND_WAITS = """
import sys, time
from pathlib import Path
from tests.servers.processes import Server
waits = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(99)"]
server = Server("sleeps", waits, directory=Path(sys.argv[1]), is_ready=lambda: bool(server.log_since_start()))
server.start()
print(server.log_since_start(), flush=True)
time.sleep(99)
"""


async def test_kafka_answers(real_kafka: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=real_kafka)
    await admin.start()
    cluster = await admin.describe_cluster()
    await admin.close()
    assert len(cluster["brokers"]) == 1


def test_elasticsearch_answers(real_elasticsearch: str) -> None:
    with urllib.request.urlopen(real_elasticsearch) as answer:
        assert json.load(answer)["version"]["number"] == "7.17.28"


async def test_postgresql_answers_again_after_a_stop_and_after_a_kill(own_servers: OwnServers) -> None:
    postgres = own_servers.postgres()
    address = postgres.address.replace("+asyncpg", "") + "/postgres"
    for end in (postgres.stop, postgres.kill):
        connection = await asyncpg.connect(address)
        assert await connection.fetchval("SELECT 1") == 1
        await asyncio.to_thread(end)
        with pytest.raises(
            (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
        ):
            await connection.fetchval("SELECT 1")
        await asyncio.to_thread(postgres.start)
    connection = await asyncpg.connect(address)
    await connection.close()


def test_a_session_shares_one_server_and_the_last_user_ends_it(tmp_path: Path) -> None:
    with shared_server("postgres", tmp_path, tmp_path) as first:
        with shared_server("postgres", tmp_path, tmp_path) as second:
            assert second == first
        with shared_server("postgres", tmp_path, tmp_path) as third:
            assert third == first
    assert not (tmp_path / "postgres.address").exists()


def test_a_server_ends_with_the_process_that_started_it_also_when_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STARTS_AND_WAITS, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        server = int(starter.stdout.readline())
        os.kill(server, 0)
        starter.send_signal(signal.SIGKILL)
    until = time.monotonic() + 10
    while Path(f"/proc/{server}").exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert not Path(f"/proc/{server}").exists()


def test_what_is_missing_is_said_with_its_cure() -> None:
    with pytest.raises(ServerMissingError, match="apt-get install no-such-package"):
        require_program("no-such-program", "no-such-package")
