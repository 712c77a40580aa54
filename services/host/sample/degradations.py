"""The faults that the demo turns on and off: which dataset each one strikes, and what it does to its file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Literal

from services.host.sample.draws import Row, seeded

DegradationName = Literal["row-count-drop", "schema-change", "broken-link", "nulls"]
Table = tuple[list[str], list[Row]]
"""Header and rows of one file."""

_ROWS_LOST_SHARE = 0.6
_BLANKED_SHARE = 0.5


@dataclass(frozen=True)
class Degradation:
    """One fault: the dataset it strikes and, in words for the demo page, what happens to it."""

    name: DegradationName
    dataset_slug: str
    what_happens: str


DEGRADATIONS: Mapping[str, Degradation] = {
    degradation.name: degradation
    for degradation in (
        Degradation(
            "row-count-drop",
            "open-expenditures-ledger",
            "A load is cut short: six in ten rows of the ledger are missing.",
        ),
        Degradation(
            "schema-change",
            "state-licenses-and-credentials-by-type",
            "The column licenses is renamed to license_count, and renewed_in_month is gone.",
        ),
        Degradation(
            "broken-link",
            "supplier-diversity-certifications",
            "The download link answers 404: the file has been moved.",
        ),
        Degradation(
            "nulls",
            "monthly-assistance-units-and-recipients-by-town",
            "The town is blank in half of the rows.",
        ),
    )
}


def check_names(degraded: frozenset[str]) -> None:
    """Raise ``ValueError`` that lists the known names when ``degraded`` holds one that isn't known."""
    unknown = sorted(degraded - DEGRADATIONS.keys())
    if unknown:
        raise ValueError(f"degraded: unknown {', '.join(unknown)}; use any of {', '.join(DEGRADATIONS)}")


def is_degraded(slug: str, degraded: frozenset[str]) -> bool:
    """Whether any of the faults that are turned on strikes this dataset. Raises as :func:`check_names`."""
    check_names(degraded)
    return any(DEGRADATIONS[name].dataset_slug == slug for name in degraded)


def link_is_broken(slug: str, degraded: frozenset[str]) -> bool:
    """Whether the server has to answer 404 for this dataset's file."""
    return "broken-link" in degraded and DEGRADATIONS["broken-link"].dataset_slug == slug


def degrade_table(slug: str, table: Table, degraded: frozenset[str]) -> Table:
    """Apply the faults that strike this dataset; the same faults always give the same file."""
    check_names(degraded)
    for name in sorted(degraded):
        if DEGRADATIONS[name].dataset_slug == slug and name in _CHANGES:
            table = _CHANGES[name](seeded(f"{slug}/{name}"), table)
    return table


def _drop_rows(rng: Random, table: Table) -> Table:
    """Keep a random 40 per cent of the rows, in their order."""
    header, rows = table
    kept = sorted(rng.sample(range(len(rows)), round(len(rows) * (1 - _ROWS_LOST_SHARE))))
    return header, [rows[index] for index in kept]


def _change_schema(_rng: Random, table: Table) -> Table:
    """Rename one column and remove another."""
    header, rows = table
    removed = header.index("renewed_in_month")
    new_header = ["license_count" if name == "licenses" else name for name in header]
    del new_header[removed]
    return new_header, [row[:removed] + row[removed + 1 :] for row in rows]


def _blank_towns(rng: Random, table: Table) -> Table:
    """Blank the town in a random half of the rows."""
    header, rows = table
    town = header.index("town")
    blanked = set(rng.sample(range(len(rows)), round(len(rows) * _BLANKED_SHARE)))
    return header, [
        (*row[:town], None, *row[town + 1 :]) if index in blanked else row for index, row in enumerate(rows)
    ]


_CHANGES: Mapping[str, Callable[[Random, Table], Table]] = {
    "row-count-drop": _drop_rows,
    "schema-change": _change_schema,
    "nulls": _blank_towns,
}
