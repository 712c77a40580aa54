"""The kustomize base keeps to Kubernetes' schemas, to its strictest security profile, and to itself."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from shared.process.serving import OPEN_REQUESTS_SECONDS
from shared.process.settings import ProcessSettings
from tests.architecture.project import EVENT_SERVICES, PROJECT_ROOT, project_files, read
from tests.deploy.files import (
    BASE,
    MONITORING,
    OPERATIONS,
    PROCESSES,
    compose_processes,
    dockerfile,
    kubernetes_processes,
    of_kind,
    resources,
    secrets_of,
)

SPARE_SECONDS = 15
"""For what is committed and not yet published."""
VERSIONS = ["1.30", "1.34"]
EXAMPLE = BASE.parent / "overlays" / "example"
PAGE = Path("docs/operations.md")
WORKLOADS = of_kind("Deployment", "StatefulSet", "Job")
SERVED = of_kind("Deployment", "StatefulSet")


def named(one: Mapping[str, Any]) -> str:
    return f"{one['kind']}/{one['metadata']['name']}"


def labels_of(workload: Mapping[str, Any]) -> dict[str, str]:
    labels: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return labels


def chosen_by(selector: Mapping[str, Any]) -> list[str]:
    """Return the workloads whose pods a label selector takes."""
    equal: Mapping[str, str] = selector.get("matchLabels", {})
    among = selector.get("matchExpressions", [])
    return [
        named(one)
        for one in WORKLOADS
        if equal.items() <= labels_of(one).items()
        and all(labels_of(one).get(each["key"]) in each["values"] for each in among)
    ]


def settings() -> dict[str, str]:
    (one,) = of_kind("ConfigMap")
    data: dict[str, str] = one["data"]
    return data


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("resource", [pytest.param(one, id=named(one)) for one in resources(BASE)])
def test_a_resource_keeps_to_its_schema(resource: dict[str, Any], version: str) -> None:
    assert kubernetes_validate.validate(resource, version, strict=True) == version


def test_a_misspelt_field_would_be_found() -> None:
    deployment = next(one for one in WORKLOADS if one["kind"] == "Deployment")
    wrong = {**deployment, "spec": {**deployment["spec"], "replicaz": 2}}
    with pytest.raises(kubernetes_validate.ValidationError, match="replicaz"):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_each_service_has_a_file_and_each_file_is_listed() -> None:
    for folder in (BASE, MONITORING, EXAMPLE):
        listed = yaml.safe_load(read(folder / "kustomization.yaml"))["resources"]
        files = {one.name for one in project_files() if one.parent == folder}
        assert {name for name in listed if "/" not in name} == files - {"kustomization.yaml"}
    for service in (*EVENT_SERVICES, OPERATIONS):
        text = list(yaml.safe_load_all(read(BASE / f"{service}.yaml")))
        assert {one["metadata"]["name"].split("-")[1] for one in text} == {service}


@pytest.mark.parametrize("workload", [pytest.param(one, id=named(one)) for one in WORKLOADS])
def test_a_pod_keeps_to_the_restricted_profile_and_writes_nothing_but_its_volumes(
    workload: dict[str, Any],
) -> None:
    pod = workload["spec"]["template"]["spec"]
    user, group = (int(one) for one in dockerfile("USER")[0].split(":"))
    security = pod["securityContext"]
    assert (security["runAsNonRoot"], security["runAsUser"], security["runAsGroup"]) == (True, user, group)
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    # A variable like NUTMEG_USAGE_API_SERVICE_HOST would be refused as no setting.
    assert pod["enableServiceLinks"] is False
    assert pod["serviceAccountName"] in {one["metadata"]["name"] for one in of_kind("ServiceAccount")}
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"].keys() == {"requests", "limits"}
        assert all(part.keys() == {"cpu", "memory"} for part in container["resources"].values())
        assert {"/tmp", "/var/lib/nutmeg"} <= {one["mountPath"] for one in container["volumeMounts"]}
        assert {one["name"] for one in container["volumeMounts"]} == {one["name"] for one in pod["volumes"]}


def test_every_service_has_an_api_and_a_worker_with_probes() -> None:
    assert [named(one).split("nutmeg-")[1] for one in SERVED] == PROCESSES
    for one in SERVED:
        (container,) = one["spec"]["template"]["spec"]["containers"]
        (port,) = container["ports"]
        assert str(port["containerPort"]) == dockerfile("EXPOSE")[0]
        probes = {container[probe]["httpGet"]["port"] for probe in ("startupProbe", "livenessProbe")}
        assert probes | {container["readinessProbe"]["httpGet"]["port"]} == {port["name"]}


def test_a_process_has_the_time_that_its_stop_takes() -> None:
    needed = OPEN_REQUESTS_SECONDS + float(ProcessSettings.model_fields["stop_seconds"].default)
    for one in SERVED:
        pod = one["spec"]["template"]["spec"]
        hook = pod["containers"][0].get("lifecycle", {}).get("preStop", {"exec": {"command": ["sleep", "0"]}})
        program, seconds = hook["exec"]["command"]
        assert program == "sleep"
        assert pod["terminationGracePeriodSeconds"] >= needed + int(seconds) + SPARE_SECONDS
    for process in compose_processes().values():
        assert int(process.definition["stop_grace_period"].removesuffix("s")) >= needed + SPARE_SECONDS


def test_workers_keep_their_names_which_are_their_places_in_groups() -> None:
    kinds = {labels_of(one)["app.kubernetes.io/component"]: one["kind"] for one in SERVED}
    assert kinds == {
        "api": "Deployment",
        "operations": "Deployment",
        "stream": "StatefulSet",
        "worker": "StatefulSet",
    }
    assert [one for one in SERVED if one["kind"] == "StatefulSet" and not one["spec"]["serviceName"]] == []
    assert "NUTMEG_KAFKA_REPLICA" not in settings()


def test_each_process_has_a_service_and_a_disruption_budget_that_choose_it_alone() -> None:
    for one in SERVED:
        name = one["metadata"]["name"]
        assert chosen_by(one["spec"]["selector"]) == [named(one)]
        (service,) = [each for each in of_kind("Service") if each["metadata"]["name"] == name]
        assert chosen_by({"matchLabels": service["spec"]["selector"]}) == [named(one)]
        (budget,) = [each for each in of_kind("PodDisruptionBudget") if each["metadata"]["name"] == name]
        assert chosen_by(budget["spec"]["selector"]) == [named(one)]


def test_what_is_scaled_by_load_does_not_also_set_its_number() -> None:
    scaled = {one["spec"]["scaleTargetRef"]["name"] for one in of_kind("HorizontalPodAutoscaler")}
    assert scaled == {"nutmeg-catalog-api", "nutmeg-usage-api"}
    replicas = {one["metadata"]["name"]: one["spec"].get("replicas") for one in SERVED}
    assert {name for name, number in replicas.items() if number is None} == scaled
    assert {number for number in replicas.values() if number is not None} == {1, 2}
    assert [name for name, number in replicas.items() if number == 1] == ["nutmeg-operations"]


def test_a_process_is_given_the_secrets_of_its_own_service_only() -> None:
    for process in kubernetes_processes():
        service = process.name.split("/")[1] if process.name.startswith("migrate/") else process.name
        own = {f"nutmeg-{service.split('/')[0].split('-')[0]}", "nutmeg-signing-key"}
        assert {name for name, _ in secrets_of(process)} <= own


def test_every_secret_is_in_the_documentation() -> None:
    used = {pair for process in kubernetes_processes() for pair in secrets_of(process)}
    (monitor,) = [one for one in resources(MONITORING) if one["kind"] == "ServiceMonitor"]
    token = monitor["spec"]["endpoints"][0]["authorization"]["credentials"]
    (ingress,) = of_kind("Ingress")
    written = set(re.findall(r"^\| `(nutmeg-[\w-]+)` \| `([\w.-]+)` \|", read(PAGE), re.MULTILINE))
    tls = ingress["spec"]["tls"][0]["secretName"]
    assert written == used | {(token["name"], token["key"]), (tls, "tls.crt"), (tls, "tls.key")}


def _allowed(selected: str, direction: str) -> set[int]:
    """Return the ports that some policy opens for the pods of a workload."""
    return {
        port["port"]
        for policy in of_kind("NetworkPolicy")
        if selected in chosen_by(policy["spec"]["podSelector"])
        for rule in policy["spec"].get(direction, [])
        for port in rule["ports"]
    }


def test_everything_is_denied_but_what_a_process_needs() -> None:
    given = settings()
    kafka = int(given["NUTMEG_KAFKA_BOOTSTRAP_SERVERS"].split(":")[1])
    search = int(given["NUTMEG_CATALOG_ELASTICSEARCH_URL"].rsplit(":", 1)[1])
    mail = int(given["NUTMEG_NOTIFY_SMTP_PORT"])
    (denial,) = [one for one in of_kind("NetworkPolicy") if one["metadata"]["name"] == "nutmeg-deny-all"]
    assert denial["spec"].keys() == {"podSelector", "policyTypes"}
    assert chosen_by(denial["spec"]["podSelector"]) == [named(one) for one in WORKLOADS]
    for one in WORKLOADS:
        name = named(one).split("nutmeg-")[1]
        egress = _allowed(named(one), "egress")
        assert {53, 5432} <= egress
        assert (kafka in egress) == (not name.endswith("-api"))
        assert (search in egress) == (name.startswith("catalog") or name == "operations")
        assert (mail in egress) == (name == "notify-worker")
        assert (443 in egress) == (name in {"catalog-worker", "quality-worker"})
        assert _allowed(named(one), "ingress") == {8080}


def test_the_servers_in_the_settings_lie_in_the_namespaces_that_the_policies_open() -> None:
    opened = set(re.findall(r"kubernetes\.io/metadata\.name: ([\w-]+)", read(BASE / "network-policies.yaml")))
    hosts = re.findall(r"([\w-]+)\.svc\.cluster\.local", " ".join(settings().values()))
    assert hosts
    assert set(hosts) <= opened


def test_forwarding_headers_are_believed_from_the_pods_network_which_policies_close_to_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NUTMEG_TRUSTED_PROXIES", settings()["NUTMEG_TRUSTED_PROXIES"])
    assert all(network.is_private for network in ProcessSettings().trusted_proxies)
    (ingress,) = of_kind("Ingress")
    # A limit of the controller's would be told by a bare 503, and not by a problem with Retry-After.
    assert not [name for name in ingress["metadata"]["annotations"] if "snippet" in name or "/limit-" in name]
    sources = {
        selector["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        for policy in of_kind("NetworkPolicy")
        for rule in policy["spec"].get("ingress", [])
        for selector in rule["from"]
    }
    assert sources == {"ingress-nginx", "monitoring"}


def test_no_process_needs_a_volume_of_others() -> None:
    assert of_kind("PersistentVolumeClaim") == []
    for one in WORKLOADS:
        volumes = one["spec"]["template"]["spec"]["volumes"]
        assert all(volume.keys() == {"name", "emptyDir"} for volume in volumes)


def test_the_example_is_rendered_to_what_kubernetes_takes(tmp_path: Path) -> None:
    kubectl, kustomize = shutil.which("kubectl"), shutil.which("kustomize")
    if not (kubectl or kustomize):
        pytest.skip("neither kustomize nor kubectl is installed: the overlay is not rendered")
    command = [kustomize, "build"] if kustomize else [str(kubectl), "kustomize"]
    # Rendering reads files only; no cluster is known to it.
    environment = {**os.environ, "KUBECONFIG": str(tmp_path / "none")}
    ran = subprocess.run(
        [*command, str(PROJECT_ROOT / EXAMPLE)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    rendered = list(yaml.safe_load_all(ran.stdout))
    assert len(rendered) == len(resources(BASE)) + len(resources(MONITORING)) + 1
    for one in rendered:
        if one["apiVersion"] != "monitoring.coreos.com/v1":
            kubernetes_validate.validate(one, VERSIONS[-1], strict=True)
        assert one["metadata"].get("namespace", "nutmeg") == "nutmeg"
    images = set(re.findall(r"image: (\S+)", ran.stdout))
    assert images == {"registry.example.org/nutmeg:0.1.0"}
