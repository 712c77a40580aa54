"""The project's own sample: it shows what it claims to show, is the same on every run, and names nobody."""

import csv
import io
import json
import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from services.host.sample.catalog import (
    FOCAL_POINTS,
    sample_agencies,
    sample_dataset,
    sample_datasets,
    sample_people,
    sample_towns,
)
from services.host.sample.degradations import DEGRADATIONS
from services.host.sample.directory import (
    AGENCY_COLUMNS,
    PEOPLE_COLUMNS,
    STEWARDSHIP_COLUMNS,
    agencies_csv,
    people_csv,
    stewardship_csv,
)
from services.host.sample.feed import build_dictionary, build_feed, has_open_dictionary
from shared.errors import NotFoundError

TODAY = date(2026, 3, 18)
BASE_URL = "http://127.0.0.1:8800"

TITLES_ON_THE_REAL_PORTAL = {
    "District Enrollment",
    "Chronic Absenteeism by District",
    "Care 4 Kids Expenditures by Town",
    "Local Area Unemployment Statistics by Town",
    "Monthly Assistance Units and Recipients by Town",
    "SNAP Authorized Retailers",
    "Asthma Hospitalization and ED Rates by Town",
    "Open Expenditures Ledger",
    "Supplier Diversity Certifications",
    "Opioid Treatment Admissions by Town",
    "Pharmacies Offering Naloxone",
    "Heating Oil Regional Retail Prices",
    "Gasoline Stations with Generator Hookups",
    "ADT Counts, State Road Network",
    "Traffic Stop Data by Department",
    "State Licenses and Credentials by Type",
    "Business Assistance Portfolio",
    "Tax Credits by Industry Sector",
    "Real Estate Sales by Town",
    "Government Assisted Housing Units by Town",
    "Correctional Facility Daily Population",
    "2010 Census Population and Housing Units by Town",
    "Naloxone Prescribing Pharmacists",
}
RESTRICTED_TITLES = {
    "P20 WIN De-identified Outcomes Extract",
    "All-Payer Claims Extract",
    "Suspected Nonfatal Overdose Surveillance",
    "Overdose Incident Map",
    "Critical Facilities and Shelters",
    "Crash Records",
    "Statewide Address Points",
}
NON_PUBLIC_TITLES = {
    "Unemployment Insurance Wage Records",
    "Medicaid Claims",
    "Eligibility Determinations",
    "Prescription Monitoring Records",
    "Driver and Vehicle Master",
    "EMS Run Reports",
}


def parse(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def feed_records(degraded: frozenset[str] = frozenset()) -> dict[str, dict[str, Any]]:
    return {record["title"]: record for record in build_feed(BASE_URL, TODAY, degraded)["dataset"]}


def schema_validator(path: Path) -> jsonschema.Draft202012Validator:
    schema = json.loads(path.read_text(encoding="utf-8"))
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())


class TestCatalogue:
    def test_there_are_forty_datasets_with_distinct_slugs_and_titles(self) -> None:
        assert len(sample_datasets()) == 40
        assert len({dataset.slug for dataset in sample_datasets()}) == 40
        assert len({dataset.title for dataset in sample_datasets()}) == 40

    def test_27_are_public_7_restricted_and_6_not_public(self) -> None:
        levels = Counter(dataset.access for dataset in sample_datasets())
        assert levels == {"public": 27, "restricted public": 7, "non-public": 6}
        assert {d.title for d in sample_datasets() if d.access == "restricted public"} == RESTRICTED_TITLES
        assert {d.title for d in sample_datasets() if d.access == "non-public"} == NON_PUBLIC_TITLES

    def test_the_titles_of_the_real_portal_are_marked_and_no_others(self) -> None:
        assert {d.title for d in sample_datasets() if d.is_real_title} == TITLES_ON_THE_REAL_PORTAL

    def test_only_the_two_sensitive_records_are_hidden(self) -> None:
        hidden = {d.title: d.visibility for d in sample_datasets() if d.visibility != "public"}
        assert hidden == {"Eligibility Determinations": "agency", "EMS Run Reports": "government"}

    def test_every_record_that_is_not_public_says_why_within_255_characters(self) -> None:
        for dataset in sample_datasets():
            assert (dataset.rights is None) == (dataset.access == "public"), dataset.slug
            assert len(dataset.rights or "") <= 255, dataset.slug

    def test_a_description_has_two_to_four_sentences_with_the_one_that_says_what_a_row_is(self) -> None:
        for title, record in feed_records().items():
            sentences = re.findall(r"[.!?](?:\s|$)", record["description"])
            assert 2 <= len(sentences) <= 4, (title, record["description"])
            assert "One row is one " in record["description"], title

    def test_every_focal_point_has_datasets_and_every_dataset_a_focal_point(self) -> None:
        used = Counter(slug for dataset in sample_datasets() for slug in dataset.focal_points)
        assert len(FOCAL_POINTS) == 8
        assert set(used) == {focal_point.slug for focal_point in FOCAL_POINTS}
        assert all(dataset.focal_points for dataset in sample_datasets())

    def test_there_are_169_towns_and_24_of_them_lie_on_the_shore(self) -> None:
        assert len({town.name for town in sample_towns()}) == 169
        shore = sorted(town.shore_order for town in sample_towns() if town.shore_order is not None)
        assert shore == list(range(1, 25))

    def test_two_datasets_are_held_outside_the_state_by_publishers_outside_the_state(self) -> None:
        outside = [dataset for dataset in sample_datasets() if dataset.held_outside_state]
        assert {dataset.agency_code for dataset in outside} == {"USDA", "HIDTA"}
        for dataset in outside:
            publisher = feed_records()[dataset.title]["publisher"]
            assert publisher["subOrganizationOf"]["name"] != "State of Connecticut"


