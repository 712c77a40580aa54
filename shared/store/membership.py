"""``column IN (many values)`` as one parameter: no limit on their number, and one compiled statement.

SQLAlchemy's expanding IN writes a name for each value into the statement, each time; for batches of 500 that
took longer than the query itself.
"""

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import ARRAY, ColumnElement, any_, func, literal, select

__all__ = ["any_of"]


def any_of(
    column: ColumnElement[Any], values: Sequence[str] | Sequence[int], dialect: str
) -> ColumnElement[bool]:
    """Tell whether ``column`` is one of ``values``, on the dialect of that name."""
    if dialect == "postgresql":
        return column == any_(literal(list(values), ARRAY(column.type)))
    given = func.json_each(literal(orjson.dumps(list(values)).decode())).table_valued("value")
    return column.in_(select(given.c.value))
