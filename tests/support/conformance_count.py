"""Counts, in the closing lines of a run, what each implementation of a port passed of the shared suite."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

import pytest

__all__ = ["count_by_port", "lines_of", "pytest_terminal_summary"]

PORTS: Mapping[str, tuple[str, str]] = {
    "event log": ("sqlite", "kafka"),
    "catalogue index": ("tantivy", "elasticsearch"),
    "stores and services": ("sqlite", "postgresql"),
}
OUTCOMES = ("passed", "failed", "error", "skipped")
SUITES = ("tests/conformance/", "tests/services/")
PARAMETERS = re.compile(r"\[(.*)\]$")

Counts = Mapping[str, Mapping[str, Counter[str]]]


def count_by_port(outcomes: Iterable[tuple[str, str]]) -> Counts:
    """Count (node id, outcome) pairs of parametrised tests: port → implementation → outcome → tests."""
    counts = {port: {each: Counter[str]() for each in both} for port, both in PORTS.items()}
    for node, outcome in outcomes:
        parameters = PARAMETERS.search(node)
        if parameters is None or not node.startswith(SUITES):
            continue
        port = _port_of(node)
        for implementation in set(parameters[1].split("-")) & counts[port].keys():
            counts[port][implementation][outcome] += 1
    return counts


def lines_of(counts: Counts) -> list[str]:
    """Say it, a line for each port of which anything ran."""
    lines = []
    for port, implementations in counts.items():
        if any(implementations.values()):
            said = (
                f"{name}: "
                + (", ".join(f"{found[each]} {each}" for each in OUTCOMES if found[each]) or "none")
                for name, found in implementations.items()
            )
            lines.append(f"{port:<20} {' | '.join(said)}")
    return lines


@pytest.hookimpl
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write the counts under the results."""
    outcomes = [
        (report.nodeid, outcome)
        for outcome in OUTCOMES
        for report in terminalreporter.stats.get(outcome, [])
        if isinstance(report, pytest.TestReport)
    ]
    if lines := lines_of(count_by_port(outcomes)):
        terminalreporter.section("one suite, both implementations")
        for line in lines:
            terminalreporter.write_line(line)


def _port_of(node: str) -> str:
    if "test_event_log" in node:
        return "event log"
    return "catalogue index" if "test_catalog_index" in node else "stores and services"
