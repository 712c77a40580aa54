"""Which change of an event's JSON Schema a running producer or consumer would trip over. Pure.

Only additions are allowed: a new field must be optional, and nothing that was there may vanish, become
required or optional, or change its type, format, bounds or default. So an old consumer reads a new event,
and a new consumer reads every old event that a compacted topic still holds.
"""

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["breaking_changes"]

Schema = Mapping[str, Any]

_SAYS_NOTHING = frozenset({"title", "description", "examples", "$schema", "$defs", "default"})
_COMPARED_APART = frozenset({"properties", "required", "items", "anyOf"})


def breaking_changes(old: Schema, new: Schema) -> list[str]:
    """Return the changes from ``old`` to ``new`` that break, each as ``path: what happened``; [] if none."""
    return list(_compare(old, new, old, new, ""))


def _compare(old: Schema, new: Schema, old_root: Schema, new_root: Schema, path: str) -> Iterator[str]:
    was = _alternatives(old, old_root)
    now = _alternatives(new, new_root)
    where = path or "the payload"
    if [_shape(one) for one in was] != [_shape(one) for one in now]:
        yield f"{where}: was {_words(was)}, would be {_words(now)}"
        return
    for before, after in zip(was, now, strict=True):
        yield from _compare_fields(before, after, old_root, new_root, path)
        if "items" in before or "items" in after:
            yield from _compare(
                before.get("items", {}), after.get("items", {}), old_root, new_root, f"{path}[]"
            )


def _compare_fields(old: Schema, new: Schema, old_root: Schema, new_root: Schema, path: str) -> Iterator[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    required_before, required_after = set(old.get("required", ())), set(new.get("required", ()))
    for name in sorted(before.keys() | after.keys()):
        where = f"{path}.{name}".lstrip(".")
        if name not in after:
            yield f"{where}: removed"
        elif name not in before:
            if name in required_after:
                yield f"{where}: new and required; give it a default"
        elif (name in required_before) != (name in required_after):
            yield f"{where}: became {'required' if name in required_after else 'optional'}"
        elif before[name].get("default") != after[name].get("default"):
            yield f"{where}: its default changed, so old events would mean something else"
        else:
            yield from _compare(before[name], after[name], old_root, new_root, where)


def _alternatives(schema: Schema, root: Schema) -> list[Schema]:
    """Return what a value may be. A list of known values beside a free text is documentation: left out."""
    resolved = [_resolved(one, root) for one in schema.get("anyOf", [schema])]
    free = {one.get("type") for one in resolved if not _bounds(one)}
    return [one for one in resolved if not (("enum" in one or "const" in one) and one.get("type") in free)]


def _resolved(schema: Schema, root: Schema) -> Schema:
    # pydantic writes only local references: #/$defs/Name.
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema


def _shape(schema: Schema) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name not in _SAYS_NOTHING | _COMPARED_APART}


def _bounds(schema: Schema) -> dict[str, Any]:
    return {name: value for name, value in _shape(schema).items() if name != "type"}


def _words(alternatives: list[Schema]) -> str:
    return " or ".join(str(_shape(one) or "anything") for one in alternatives)
