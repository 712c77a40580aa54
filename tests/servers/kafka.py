"""Apache Kafka 4.1 in KRaft mode: one broker, or three with replication 3."""

import base64
import shutil
import subprocess
import uuid
from pathlib import Path

from tests.servers.jars import fetch_jars
from tests.servers.missing import require_program
from tests.servers.processes import Server, ServerError, free_ports, server_directory

__all__ = ["Kafka"]

POM = "kafka.pom.xml"
FORMAT_SECONDS_MAX = 60
STARTED = "Kafka Server started"


class Kafka:
    """A cluster of ``brokers`` nodes, each broker and controller; ``settings`` go to every one as they are.

    Clients come to the listener ``CLIENT``, in plain text unless settings say otherwise.
    Raises ``ServerMissingError`` where Java or Maven is absent.
    """

    def __init__(self, cache: Path, *, brokers: int = 1, settings: dict[str, str] | None = None) -> None:
        java = require_program("java", "default-jre-headless")
        jars = fetch_jars(POM, cache)
        self._directory = server_directory("kafka", None)
        ports = free_ports(2 * brokers)
        self._ports, controllers = ports[:brokers], ports[brokers:]
        voters = ",".join(f"{number + 1}@127.0.0.1:{port}" for number, port in enumerate(controllers))
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        java_command = [java, "-cp", f"{jars[0].parent}/*"]
        self.brokers: list[Server] = []
        for number, (port, controller) in enumerate(zip(self._ports, controllers, strict=True)):
            home = self._directory / f"broker-{number + 1}"
            home.mkdir()
            properties = _properties(number + 1, port, controller, voters, home, brokers) | (settings or {})
            file = home / "server.properties"
            file.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
            _format([*java_command, "kafka.tools.StorageTool"], cluster, file)
            self.brokers.append(_broker(home, [*java_command, "kafka.Kafka", str(file)]))

    @property
    def address(self) -> str:
        """``host:port`` of each broker, comma-separated."""
        return ",".join(f"127.0.0.1:{port}" for port in self._ports)

    def start(self) -> None:
        """Start what is not running, and return once every broker serves."""
        for broker in self.brokers:
            if not broker.is_running:
                broker.begin()
        for broker in self.brokers:
            broker.wait_until_ready()

    def stop(self) -> None:
        """Stop in order; with replicas all at once, since the last ones would wait for a quorum for ever."""
        if len(self.brokers) == 1:
            self.brokers[0].stop()
        else:
            self.kill()

    def kill(self) -> None:
        """``kill -9`` every broker."""
        for broker in self.brokers:
            broker.kill()

    def pause(self) -> None:
        """Freeze every broker."""
        for broker in self.brokers:
            broker.pause()

    def resume(self) -> None:
        """Let every broker go on."""
        for broker in self.brokers:
            broker.resume()

    def close(self) -> None:
        """Stop, and remove every file."""
        self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)


def _properties(
    number: int, port: int, controller: int, voters: str, home: Path, brokers: int
) -> dict[str, str]:
    replicas, in_sync = (3, 2) if brokers >= 3 else (1, 1)
    return {
        "process.roles": "broker,controller",
        "node.id": str(number),
        "controller.quorum.voters": voters,
        "listeners": f"CLIENT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"CLIENT://127.0.0.1:{port}",
        "inter.broker.listener.name": "CLIENT",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,CLIENT:PLAINTEXT",
        "log.dirs": str(home / "data"),
        "offsets.topic.replication.factor": str(replicas),
        "transaction.state.log.replication.factor": str(replicas),
        "transaction.state.log.min.isr": str(in_sync),
        "default.replication.factor": str(replicas),
        "min.insync.replicas": str(in_sync),
        "group.initial.rebalance.delay.ms": "0",
        "auto.create.topics.enable": "false",
        # A broker that was killed may register again once its session is over; 9 s are the default.
        "broker.session.timeout.ms": "4000",
        "broker.heartbeat.interval.ms": "1000",
        # 50 partitions of offsets cost a second at every start, and no test has so many groups.
        "offsets.topic.num.partitions": "4",
    }


def _format(tool: list[str], cluster: str, file: Path) -> None:
    result = subprocess.run(
        # One word: an id may begin with a dash, which else counts as another option.
        [*tool, "format", f"--cluster-id={cluster}", "-c", str(file)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=FORMAT_SECONDS_MAX,
        check=False,
    )
    if result.returncode != 0:
        raise ServerError(f"Kafka's storage could not be formatted:\n{result.stdout}{result.stderr}")


def _broker(home: Path, command: list[str]) -> Server:
    def is_ready() -> bool:
        return STARTED in server.log_since_start()

    java, *rest = command
    server = Server(home.name, [java, "-Xmx512m", *rest], directory=home, is_ready=is_ready)
    return server
