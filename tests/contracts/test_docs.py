"""What the code has, the documentation tells: events, topics, groups, metrics, settings, commands, links."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from shared.events.registry import EVENT_TYPES, EventType
from shared.events.topics import GROUPS, STREAM_TABLES, TOPICS, ConsumerGroup
from shared.telemetry.metric_names import COUNTERS, GAUGES, HISTOGRAMS
from tests.architecture.project import EVENT_SERVICES, PROJECT_ROOT, project_files, read
from tests.contracts.code_facts import COMMAND_LINE, commands, settings_fields
from tests.contracts.reference import with_tables

EVENTS = read(Path("docs/events.md"))
OPERATIONS = read(Path("docs/operations.md"))
MARKDOWN = [path for path in project_files() if path.suffix == ".md"]
DECISION_PARTS = ["## Context", "## Decision", "## Consequences", "## Rejected alternatives"]


def rows(text: str) -> set[str]:
    """Return what stands as code in the first cell of each table row."""
    return set(re.findall(r"^\| `([^`]+)` \|", text, flags=re.MULTILINE))


def test_every_event_topic_and_group_is_documented_and_nothing_else_is() -> None:
    assert rows(EVENTS) == {*EVENT_TYPES, *TOPICS, *STREAM_TABLES, *GROUPS}


@pytest.mark.parametrize("known", EVENT_TYPES.values(), ids=EVENT_TYPES)
def test_every_event_says_when_it_happens_and_on_which_topic(known: EventType) -> None:
    line = next(line for line in EVENTS.splitlines() if line.startswith(f"| `{known.name}` |"))
    assert f"`{known.topic.name}`" in line
    assert (known.model.__doc__ or "").split()[:4] == line.split("|")[3].split()[:4]


@pytest.mark.parametrize("known", GROUPS.values(), ids=GROUPS)
def test_every_group_is_documented_with_its_topics(known: ConsumerGroup) -> None:
    line = next(line for line in EVENTS.splitlines() if line.startswith(f"| `{known.name}` |"))
    assert re.findall(r"`([^`]+)`", line) == [known.name, *known.topics]


def test_every_setting_and_metric_is_documented() -> None:
    assert with_tables(OPERATIONS) == OPERATIONS, "run: make schemas"
    assert {field.variable for field in settings_fields()} <= rows(OPERATIONS)
    assert {*COUNTERS, *GAUGES, *HISTOGRAMS} <= rows(OPERATIONS)


def test_every_setting_says_what_it_is_for() -> None:
    assert [field.variable for field in settings_fields() if not field.description] == []


def test_every_command_is_documented_and_every_documented_command_exists() -> None:
    if find_spec(COMMAND_LINE) is None:
        pytest.skip(f"{COMMAND_LINE} does not exist yet")
    documented = {row for row in rows(OPERATIONS) if row.startswith("nutmeg ")}
    assert documented == set(commands())


@pytest.mark.parametrize("service", [*EVENT_SERVICES, "host"])
def test_every_service_has_a_page_that_names_its_topics_and_groups(service: str) -> None:
    page = read(Path(f"docs/services/{service}.md"))
    groups = [group for group in GROUPS.values() if group.service == service]
    expected = {group.name for group in groups} | {name for group in groups for name in group.topics}
    expected |= {topic.name for topic in TOPICS.values() if topic.owner == service}
    expected |= {event_type.name for event_type in EVENT_TYPES.values() if event_type.owner == service}
    assert [name for name in sorted(expected) if f"`{name}`" not in page] == []


@pytest.mark.parametrize("page", MARKDOWN, ids=str)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = read(page)
    folder = (PROJECT_ROOT / page).parent
    links = [link.partition("#")[0] for link in re.findall(r"\]\((?!https?:|mailto:|#)([^)\s]+)\)", text)]
    assert [link for link in links if not (folder / link).exists()] == []


@pytest.mark.parametrize("name", ["architecture.md", "events.md", "operations.md"])
def test_every_file_that_a_page_names_exists(name: str) -> None:
    named = re.findall(r"`((?:services|shared|tests|docs)/[\w./-]+)`", read(Path("docs") / name))
    assert [path for path in named if not (PROJECT_ROOT / path).exists()] == []


DECISIONS = [path for path in MARKDOWN if path.parent == Path("docs/decisions")]


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [int(path.name[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_every_decision_has_its_parts_in_order(page: Path) -> None:
    text = read(page)
    assert re.match(rf"# {int(page.name[:4])}\. .+\n\nStatus: \w+", text)
    assert re.findall(r"^## .+$", text, flags=re.MULTILINE) == DECISION_PARTS
    assert len(re.findall(r"^- \*", text.partition(DECISION_PARTS[-1])[2], flags=re.MULTILINE)) >= 1
