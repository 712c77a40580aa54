"""Reads data dictionaries: Frictionless Table Schema v2 and Socrata view metadata, as columns.

Lenient and bounded: an entry without a name is left out, long texts are cut, and the whole stays so small
that a dataset with its dictionary still fits into one event.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit
from uuid import UUID

from services.catalog.dcat.domain.source_text import plain_text, text_of
from shared.bounded_json import JSONLimits
from shared.errors import NutmegError
from shared.events.catalog import Column, DatasetState

DICTIONARY_LIMITS = JSONLimits(bytes_max=4 * 1024 * 1024, elements_max=200_000)
"""Of one document, before it is read."""
COLUMNS_MAX = 2_000
NAME_CHARACTERS_MAX = 300
DESCRIPTION_CHARACTERS_MAX = 2_000

TABLE_SCHEMA_TYPES = frozenset(
    {"string", "number", "integer", "boolean", "object", "array", "list", "date", "time", "datetime", "year"}
    | {"yearmonth", "duration", "geopoint", "geojson", "any"}
)
"""Field types of Frictionless Table Schema v2."""

# Types of Socrata's catalogue, and of databases where a dictionary was written from one.
_TYPE_NAMES = {
    "text": "string",
    "varchar": "string",
    "character varying": "string",
    "html": "string",
    "url": "string",
    "email": "string",
    "phone": "string",
    "photo": "string",
    "document": "string",
    "document_obsolete": "string",
    "drop_down_list": "string",
    "blob": "string",
    "double": "number",
    "float": "number",
    "decimal": "number",
    "numeric": "number",
    "money": "number",
    "percent": "number",
    "stars": "number",
    "int": "integer",
    "bigint": "integer",
    "smallint": "integer",
    "checkbox": "boolean",
    "flag": "string",
    "bool": "boolean",
    "calendar_date": "datetime",
    "floating_timestamp": "datetime",
    "fixed_timestamp": "datetime",
    "timestamp": "datetime",
    "meta_data": "object",
    "nested_table": "array",
    "location": "geopoint",
    "point": "geojson",
    "line": "geojson",
    "polygon": "geojson",
    "multipoint": "geojson",
    "multiline": "geojson",
    "multipolygon": "geojson",
}


def parse_dictionary(raw: object) -> list[Column]:
    """The columns in a Table Schema, a Data Package or a Socrata view; empty when it is none of these."""
    if not isinstance(raw, dict):
        return []
    if isinstance(raw.get("columns"), list):
        return parse_socrata_view(raw)
    return parse_table_schema(raw)


def parse_table_schema(raw: object) -> list[Column]:
    """The ``fields`` of a Frictionless Table Schema v2, also inside a Data Package (the first resource's)."""
    if not isinstance(raw, dict):
        return []
    fields = raw.get("fields")
    if fields is None and isinstance(raw.get("schema"), dict):
        fields = raw["schema"].get("fields")
    resources = raw.get("resources")
    if fields is None and isinstance(resources, list) and resources and isinstance(resources[0], dict):
        return parse_table_schema({"schema": resources[0].get("schema")})
    return _columns(fields, name_key="name", title_key="title", type_key="type")


def parse_socrata_view(raw: object) -> list[Column]:
    """The ``columns`` of Socrata view metadata; its own system columns (``:id``) are left out."""
    columns = raw.get("columns") if isinstance(raw, dict) else None
    return _columns(columns, name_key="fieldName", title_key="name", type_key="dataTypeName")


def _columns(entries: object, *, name_key: str, title_key: str, type_key: str) -> list[Column]:
    if not isinstance(entries, list):
        return []
    columns: dict[str, Column] = {}
    for entry in entries[:COLUMNS_MAX]:
        if isinstance(entry, str):
            entry = {name_key: entry}
        if not isinstance(entry, dict):
            continue
        name = _line(entry.get(name_key), NAME_CHARACTERS_MAX) or _line(
            entry.get(title_key), NAME_CHARACTERS_MAX
        )
        if name is None or name.startswith(":") or name in columns:
            continue
        title = _line(entry.get(title_key), NAME_CHARACTERS_MAX)
        columns[name] = Column(
            name=name,
            title=title if title != name else None,
            type=_type(entry.get(type_key)),
            description=_line(entry.get("description"), DESCRIPTION_CHARACTERS_MAX),
        )
    return list(columns.values())


def _line(value: object, characters_max: int) -> str | None:
    text = text_of(value)
    if text is None:
        return None
    line = " ".join(plain_text(text[: characters_max * 4])[0].split())
    return line[:characters_max].rstrip() or None


def _type(value: object) -> str | None:
    """The Table Schema type; another name is kept as it is, in lower case."""
    name = _line(value, 60)
    if name is None:
        return None
    key = re.sub(r"\(.*", "", name.lower()).strip()
    return key if key in TABLE_SCHEMA_TYPES else _TYPE_NAMES.get(key, key)


class DictionaryError(NutmegError):
    """What was fetched is no data dictionary; the message says why, and the cure, in plain words."""


@dataclass(frozen=True, slots=True)
class DictionaryFetch:
    """One dictionary to fetch; ``next_attempt_at`` is None when nothing more is due.

    ``unended_attempts``: how many in a row began and were never ended; the job is then ``parked_at``.
    """

    dataset_id: UUID
    url: str
    attempts: int = 0
    next_attempt_at: datetime | None = None
    message: str | None = None
    etag: str | None = None
    last_modified: str | None = None
    unended_attempts: int = 0
    parked_at: datetime | None = None


def dictionary_address(state: DatasetState) -> str | None:
    """Where the data dictionary may be fetched; None where ``describedBy`` leads to something else.

    Only JSON by its name and Socrata's view metadata are tried: most addresses there are PDF or web pages.
    """
    if state.described_by is None:
        return None
    path = urlsplit(state.described_by).path
    is_json = path.lower().endswith(".json") or "/api/views/" in path
    return state.described_by if is_json else None
