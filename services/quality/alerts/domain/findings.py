"""What a measurement found wrong: the one shape that every check of quality hands to the alerts."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["info", "warning", "error"]

AlertKind = Literal[
    "freshness-stale",
    "row-count-dropped",
    "row-count-risen",
    "schema-broken",
    "schema-changed",
    "dictionary-broken",
    "nulls-risen",
    "data-unreadable",
    "link-broken",
    "metadata-degraded",
]

EVIDENCE_MAX = 20
"""At most so many pieces of evidence are kept on one finding; the cause says how many there are in all."""

_RANK: dict[Severity, int] = {"info": 0, "warning": 1, "error": 2}


@dataclass(frozen=True, slots=True)
class FindingEvidence:
    """One observation: what was expected, what was seen."""

    name: str
    expected: str
    observed: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with one dataset.

    ``cause`` and ``next_act`` are whole sentences for the steward. They hold no figure that changes merely
    because time passes: an alert is told again whenever its text differs.
    """

    kind: AlertKind
    severity: Severity
    cause: str
    next_act: str
    evidence: tuple[FindingEvidence, ...] = ()
    column: str | None = None


def severity_rank(severity: Severity) -> int:
    """0 for ``info``, 1 for ``warning``, 2 for ``error``."""
    return _RANK[severity]


def worst_severity(findings: tuple[Finding, ...]) -> Severity:
    """The highest severity of ``findings``; ``info`` when there are none."""
    return max((finding.severity for finding in findings), key=severity_rank, default="info")


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """``1 row``, ``5,105 rows``."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def joined(names: list[str], names_max: int = 5) -> str:
    """``a, b and c``; beyond ``names_max`` the rest is counted."""
    shown = names[:names_max]
    if len(names) > names_max:
        shown = [*shown, f"{len(names) - names_max} more"]
    if len(shown) < 2:
        return "".join(shown)
    return f"{', '.join(shown[:-1])} and {shown[-1]}"
