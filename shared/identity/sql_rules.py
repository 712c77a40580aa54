"""The other face of a rule: the condition of a query."""

from collections.abc import Collection
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import ColumnElement, and_, false, not_, or_, true

from shared.identity.rules import AllOf, AnyOf, FieldIn, HoldsRole, IsPerson, Not, Rule, WorksFor
from shared.identity.viewer import Viewer

__all__ = ["Columns", "condition"]


class Columns(Protocol):
    """Columns by the rule's names of fields: a table's ``c``, or a dictionary."""

    def __getitem__(self, name: str, /) -> Any: ...


def condition(rule: Rule, viewer: Viewer, columns: Columns) -> ColumnElement[bool]:
    """Return what ``rule`` says of ``viewer`` as a condition on ``columns``, by the rule's names of fields.

    It is true or false, never unknown, so that it may be negated. Raises ``KeyError`` for a field without a
    column.
    """
    match rule:
        case HoldsRole():
            return _holds_role(rule, viewer, columns)
        case WorksFor():
            return _works_for(rule, viewer, columns)
        case IsPerson(field):
            column = columns[field]
            if viewer.person_id is None:
                return false()
            return and_(column.is_not(None), column == viewer.person_id)
        case FieldIn(field, values):
            column = columns[field]
            return and_(column.is_not(None), column.in_(sorted(map(str, values))))
        case AllOf(rules):
            return and_(true(), *(condition(each, viewer, columns) for each in rules))
        case AnyOf(rules):
            return or_(false(), *(condition(each, viewer, columns) for each in rules))
        case Not(inner):
            return not_(condition(inner, viewer, columns))
    raise TypeError(f"{rule!r} is no kind of rule that a query can hold")


def _holds_role(rule: HoldsRole, viewer: Viewer, columns: Columns) -> ColumnElement[bool]:
    grants = [grant for grant in viewer.grants if grant.role in rule.roles]
    if rule.agency is None:
        return true() if grants else false()
    if any(grant.agency_id is None for grant in grants):
        return true()
    return _one_of(columns[rule.agency], {grant.agency_id for grant in grants if grant.agency_id is not None})


def _works_for(rule: WorksFor, viewer: Viewer, columns: Columns) -> ColumnElement[bool]:
    if rule.agency is None:
        return true() if viewer.sees_government else false()
    if viewer.sees_all_agencies:
        return true()
    return _one_of(columns[rule.agency], viewer.agency_ids)


def _one_of(column: Any, agency_ids: Collection[UUID]) -> ColumnElement[bool]:
    return and_(column.is_not(None), column.in_(sorted(agency_ids))) if agency_ids else false()
