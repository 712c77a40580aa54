"""Moments kept in rows, compared with a clock that may have been set back since."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, or_

__all__ = ["is_due", "is_due_by"]


def is_due(moment: ColumnElement[Any], now: datetime, *, longest: timedelta) -> ColumnElement[bool]:
    """Return the condition that ``moment`` has come.

    Nothing is put off by more than ``longest``. A moment that lies further ahead was written before the clock
    was set back; it counts as come, so that no lease or wait lasts hours longer than it was meant to.
    """
    return is_due_by(moment, now, latest=now + longest)


def is_due_by(moment: ColumnElement[Any], now: Any, *, latest: Any) -> ColumnElement[bool]:
    """As :func:`is_due`, for a statement that is kept: ``now`` and ``latest`` may be its parameters.

    ``latest`` is the last moment to which anything can have been put off.
    """
    return or_(moment <= now, moment > latest)
