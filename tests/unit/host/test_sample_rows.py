"""The files of the sample: repeatable, true to their dictionaries, with the defects that the demo needs."""

import csv
import io
import itertools
import os
import re
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest

from services.host.sample.catalog import SampleDataset, sample_dataset, sample_datasets, sample_towns
from services.host.sample.degradations import DEGRADATIONS, link_is_broken
from services.host.sample.draws import DATA_ENDS_ON
from services.host.sample.feed import build_dictionary, build_feed
from services.host.sample.rows import RECIPES, generate_rows
from shared.errors import NotFoundError

WITH_FILE = [dataset for dataset in sample_datasets() if dataset.has_file]
WITH_ROWS = [dataset for dataset in sample_datasets() if dataset.has_rows]


def read_rows(slug: str, degraded: frozenset[str] = frozenset()) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(generate_rows(slug, degraded))))


class TestRows:
    def test_every_public_dataset_has_a_recipe_and_no_other_has_one(self) -> None:
        assert set(RECIPES) == {dataset.slug for dataset in WITH_FILE}
        with pytest.raises(NotFoundError, match="medicaid-claims"):
            generate_rows("medicaid-claims")

    @pytest.mark.parametrize("dataset", WITH_ROWS, ids=lambda d: d.slug)
    def test_a_file_has_100_to_3000_rows_and_is_the_same_every_time(self, dataset: SampleDataset) -> None:
        text = generate_rows(dataset.slug)
        assert 100 <= len(text.splitlines()) - 1 <= 3000
        assert generate_rows(dataset.slug) == text

    @pytest.mark.parametrize("dataset", WITH_ROWS, ids=lambda d: d.slug)
    def test_no_row_lies_after_the_end_of_the_sample(self, dataset: SampleDataset) -> None:
        dates = {column.name for column in dataset.columns if column.type == "date"}
        values = [row[name] for row in read_rows(dataset.slug) for name in dates]
        assert all(date.fromisoformat(value) <= DATA_ENDS_ON for value in values)

    def test_another_process_with_another_hash_seed_makes_the_same_files(self) -> None:
        slugs = [dataset.slug for dataset in WITH_FILE]
        program = (
            "import sys, zlib; from services.host.sample.rows import generate_rows;"
            "print(*(zlib.crc32(generate_rows(slug).encode()) for slug in sys.argv[1:]))"
        )
        result = subprocess.run(
            [sys.executable, "-c", program, *slugs],
            env={**os.environ, "PYTHONHASHSEED": "4242"},
            cwd=Path(__file__).parents[3],
            capture_output=True,
            text=True,
            check=True,
        )
        here = [zlib.crc32(generate_rows(slug).encode()) for slug in slugs]
        assert [int(checksum) for checksum in result.stdout.split()] == here

    def test_nothing_in_the_files_is_shaped_like_personal_data(self) -> None:
        social_security = re.compile(r"\b\d{3}-\d{2}-\d{4}\b")
        telephone = re.compile(r"\(\d{3}\)\s?\d{3}-\d{4}|\b\d{3}[-.]\d{3}[-.]\d{4}\b")
        for dataset in WITH_FILE:
            text = generate_rows(dataset.slug)
            for shape in (social_security, telephone, re.compile("@")):
                assert shape.search(text) is None, (dataset.slug, shape.pattern)

    def test_absenteeism_prints_small_cells_that_should_be_suppressed(self) -> None:
        counts = [int(r["chronically_absent"]) for r in read_rows("chronic-absenteeism-by-district")]
        assert sum(1 <= count <= 5 for count in counts) >= 50

    def test_asthma_prints_rates_that_rest_on_too_few_visits_to_be_stable(self) -> None:
        rows = read_rows("asthma-hospitalization-and-ed-rates-by-town")
        # The relative standard error of a rate reaches 30 per cent below 12 events: 1 / sqrt(11) = 0.302.
        unstable = [r for r in rows if 0 < int(r["visits"]) < 12]
        assert len(unstable) > 50
        assert all(r["crude_rate_per_10000"] for r in unstable)

    def test_drug_deaths_name_towns_that_are_misspelt_beside_towns_that_are_not(self) -> None:
        known = {town.name for town in sample_towns()}
        rows = read_rows("accidental-drug-related-deaths-by-town-and-substance")
        names = Counter(row["town"] in known for row in rows)
        assert names[False] >= 40
        assert names[True] > 10 * names[False]

    def test_other_files_spell_every_town_right(self) -> None:
        known = {town.name for town in sample_towns()}
        for dataset in WITH_ROWS:
            if dataset.shows != "misspelt-towns":
                assert {row.get("town", "Hartford") for row in read_rows(dataset.slug)} <= known, dataset.slug

    def test_flood_extents_are_closed_polygons_within_the_state(self) -> None:
        for row in read_rows("sea-level-rise-and-coastal-flood-extent"):
            match = re.fullmatch(r"POLYGON \(\((.+)\)\)", row["extent_wkt"])
            assert match is not None
            points = [tuple(map(float, point.split())) for point in match[1].split(", ")]
            assert points[0] == points[-1]
            assert all(-73.8 < lon < -71.7 and 40.9 < lat < 42.1 for lon, lat in points)

    def test_parcels_carry_a_point_within_the_state(self) -> None:
        for row in read_rows("statewide-parcels-and-cama"):
            assert 40.9 < float(row["centroid_latitude"]) < 42.1
            assert -73.8 < float(row["centroid_longitude"]) < -71.7

    def test_stops_lead_to_a_search_more_often_in_some_groups_than_in_others(self) -> None:
        stops: Counter[str] = Counter()
        searches: Counter[str] = Counter()
        for row in read_rows("traffic-stop-data-by-department"):
            stops[row["driver_group"]] += int(row["stops"])
            searches[row["driver_group"]] += int(row["searches"])
        share = {group: searches[group] / stops[group] for group in stops}
        assert share["Black"] > 1.5 * share["White"] > 0

    def test_the_daily_count_has_every_facility_on_every_day(self) -> None:
        rows = read_rows("correctional-facility-daily-population")
        per_day = Counter(row["count_date"] for row in rows)
        assert set(per_day.values()) == {14}
        days = sorted(date.fromisoformat(day) for day in per_day)
        assert {later - earlier for earlier, later in itertools.pairwise(days)} == {timedelta(days=1)}

    def test_home_sales_are_more_in_summer_than_in_winter(self) -> None:
        sales: Counter[str] = Counter()
        for row in read_rows("real-estate-sales-by-town"):
            sales[row["month"][5:7]] += int(row["sales"])
        assert sales["07"] > 1.5 * sales["01"]

    def test_the_dataset_under_notice_of_retirement_has_a_header_and_no_rows(self) -> None:
        dataset = sample_dataset("naloxone-prescribing-pharmacists")
        assert read_rows(dataset.slug) == []
        assert dataset.description.startswith("Notice: this dataset will be retired")

    def test_crash_numbers_join_crashes_to_ambulance_runs(self) -> None:
        columns = [
            {c.name for c in sample_dataset(slug).columns} for slug in ("crash-records", "ems-run-reports")
        ]
        assert "crash_number" in columns[0] & columns[1]

    @pytest.mark.parametrize("dataset", WITH_FILE, ids=lambda d: d.slug)
    def test_the_columns_of_the_dictionary_are_the_header_of_the_file(self, dataset: SampleDataset) -> None:
        header = generate_rows(dataset.slug).splitlines()[0].split(",")
        assert [field["name"] for field in build_dictionary(dataset.slug)["fields"]] == header

    @pytest.mark.parametrize("dataset", WITH_ROWS, ids=lambda d: d.slug)
    def test_every_value_is_of_the_type_that_the_dictionary_declares(self, dataset: SampleDataset) -> None:
        readers: dict[str, Callable[[str], object]] = {
            "string": str,
            "integer": int,
            "number": float,
            "date": date.fromisoformat,
        }
        columns = {column.name: readers[column.type] for column in dataset.columns}
        for row in read_rows(dataset.slug):
            for name, value in row.items():
                if value or name in dataset.primary_key:
                    columns[name](value)

    @pytest.mark.parametrize("dataset", WITH_ROWS, ids=lambda d: d.slug)
    def test_the_primary_key_tells_the_rows_apart(self, dataset: SampleDataset) -> None:
        keys = [tuple(row[name] for name in dataset.primary_key) for row in read_rows(dataset.slug)]
        assert dataset.primary_key
        assert len(keys) == len(set(keys))


