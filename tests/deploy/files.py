"""What the files of a deployment say, read once: the image, compose, the kustomize base, rules and paths."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.architecture.project import EVENT_SERVICES, PROJECT_ROOT, read

__all__ = [
    "BASE",
    "COMPOSE",
    "EDGE",
    "MONITORING",
    "OPERATIONS",
    "PARTS",
    "PROCESSES",
    "PROMETHEUS",
    "RULES",
    "SERVICE_PROCESSES",
    "Process",
    "compose_processes",
    "compose_services",
    "dockerfile",
    "image_environment",
    "interpolated",
    "kubernetes_processes",
    "of_kind",
    "project_path",
    "resources",
    "secrets_of",
]

COMPOSE = Path("docker-compose.yml")
EDGE = Path("deploy/compose/edge.conf")
PROMETHEUS = Path("deploy/compose/prometheus.yml")
RULES = Path("deploy/prometheus/rules.yml")
BASE = Path("deploy/k8s/base")
MONITORING = Path("deploy/k8s/components/monitoring")
PARTS = dict.fromkeys(EVENT_SERVICES, ("api", "worker")) | {"usage": ("api", "stream", "worker")}
SERVICE_PROCESSES = [f"{service}-{part}" for service, parts in PARTS.items() for part in parts]
OPERATIONS = "operations"
"""The one process that belongs to no service: it shows the whole to operators."""

PROCESSES = sorted([*SERVICE_PROCESSES, OPERATIONS])
_GIVEN = {
    "NUTMEG_SIGNING_KEY": "ab" * 32,
    "NUTMEG_DATABASE_URL": "postgresql+asyncpg://one:secret@postgres:5432/one",
    "NUTMEG_DATABASE_URLS": json.dumps(
        {service: f"postgresql+asyncpg://one:secret@postgres:5432/{service}" for service in EVENT_SERVICES}
    ),
}


@dataclass(frozen=True)
class Process:
    """One container that runs our image: what it is called, runs, and finds in its environment."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    definition: Mapping[str, Any]


def dockerfile(instruction: str) -> list[str]:
    """Return the arguments of every such instruction, with continued lines joined."""
    text = read(Path("Dockerfile")).replace("\\\n", " ")
    return [line.split(maxsplit=1)[1] for line in text.splitlines() if line.split(" ", 1)[0] == instruction]


def image_environment() -> dict[str, str]:
    """Return what the image itself sets of Nutmeg's settings."""
    pairs = [pair.split("=", 1) for line in dockerfile("ENV") for pair in line.split()]
    return {name: value for name, value in pairs if name.startswith("NUTMEG_")}


@cache
def _compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(read(COMPOSE))
    return loaded


def compose_services() -> dict[str, Any]:
    """Return the services of the compose file, with its merges done."""
    services: dict[str, Any] = _compose()["services"]
    return services


def compose_processes() -> dict[str, Process]:
    """Return those that ``docker compose up`` runs with our image, with variables filled in."""
    return {
        name: Process(
            name,
            tuple(one["command"]),
            interpolated(one["environment"]),
            one,
        )
        for name, one in compose_services().items()
        if one["image"].startswith("nutmeg:") and "profiles" not in one
    }


@cache
def resources(folder: Path) -> tuple[dict[str, Any], ...]:
    """Return every resource that the kustomization of ``folder`` lists, in its order."""
    listed = yaml.safe_load(read(folder / "kustomization.yaml"))["resources"]
    return tuple(one for name in listed for one in yaml.safe_load_all(read(folder / name)))


def of_kind(*kinds: str) -> list[dict[str, Any]]:
    """Return the base's resources of these kinds."""
    return [one for one in resources(BASE) if one["kind"] in kinds]


def kubernetes_processes() -> list[Process]:
    """Return every container of the base."""
    return [
        Process(
            f"{one['metadata']['name'].removeprefix('nutmeg-')}/{container['name']}",
            tuple(container["command"]),
            dict(_variables(container)),
            {**one, "container": container},
        )
        for one in of_kind("Deployment", "StatefulSet", "Job")
        for container in one["spec"]["template"]["spec"]["containers"]
    ]


def secrets_of(process: Process) -> set[tuple[str, str]]:
    """Return the (Secret, key) pairs that a container of the base is given."""
    given = [one.get("valueFrom", {}).get("secretKeyRef") for one in process.definition["container"]["env"]]
    return {(one["name"], one["key"]) for one in given if one}


def _variables(container: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for source in container["envFrom"]:
        (settings,) = [
            one for one in of_kind("ConfigMap") if one["metadata"]["name"] == source["configMapRef"]["name"]
        ]
        yield from settings["data"].items()
    for one in container["env"]:
        if one["name"].startswith("NUTMEG_"):
            value = one.get("value", _GIVEN.get(one["name"], "secret"))
            yield one["name"], value.replace("$(POD_IP)", "10.0.0.7")


def interpolated(value: Any, **given: str) -> Any:
    """Return a value of the compose file with its variables filled in as a user's ``.env`` would.

    Of what is not given, defaults count; what has none and must be set is a secret.
    """
    if isinstance(value, dict):
        return {key: interpolated(one, **given) for key, one in value.items()}
    if isinstance(value, list):
        return [interpolated(one, **given) for one in value]
    if not isinstance(value, str):
        return value

    def filled(found: re.Match[str]) -> str:
        return given.get(found[1]) or (found[3] if found[2] == "-" else _GIVEN.get(found[1], "secret"))

    # From the inside out, since a default may have a variable within. $$ stands for a dollar sign.
    while (text := re.sub(r"(?<!\$)\$\{(\w+):([-?])([^{}]*)\}", filled, value)) != value:
        value = text
    return value.replace("$$", "$")


def project_path(path: Path) -> Path:
    """Return the absolute path of a file of the project."""
    return PROJECT_ROOT / path
