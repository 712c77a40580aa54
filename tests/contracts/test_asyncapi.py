"""``docs/asyncapi.yaml`` holds together: every reference leads somewhere, every topic and group is there.

No package carries the AsyncAPI 3.0 schema, so the rules that matter to us are checked here
(AsyncAPI 3.0.0, sections "Channel Object", "Operation Object" and "Components Object").
"""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.events.contracts import ASYNCAPI
from shared.events.registry import EVENT_TYPES
from shared.events.topics import GROUPS, TOPICS

COMPONENT_NAME = re.compile(r"^[A-Za-z0-9._-]+$")


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(ASYNCAPI.read_text())
    return content


def test_it_is_an_asyncapi_3_document(document: dict[str, Any]) -> None:
    assert document["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= document["info"].keys()
    assert set(document) <= {
        "asyncapi", "id", "info", "servers", "defaultContentType", "channels", "operations", "components",
    }  # fmt: skip


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = list(_references(document))
    assert len(references) > len(EVENT_TYPES)
    assert [one for one in references if not _resolves(document, one)] == []


def test_a_reference_that_leads_nowhere_is_noticed(document: dict[str, Any]) -> None:
    assert not _resolves(document, "#/components/messages/no-such-message")
    assert not _resolves(document, "../shared/events/schemas/no-such.json")


def test_every_topic_and_its_dead_letters_are_channels(document: dict[str, Any]) -> None:
    assert set(document["channels"]) == {name + suffix for name in TOPICS for suffix in ("", ".dlq")}
    for name, channel in document["channels"].items():
        assert channel["address"] == name
        assert channel["messages"]
        binding = channel["bindings"]["kafka"]
        assert binding["partitions"] > 0
        assert set(binding["topicConfiguration"]["cleanup.policy"]) <= {"compact", "delete"}
        assert binding["topicConfiguration"]["cleanup.policy"]


def test_every_event_type_is_a_message_of_its_channel(document: dict[str, Any]) -> None:
    for event_type in EVENT_TYPES.values():
        assert event_type.name in document["channels"][event_type.topic.name]["messages"]
        assert COMPONENT_NAME.match(event_type.name)


def test_every_owner_sends_and_every_group_receives(document: dict[str, Any]) -> None:
    found = {
        (one["action"], one["channel"]["$ref"].removeprefix("#/channels/"), _group(one))
        for one in document["operations"].values()
    }
    sent = {("send", topic.name, None) for topic in TOPICS.values()}
    received = {("receive", name, group.name) for group in GROUPS.values() for name in group.topics}
    assert found == sent | received


def _group(operation: dict[str, Any]) -> str | None:
    if "bindings" not in operation:
        return None
    (name,) = operation["bindings"]["kafka"]["groupId"]["enum"]
    return str(name)


def _references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [found for part in node for found in _references(part)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if "$ref" in node else []
    return own + [found for part in node.values() for found in _references(part)]


def _resolves(document: dict[str, Any], reference: str) -> bool:
    if not reference.startswith("#/"):
        return (Path(ASYNCAPI).parent / reference).is_file()
    node: Any = document
    for part in reference.removeprefix("#/").split("/"):
        if not isinstance(node, dict) or part not in node:
            return False
        node = node[part]
    return True
