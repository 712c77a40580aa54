"""What compose and Kubernetes start exists, and builds with the settings that it is given."""

import importlib
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import typer
import yaml
from fastapi.routing import iter_route_contexts
from starlette.requests import Request

from services.host.bootstrap_cluster import CLUSTER_SERVICES, bootstrap_operations
from services.host.cli.app import app
from services.usage.bootstrap import bootstrap_stream
from shared.errors import NutmegError
from shared.events.topics import DEAD_LETTER_SUFFIX, TOPICS
from shared.http.gates import HostMiddleware
from shared.http.settings import HTTPSettings
from shared.log.kafka.settings import KafkaSettings
from shared.process.context import ProcessContext, cluster_context
from shared.process.environment import check_environment
from shared.process.running import run_api, run_worker
from shared.process.settings import ClusterSettings
from shared.telemetry.metrics import Metrics
from tests.architecture.project import EVENT_SERVICES, read
from tests.contracts.code_facts import settings_fields
from tests.deploy.files import (
    COMPOSE,
    OPERATIONS,
    PARTS,
    PROCESSES,
    PROMETHEUS,
    SERVICE_PROCESSES,
    Process,
    compose_processes,
    compose_services,
    dockerfile,
    image_environment,
    kubernetes_processes,
    of_kind,
    project_path,
)

RUNS = {"api": run_api, "stream": run_worker, "worker": run_worker}
BUILDS = {"usage-stream": bootstrap_stream}
"""How those are built that are neither api nor worker."""

PROCESSES_BY_PLACE = {
    **{f"compose:{name}": one for name, one in compose_processes().items()},
    **{f"kubernetes:{one.name}": one for one in kubernetes_processes()},
}
EVERY = [pytest.param(one, id=place) for place, one in PROCESSES_BY_PLACE.items()]
SERVED = [
    pytest.param(one, id=place)
    for place, one in PROCESSES_BY_PLACE.items()
    if one.name.split("/")[0] in SERVICE_PROCESSES
]
JOBS = [
    pytest.param(one, id=place)
    for place, one in PROCESSES_BY_PLACE.items()
    if one.name.split("/")[0] not in PROCESSES
]


def service_and_part(process: Process) -> tuple[str, str]:
    service, part = process.name.split("/")[0].split("-")
    return service, part


def given(process: Process, monkeypatch: pytest.MonkeyPatch) -> ProcessContext:
    """Put the process into the environment that it would have, the image's own included."""
    for name, value in {**image_environment(), **process.environment}.items():
        monkeypatch.setenv(name, value)
    return cluster_context()


def understood(arguments: Sequence[str]) -> bool:
    """Tell whether the command line has this command, and takes these options."""
    command, context = typer.main.get_command(app), None
    rest = list(arguments)
    while rest and hasattr(command, "commands"):
        name = rest.pop(0)
        if name not in command.commands:
            return False
        command = command.commands[name]
    context = command.make_context("nutmeg", rest)
    return not context.args


def test_every_process_of_every_service_is_in_both_descriptions() -> None:
    assert PARTS.keys() == CLUSTER_SERVICES.keys()
    assert set(PROCESSES) == set(compose_processes()) - {"migrate", "topics"}
    named = [one.name for one in kubernetes_processes()]
    assert sorted(named) == sorted(
        [*(f"{name}/{name.split('-')[-1]}" for name in PROCESSES), "topics/topics"]
        + [f"migrate/{service}" for service in EVENT_SERVICES]
    )


@pytest.mark.parametrize("process", SERVED)
def test_a_service_is_started_by_its_own_entry_point(process: Process) -> None:
    service, part = service_and_part(process)
    python, option, name = process.command
    module = importlib.import_module(name)
    assert (python, option) == ("python", "-m")
    assert name.startswith(f"services.{service}.entrypoints.")
    assert vars(module)[RUNS[part].__name__] is RUNS[part]
    build = BUILDS.get(process.name.split("/")[0], CLUSTER_SERVICES[service])
    assert vars(module)[build.__name__] is build


