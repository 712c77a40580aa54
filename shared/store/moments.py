"""Moments kept in rows, compared with a clock that may have been set back since."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, or_

__all__ = ["has_come"]


def has_come(moment: ColumnElement[Any], now: datetime, *, longest: timedelta) -> ColumnElement[bool]:
    """Return the condition that ``moment`` has come.

    Nothing is put off by more than ``longest``. A moment that lies further ahead was written before the clock
    was set back; it counts as come, so that no lease or wait lasts hours longer than it was meant to.
    """
    return or_(moment <= now, moment > now + longest)
