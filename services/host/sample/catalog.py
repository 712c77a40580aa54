"""The project's own sample: 40 datasets, their agencies and people, and what each dataset shows.

Written for the project, so that it runs where no real input is at hand. Everything is made up but the
names of agencies and towns: rows are synthetic aggregates, and people are role mailboxes. The literal data
lies in ``data/`` and is read on first use; the same files give the same sample on every run.
"""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

from shared.errors import NotFoundError
from shared.events.catalog import AccessLevel, Visibility

CATALOGUE_TITLE = "Nutmeg sample catalogue"
SAMPLE_KEYWORD = "sample data"
"""Every record of the feed carries it, so that nobody takes the sample for real figures."""

IDENTIFIER_PREFIX = "https://sample.example.gov/datasets/"
"""Identifiers don't depend on the address that the sample is served from, so a second run finds the first."""

UpdateWord = Literal[
    "annual", "half-yearly", "quarterly", "monthly", "weekly", "daily", "as-needed", "historical"
]
PersonRole = Literal["requester", "steward", "agency-data-officer", "chief-data-officer", "operator"]
ColumnType = Literal["string", "integer", "number", "boolean", "date", "datetime"]


@dataclass(frozen=True)
class UpdateFrequency:
    """How often the owner promises new data: in the steward's words, and as DCAT-US 1.1 writes it."""

    words: str
    accrual_periodicity: str


UPDATE_FREQUENCIES: Mapping[UpdateWord, UpdateFrequency] = {
    "annual": UpdateFrequency("Annually", "R/P1Y"),
    "half-yearly": UpdateFrequency("Bi-annually", "R/P6M"),
    "quarterly": UpdateFrequency("Quarterly", "R/P3M"),
    "monthly": UpdateFrequency("Monthly", "R/P1M"),
    "weekly": UpdateFrequency("Weekly", "R/P1W"),
    "daily": UpdateFrequency("Daily", "R/P1D"),
    "as-needed": UpdateFrequency("As needed", "irregular"),
    "historical": UpdateFrequency("Not updated (historical only)", "irregular"),
}


@dataclass(frozen=True)
class FocalPoint:
    """One of the eight subjects that the home page groups datasets by."""

    slug: str
    title: str
    description: str


FOCAL_POINTS = (
    FocalPoint(
        "education-and-workforce",
        "Education and workforce",
        "How people move from early childhood through school and training into work.",
    ),
    FocalPoint(
        "health-and-service-delivery",
        "Health and service delivery",
        "How well residents are, and whether help reaches those who need it.",
    ),
    FocalPoint(
        "fraud-waste-and-abuse",
        "Fraud, waste and abuse",
        "Where public money goes, and the signs that some of it goes astray.",
    ),
    FocalPoint(
        "substance-abuse-and-addiction",
        "Substance abuse and addiction",
        "Overdoses, treatment and the medicines that save lives, town by town.",
    ),
    FocalPoint(
        "resilience",
        "Resilience",
        "How ready homes, roads and shelters are for storms, floods and cold.",
    ),
    FocalPoint(
        "traffic-safety",
        "Traffic safety",
        "Who uses the roads, where people get hurt, and how stops are made.",
    ),
    FocalPoint(
        "economic-development",
        "Economic development",
        "Businesses, licenses and the help that the state gives to create jobs.",
    ),
    FocalPoint(
        "land-use",
        "Land use",
        "Parcels, addresses, homes and what is built where.",
    ),
)


@dataclass(frozen=True)
class SampleColumn:
    """One column of a dataset; ``description`` is its entry in the data dictionary."""

    name: str
    title: str
    type: ColumnType
    description: str


@dataclass(frozen=True)
class SampleAgency:
    """A body that owns data, the body it belongs to, and other spellings of its name seen in feeds."""

    code: str
    name: str
    parent: str
    aliases: tuple[str, ...]

    @property
    def data_officer_email(self) -> str:
        """The role mailbox of the agency's data officer."""
        return f"data-officer.{self.code.lower()}@example.gov"


@dataclass(frozen=True)
class SamplePerson:
    """A role with a mailbox, never a named person. ``agency_code`` is ``*`` for all agencies, "" for none."""

    email: str
    display_name: str
    role: PersonRole
    agency_code: str


@dataclass(frozen=True)
class SampleTown:
    """A town, its county, rounded population, and its place on the shoreline, counted from the west."""

    name: str
    county: str
    population: int
    shore_order: int | None


