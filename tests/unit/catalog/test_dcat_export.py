"""The published catalogue: the official DCAT-US 1.1 schema is the judge, with format checking on."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.catalog.dcat.domain.export import RIGHTS_NOT_STATED, export_catalog, export_dataset, is_exported
from shared.events.catalog import DatasetState, Distribution
from tests.unit.catalog.dcat_inputs import (
    GOOD_RECORD,
    INSTALLATION,
    NOW,
    official_validator,
    parse_all,
    parsed,
    real_records,
    state_of,
)


def problems_of(dataset: object) -> list[str]:
    return [
        f"{error.json_path}: {error.message[:200]}" for error in official_validator().iter_errors(dataset)
    ]


def export(state: DatasetState) -> dict[str, Any]:
    return json.loads(json.dumps(export_dataset(state, INSTALLATION)))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("field", "value"), [("license", "Public Domain"), ("landingPage", "a b"), ("describedBy", "here")]
)
def test_the_judge_checks_formats_and_not_only_types(field: str, value: str) -> None:
    dataset = export(state_of(parsed()))
    assert problems_of(dataset) == []
    assert problems_of({**dataset, field: value}) != []


def test_all_connecticut_datasets_are_published_validly_although_most_are_not_in_their_source() -> None:
    records = real_records("ct/data.json")
    validator = official_validator()
    kept, rejected = parse_all(records)
    catalog = json.loads(b"".join(export_catalog(map(state_of, kept), INSTALLATION)))
    assert (len(kept), len(rejected), len(catalog["dataset"])) == (307, 0, 307)
    assert sum(not validator.is_valid(record) for record in records) == 232
    assert [problem for dataset in catalog["dataset"] for problem in problems_of(dataset)] == []
    invalid_in_source = {record["identifier"] for record in records if not validator.is_valid(record)}
    assert invalid_in_source <= {result.identifier for result in kept if result.cures}


@pytest.mark.parametrize(
    "path",
    [
        "federal/gsa.json",
        "federal/dol.json",
        "federal/opm.json",
        "dcatus-cases/dcatus.json",
        "dcatus-cases/dcatus_bad_license_uri.json",
        "dcatus-cases/dcatus_long_description.json",
        "dcatus-cases/dcatus_multiple_invalid.json",
        "dcatus-cases/missing_title.json",
        "dcatus-cases/dcatus3_0.json",
        "dcatus-cases/dcatus3_0_warning.json",
    ],
)
def test_whatever_is_kept_of_a_feed_is_published_validly(path: str) -> None:
    kept, _ = parse_all(real_records(path))
    assert kept
    assert [problem for result in kept for problem in problems_of(export(state_of(result)))] == []


def test_a_state_that_came_another_way_is_published_validly_too() -> None:
    state = DatasetState(
        dataset_id=state_of(parsed()).dataset_id,
        source_id="by hand",
        identifier="x",
        title="X",
        access_level="restricted public",
        license="Public Domain",
        landing_page="nowhere",
        issued="some day",
        modified="yesterday",
        temporal="always",
        accrual_periodicity="Weekly",
        languages=["English", "en"],
        references=["", "https://x.gov/", "https://x.gov/"],
        contact_email="nobody",
        described_by="a book",
        distributions=[Distribution(download_url="https://x.gov/f"), Distribution(access_url="ask")],
        registered_at=NOW,
        metadata_changed_at=NOW,
    )
    dataset = export(state)
    assert problems_of(dataset) == []
    assert dataset["modified"] == "2026-01-15"
    assert dataset["accrualPeriodicity"] == "R/P1W"
    assert dataset["rights"] == RIGHTS_NOT_STATED
    assert dataset["landingPage"] == f"https://nutmeg.example.gov/datasets/{state.dataset_id}"
    assert dataset["contactPoint"]["hasEmail"] == "mailto:opendata@example.gov"
    assert "license" not in dataset
    assert len(dataset["distribution"]) == 1


def test_long_texts_are_cut_to_what_the_standard_allows() -> None:
    dataset = export(state_of(parsed(description="d" * 20_000, rights="r" * 300)))
    assert (len(dataset["description"]), len(dataset["rights"])) == (10_000, 255)
    assert dataset["description"].endswith("…")


def test_a_later_update_told_by_the_steward_is_the_published_date() -> None:
    state = state_of(parsed(modified="2020-01-01"))
    updated = state.model_copy(update={"data_updated_at": datetime(2026, 1, 10, tzinfo=UTC)})
    assert export(state)["modified"] == "2020-01-01"
    assert export(updated)["modified"] == "2026-01-10"


def test_an_agency_of_the_installation_is_shown_as_part_of_it() -> None:
    state = state_of(parsed()).model_copy(update={"agency_name": "Department of Health"})
    assert export(state)["publisher"]["name"] == "Department of Health"
    assert export(state)["publisher"]["subOrganizationOf"]["name"] == "State of Example"


def test_only_public_records_leave_the_house_whatever_the_access_to_their_data() -> None:
    public = state_of(parsed(accessLevel="non-public", rights="Personal data."))
    states = [
        public,
        public.model_copy(update={"visibility": "agency"}),
        public.model_copy(update={"visibility": "government"}),
        public.model_copy(update={"retired_at": NOW}),
    ]
    assert [is_exported(state) for state in states] == [True, False, False, False]
    catalog = json.loads(b"".join(export_catalog(states, INSTALLATION)))
    (dataset,) = catalog["dataset"]
    assert (dataset["accessLevel"], dataset["rights"]) == ("non-public", "Personal data.")


def test_an_empty_catalogue_is_still_a_catalogue() -> None:
    catalog = json.loads(b"".join(export_catalog([], INSTALLATION)))
    assert catalog["dataset"] == []
    assert catalog["conformsTo"] == "https://project-open-data.cio.gov/v1.1/schema"


texts = st.text(alphabet=st.characters(codec=None), max_size=30)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts | st.dates().map(str) | st.sampled_from(
        ["https://x.gov/ä b", "mailto:a@x.gov", "2011-2013", "R/P1W", "en_US", "text/csv;x",
         "[[REDACTED]]", "A B <c@d.gov>"]
    ),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["name", "fn", "hasEmail", "downloadURL", "accessURL", "mediaType", "startDate",
                         "coordinates"]),
        inner, max_size=3,
    ),
    max_leaves=6,
)  # fmt: skip


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(list(GOOD_RECORD)), values, max_size=6))
def test_any_record_that_is_kept_is_published_validly(changes: dict[str, object]) -> None:
    kept, rejected = parse_all([{**GOOD_RECORD, **changes}])
    assert len(kept) + len(rejected) == 1
    assert [problem for result in kept for problem in problems_of(export(state_of(result)))] == []
