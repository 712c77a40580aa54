"""The compose file keeps to the Compose Specification, starts things in order, and gives processes little."""

import asyncio
import copy
import os
import re
import shutil
import subprocess
import sys
from ipaddress import ip_address, ip_network
from pathlib import Path

import asyncpg
import jsonschema
import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema

from shared.http.settings import HTTPSettings
from shared.process.settings import ProcessSettings
from shared.store.engine import CONNECTIONS_MAX
from tests.architecture.project import EVENT_SERVICES, PROJECT_ROOT, read
from tests.deploy.files import (
    COMPOSE,
    EDGE,
    PROCESSES,
    SERVICE_PROCESSES,
    compose_processes,
    compose_services,
    image_environment,
    interpolated,
)
from tests.servers.missing import ServerMissingError, require_program
from tests.servers.postgres import Postgres

VALIDATOR = jsonschema.Draft7Validator(get_builtin_schema("vendor.compose-spec"))
FILE = yaml.safe_load(read(COMPOSE))
HELPERS = {"cli", "edge", "operations", "prometheus"}
"""What nothing waits for."""


def test_it_keeps_to_the_compose_specification() -> None:
    assert [(list(one.path), one.message) for one in VALIDATOR.iter_errors(FILE)] == []


def test_a_misspelt_field_would_be_found() -> None:
    wrong = copy.deepcopy(FILE)
    wrong["services"]["kafka"]["health_check"] = {}
    assert not VALIDATOR.is_valid(wrong)


def test_what_is_waited_for_can_tell_that_it_is_ready() -> None:
    services = compose_services()
    for one in services.values():
        for name, wait in one.get("depends_on", {}).items():
            if wait["condition"] == "service_healthy":
                assert "healthcheck" in services[name]
            else:
                assert wait["condition"] == "service_completed_successfully"
                assert services[name]["restart"].startswith("on-failure")
    waited = {name for one in services.values() for name in one.get("depends_on", {})}
    workers = {name for name in PROCESSES if name.endswith(("-worker", "-stream"))}
    assert services.keys() - waited == HELPERS | workers


