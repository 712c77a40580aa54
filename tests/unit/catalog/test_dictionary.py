"""Data dictionaries become columns."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.catalog.datasets.domain.columns import STATE_BYTES_MAX, attach_columns
from services.catalog.dictionary.domain import (
    COLUMNS_MAX,
    TABLE_SCHEMA_TYPES,
    parse_dictionary,
    parse_socrata_view,
    parse_table_schema,
)
from shared.events.catalog import Column
from tests.unit.catalog.dcat_inputs import parsed, real_file, state_of

TABLE_SCHEMA = {
    "$schema": "https://datapackage.org/profiles/2.0/tableschema.json",
    "fields": [
        {"name": "town", "title": "Town", "type": "string", "description": "Name of the <b>town</b>."},
        {"name": "rate", "type": "number"},
        {"name": "rate", "type": "string"},
        {"title": "No name"},
        "bare",
        7,
    ],
}


@pytest.mark.parametrize(
    "raw", [TABLE_SCHEMA, {"schema": TABLE_SCHEMA}, {"resources": [{"schema": TABLE_SCHEMA}]}]
)
def test_a_table_schema_is_read_also_inside_a_package(raw: dict[str, object]) -> None:
    expected = [
        Column(name="town", title="Town", type="string", description="Name of the town."),
        Column(name="rate", type="number"),
        Column(name="No name"),
        Column(name="bare"),
    ]
    assert parse_table_schema(raw) == expected
    assert parse_dictionary(raw) == expected


def test_a_socrata_view_is_read_with_table_schema_types_and_without_system_columns() -> None:
    raw = {
        "columns": [
            {"fieldName": ":id", "name": "id", "dataTypeName": "meta_data"},
            {
                "fieldName": "on_date",
                "name": "On date",
                "dataTypeName": "calendar_date",
                "description": "When",
            },
            {"fieldName": "is_open", "name": "is_open", "dataTypeName": "checkbox"},
            {"fieldName": "cost", "name": "Cost", "dataTypeName": "money"},
            {"fieldName": "odd", "name": "Odd", "dataTypeName": "Decimal(10,2)"},
        ]
    }
    assert parse_dictionary(raw) == [
        Column(name="on_date", title="On date", type="datetime", description="When"),
        Column(name="is_open", type="boolean"),
        Column(name="cost", title="Cost", type="number"),
        Column(name="odd", title="Odd", type="number"),
    ]


def test_all_real_dictionaries_are_read_whole() -> None:
    total = 0
    for file in sorted(real_file("ct/views").glob("*.json")):
        raw = json.loads(file.read_bytes())
        columns = parse_socrata_view(raw)
        names = {entry["fieldName"] for entry in raw["columns"]}
        assert {column.name for column in columns} == {name for name in names if not name.startswith(":")}
        assert {column.type for column in columns} <= TABLE_SCHEMA_TYPES | {None}, file.name
        total += len(raw["columns"])
    assert total == 6_958


def test_a_dictionary_is_bounded_in_number_and_length() -> None:
    fields = [{"name": f"c{number}", "description": "d" * 10_000} for number in range(3_000)]
    columns = parse_table_schema({"fields": fields})
    assert len(columns) == COLUMNS_MAX
    assert {len(column.description or "") for column in columns} == {2_000}


def test_a_dataset_with_a_huge_dictionary_still_fits_into_one_event() -> None:
    state = state_of(parsed())
    few = [Column(name="a", description="A")]
    assert attach_columns(state, few).columns == few
    many = [Column(name=f"c{number}", description="d" * 2_000) for number in range(2_000)]
    shortened = attach_columns(state, many)
    assert len(shortened.columns) == 2_000
    assert {column.description for column in shortened.columns} == {None}
    tight = attach_columns(state, many, bytes_max=4_000)
    assert 0 < len(tight.columns) < 2_000
    for described, limit in ((shortened, STATE_BYTES_MAX), (tight, 4_000)):
        assert len(described.model_dump_json(exclude_none=True).encode()) <= limit


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["fields", "columns", "resources", "schema", "name", "type"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=15,
    )
)
def test_any_json_value_gives_a_list_of_columns(value: object) -> None:
    assert all(column.name for column in parse_dictionary(value))
