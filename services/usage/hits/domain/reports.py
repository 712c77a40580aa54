"""Hits as somebody reports them, and what may be wrong with them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from urllib.parse import urlsplit
from uuid import UUID

from services.usage.counts.domain.counter import HitKind
from services.usage.hits.domain.visitors import VisitorTraits
from shared.identity.viewer import Role, TokenScope, Viewer

__all__ = [
    "HIT_AGE_MAX",
    "HitProblem",
    "HitResult",
    "NamedDataset",
    "Receipt",
    "ReportedHit",
    "identifier_name",
    "is_importer",
    "landing_page_name",
    "moment_problem",
]

HIT_AGE_MAX = timedelta(days=390)
"""Older hits are refused: hourly counts and rollup records are kept for 400 days."""

OWN_HIT_AGE_MAX = timedelta(hours=24)
"""How late somebody may report their own use; older use comes from importers only."""

CLOCK_SKEW_MAX = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class NamedDataset:
    """A dataset that a hit may be counted for."""

    dataset_id: UUID
    agency_id: UUID | None


class HitResult(StrEnum):
    """What became of a reported hit."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class HitProblem:
    """What is wrong with a hit: the field, why, and the cure."""

    field: str
    detail: str
    cure: str
    code: str


@dataclass(frozen=True, slots=True)
class ReportedHit:
    """One hit of a request. ``dataset``: its id, or a name made by one of the functions below.

    ``dataset_field`` is the field that named it. ``is_foreign``: reported for somebody else.
    """

    position: int
    dataset: UUID | str
    dataset_field: str
    kind: HitKind
    traits: VisitorTraits
    is_foreign: bool = False
    occurred_at: datetime | None = None
    hit_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer for one hit."""

    result: HitResult
    hit_id: UUID | None = None
    problem: HitProblem | None = None


def is_importer(viewer: Viewer, agency_id: UUID | None) -> bool:
    """Tell who may report the use of others: operators, and programs with the scope *hits*."""
    return viewer.has(Role.OPERATOR) or viewer.may_as_program(TokenScope.HITS, agency_id=agency_id)


def identifier_name(identifier: str) -> str:
    """Return the name of a dataset by its publisher's identifier."""
    return f"id:{identifier.strip()}"


def landing_page_name(address: str) -> str:
    """Return the name of a dataset by its landing page: http or https, with or without the last slash.

    The fragment is left out; the query stays, since some catalogues keep the record's id there.
    """
    try:
        parts = urlsplit(address.strip())
        host = (parts.hostname or "").lower()
        port = f":{parts.port}" if parts.port not in (None, 80, 443) else ""
    except ValueError:
        return f"url:{address.strip()}"
    query = f"?{parts.query}" if parts.query else ""
    return f"url:{host}{port}{parts.path.rstrip('/')}{query}"


def moment_problem(occurred_at: datetime, *, now: datetime, is_importer: bool) -> HitProblem | None:
    """Return what is wrong with the time of a hit, if anything."""
    if occurred_at > now + CLOCK_SKEW_MAX:
        return HitProblem(
            "occurred_at", "lies in the future", "Check the clock, or leave occurred_at out.", "future"
        )
    if occurred_at < now - HIT_AGE_MAX:
        cure = f"Leave hits older than {HIT_AGE_MAX.days} days out; their windows are closed."
        return HitProblem("occurred_at", "is too long ago", cure, "too_old")
    if not is_importer and occurred_at < now - OWN_HIT_AGE_MAX:
        cure = "Report use within 24 hours, or import it with a token of role service or operator."
        return HitProblem("occurred_at", "is too long ago", cure, "too_old")
    return None
