"""What outside services are told of an event, and who may be told. Pure.

An event becomes a line of the changes feed with what :mod:`shared.events.public` lets out. Who may read it
is decided when it is read: by the dataset's visibility now and by its visibility when it happened, so that
neither a record that was hidden since nor the hidden past of a public record is told. Who saw a record and
may see it no longer is told that it was withdrawn, and nothing else.
"""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID, uuid5

from pydantic import BaseModel

from shared.events.alerts import AlertChanged, AlertOpened, AlertResolved
from shared.events.catalog import (
    DatasetChanged,
    DatasetRegistered,
    DatasetRetired,
    Visibility,
    known_visibility,
)
from shared.events.envelope import Event
from shared.events.governance import (
    SharingRequestApproved,
    SharingRequestDenied,
    SharingRequestReturned,
    SharingRequestState,
    SharingRequestSubmitted,
    SharingRequestWithdrawn,
)
from shared.events.public import public_data
from shared.events.quality import MeasurementRecorded
from shared.events.usage import RollupUpdated

Audience = Literal["dataset", "agency", "parties", "former"]
"""Who may read a line: whoever may see the dataset; people of the agency; the requester and who decides;
who could see the dataset as it stood before, and cannot now."""

WITHDRAWN = "nutmeg.catalog.dataset.withdrawn.v1"
"""Told in the feed alone, and without data: the reader may see this dataset no longer."""

_WITHDRAWALS = UUID("6f1c0f5e-5f0b-4b0a-9a3e-0d5a4c6f5b21")
_DATASET = (DatasetRegistered, DatasetChanged, DatasetRetired)
_ALERT = (AlertOpened, AlertChanged, AlertResolved)
_REQUEST = (
    SharingRequestSubmitted,
    SharingRequestReturned,
    SharingRequestApproved,
    SharingRequestDenied,
    SharingRequestWithdrawn,
)


@dataclass(frozen=True, slots=True)
class PublishedVisibility:
    """Who may see a dataset, by its last numbered event."""

    visibility: Visibility
    agency_id: UUID | None


@dataclass(frozen=True, slots=True)
class NewFeedLine:
    """An event on its way into the feed.

    ``visibility`` and ``agency_id`` are those of the dataset when it happened; None of both for events that
    do not carry them. ``person_id`` is the requester of a sharing request. Of audience "former" they
    are those that the dataset had before the event.
    """

    event: Event
    audience: Audience
    dataset_id: UUID
    visibility: Visibility | None
    agency_id: UUID | None
    person_id: UUID | None
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FeedLine:
    """One numbered line as it is read."""

    sequence: int
    dataset_id: UUID
    event_id: str
    event_type: str
    event_source: str
    subject: str
    subjectversion: int | None
    correlationid: str | None
    happened_at: datetime
    data: Mapping[str, Any]


def feed_line(event: Event) -> NewFeedLine | None:
    """The line for an event; None for a tombstone and for what the feed does not tell."""
    data = event.data
    if isinstance(data, _DATASET):
        dataset = data.dataset
        told = public_data(event.type, data)
        if isinstance(data, DatasetChanged) and data.changed_fields and not told["changed_fields"]:
            return None  # a new steward, say: nothing of that leaves
        return NewFeedLine(
            event,
            "dataset",
            dataset.dataset_id,
            known_visibility(dataset.visibility),
            dataset.agency_id,
            None,
            told,
        )
    if isinstance(data, MeasurementRecorded):
        return _of_dataset(event, data.measurement.dataset_id, data)
    if isinstance(data, RollupUpdated) and data.rollup.granularity == "day":
        return _of_dataset(event, data.rollup.dataset_id, data)
    if isinstance(data, _ALERT):
        alert = data.alert
        told = public_data(event.type, data)
        return NewFeedLine(event, "agency", alert.dataset_id, None, alert.agency_id, None, told)
    if isinstance(data, _REQUEST):
        request: SharingRequestState = data.request
        return NewFeedLine(
            event,
            "parties",
            request.dataset_id,
            None,
            request.agency_id,
            request.requester_id,
            public_data(event.type, data),
        )
    return None


def with_withdrawals(
    lines: Sequence[NewFeedLine], standings: MutableMapping[UUID, PublishedVisibility]
) -> Iterator[NewFeedLine]:
    """The lines, each followed by a withdrawal where some who could see the dataset may have lost it.

    ``standings`` are those before the first line, by dataset; afterwards they are those after the last. Who
    has lost it is decided when the line is read. A retired dataset is no loss of sight: that is told itself.
    """
    for line in lines:
        yield line
        if line.audience != "dataset" or line.visibility is None:
            continue
        before = standings.get(line.dataset_id)
        now = standings[line.dataset_id] = PublishedVisibility(line.visibility, line.agency_id)
        if before is not None and before != now and now.visibility != "public":
            yield replace(
                line,
                audience="former",
                visibility=before.visibility,
                agency_id=before.agency_id,
                data={},
            )


def withdrawal_id(event_id: str) -> str:
    """The id of the withdrawal that an event brings: the same however often it is made."""
    return str(uuid5(_WITHDRAWALS, event_id))


def cloud_event(line: FeedLine) -> dict[str, Any]:
    """The line as a CloudEvent in structured JSON form (CloudEvents 1.0, JSON event format).

    The data is brought into its public form here too: what was stored under a wider one does not leave.
    The line's number is not told: between the numbers of two lines lie those that the reader may not see.
    """
    told: dict[str, Any] = {
        "specversion": "1.0",
        "id": line.event_id,
        "type": line.event_type,
        "source": line.event_source,
        "subject": line.subject,
        "time": line.happened_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "subjectversion": line.subjectversion,
    }
    if line.event_type != WITHDRAWN:
        told |= {
            "datacontenttype": "application/json",
            "correlationid": line.correlationid,
            "data": public_data(line.event_type, line.data),
        }
    return {name: value for name, value in told.items() if value is not None}


def _of_dataset(event: Event, dataset_id: UUID, data: BaseModel) -> NewFeedLine:
    told = public_data(event.type, data)
    return NewFeedLine(event, "dataset", dataset_id, None, None, None, told)
