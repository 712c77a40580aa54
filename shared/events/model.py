"""Base of every event payload."""

from pydantic import BaseModel, ConfigDict

__all__ = ["EventModel", "PublicModel"]


class EventModel(BaseModel):
    """Immutable, and tolerant of fields that this version does not know yet."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class PublicModel(EventModel):
    """Base of all that leaves. Takes what it names from an internal payload or a stored document, no more.

    What it is made of is public too: a nested internal model would let out its next field.
    """

    model_config = ConfigDict(from_attributes=True)
