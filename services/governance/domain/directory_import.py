"""Agencies, people and stewardships as they come in CSV files: rows in, typed rows and problems out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Generic, TypeVar, get_args

from services.governance.domain.csv_rows import RowProblem, read_rows
from shared.datasets.frequency import english_to_iso, parse_periodicity
from shared.events.catalog import AccessLevel, Visibility
from shared.identity.viewer import INSTALLATION_ROLES, Role

__all__ = [
    "AgencyRow",
    "Parsed",
    "PersonRow",
    "RowProblem",
    "StewardshipRow",
    "parse_agencies",
    "parse_people",
    "parse_stewardships",
]

AGENCY_ROLES = frozenset({Role.STEWARD, Role.AGENCY_DATA_OFFICER})
"""Roles that are held for an agency."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Parsed(Generic[T]):
    """The rows that can be used, and the problems of the others."""

    rows: list[T] = field(default_factory=list)
    problems: list[RowProblem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class AgencyRow:
    """An agency, its aliases, and the role mailbox of its data officer."""

    line: int
    code: str
    name: str
    aliases: tuple[str, ...]
    data_officer_email: str | None


@dataclass(frozen=True, slots=True)
class PersonRow:
    """A person with one grant; several rows of one address add grants."""

    line: int
    email: str
    display_name: str
    role: Role
    agency_code: str | None


@dataclass(frozen=True, slots=True)
class StewardshipRow:
    """Who answers for a dataset, and what was promised for it. ``None`` leaves what the feed says."""

    line: int
    identifier: str
    agency_code: str | None
    steward_email: str | None
    accrual_periodicity: str | None
    data_updated_on: date | None
    access_level: AccessLevel | None
    visibility: Visibility | None


def parse_agencies(text: str) -> Parsed[AgencyRow]:
    """Columns: ``code``, ``name``; optional ``aliases`` (parted by ``|``) and ``data_officer_email``."""
    parsed: Parsed[AgencyRow] = Parsed()
    for line, row in read_rows(text, ("code", "name"), parsed.problems):
        email = _address(row.get("data_officer_email"))
        if email and not _is_address(email):
            parsed.problems.append(_bad_address(line, "data_officer_email", email))
            continue
        aliases = tuple(part.strip() for part in row.get("aliases", "").split("|") if part.strip())
        parsed.rows.append(AgencyRow(line, row["code"], row["name"], aliases, email))
    return parsed


def parse_people(text: str) -> Parsed[PersonRow]:
    """Columns: ``email``, ``display_name``, ``role``, ``agency_code``.

    ``*`` is all agencies. A steward's or agency officer's cell may not be blank: what was left out must not
    grant everything. A requester, chief data officer or operator is one for the whole installation; a row
    that names an agency for one is refused, since it would grant more than it says.
    """
    parsed: Parsed[PersonRow] = Parsed()
    known = ", ".join(role.value for role in Role if role is not Role.PUBLIC)
    for line, row in read_rows(text, ("email", "display_name", "role"), parsed.problems):
        if not _is_address(row["email"]):
            parsed.problems.append(_bad_address(line, "email", row["email"]))
            continue
        if row["role"] not in {role.value for role in Role if role is not Role.PUBLIC}:
            parsed.problems.append(
                RowProblem(line, "role", f"{row['role']!r} is not a role", f"Use one of: {known}.")
            )
            continue
        role = Role(row["role"])
        if role in AGENCY_ROLES and not row.get("agency_code"):
            cure = "Write the agency's code, or * for all agencies."
            parsed.problems.append(RowProblem(line, "agency_code", f"a {role} needs an agency", cure))
            continue
        if role in INSTALLATION_ROLES and _agency_code(row) is not None:
            cure = "Leave the agency blank, or write *."
            problem = f"the role {role} is held for the whole installation, not for an agency"
            parsed.problems.append(RowProblem(line, "agency_code", problem, cure))
            continue
        email = row["email"].lower()
        parsed.rows.append(PersonRow(line, email, row["display_name"], role, _agency_code(row)))
    return parsed


def parse_stewardships(text: str) -> Parsed[StewardshipRow]:
    """Column ``identifier``; optional ``agency_code``, ``steward_email``, ``accrual_periodicity`` or
    ``update_frequency``, ``data_updated_on``, ``access_level`` and ``visibility``.
    """
    parsed: Parsed[StewardshipRow] = Parsed()
    for line, row in read_rows(text, ("identifier",), parsed.problems):
        problem = _stewardship_problem(line, row)
        if problem is not None:
            parsed.problems.append(problem)
            continue
        updated = row.get("data_updated_on")
        parsed.rows.append(
            StewardshipRow(
                line=line,
                identifier=row["identifier"],
                agency_code=_agency_code(row),
                steward_email=_address(row.get("steward_email")),
                accrual_periodicity=_periodicity(row),
                data_updated_on=date.fromisoformat(updated) if updated else None,
                access_level=_one_of(row.get("access_level"), get_args(AccessLevel)),
                visibility=_one_of(row.get("visibility"), get_args(Visibility)),
            )
        )
    return parsed


def _stewardship_problem(line: int, row: Mapping[str, str]) -> RowProblem | None:
    email = row.get("steward_email")
    if email and not _is_address(email):
        return _bad_address(line, "steward_email", email)
    updated = row.get("data_updated_on")
    if updated:
        try:
            date.fromisoformat(updated)
        except ValueError:
            return RowProblem(
                line, "data_updated_on", f"{updated!r} is not a date", "Write it as 2026-01-31."
            )
    for name, allowed in (("access_level", get_args(AccessLevel)), ("visibility", get_args(Visibility))):
        value = row.get(name)
        if value and value not in allowed:
            return RowProblem(line, name, f"{value!r} is not known", f"Use one of: {', '.join(allowed)}.")
    frequency = row.get("accrual_periodicity")
    if frequency and parse_periodicity(frequency) is None:
        return RowProblem(
            line,
            "accrual_periodicity",
            f"{frequency!r} is not a repeating interval",
            "Write R/P1M for monthly.",
        )
    return None


def _address(text: str | None) -> str | None:
    """In small letters: mail systems take both alike, and one person must not become two."""
    return text.lower() if text else None


def _agency_code(row: Mapping[str, str]) -> str | None:
    code = row.get("agency_code")
    return None if code in {None, "", "*"} else code


def _periodicity(row: Mapping[str, str]) -> str | None:
    return row.get("accrual_periodicity") or english_to_iso(row.get("update_frequency") or "") or None


def _one_of(value: str | None, allowed: Iterable[T]) -> T | None:
    for choice in allowed:
        if value == choice:
            return choice
    return None


def _is_address(text: str) -> bool:
    local, at, domain = text.rpartition("@")
    return bool(at and local and "." in domain) and not any(char.isspace() or char in "<>,;" for char in text)


def _bad_address(line: int, name: str, value: str) -> RowProblem:
    return RowProblem(line, name, f"{value!r} is not an e-mail address", "Write it as name@example.org.")
