"""The compose file keeps to the Compose Specification, starts things in order, and gives processes little."""

import asyncio
import copy
import os
import re
import shutil
import subprocess
from ipaddress import ip_address, ip_network
from pathlib import Path

import asyncpg
import jsonschema
import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema

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
)
from tests.servers.missing import ServerMissingError, require_program
from tests.servers.postgres import Postgres

VALIDATOR = jsonschema.Draft7Validator(get_builtin_schema("vendor.compose-spec"))
FILE = yaml.safe_load(read(COMPOSE))
HELPERS = {"edge", "operations", "prometheus"}
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


@pytest.mark.parametrize("name", [*compose_processes(), "edge"])
def test_our_containers_have_no_rights_and_a_root_that_nobody_writes(name: str) -> None:
    one = compose_services()[name]
    assert one["read_only"] is True
    assert one["cap_drop"] == ["ALL"]
    assert one["security_opt"] == ["no-new-privileges:true"]
    if name != "edge":
        assert one["user"] == "10001:10001"
        mounts = [entry.split(":")[0] for entry in one["tmpfs"]]
        assert mounts == ["/tmp", "/var/lib/nutmeg"]


def test_no_secret_is_written_down_and_each_is_asked_for() -> None:
    needed = set(re.findall(r"\$\{(\w+):\?", read(COMPOSE)))
    named = {one["environment"] for one in FILE["secrets"].values()}
    with_default = set(re.findall(r"\$\{(\w+):-", read(COMPOSE)))
    example = re.findall(r"^(\w+)=(.*)$", read(Path("deploy/compose/example.env")), re.MULTILINE)
    assert {name for name, _ in example} == needed | named | with_default
    assert {name for name, value in example if not value} == needed | named
    assert "NUTMEG_SIGNING_KEY" in needed
    assert ".env" in read(Path(".gitignore")).splitlines()


def test_what_is_mounted_or_named_is_there() -> None:
    for one in compose_services().values():
        for mount in one.get("volumes", []):
            source = mount.split(":")[0]
            if source.startswith("./"):
                assert (PROJECT_ROOT / source).exists()
            else:
                assert source in FILE["volumes"]
        assert {*one.get("networks", [])} == {"nutmeg"}
        assert {*one.get("secrets", [])} <= FILE["secrets"].keys()


def test_forwarding_headers_are_believed_from_the_edge_alone_which_writes_each_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address = ip_address(compose_services()["edge"]["networks"]["nutmeg"]["ipv4_address"])
    (network,) = FILE["networks"]["nutmeg"]["ipam"]["config"]
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