def test_processes_start_after_the_servers_and_both_jobs() -> None:
    services = compose_services()
    assert services["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert services["topics"]["depends_on"]["kafka"] == {"condition": "service_healthy"}
    for name in PROCESSES:
        assert {"migrate", "topics"} <= services[name]["depends_on"].keys()
    assert set(services["edge"]["depends_on"]) == {f"{service}-api" for service in EVENT_SERVICES}


@pytest.mark.parametrize("name", [*compose_processes(), "cli", "edge"])
def test_our_containers_have_no_rights_and_a_root_that_nobody_writes(name: str) -> None:
    one = compose_services()[name]
    assert one["read_only"] is True
    assert one["cap_drop"] == ["ALL"]
    assert one["security_opt"] == ["no-new-privileges:true"]
    if name != "edge":
        assert one["user"] == "10001:10001"
        mounts = [entry.split(":")[0] for entry in one["tmpfs"]]
        assert mounts == ["/tmp", "/var/lib/nutmeg"]


def test_every_variable_is_in_the_example_with_its_default_and_no_secret_is_written_down() -> None:
    text = read(COMPOSE)
    needed = set(re.findall(r"\$\{(\w+):\?", text))
    defaults = dict(re.findall(r"(?<!\$)\$\{(\w+):-((?:[^{}]|\$\{[^}]*\})*)\}", text))
    example = read(Path("deploy/compose/example.env"))
    asked = dict(re.findall(r"^(\w+)=(.*)$", example, re.MULTILINE))
    optional = dict(re.findall(r"^#(\w+)=(.*)$", example, re.MULTILINE))
    # An empty one counts as not set, so the one that is known only after the start is asked for too.
    assert asked == dict.fromkeys([*needed, "NUTMEG_OPERATOR_TOKEN"], "")
    assert asked.keys() | optional.keys() == needed | defaults.keys()
    others = {"NUTMEG_BASE_URL", "NUTMEG_ALLOWED_NETWORKS"}
    assert {name: value.strip("'") for name, value in optional.items() if name not in others} == {
        name: defaults[name] for name in optional if name not in others
    }
    assert "NUTMEG_SIGNING_KEY" in needed
    assert ".env" in read(Path(".gitignore")).splitlines()


def test_ports_addresses_and_network_can_be_moved_and_follow_one_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moved = interpolated(
        FILE,
        NUTMEG_EDGE_PORT="18080",
        NUTMEG_MAIL_PORT="18025",
        NUTMEG_PROMETHEUS_PORT="19090",
        NUTMEG_EDGE_ADDRESS="0.0.0.0",
        NUTMEG_EDGE_LISTENS="8081",
        NUTMEG_SUBNET_PREFIX="10.9.8",
        NUTMEG_ALLOWED_NETWORKS='["10.20.0.0/16"]',
    )
    ports = {name: one["ports"] for name, one in moved["services"].items() if "ports" in one}
    assert ports == {
        "edge": ["0.0.0.0:18080:8081"],
        "mailpit": ["127.0.0.1:18025:8025"],
        "prometheus": ["127.0.0.1:19090:9090"],
    }
    assert "172.28.57" not in str(moved)
    for name, value in moved["services"]["catalog-worker"]["environment"].items():
        monkeypatch.setenv(name, value)
    http, process = HTTPSettings(), ProcessSettings()
    assert http.base_url == "http://127.0.0.1:18080"
    assert "10.9.8.0/24" in http.hosts
    assert process.trusted_proxies == (ip_network("10.9.8.2/32"),)
    assert process.allowed_networks == (ip_network("10.20.0.0/16"),)
    assert process.allowed_ports == ProcessSettings.model_fields["allowed_ports"].default


def test_what_would_be_lost_with_a_container_lies_on_a_volume() -> None:
    kept = {
        name: [mount.split(":") for mount in one["volumes"] if mount.split(":")[0] in FILE["volumes"]]
        for name, one in compose_services().items()
        if any(mount.split(":")[0] in FILE["volumes"] for mount in one.get("volumes", []))
    }
    assert {name: volume for name, ((volume, _),) in kept.items()} == {
        name: name for name in ("elasticsearch", "kafka", "mailpit", "postgres", "prometheus")
    }
    services = compose_services()
    ((_, mails),) = kept["mailpit"]
    assert services["mailpit"]["environment"]["MP_DATABASE"].startswith(f"{mails}/")
    ((_, records),) = kept["kafka"]
    assert services["kafka"]["environment"]["KAFKA_LOG_DIRS"] == records


def test_commands_reach_the_edge_with_a_token_that_no_list_of_processes_shows(tmp_path: Path) -> None:
    cli = interpolated(compose_services()["cli"], NUTMEG_OPERATOR_TOKEN="one.two.three")
    ran = subprocess.run(
        [str(Path(sys.executable).with_name("nutmeg")), "search", "bridges"],
        env={"PATH": os.environ["PATH"], **image_environment(), **cli["environment"]},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert cli["entrypoint"] == ["nutmeg"]
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("nutmeg: http://edge:8080")
    assert cli["working_dir"] == cli["volumes"][0].split(":")[1]


def test_what_is_mounted_or_named_is_there() -> None:
    for one in compose_services().values():
        for mount in one.get("volumes", []):
            source = interpolated(mount).split(":")[0]
            if source.startswith("./"):
                assert (PROJECT_ROOT / source).exists()
            else:
                assert source in FILE["volumes"]
        assert {*one.get("networks", [])} == {"nutmeg"}


def test_forwarding_headers_are_believed_from_the_edge_alone_which_writes_each_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    services = interpolated(compose_services())
    address = ip_address(services["edge"]["networks"]["nutmeg"]["ipv4_address"])
    (network,) = interpolated(FILE["networks"]["nutmeg"]["ipam"]["config"])
    assert address in ip_network(network["subnet"])
    assert address not in ip_network(network["ip_range"]), "another container could be given it"
    for name in PROCESSES:
        monkeypatch.setenv(
            "NUTMEG_TRUSTED_PROXIES", compose_processes()[name].environment["NUTMEG_TRUSTED_PROXIES"]
        )
        assert ProcessSettings().trusted_proxies == (ip_network(f"{address}/32"),)
    written = dict(re.findall(r"^    proxy_set_header (X-\S+|Host) (\S+);$", read(EDGE), re.MULTILINE))
    assert written == {
        "Host": "$http_host",
        "X-Forwarded-For": "$remote_addr",
        "X-Forwarded-Proto": "$scheme",
        "X-Forwarded-Host": "$http_host",
    }


def test_postgres_lets_all_processes_in_twice_over() -> None:
    program, option, setting = compose_services()["postgres"]["command"]
    name, number = setting.split("=")
    assert (program, option, name) == ("postgres", "-c", "max_connections")
    stores = 2 * len(SERVICE_PROCESSES) + len(EVENT_SERVICES)  # operations opens one of each
    assert int(number) >= stores * CONNECTIONS_MAX


@pytest.mark.cluster
def test_the_script_of_postgres_makes_databases_that_only_their_own_service_enters() -> None:
    try:
        server = Postgres()
        psql = require_program("psql", "postgresql-client")
    except ServerMissingError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    port = server.address.rsplit(":", 1)[1]
    environment = {
        "PATH": f"{Path(psql).parent}:{os.environ['PATH']}",
        "POSTGRES_USER": "postgres",
        "PGHOST": "127.0.0.1",
        "PGPORT": port,
        "NUTMEG_ROLES_PASSWORD": 'it\'s a "secret" $HOME',
    }
    try:
        server.start()
        bash = shutil.which("bash")
        assert bash is not None
        script = PROJECT_ROOT / "deploy/compose/postgres/10-databases.sh"
        subprocess.run([bash, str(script)], env=environment, check=True, capture_output=True, timeout=60)
        asyncio.run(_enter_own_database_only(int(port), environment["NUTMEG_ROLES_PASSWORD"]))
    finally:
        server.close()


async def _enter_own_database_only(port: int, password: str) -> None:
    for service in EVENT_SERVICES:
        own = await asyncpg.connect(
            host="127.0.0.1", port=port, user=service, database=service, password=password
        )
        await own.execute("CREATE TABLE kept (id integer)")
        await own.close()
        other = next(name for name in EVENT_SERVICES if name != service)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncpg.connect(
                host="127.0.0.1", port=port, user=service, database=other, password=password
            )
