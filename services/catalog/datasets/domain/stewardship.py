"""What the state knows of a dataset beyond its source: who owns it, and what the owner decided."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.catalog.datasets.domain.differences import changed_fields
from shared.events.catalog import AccessLevel, DatasetState, Visibility


@dataclass(frozen=True, slots=True)
class Stewardship:
    """Facts from governance on one dataset. None means that governance says nothing and the source stands."""

    agency_id: UUID | None = None
    agency_name: str | None = None
    steward_id: UUID | None = None
    access_level: AccessLevel | None = None
    visibility: Visibility | None = None
    accrual_periodicity: str | None = None
    data_updated_at: datetime | None = None


def merge_stewardship(state: DatasetState, stewardship: Stewardship) -> DatasetState:
    """What governance says laid over what the source says; ``state`` itself if nothing differs.

    Give the state as built from the source: a decision that was withdrawn cannot be told from an old merge.
    Of two times of the last update the later stands, as each side may have missed one.
    """
    decided: dict[str, object] = {
        name: value for name in Stewardship.__slots__ if (value := getattr(stewardship, name)) is not None
    }
    if state.data_updated_at is not None and stewardship.data_updated_at is not None:
        decided["data_updated_at"] = max(state.data_updated_at, stewardship.data_updated_at)
    merged = state.model_copy(update=decided)
    return merged if changed_fields(state, merged) else state