class TestFeed:
    @pytest.mark.parametrize("degraded", [frozenset(), frozenset(DEGRADATIONS)], ids=["sound", "degraded"])
    def test_every_record_is_valid_dcat_us(self, degraded: frozenset[str], real_data: Path) -> None:
        validator = schema_validator(real_data / "schemas" / "dcatus1.1" / "non-federal_dataset.json")
        assert not validator.is_valid({**feed_records()["Crash Records"], "license": "Public Domain"})
        problems = {
            title: [error.message for error in validator.iter_errors(record)]
            for title, record in feed_records(degraded).items()
        }
        assert {title: found for title, found in problems.items() if found} == {}

    def test_the_catalogue_is_labelled_as_a_sample_and_so_is_every_record(self) -> None:
        feed = build_feed(BASE_URL, TODAY)
        assert feed["title"] == "Nutmeg sample catalogue"
        assert feed["conformsTo"] == "https://project-open-data.cio.gov/v1.1/schema"
        assert all("sample data" in record["keyword"] for record in feed["dataset"])

    def test_the_same_day_gives_the_same_feed_and_the_feed_is_plain_json(self) -> None:
        feed = build_feed(BASE_URL, TODAY)
        assert json.loads(json.dumps(feed)) == build_feed(BASE_URL + "/", TODAY)

    def test_identifiers_do_not_depend_on_the_address_that_serves_the_feed(self) -> None:
        here, there = build_feed(BASE_URL, TODAY), build_feed("https://data.example.org", TODAY)
        assert [r["identifier"] for r in here["dataset"]] == [r["identifier"] for r in there["dataset"]]

    def test_public_data_has_a_csv_file_restricted_data_a_place_to_ask_and_the_rest_nothing(self) -> None:
        records = feed_records()
        for dataset in sample_datasets():
            distributions = records[dataset.title].get("distribution", [])
            links = [(d.get("downloadURL"), d.get("mediaType"), "accessURL" in d) for d in distributions]
            expected = {
                "public": [(f"{BASE_URL}/sample/files/{dataset.slug}.csv", "text/csv", False)],
                "restricted public": [(None, None, True)],
                "non-public": [],
            }
            assert links == expected[dataset.access], dataset.slug

    def test_modified_lies_the_datasets_own_number_of_days_before_today(self) -> None:
        records = feed_records()
        for dataset in sample_datasets():
            expected = TODAY - timedelta(days=dataset.days_since_data_updated)
            assert records[dataset.title]["modified"] == expected.isoformat()
            assert dataset.days_since_data_updated >= 1

    def test_only_degraded_datasets_are_modified_anew_and_at_the_moment_given(self) -> None:
        moment = datetime(2026, 3, 18, 9, 30, tzinfo=UTC)
        faults = frozenset({"row-count-drop", "nulls"})
        degraded = build_feed(BASE_URL, TODAY, faults, degraded_at=moment)["dataset"]
        sound = build_feed(BASE_URL, TODAY)["dataset"]
        changed = {a["title"]: a["modified"] for a, b in zip(degraded, sound, strict=True) if a != b}
        assert changed == {
            "Open Expenditures Ledger": "2026-03-18T09:30:00+00:00",
            "Monthly Assistance Units and Recipients by Town": "2026-03-18T09:30:00+00:00",
        }

    def test_a_moment_without_a_time_zone_is_refused_with_the_cure(self) -> None:
        naive = datetime(2026, 3, 18, 9, 30)  # noqa: DTZ001 - the fault under test
        with pytest.raises(ValueError, match="degraded_at: has no time zone"):
            build_feed(BASE_URL, TODAY, degraded_at=naive)

    def test_monthly_unemployment_is_late_today_and_stale_within_days(self) -> None:
        dataset = sample_dataset("local-area-unemployment-statistics-by-town")
        assert dataset.frequency.accrual_periodicity == "R/P1M"
        assert 1.25 * 31 < dataset.days_since_data_updated <= 2 * 30
        assert dataset.days_since_data_updated + 5 > 2 * 31

    def test_the_closed_census_promises_no_update_and_the_daily_count_is_fresh(self) -> None:
        census = sample_dataset("2010-census-population-and-housing-units-by-town")
        assert census.frequency.words == "Not updated (historical only)"
        assert sample_dataset("correctional-facility-daily-population").days_since_data_updated == 1


