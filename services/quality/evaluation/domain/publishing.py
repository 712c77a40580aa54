"""Which values of a column may be shown to everyone, beside how many rows hold them.

A value that few rows hold can point at one person, and so can any value of a column of names or addresses.
"""

import re

from services.quality.profiling.domain.profile import LISTED_TYPES, ColumnProfile, CommonValue

__all__ = ["SMALL_CELL_ROWS_MAX", "publishable_values"]

SMALL_CELL_ROWS_MAX = 10
"""Values that 1 to 10 rows hold are not told: the cell size suppression policy of the Centers for Medicare
& Medicaid Services (CMS)."""
SHOWN_VALUE_CHARACTERS_MAX = 60
"""A longer text is somebody's words, not a category."""

_NAME_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_PERSONAL_PARTS = frozenset(
    {
        "address",
        "applicant",
        "birth",
        "client",
        "comment",
        "comments",
        "complainant",
        "contact",
        "decedent",
        "defendant",
        "dob",
        "email",
        "employee",
        "fax",
        "firstname",
        "fname",
        "guid",
        "id",
        "identifier",
        "inmate",
        "lastname",
        "licensee",
        "lname",
        "mail",
        "member",
        "mrn",
        "narrative",
        "note",
        "notes",
        "officer",
        "owner",
        "passport",
        "patient",
        "payee",
        "person",
        "phone",
        "remarks",
        "resident",
        "respondent",
        "ssn",
        "street",
        "student",
        "surname",
        "suspect",
        "telephone",
        "uuid",
        "vendor",
        "victim",
        "vin",
        "witness",
    }
)
_THING_PARTS = frozenset(
    {
        "agency",
        "category",
        "city",
        "county",
        "department",
        "district",
        "facility",
        "fund",
        "measure",
        "municipality",
        "product",
        "program",
        "region",
        "route",
        "school",
        "species",
        "state",
        "station",
        "theme",
        "town",
        "type",
    }
)
"""A name of one of these is no person's."""

_PERSONAL_VALUE = re.compile(
    r"\S+@\S+\.\S+"  # an e-mail address
    r"|\d{3}-\d{2}-\d{4}"  # a Social Security number
    r"|(\+?1[-. ]?)?\(?\d{3}\)?[-. ]?\d{3}[-. ]?\d{4}"  # a North American telephone number
    # A street address.
    r"|\d{1,6} .*\b(st|street|ave|avenue|rd|road|ln|lane|dr|drive|blvd|ct|court|pl|place)\b\.?.*",
    re.IGNORECASE,
)


def publishable_values(column: ColumnProfile) -> tuple[CommonValue, ...]:
    """Return the commonest values that everyone may see; none where the column may be about persons.

    The column is judged as a whole: by its name and by what its values look like. Then values in
    few rows are left out.
    """
    listed = column.commonest
    if column.type not in LISTED_TYPES or not listed or _sounds_personal(column.name):
        return ()
    if any(_looks_personal(one.value) for one in listed):
        return ()
    return tuple(one for one in listed if one.rows > SMALL_CELL_ROWS_MAX)


def _sounds_personal(name: str) -> bool:
    parts = {part.lower() for part in _NAME_PARTS.findall(name)}
    if parts & _PERSONAL_PARTS:
        return True
    return bool(parts & {"name", "names"}) and not parts & _THING_PARTS


def _looks_personal(value: str) -> bool:
    return len(value) > SHOWN_VALUE_CHARACTERS_MAX or _PERSONAL_VALUE.fullmatch(value.strip()) is not None
