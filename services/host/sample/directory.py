"""The sample's agencies, people and ownership as CSV texts: what an installation imports before it harvests.

Import them before the feed: the stewardship file says which records are hidden, and the feed can't.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import date

from services.host.sample.catalog import sample_agencies, sample_datasets, sample_people
from services.host.sample.feed import data_updated_on

AGENCY_COLUMNS = ("code", "name", "data_officer_email", "aliases")
PEOPLE_COLUMNS = ("email", "display_name", "role", "agency_code")
STEWARDSHIP_COLUMNS = (
    "identifier",
    "agency_code",
    "steward_email",
    "update_frequency",
    "accrual_periodicity",
    "data_updated_on",
    "as_of",
    "access_level",
    "visibility",
)


def agencies_csv() -> str:
    """One agency per line; ``aliases`` are other spellings of its name, separated by ``|``."""
    return _to_csv(
        AGENCY_COLUMNS,
        (
            (agency.code, agency.name, agency.data_officer_email, "|".join(agency.aliases))
            for agency in sample_agencies()
        ),
    )


def people_csv() -> str:
    """One role mailbox per line; ``agency_code`` is ``*`` for all agencies and blank for no agency."""
    return _to_csv(
        PEOPLE_COLUMNS,
        ((person.email, person.display_name, person.role, person.agency_code) for person in sample_people()),
    )


def stewardship_csv(today: date) -> str:
    """One dataset per line: owner, promised frequency, last data update as seen on ``today``, and access."""
    return _to_csv(
        STEWARDSHIP_COLUMNS,
        (
            (
                dataset.identifier,
                dataset.agency_code,
                dataset.steward_email,
                dataset.frequency.words,
                dataset.frequency.accrual_periodicity,
                data_updated_on(dataset, today).isoformat(),
                today.isoformat(),
                dataset.access,
                dataset.visibility,
            )
            for dataset in sample_datasets()
        ),
    )


def _to_csv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
