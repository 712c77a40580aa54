"""Base of every event payload."""

from pydantic import BaseModel, ConfigDict

__all__ = ["EventModel"]


class EventModel(BaseModel):
    """Immutable, and tolerant of fields that this version does not know yet."""

    model_config = ConfigDict(frozen=True, extra="ignore")
