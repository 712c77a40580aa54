"""``column IN (many values)`` as one parameter: no limit on their number, and one compiled statement.

SQLAlchemy's expanding IN writes a name for each value into the statement, each time; for batches of 500 that
took longer than the query itself.
"""

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import ARRAY, ColumnElement, any_, bindparam, func, literal, select

__all__ = ["in_list", "in_list_parameter", "list_values"]


def in_list(
    column: ColumnElement[Any], values: Sequence[str] | Sequence[int], dialect: str
) -> ColumnElement[bool]:
    """Tell whether ``column`` is one of ``values``, on the dialect of that name."""
    given = list_values(values, dialect)
    return _among(column, literal(given, ARRAY(column.type)) if dialect == "postgresql" else literal(given))


def in_list_parameter(column: ColumnElement[Any], name: str, dialect: str) -> ColumnElement[bool]:
    """For a statement that is kept: the parameter ``name`` takes what :func:`list_values` returns."""
    is_postgres = dialect == "postgresql"
    return _among(column, bindparam(name, type_=ARRAY(column.type)) if is_postgres else bindparam(name))


def list_values(values: Sequence[str] | Sequence[int], dialect: str) -> Any:
    """Return values as one parameter of that dialect."""
    return list(values) if dialect == "postgresql" else orjson.dumps(list(values)).decode()


def _among(column: ColumnElement[Any], given: ColumnElement[Any]) -> ColumnElement[bool]:
    if isinstance(given.type, ARRAY):
        return column == any_(given)
    return column.in_(select(func.json_each(given).table_valued("value").c.value))
