"""What the changes feed answers, for its OpenAPI document."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, Union

from pydantic import BaseModel, Field

from shared.events.public import PUBLIC_MODELS

__all__ = ["ChangeDocument", "ChangesDocument"]

if TYPE_CHECKING:
    PublicData = Any
else:
    PublicData = Union[tuple(dict.fromkeys(PUBLIC_MODELS.values()))]  # noqa: UP007 - made of a table


class ChangeDocument(BaseModel):
    """One change as a CloudEvent (CloudEvents 1.0, structured mode)."""

    specversion: str
    id: str
    type: str
    source: str
    subject: str
    time: datetime
    subjectversion: int | None = None
    datacontenttype: str | None = None
    correlationid: str | None = None
    data: PublicData | None = Field(
        default=None, description="By type, as docs/events.md says; absent of what was withdrawn."
    )


class ChangesDocument(BaseModel):
    """One page of changes, oldest first."""

    events: list[ChangeDocument]
    next_cursor: str
    is_last: bool
