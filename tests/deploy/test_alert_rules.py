"""Rules ask only for metrics that exist, fire when they should, and name a runbook that is written."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.events.topics import GROUPS, TOPICS
from shared.telemetry.metric_names import COUNTERS, GAUGES, HISTOGRAMS, MetricDefinition
from tests.architecture.project import PROJECT_ROOT, read
from tests.deploy.files import MONITORING, PROCESSES, RULES, of_kind, resources

METRICS: dict[str, MetricDefinition] = dict([*COUNTERS.items(), *GAUGES.items(), *HISTOGRAMS.items()])
OF_A_TARGET = {"job", "instance"}
RULE_TESTS = RULES.with_name("rules_test.yml")
PAGE = Path("docs/operations.md")


def _groups() -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = yaml.safe_load(read(RULES))["groups"]
    return groups


def _alerts() -> list[dict[str, Any]]:
    return [rule for group in _groups() for rule in group["rules"]]


def _metrics_of(expression: str) -> Iterator[tuple[str, str]]:
    """Yield (metric, its labels that the expression selects by)."""
    for name, selector in re.findall(r"\b(nutmeg_\w+)(?:\{([^}]*)\})?", expression):
        yield re.sub(r"_(bucket|sum|count)$", "", name) if name not in METRICS else name, selector


def unknown_names(expression: str) -> set[str]:
    """Return metrics and labels of an expression that no process tells."""
    metrics = dict(_metrics_of(expression))
    told = metrics.keys() & METRICS.keys()
    known = OF_A_TARGET.union(*(METRICS[name].labels for name in told))
    if told & HISTOGRAMS.keys():
        known.add("le")
    grouped = [label.strip() for one in re.findall(r"by \(([^)]*)\)", expression) for label in one.split(",")]
    selected = [label for one in metrics.values() for label in re.findall(r"(\w+)\s*(?:=~|!=|!~|=)", one)]
    return (metrics.keys() - told) | ({*grouped, *selected} - known)


def test_rules_ask_only_for_metrics_and_labels_that_exist() -> None:
    assert {rule["alert"]: unknown for rule in _alerts() if (unknown := unknown_names(rule["expr"]))} == {}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("nutmeg_outbox_age > 1", {"nutmeg_outbox_age"}),
        ("sum by (topic) (nutmeg_outbox_records)", {"topic"}),
        ('nutmeg_consumer_running{service="x"}', {"service"}),
        ("sum by (le) (nutmeg_http_request_seconds_bucket)", set()),
    ],
)
def test_a_misspelt_metric_or_label_would_be_found(expression: str, expected: set[str]) -> None:
    assert unknown_names(expression) == expected


def test_every_alert_says_how_bad_it_is_and_has_a_runbook() -> None:
    headings = {line.removeprefix("### ") for line in read(PAGE).splitlines() if line.startswith("### ")}
    for rule in _alerts():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"].keys() == {"summary", "description", "runbook"}
        assert rule["annotations"]["runbook"] == f"{PAGE}#{rule['alert'].lower()}"
        assert rule["alert"] in headings
    assert len({rule["alert"] for rule in _alerts()}) == len(_alerts())


def test_the_operator_is_given_the_same_rules() -> None:
    (copy,) = [one for one in resources(MONITORING) if one["kind"] == "PrometheusRule"]
    assert copy["spec"] == {"groups": _groups()}


def test_the_monitor_finds_every_process() -> None:
    (monitor,) = [one for one in resources(MONITORING) if one["kind"] == "ServiceMonitor"]
    (wanted,) = monitor["spec"]["selector"]["matchExpressions"]
    found = [
        one
        for one in of_kind("Service")
        if one["metadata"]["labels"]["app.kubernetes.io/component"] in wanted["values"]
    ]
    assert sorted(one["metadata"]["name"] for one in found) == [f"nutmeg-{name}" for name in PROCESSES]
    (endpoint,) = monitor["spec"]["endpoints"]
    assert all(endpoint["port"] in {port["name"] for port in one["spec"]["ports"]} for one in found)


def test_the_tests_of_the_rules_use_topics_and_groups_that_exist() -> None:
    text = read(RULE_TESTS)
    assert set(re.findall(r'topic="([^"]*)"', text)) <= TOPICS.keys()
    assert set(re.findall(r'group="([^"]*)"', text)) <= GROUPS.keys()


@pytest.mark.parametrize("arguments", [["check", "rules", RULES.name], ["test", "rules", RULE_TESTS.name]])
def test_promtool_accepts_the_rules(arguments: list[str]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        told = "promtool is not installed. On Debian and Ubuntu: apt-get install prometheus"
        assert not os.environ.get("CI"), told
        pytest.skip(told)
    ran = subprocess.run(
        [promtool, *arguments], cwd=PROJECT_ROOT / RULES.parent, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