class TestDictionaries:
    def test_every_column_of_every_dataset_has_a_title_a_type_and_a_meaning(self) -> None:
        types = {"string", "integer", "number", "boolean", "date", "datetime"}
        for dataset in sample_datasets():
            fields = build_dictionary(dataset.slug)["fields"]
            assert fields, dataset.slug
            for field in fields:
                assert field["title"], (dataset.slug, field)
                assert field["type"] in types, (dataset.slug, field)
                assert field["description"].endswith("."), (dataset.slug, field)

    def test_the_dictionaries_of_hidden_records_are_not_open_and_the_feed_does_not_link_them(self) -> None:
        closed = {d.title for d in sample_datasets() if not has_open_dictionary(d.slug)}
        assert closed == {"Eligibility Determinations", "EMS Run Reports"}
        assert {title for title, record in feed_records().items() if "describedBy" not in record} == closed

    def test_an_unknown_slug_is_told_by_name(self) -> None:
        with pytest.raises(NotFoundError, match="no-such-dataset"):
            build_dictionary("no-such-dataset")


class TestDirectory:
    def test_the_files_have_the_columns_that_an_installation_imports(self) -> None:
        assert tuple(parse(agencies_csv())[0]) == AGENCY_COLUMNS
        assert tuple(parse(people_csv())[0]) == PEOPLE_COLUMNS
        assert tuple(parse(stewardship_csv(TODAY))[0]) == STEWARDSHIP_COLUMNS

    def test_stewardship_has_the_columns_of_the_real_overlay(self, real_data: Path) -> None:
        with (real_data / "ct" / "overlay.csv").open(encoding="utf-8") as file:
            assert tuple(next(csv.reader(file))) == STEWARDSHIP_COLUMNS

    def test_every_steward_mailbox_is_a_known_steward_of_the_owning_agency(self) -> None:
        stewards = {(p["email"], p["agency_code"]) for p in parse(people_csv()) if p["role"] == "steward"}
        for line in parse(stewardship_csv(TODAY)):
            assert (line["steward_email"], line["agency_code"]) in stewards, line["identifier"]

    def test_every_agency_of_the_sample_is_known_and_has_a_data_officer(self) -> None:
        agencies = {line["code"]: line["data_officer_email"] for line in parse(agencies_csv())}
        officers = {p["email"] for p in parse(people_csv()) if p["role"] == "agency-data-officer"}
        assert {dataset.agency_code for dataset in sample_datasets()} == set(agencies)
        assert set(agencies.values()) == officers

    def test_every_publisher_of_the_feed_is_the_name_or_an_alias_of_the_owner(self) -> None:
        names = {agency.code: {agency.name, *agency.aliases} for agency in sample_agencies()}
        records = feed_records()
        others = 0
        for dataset in sample_datasets():
            publisher = records[dataset.title]["publisher"]["name"]
            assert publisher in names[dataset.agency_code]
            others += publisher != next(a.name for a in sample_agencies() if a.code == dataset.agency_code)
        assert others == 3

    def test_no_spelling_belongs_to_two_agencies(self) -> None:
        spellings = [name.casefold() for a in sample_agencies() for name in (a.code, a.name, *a.aliases)]
        assert len(spellings) == len(set(spellings))

    def test_people_are_role_mailboxes_at_example_domains_and_all_roles_are_there(self) -> None:
        people = parse(people_csv())
        assert len({person["email"] for person in people}) == len(people)
        for person in people:
            assert re.fullmatch(r"[a-z.-]+@example\.(gov|org)", person["email"]), person
        assert {person.role for person in sample_people()} == {
            "requester",
            "steward",
            "agency-data-officer",
            "chief-data-officer",
            "operator",
        }
        assert [p["email"] for p in people if p["email"].endswith("@example.org")] == [
            "research-desk@example.org"
        ]

    def test_stewardship_agrees_with_the_feed(self) -> None:
        records = {record["identifier"]: record for record in build_feed(BASE_URL, TODAY)["dataset"]}
        lines = parse(stewardship_csv(TODAY))
        assert len(lines) == len(records)
        for line in lines:
            record = records[line["identifier"]]
            assert line["data_updated_on"] == record["modified"]
            assert line["accrual_periodicity"] == record["accrualPeriodicity"]
            assert line["access_level"] == record["accessLevel"]
            assert record["contactPoint"]["hasEmail"] == f"mailto:{line['steward_email']}"
            assert line["as_of"] == TODAY.isoformat()