@pytest.mark.parametrize(
    "process",
    [pytest.param(one, id=place) for place, one in PROCESSES_BY_PLACE.items() if OPERATIONS in one.name],
)
def test_operations_is_built_over_all_databases_and_describes_the_api_of_all_services(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert process.command == ("python", "-m", "services.host.entrypoints.serve")
    built = bootstrap_operations(given(process, monkeypatch))
    assert {service.name for service in built.operations.services} == CLUSTER_SERVICES.keys()
    databases = [str(service.store.url).rsplit("/", 1)[1] for service in built.operations.services]
    assert sorted(databases) == sorted(EVENT_SERVICES)
    routes = {str(one.path) for one in iter_route_contexts(built.app.routes)}
    described = built.app.openapi()["paths"].keys()
    assert "/api/v1/ops/status" in routes & described
    assert "/api/v1/datasets" in described - routes


def test_operations_with_one_database_for_all_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    process = kubernetes_processes()[0]
    ground = given(process, monkeypatch)
    with pytest.raises(NutmegError, match="NUTMEG_DATABASE_URLS"):
        bootstrap_operations(ground)


@pytest.mark.parametrize("process", JOBS)
def test_a_job_is_a_command_that_nutmeg_understands(process: Process) -> None:
    program, *arguments = process.command
    assert program == "nutmeg"
    assert understood(arguments)


def test_a_misspelt_job_would_be_found() -> None:
    assert not understood(["topics", "make"])
    assert not understood(["migrat"])


def test_one_container_migrates_each_database() -> None:
    commands = [one.command for one in kubernetes_processes() if one.name.startswith("migrate/")]
    assert commands == [("nutmeg", "migrate", "--service", service) for service in EVENT_SERVICES]


@pytest.mark.parametrize("process", EVERY)
def test_every_variable_is_a_setting(process: Process) -> None:
    known = {field.variable for field in settings_fields()}
    assert {name for name in process.environment if name.startswith("NUTMEG_")} <= known
    assert image_environment().keys() <= known


def test_a_misspelt_variable_would_be_refused_by_the_host_too() -> None:
    with pytest.raises(Exception, match="NUTMEG_DATABASE_URI is no setting"):
        check_environment({"NUTMEG_DATABASE_URI": ""}, [ClusterSettings])


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("wrong", ["NUTMEG_{}_COLOUR", "NUTMEG_SIGNING_KY"])
def test_every_entry_point_refuses_a_variable_that_is_no_setting(
    name: str, wrong: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    process = compose_processes()[name]
    given(process, monkeypatch)
    service = "usage" if name == OPERATIONS else name.split("-")[0]
    variable = wrong.format(service.upper())
    monkeypatch.setenv(variable, "1")
    monkeypatch.delitem(sys.modules, process.command[2], raising=False)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(process.command[2], run_name="__main__")
    assert ended.value.code == 1
    assert f"nutmeg: {variable} is no setting" in capsys.readouterr().err


@pytest.mark.parametrize("process", SERVED)
def test_a_service_is_built_with_the_settings_it_is_given(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, part = service_and_part(process)
    ground = given(process, monkeypatch)
    build = BUILDS.get(process.name.split("/")[0], CLUSTER_SERVICES[service])
    assert build(ground).service.name == service
    assert ground.settings.host == "0.0.0.0"
    assert str(ground.settings.port) == dockerfile("EXPOSE")[0]
    if part != "api":
        assert KafkaSettings().bootstrap_servers != KafkaSettings.model_fields["bootstrap_servers"].default


@pytest.mark.parametrize("process", SERVED)
def test_a_process_answers_to_the_name_that_probes_and_prometheus_use(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(process, monkeypatch)
    names = ["10.0.0.7"] if "/" in process.name else ["localhost", "edge", "172.28.57.140"]
    gate = HostMiddleware(lambda *_: _never(), hosts=HTTPSettings().hosts, metrics=Metrics())
    for name in names:
        request = Request({"type": "http", "headers": [(b"host", f"{name}:8080".encode())]})
        assert gate._is_ours(request.headers["host"])
    assert not gate._is_ours("elsewhere.example:8080")
    assert not gate._is_ours("192.0.2.7:8080")


async def _never() -> None:
    raise AssertionError("nothing is sent")


def test_compose_gives_each_service_a_database_and_role_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    script = read(COMPOSE.parent / "deploy/compose/postgres/10-databases.sh")
    (names,) = [line for line in script.splitlines() if line.startswith("for service in")]
    assert names == f"for service in {' '.join(EVENT_SERVICES)}; do"
    settings = given(compose_processes()["usage-worker"], monkeypatch).settings
    password = settings.database_url_of("usage").split(":")[2].split("@")[0]
    assert settings.database_url_of("usage") == f"postgresql+asyncpg://usage:{password}@postgres:5432/usage"


def test_addresses_in_compose_are_services_in_compose(monkeypatch: pytest.MonkeyPatch) -> None:
    services = compose_services()
    for process in compose_processes().values():
        environment = process.environment
        hosts = {
            environment["NUTMEG_CATALOG_ELASTICSEARCH_URL"].split("/")[2].split(":")[0],
            environment["NUTMEG_NOTIFY_SMTP_HOST"],
            environment["NUTMEG_DATABASE_URL"].split("@")[1].split(":")[0],
            environment.get("NUTMEG_KAFKA_BOOTSTRAP_SERVERS", "kafka:").split(":")[0],
        }
        assert hosts == {"elasticsearch", "mailpit", "postgres", "kafka"}
        assert hosts <= services.keys()


def test_topics_come_from_the_registry_alone() -> None:
    kafka = compose_services()["kafka"]
    assert kafka["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    written = read(COMPOSE) + "".join(yaml.safe_dump(one) for one in of_kind("ConfigMap", "Job"))
    assert [name for name in TOPICS if name in written] == []
    assert DEAD_LETTER_SUFFIX not in written


def test_prometheus_reads_every_process() -> None:
    jobs = yaml.safe_load(read(PROMETHEUS))["scrape_configs"]
    assert [job["job_name"] for job in jobs] == [f"nutmeg-{name}" for name in PROCESSES]
    # By name and not as one target: a name has an address for each replica.
    assert [job.keys() for job in jobs] == [{"job_name", "authorization", "dns_sd_configs"}] * len(jobs)
    assert [job["dns_sd_configs"] for job in jobs] == [
        [{"names": [name], "type": "A", "port": 8080, "refresh_interval": "10s"}] for name in PROCESSES
    ]
    (mount,) = [one for one in compose_services()["prometheus"]["volumes"] if "/tokens" in one]
    source, target, mode = mount.split(":")
    # A folder, not a file: a file that is made later, or made anew, would not be seen in the container.
    assert mode == "ro"
    assert project_path(Path(source)).is_dir()
    assert {job["authorization"]["credentials_file"] for job in jobs} == {f"{target}/metrics"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NUTMEG_DATABASE_URL", "mysql://user:hunter2@host/name"),
        ("NUTMEG_DATABASE_URLS", '{"catalog": "mysql://user:hunter2@host/name"}'),
        ("NUTMEG_DATABASE_URLS", '{"catalog": "postgresql+asyncpg://user:hunter2@host'),
        ("NUTMEG_SIGNING_KEY", "hunter2"),
        ("NUTMEG_CATALOG_ELASTICSEARCH_URL", "http://user:hunter2@host:9200"),
    ],
)
def test_a_setting_that_is_wrong_is_named_and_its_secret_is_not_told(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    process = compose_processes()[OPERATIONS]
    given(process, monkeypatch)
    monkeypatch.setenv(name, value)
    monkeypatch.delitem(sys.modules, process.command[2], raising=False)
    with pytest.raises(SystemExit):
        runpy.run_module(process.command[2], run_name="__main__")
    told = capsys.readouterr().err
    assert name.rpartition("_")[2].lower() in told
    assert "hunter2" not in told