@dataclass(frozen=True)
class SampleDataset:
    """One record of the sample. ``shows`` names what the record is there to demonstrate, if anything special.

    ``publisher_name`` is set where the feed spells the agency in another way than its official name.
    ``views_per_weekday`` is the made-up popularity that :mod:`services.host.sample.hits` plays.
    """

    slug: str
    title: str
    is_real_title: bool
    description: str
    row_meaning: str
    agency_code: str
    publisher_name: str | None
    steward_email: str
    focal_points: tuple[str, ...]
    update: UpdateWord
    access: AccessLevel
    visibility: Visibility
    rights: str | None
    keywords: tuple[str, ...]
    columns: tuple[SampleColumn, ...]
    primary_key: tuple[str, ...]
    issued: str
    temporal: str | None
    days_since_data_updated: int
    shows: str | None
    held_outside_state: bool
    landing_page: str | None
    views_per_weekday: float

    @property
    def identifier(self) -> str:
        """The identifier in the feed, the same wherever the sample is served."""
        return IDENTIFIER_PREFIX + self.slug

    @property
    def frequency(self) -> UpdateFrequency:
        """The promised update frequency."""
        return UPDATE_FREQUENCIES[self.update]

    @property
    def has_file(self) -> bool:
        """Whether a CSV file can be downloaded: for public data only."""
        return self.access == "public"

    @property
    def has_rows(self) -> bool:
        """Whether the file holds rows. The dataset under notice of retirement keeps its header only."""
        return self.has_file and self.shows != "retirement-notice"

    @property
    def license(self) -> str | None:
        """The licence as a URI (DCAT-US 1.1, ``license``); none for data that isn't public."""
        if not self.has_file:
            return None
        if self.held_outside_state:
            return "https://www.usa.gov/government-works"
        return "https://creativecommons.org/publicdomain/zero/1.0/"


@cache
def sample_datasets() -> tuple[SampleDataset, ...]:
    """All 40 datasets, in the order of their focal points."""
    return tuple(_read_dataset(record) for record in json.loads(_read_text("datasets.json")))


@cache
def sample_agencies() -> tuple[SampleAgency, ...]:
    """All agencies that own a dataset, by code; two of them lie outside the state."""
    return tuple(
        SampleAgency(row["code"], row["name"], row["parent"], tuple(row["aliases"].split("|")))
        for row in csv.DictReader(io.StringIO(_read_text("agencies.csv")))
    )


@cache
def sample_towns() -> tuple[SampleTown, ...]:
    """The 169 towns, by name."""
    return tuple(
        SampleTown(
            row["name"],
            row["county"],
            int(row["population"]),
            int(row["shore_order"]) if row["shore_order"] else None,
        )
        for row in csv.DictReader(io.StringIO(_read_text("towns.csv")))
    )


@cache
def sample_people() -> tuple[SamplePerson, ...]:
    """Stewards, agency data officers, the chief data officer, an operator and a requester from outside."""
    stewards = {dataset.steward_email: dataset.agency_code for dataset in sample_datasets()}
    people = [
        SamplePerson("chief-data-officer@example.gov", "Chief data officer", "chief-data-officer", "*"),
        SamplePerson("operator@example.gov", "Nutmeg operator", "operator", "*"),
        SamplePerson(
            "research-desk@example.org", "Research desk, Regional Policy Institute", "requester", ""
        ),
    ]
    people.extend(
        SamplePerson(
            agency.data_officer_email, f"{agency.code} data officer", "agency-data-officer", agency.code
        )
        for agency in sample_agencies()
    )
    people.extend(
        SamplePerson(email, steward_display_name(email, code), "steward", code)
        for email, code in sorted(stewards.items())
    )
    return tuple(people)


def steward_display_name(email: str, agency_code: str) -> str:
    """The role name of a steward's mailbox: ``road-safety-steward.dot@…`` is the DOT road safety steward."""
    duty = email.partition("steward.")[0].rstrip("-").replace("-", " ") or "data"
    return f"{agency_code} {duty} steward"


def sample_dataset(slug: str) -> SampleDataset:
    """The dataset with this slug. Raises ``NotFoundError`` that names the slug when the sample has none."""
    dataset = _datasets_by_slug().get(slug)
    if dataset is None:
        raise NotFoundError(f"The sample has no dataset {slug!r}.", what="dataset", field="name")
    return dataset


def sample_agency(code: str) -> SampleAgency:
    """The agency with this code. Raises ``KeyError`` that names the code when the sample has none."""
    return _agencies_by_code()[code]


def focal_point_titles(dataset: SampleDataset) -> list[str]:
    """The titles of the dataset's focal points, which the feed carries as themes."""
    titles = {focal_point.slug: focal_point.title for focal_point in FOCAL_POINTS}
    return [titles[slug] for slug in dataset.focal_points]


@cache
def _datasets_by_slug() -> Mapping[str, SampleDataset]:
    return {dataset.slug: dataset for dataset in sample_datasets()}


@cache
def _agencies_by_code() -> Mapping[str, SampleAgency]:
    return {agency.code: agency for agency in sample_agencies()}


def _read_text(name: str) -> str:
    return (resources.files("services.host.sample") / "data" / name).read_text(encoding="utf-8")


def _read_dataset(record: Mapping[str, Any]) -> SampleDataset:
    fields = dict(record)
    fields["columns"] = tuple(SampleColumn(**column) for column in record["columns"])
    for name in ("focal_points", "keywords", "primary_key"):
        fields[name] = tuple(record[name])
    return SampleDataset(**fields)
