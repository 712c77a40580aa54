"""Who may see and do what, written once: a rule is data, and has two faces.

:meth:`Rule.holds` decides for one record at hand; :func:`shared.identity.sql_rules.condition` makes the same
rule a condition of a query. Nobody writes either face by hand, so a list, a count, a feed and a page agree.

A record is any object with the attributes that the rule names. An unknown (``None``) agency, person or value
never fulfils a rule, in either face.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from shared.identity.viewer import Role, Viewer

__all__ = ["AllOf", "AnyOf", "FieldIn", "HoldsRole", "IsPerson", "Not", "Rule", "WorksFor"]


class Rule(Protocol):
    """One of the kinds below."""

    def holds(self, viewer: "Viewer", record: Any) -> bool:
        """Tell whether the rule lets ``viewer`` at ``record``."""
        ...


@dataclass(frozen=True, slots=True)
class HoldsRole:
    """The viewer has one of ``roles``, for all agencies or for the one that the record's ``agency`` names.

    Without ``agency`` it is enough to have the role for any agency.
    """

    roles: "Collection[Role]"
    agency: str | None = None

    def holds(self, viewer: "Viewer", record: Any) -> bool:
        if self.agency is None:
            return not viewer.roles.isdisjoint(self.roles)
        return viewer.has(*self.roles, agency_id=getattr(record, self.agency))


@dataclass(frozen=True, slots=True)
class WorksFor:
    """The viewer works for government: for all agencies, or for the one that the record's ``agency`` names.

    Without ``agency`` it is enough to work for any. A program counts by the scopes of its token
    (:attr:`shared.identity.viewer.Viewer.sees_government`).
    """

    agency: str | None = None

    def holds(self, viewer: "Viewer", record: Any) -> bool:
        if self.agency is None:
            return viewer.sees_government
        return viewer.sees_all_agencies or getattr(record, self.agency) in viewer.agency_ids


@dataclass(frozen=True, slots=True)
class IsPerson:
    """The viewer is signed in, and is the person whom the record's ``field`` names."""

    field: str

    def holds(self, viewer: "Viewer", record: Any) -> bool:
        return viewer.person_id is not None and viewer.person_id == getattr(record, self.field)


@dataclass(frozen=True, slots=True)
class FieldIn:
    """The record's ``field`` has one of ``values``, whoever looks."""

    field: str
    values: Collection[str]

    def holds(self, viewer: "Viewer", record: Any) -> bool:  # noqa: ARG002 - one form for every kind
        return getattr(record, self.field) in self.values


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every one of ``rules`` holds."""

    rules: tuple[Rule, ...]

    def holds(self, viewer: "Viewer", record: Any) -> bool:
        return all(rule.holds(viewer, record) for rule in self.rules)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of ``rules`` holds."""

    rules: tuple[Rule, ...]

    def holds(self, viewer: "Viewer", record: Any) -> bool:
        return any(rule.holds(viewer, record) for rule in self.rules)


@dataclass(frozen=True, slots=True)
class Not:
    """``rule`` does not hold."""

    rule: Rule

    def holds(self, viewer: "Viewer", record: Any) -> bool:
        return not self.rule.holds(viewer, record)
