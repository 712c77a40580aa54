"""Elasticsearch 7.17, assembled from its published jars: HTTP, mapper extras, reindex and analysis."""

import shutil
import urllib.error
import urllib.request
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from tests.servers.jars import fetch_jars, package_jar
from tests.servers.missing import require_program
from tests.servers.processes import Server, free_ports, give_to, server_directory, unprivileged_user

__all__ = ["Elasticsearch"]

POM, ANALYSIS_POM = "elasticsearch.pom.xml", "elasticsearch-analysis.pom.xml"
VERSION = "7.17.28"
HEALTH_SECONDS_MAX = 2.0


@dataclass(frozen=True)
class _Module:
    """A plugin of the server: its class, the beginnings of its jars' names, and its permissions."""

    name: str
    class_name: str
    jars: tuple[str, ...]
    permissions: tuple[str, ...] = ()


MODULES = (
    _Module(
        "transport-netty4",
        "org.elasticsearch.transport.Netty4Plugin",
        ("transport-netty4-client-", "netty-"),
        (
            'java.lang.RuntimePermission "getClassLoader"',
            'java.lang.RuntimePermission "accessDeclaredMembers"',
            # Without this one it never ends on SIGTERM, and keeps the lock of its data.
            'java.lang.RuntimePermission "setContextClassLoader"',
            'java.lang.reflect.ReflectPermission "suppressAccessChecks"',
            'java.net.SocketPermission "*", "accept,connect,listen,resolve"',
            'java.io.FilePermission "/proc/sys/net/core/somaxconn", "read"',
        ),
    ),
    _Module("mapper-extras", "org.elasticsearch.index.mapper.MapperExtrasPlugin", ("mapper-extras-client-",)),
    _Module(
        "reindex",
        "org.elasticsearch.reindex.ReindexPlugin",
        (
            "reindex-client-",
            "elasticsearch-ssl-config-",
            "elasticsearch-rest-client-",
            "httpasyncclient-",
            "httpclient-",
            "httpcore-",
            "commons-logging-",
            "commons-codec-",
        ),
        (
            'java.net.SocketPermission "*", "connect"',
            'java.lang.RuntimePermission "accessDeclaredMembers"',
        ),
    ),
    _Module(
        "analysis-common",
        "org.elasticsearch.analysis.common.CommonAnalysisPlugin",
        ("analysis-common-relocated-",),
    ),
)
LOGGING = """\
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d{ISO8601}][%-5p][%-25c{1.}] %m%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
"""


class Elasticsearch:
    """A single node. ``settings`` are lines of ``elasticsearch.yml``; ``heap_mb`` is what Java may take.

    Raises ``ServerMissingError`` where Java or Maven is absent.
    """

    def __init__(self, cache: Path, *, settings: dict[str, str] | None = None, heap_mb: int = 512) -> None:
        java = require_program("java", "default-jre-headless")
        jars = [*fetch_jars(POM, cache), package_jar(ANALYSIS_POM, cache)]
        user = unprivileged_user()
        self._home = server_directory("elasticsearch", user)
        self._port, transport = free_ports(2)
        _lay_out(self._home, jars)
        lines = {
            "cluster.name": "nutmeg-tests",
            "node.name": "node-1",
            "discovery.type": "single-node",
            "network.host": "127.0.0.1",
            "http.port": str(self._port),
            "transport.port": str(transport),
            # A full disk of the machine is no fault of ours; tests that want read-only indices set them so.
            "cluster.routing.allocation.disk.threshold_enabled": "false",
            **(settings or {}),
        }
        text = "".join(f"{name}: {value}\n" for name, value in lines.items())
        (self._home / "config" / "elasticsearch.yml").write_text(text)
        temporary = str(self._home / "tmp")
        self.server = Server(
            "elasticsearch",
            _command(java, self._home, temporary, heap_mb),
            directory=self._home,
            is_ready=self._is_ready,
            environment={"LIBFFI_TMPDIR": temporary, "ES_TMPDIR": temporary},
            user=user,
        )
        if user is not None:
            self.server.log_path.touch()
            give_to(self._home, user)

    @property
    def address(self) -> str:
        """``http://host:port``, without security."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start, and return once the cluster's health is at least yellow."""
        self.server.start()

    def stop(self) -> None:
        """Stop in order."""
        self.server.stop()

    def kill(self) -> None:
        """``kill -9``."""
        self.server.kill()

    def pause(self) -> None:
        """Freeze it."""
        self.server.pause()

    def resume(self) -> None:
        """Let it go on."""
        self.server.resume()

    def close(self) -> None:
        """Stop, and remove every file."""
        self.stop()
        shutil.rmtree(self._home, ignore_errors=True)

    def _is_ready(self) -> bool:
        address = f"{self.address}/_cluster/health?wait_for_status=yellow&timeout=1s"
        try:
            with urllib.request.urlopen(address, timeout=HEALTH_SECONDS_MAX) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def _lay_out(home: Path, jars: Collection[Path]) -> None:
    """Put each jar into its module's folder, or into ``lib``: the same class in two places is refused."""
    for name in ("lib", "config", "plugins", "logs", "tmp"):
        (home / name).mkdir()
    (home / "config" / "log4j2.properties").write_text(LOGGING)
    left = set(jars)
    for module in MODULES:
        folder = home / "modules" / module.name
        folder.mkdir(parents=True)
        own = {jar for jar in left if jar.name.startswith(module.jars)}
        left -= own
        for jar in own:
            shutil.copy(jar, folder)
        (folder / "plugin-descriptor.properties").write_text(_descriptor(module))
        if module.permissions:
            grants = "".join(f"  permission {permission};\n" for permission in module.permissions)
            (folder / "plugin-security.policy").write_text(f"grant {{\n{grants}}};\n")
    for jar in left:
        shutil.copy(jar, home / "lib")


def _descriptor(module: _Module) -> str:
    return (
        f"description={module.name}\nversion={VERSION}\nname={module.name}\nclassname={module.class_name}\n"
        f"java.version=1.8\nelasticsearch.version={VERSION}\nextended.plugins=\n"
        "has.native.controller=false\n"
    )


def _command(java: str, home: Path, temporary: str, heap_mb: int) -> list[str]:
    return [
        java,
        f"-Xms{heap_mb}m",
        f"-Xmx{heap_mb}m",
        "-XX:+UseG1GC",
        "-Djava.security.manager=allow",
        "-Dlog4j2.formatMsgNoLookups=true",
        "-Dlog4j2.disable.jmx=true",
        "-Dlog4j.shutdownHookEnabled=false",
        "-Djava.locale.providers=SPI,COMPAT",
        "--add-opens=java.base/java.io=ALL-UNNAMED",
        f"-Djava.io.tmpdir={temporary}",
        f"-Des.path.home={home}",
        f"-Des.path.conf={home / 'config'}",
        "-Des.distribution.flavor=default",
        "-Des.distribution.type=tar",
        "-Des.bundled_jdk=false",
        "-cp",
        "lib/*",
        "org.elasticsearch.bootstrap.Elasticsearch",
    ]
