"""One address space: at edge and ingress, every path is answered by the service that has it."""

import re
from functools import cache
from typing import cast

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from pydantic import SecretStr

from services.catalog.search.commands.indexing import IndexWorker
from services.host.api_docs.pages import build_api_docs
from services.host.bootstrap_cluster import CLUSTER_SERVICES
from services.host.operations.api import build_operations_api
from services.host.operations.installation import OperatedInstallation
from services.host.operations.pages import build_operations_pages
from shared.http.app import OPENAPI_PATH
from shared.http.local_clients import LocalClients
from shared.http.probes import probe_router
from shared.http.settings import HTTPSettings
from shared.process.context import cluster_context
from shared.process.settings import ClusterSettings
from shared.telemetry.metrics import Metrics
from shared.web.static_files import STATIC_PATH
from tests.architecture.project import read
from tests.deploy.files import (
    EDGE,
    OPERATIONS,
    compose_services,
    interpolated,
    kubernetes_processes,
    of_kind,
)

DEFAULT = "catalog"


@cache
def paths_of_services() -> list[tuple[str, str]]:
    """Return every (path, service) of the routers, with parameters filled in."""
    settings = ClusterSettings(
        database_url=SecretStr("postgresql+asyncpg://one:secret@127.0.0.1/one"),
        signing_key=SecretStr("ab" * 32),
    )
    found = []
    for name, build in CLUSTER_SERVICES.items():
        app = FastAPI(openapi_url=None)
        for router in build(cluster_context(settings)).service.routers:
            app.include_router(router)
        found += [
            (re.sub(r"\{[^}]*\}", "x1", str(one.path)), name) for one in iter_route_contexts(app.routes)
        ]
    shown = FastAPI(openapi_url=OPENAPI_PATH, docs_url=None, redoc_url=None)
    operations = cast("OperatedInstallation", None)
    for router in (
        build_api_docs(),
        build_operations_api(operations),
        build_operations_pages(operations, cast("IndexWorker", None)),
    ):
        shown.include_router(router)
    return found + [
        (re.sub(r"\{[^}]*\}", "x1", str(one.path)), OPERATIONS) for one in iter_route_contexts(shown.routes)
    ]


@cache
def _edge_patterns() -> list[tuple[re.Pattern[str], str]]:
    lines = re.findall(r"^\s+~(\S+) (\S+);$", read(EDGE), re.MULTILINE)
    return [(re.compile(pattern), name.removesuffix("-api")) for pattern, name in lines]


def at_edge(path: str) -> list[str]:
    """Return who answers ``path`` at the edge of compose: the default where no pattern fits."""
    return [service for pattern, service in _edge_patterns() if pattern.search(path)] or [DEFAULT]


def at_ingress(path: str) -> str:
    """Return who answers ``path`` by the ingress: the longest prefix of whole segments."""
    (ingress,) = of_kind("Ingress")
    (rule,) = ingress["spec"]["rules"]
    fitting = [
        one
        for one in rule["http"]["paths"]
        if one["path"] == "/" or path == one["path"] or path.startswith(one["path"] + "/")
    ]
    longest = max(fitting, key=lambda one: len(one["path"]))
    name: str = longest["backend"]["service"]["name"]
    return name.removeprefix("nutmeg-").removesuffix("-api")


def test_there_are_paths_of_every_service() -> None:
    assert {service for _, service in paths_of_services()} == {*CLUSTER_SERVICES, OPERATIONS}
    assert len(paths_of_services()) > 50


def test_every_path_is_answered_by_its_service_at_the_edge_of_compose() -> None:
    assert [one for one in paths_of_services() if at_edge(one[0]) != [one[1]]] == []


def test_every_path_is_answered_by_its_service_through_the_ingress() -> None:
    assert [one for one in paths_of_services() if at_ingress(one[0]) != one[1]] == []


def test_a_path_that_only_begins_alike_goes_to_the_catalogue() -> None:
    assert (at_edge("/inboxes"), at_ingress("/inboxes")) == ([DEFAULT], DEFAULT)
    assert (at_edge("/inbox/1"), at_ingress("/inbox/1")) == (["notify"], "notify")


def test_files_of_the_pages_come_from_one_service() -> None:
    assert (at_edge(f"{STATIC_PATH}/site.css"), at_ingress(f"{STATIC_PATH}/site.css")) == ([DEFAULT], DEFAULT)


def test_both_maps_name_the_same_paths() -> None:
    (ingress,) = of_kind("Ingress")
    prefixes = {one["path"] for one in ingress["spec"]["rules"][0]["http"]["paths"]} - {"/"}
    assert {pattern.pattern for pattern, _ in _edge_patterns()} == {f"^{path}(/|$)" for path in prefixes}


def test_everything_that_the_maps_name_is_there() -> None:
    (ingress,) = of_kind("Ingress")
    backends = {one["backend"]["service"]["name"] for one in ingress["spec"]["rules"][0]["http"]["paths"]}
    services = {one["metadata"]["name"] for one in of_kind("Service")}
    assert backends <= services
    named = set(re.findall(r"^\s+~\S+ (\S+);$", read(EDGE), re.MULTILINE))
    assert named <= compose_services().keys()


async def _ready() -> list[str]:
    return []


def test_probes_ask_what_every_process_answers() -> None:
    app = FastAPI(openapi_url=None)
    app.include_router(probe_router(Metrics(), _ready, (), LocalClients(HTTPSettings(), (), Metrics())))
    answered = {one.path for one in iter_route_contexts(app.routes)}
    for process in kubernetes_processes():
        container = process.definition["container"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            if process.definition["kind"] != "Job":
                assert container[probe]["httpGet"]["path"] in answered
    health = [one["healthcheck"]["test"] for one in compose_services().values() if "healthcheck" in one]
    asked = {path for test in health for path in re.findall(r"GET (/\w+) HTTP", " ".join(test))}
    assert asked == {"/readyz"}
    closed = set(re.findall(r"location = (\S+) \{ return 404; \}", read(EDGE)))
    assert closed == answered


@pytest.mark.parametrize("name", ["edge", "mailpit", "prometheus"])
def test_compose_listens_on_this_machine_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in interpolated(compose_services()[name]["ports"]))
    published = {name for name, one in compose_services().items() if one.get("ports")}
    assert published == {"edge", "mailpit", "prometheus"}
