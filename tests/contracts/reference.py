"""The tables of docs/operations.md that follow from code: settings and metrics.

``python -m tests.contracts.reference`` (part of ``make schemas``) writes them; test_docs.py compares.
"""

from pathlib import Path

from shared.telemetry.metric_names import COUNTERS, GAUGES, HISTOGRAMS
from tests.architecture.project import PROJECT_ROOT
from tests.contracts.code_facts import settings_fields

PAGE = PROJECT_ROOT / "docs" / "operations.md"
MARK = "<!-- Everything below is written by `make schemas`. -->"


def with_tables(page: str) -> str:
    """Return the page with the tables below its mark brought up to date."""
    return f"{page.partition(MARK)[0]}{MARK}\n\n{_settings()}\n\n{_metrics()}\n"


def _settings() -> str:
    head = [
        "## Settings",
        "",
        "From the environment; an unknown one is refused. Lists are written as JSON.",
        "",
    ]
    table = ["| setting | default | says |", "|---|---|---|"]
    return "\n".join([*head, *table, *(field.row for field in settings_fields())])


def _metrics() -> str:
    head = ["## Metrics", "", "Prometheus text format. No label has values without bound.", ""]
    table = ["| metric | type | labels | says |", "|---|---|---|---|"]
    rows = [
        f"| `{name}` | {kind} | {', '.join(definition.labels)} | {definition.help} |"
        for kind, definitions in (("counter", COUNTERS), ("gauge", GAUGES), ("histogram", HISTOGRAMS))
        for name, definition in sorted(definitions.items())
    ]
    return "\n".join([*head, *table, *rows])


def write(path: Path = PAGE) -> None:
    """Bring the page up to date."""
    path.write_text(with_tables(path.read_text()))


if __name__ == "__main__":
    write()
