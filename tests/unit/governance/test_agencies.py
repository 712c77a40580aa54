"""Spellings of publishers fall on their agency, or are left to a person."""

import csv
import json
from collections.abc import Collection
from pathlib import Path
from uuid import UUID, uuid5

import pytest

from services.governance.domain.agencies import AgencyName, PublisherNames
from shared.datasets.publisher_names import normalize_publisher

NAMESPACE = UUID("6f1ab1f4-4c38-4f0e-8f6d-1d1f7d8a2b11")
JURISDICTION = {"state", "ohio", "oh"}

AGENCIES = [
    AgencyName(uuid5(NAMESPACE, code), code, name)
    for code, name in [
        ("DOT", "Department of Transportation"),
        ("DPH", "Department of Public Health"),
        ("DMV", "Department of Motor Vehicles"),
        ("OPM", "Office of Policy and Management"),
        ("OSC", "Office of the State Comptroller"),
        ("AGR", "Department of Agriculture"),
        ("SDA", "State Department on Aging"),
        ("DOH", "Department of Housing"),
    ]
]
CODES = {agency.agency_id: agency.code for agency in AGENCIES}


@pytest.mark.parametrize(
    ("spelling", "code"),
    [
        ("Department of Transportation", "DOT"),
        ("OH Dept. of Transportation", "DOT"),
        ("Traffic Section of the Bureau of Policy, Ohio Department of Transportation", "DOT"),
        ("Department of Transportations", "DOT"),
        ("Oiffce of Policy and Management", "OPM"),
        ("Departmet of Motor Vehicles", "DMV"),
        ("DPH, Health Statistics Unit", "DPH"),
        ("State Comptroller", "OSC"),
        ("Ohio State Comptroller's Office", "OSC"),
        ("Department on Aging", "SDA"),
    ],
)
def test_a_spelling_falls_on_its_agency(spelling: str, code: str) -> None:
    match = PublisherNames(AGENCIES, JURISDICTION).match(spelling)
    assert CODES.get(match.agency_id or uuid5(NAMESPACE, "")) == code, match


@pytest.mark.parametrize(
    "spelling",
    ["City of Dayton", "U.S. Department of Agriculture", "State", "Chief Data Officer", "Transit", "", "???"],
)
def test_what_is_not_sure_is_left_to_a_person(spelling: str) -> None:
    match = PublisherNames(AGENCIES, JURISDICTION).match(spelling)
    assert match.agency_id is None
    assert len(match.candidates) <= 3


def test_a_settled_spelling_is_known_from_then_on() -> None:
    before = PublisherNames(AGENCIES, JURISDICTION).match("Chief Data Officer")
    settled = [
        AgencyName(one.agency_id, one.code, one.name, ("Chief Data Officer",) if one.code == "OPM" else ())
        for one in AGENCIES
    ]
    after = PublisherNames(settled, JURISDICTION).match("CHIEF DATA OFFICER")
    assert before.agency_id is None
    assert CODES[after.agency_id or uuid5(NAMESPACE, "")] == "OPM"


def test_the_83_real_spellings_fall_on_their_agencies_or_are_listed(real_data: Path) -> None:
    """Judged by the overlay, which says whose each dataset is. No spelling may fall on a wrong agency."""
    folder = real_data / "ct"
    feed = json.loads((folder / "data.json").read_text())["dataset"]
    with (folder / "overlay.csv").open() as file:
        owner = {row["identifier"]: row["agency_code"] for row in csv.DictReader(file)}
    with (folder / "agencies.csv").open() as file:
        agencies = [
            AgencyName(uuid5(NAMESPACE, row["code"]), row["code"], row["name"])
            for row in csv.DictReader(file)
        ]
    codes = {agency.agency_id: agency.code for agency in agencies}
    official = {agency.code: agency.name for agency in agencies}
    truth: dict[str, set[str]] = {}
    for record in feed:
        if record.get("publisher"):
            truth.setdefault(record["publisher"]["name"], set()).add(owner[record["identifier"]])
    assert len(truth) == 83

    settled, listed, wrong = [], [], []
    for spelling, owners in truth.items():
        match = PublisherNames(agencies, {"state", "ct", "connecticut"}).match(spelling)
        if match.agency_id is None:
            listed.append(spelling)
        elif codes[match.agency_id] in owners or official[codes[match.agency_id]] == spelling:
            # Two bodies spell their own official name while the overlay gives their data to another agency.
            settled.append(spelling)
        else:
            wrong.append((spelling, codes[match.agency_id], owners))
    assert wrong == []
    assert len(settled) >= 68
    assert len(settled) + len(listed) == 83


def test_known_names_are_normalized_once_for_all_spellings(monkeypatch: pytest.MonkeyPatch) -> None:
    normalized: list[str] = []

    def counted(name: str, jurisdiction_words: Collection[str] = ()) -> str:
        normalized.append(name)
        return normalize_publisher(name, jurisdiction_words)

    monkeypatch.setattr("services.governance.domain.agencies.normalize_publisher", counted)
    names = PublisherNames(AGENCIES, JURISDICTION)
    assert sorted(normalized) == sorted(agency.name for agency in AGENCIES)
    normalized.clear()
    found = [names.match(agency.name).agency_id for agency in AGENCIES]
    assert found == [agency.agency_id for agency in AGENCIES]
    assert normalized == [agency.name for agency in AGENCIES]
