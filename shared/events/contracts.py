"""The committed contracts of the events: schema snapshots, examples and ``docs/asyncapi.yaml``.

``python -m shared.events.contracts write`` (or ``make schemas``) writes what the models say; ``check``
tells what differs. A change that a running consumer could not read is refused: it needs a new major version
and an upcaster (ADR 0005). For developers: it needs the development requirements.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from shared.events.asyncapi import render_asyncapi
from shared.events.compatibility import breaking_changes
from shared.events.public import PUBLIC_MODELS, public_model_of
from shared.events.registry import EVENT_TYPES, EventType

__all__ = [
    "CONTRACTS",
    "EXAMPLES",
    "PUBLIC_EXAMPLES",
    "PUBLIC_SCHEMAS",
    "SCHEMAS",
    "check",
    "expected_files",
    "public_schema_of",
    "schema_of",
    "write",
]

CONTRACTS = Path(__file__).parent
SCHEMAS = CONTRACTS / "schemas"
EXAMPLES = CONTRACTS / "examples"
PUBLIC_SCHEMAS = CONTRACTS / "public_schemas"
PUBLIC_EXAMPLES = CONTRACTS / "public_examples"
ASYNCAPI = CONTRACTS.parent.parent / "docs" / "asyncapi.yaml"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_of(event_type: EventType) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a payload as a consumer reads it: optional fields may be absent."""
    schema = event_type.model.model_json_schema(mode="validation")
    return {"$schema": DIALECT, "title": event_type.name, **_without(schema, "title")}


def public_schema_of(type_name: str) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of what leaves of a payload."""
    schema = public_model_of(type_name).model_json_schema(mode="validation")
    return {"$schema": DIALECT, "title": f"{type_name}, as told outside", **_without(schema, "title")}


def expected_files(event_types: Mapping[str, EventType] = EVENT_TYPES) -> dict[Path, bytes]:
    """Return every generated file with its content."""
    files = {
        SCHEMAS / event_type.schema_path: _json(schema_of(event_type)) for event_type in event_types.values()
    }
    public = {PUBLIC_SCHEMAS / f"{name}.json": _json(public_schema_of(name)) for name in PUBLIC_MODELS}
    return {**files, **public, ASYNCAPI: render_asyncapi()}


def check(expected: Mapping[Path, bytes]) -> list[str]:
    """Return what differs between the committed files and ``expected``; empty when nothing does."""
    problems = [
        f"{path.name} {'differs from the models' if path.exists() else 'is missing'}; run: make schemas"
        for path, content in expected.items()
        if not path.exists() or path.read_bytes() != content
    ]
    known = {path.name for path in expected if path.suffix == ".json"}
    folders = {path.parent for path in expected if path.suffix == ".json"}
    problems += [
        f"{path.name} belongs to no event type; delete it, or register the type"
        for folder in sorted(folders)
        for path in sorted(folder.glob("*.json"))
        if path.name not in known
    ]
    return problems


def write(expected: Mapping[Path, bytes]) -> list[str]:
    """Write what differs. Returns the breaking changes, and writes nothing, if there is any."""
    broken = [
        f"{path.stem}: {change}"
        for path, content in expected.items()
        if path.suffix == ".json" and path.exists()
        for change in breaking_changes(orjson.loads(path.read_bytes()), orjson.loads(content))
    ]
    if broken:
        return broken
    for path, content in expected.items():
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return []


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``write`` or ``check``; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m shared.events.contracts", description=__doc__)
    parser.add_argument("action", choices=["write", "check"])
    action = parser.parse_args(arguments).action
    if action == "check":
        problems = check(expected_files())
        cure = ""
    else:
        problems = write(expected_files())
        cure = (
            "\nA running consumer could not read this. Register a new version with an upcaster in "
            "shared/events/registry.py. If the type was never released, delete its snapshot and retry.\n"
        )
    if problems:
        sys.stderr.write("\n".join(problems) + "\n" + cure)
    return 1 if problems else 0


def _json(content: Any) -> bytes:
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _without(schema: dict[str, Any], name: str) -> dict[str, Any]:
    # pydantic titles every field with its own name in capitals: noise to a reader.
    cleaned: dict[str, Any] = {}
    for key, value in schema.items():
        if key == name and isinstance(value, str):
            continue
        if isinstance(value, dict):
            cleaned[key] = _without(value, name)
        elif isinstance(value, list):
            cleaned[key] = [_without(part, name) if isinstance(part, dict) else part for part in value]
        else:
            cleaned[key] = value
    return cleaned


if __name__ == "__main__":
    sys.exit(main())