class TestDegradations:
    def test_every_fault_strikes_a_public_dataset(self) -> None:
        assert all(sample_dataset(fault.dataset_slug).has_rows for fault in DEGRADATIONS.values())

    def test_a_short_load_loses_six_in_ten_rows_and_keeps_the_others_as_they_were(self) -> None:
        sound = generate_rows("open-expenditures-ledger").splitlines()
        short = generate_rows("open-expenditures-ledger", frozenset({"row-count-drop"})).splitlines()
        assert len(short) - 1 == pytest.approx((len(sound) - 1) * 0.4, abs=1)
        kept = set(short)
        assert [line for line in sound if line in kept] == short

    def test_a_schema_change_renames_a_column_and_removes_another(self) -> None:
        slug = "state-licenses-and-credentials-by-type"
        sound, changed = read_rows(slug), read_rows(slug, frozenset({"schema-change"}))
        assert set(sound[0]) - set(changed[0]) == {"licenses", "renewed_in_month"}
        assert set(changed[0]) - set(sound[0]) == {"license_count"}
        assert [row["license_count"] for row in changed] == [row["licenses"] for row in sound]
        assert [row["issued_in_month"] for row in changed] == [row["issued_in_month"] for row in sound]

    def test_nulls_blank_the_town_of_half_the_rows_and_nothing_else(self) -> None:
        slug = "monthly-assistance-units-and-recipients-by-town"
        sound, blanked = read_rows(slug), read_rows(slug, frozenset({"nulls"}))
        assert sum(row["town"] == "" for row in blanked) == pytest.approx(len(sound) / 2, abs=1)
        assert [{**row, "town": ""} for row in blanked] == [{**row, "town": ""} for row in sound]

    def test_a_broken_link_strikes_one_dataset_and_leaves_its_rows_alone(self) -> None:
        faults = frozenset({"broken-link"})
        broken = [dataset.slug for dataset in WITH_FILE if link_is_broken(dataset.slug, faults)]
        assert broken == ["supplier-diversity-certifications"]
        assert not link_is_broken(broken[0], frozenset())
        assert generate_rows(broken[0], faults) == generate_rows(broken[0])

    def test_a_fault_does_not_touch_the_files_of_other_datasets(self) -> None:
        struck = {fault.dataset_slug for fault in DEGRADATIONS.values()}
        for dataset in WITH_FILE:
            if dataset.slug not in struck:
                assert generate_rows(dataset.slug, frozenset(DEGRADATIONS)) == generate_rows(dataset.slug)

    def test_an_unknown_fault_is_refused_with_the_known_ones(self) -> None:
        with pytest.raises(ValueError, match=r"degraded: unknown row-drop; use any of row-count-drop, "):
            generate_rows("district-enrollment", frozenset({"row-drop"}))
        with pytest.raises(ValueError, match="degraded: unknown row-drop"):
            build_feed("http://127.0.0.1:8800", DATA_ENDS_ON, frozenset({"row-drop"}))
