"""Every event type: its name, its payload, and the topic that carries it.

The name is ``nutmeg.<service>.<subject>.<past-tense verb>.v<major>``. A new major version gets an entry
of its own and an upcaster here, for as long as a compacted topic may hold the old one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared.events import alerts, catalog, governance, notify, quality, usage
from shared.events.model import EventModel
from shared.events.topics import TOPICS, Topic

__all__ = ["EVENT_TYPES", "UPCASTERS", "EventType", "Upcaster"]


@dataclass(frozen=True, slots=True)
class EventType:
    """One kind of event. ``source`` is the CloudEvents ``source`` of its owner."""

    name: str
    model: type[EventModel]
    topic: Topic

    @property
    def owner(self) -> str:
        """The service that emits it: the second part of the name."""
        return self.name.split(".")[1]

    @property
    def source(self) -> str:
        return f"/nutmeg/{self.owner}"

    @property
    def schema_path(self) -> str:
        """Where the committed JSON Schema snapshot stands, below ``shared/events/schemas``."""
        return f"{self.name}.json"


EVENT_TYPES: dict[str, EventType] = {}


def _register(name: str, model: type[EventModel], topic: str) -> EventType:
    event_type = EventType(name, model, TOPICS[topic])
    EVENT_TYPES[name] = event_type
    return event_type


DATASET_REGISTERED = _register(
    "nutmeg.catalog.dataset.registered.v1", catalog.DatasetRegistered, "catalog.datasets"
)
DATASET_CHANGED = _register("nutmeg.catalog.dataset.changed.v1", catalog.DatasetChanged, "catalog.datasets")
DATASET_RETIRED = _register("nutmeg.catalog.dataset.retired.v1", catalog.DatasetRetired, "catalog.datasets")
PUBLIC_DATASET_PUBLISHED = _register(
    "nutmeg.catalog.public-dataset.published.v1", catalog.PublicDatasetPublished, "catalog.public"
)
HARVEST_COMPLETED = _register(
    "nutmeg.catalog.harvest.completed.v1", catalog.HarvestCompleted, "catalog.notices"
)
HARVEST_HELD = _register("nutmeg.catalog.harvest.held.v1", catalog.HarvestHeld, "catalog.notices")
AGENCY_CHANGED = _register(
    "nutmeg.governance.agency.changed.v1", governance.AgencyChanged, "directory.agencies"
)
PERSON_CHANGED = _register(
    "nutmeg.governance.person.changed.v1", governance.PersonChanged, "directory.people"
)
STEWARDSHIP_CHANGED = _register(
    "nutmeg.governance.stewardship.changed.v1", governance.StewardshipChanged, "directory.stewardships"
)
SHARING_REQUEST_SUBMITTED = _register(
    "nutmeg.governance.sharing-request.submitted.v1", governance.SharingRequestSubmitted, "sharing.requests"
)
SHARING_REQUEST_RETURNED = _register(
    "nutmeg.governance.sharing-request.returned.v1", governance.SharingRequestReturned, "sharing.requests"
)
SHARING_REQUEST_APPROVED = _register(
    "nutmeg.governance.sharing-request.approved.v1", governance.SharingRequestApproved, "sharing.requests"
)
SHARING_REQUEST_DENIED = _register(
    "nutmeg.governance.sharing-request.denied.v1", governance.SharingRequestDenied, "sharing.requests"
)
SHARING_REQUEST_WITHDRAWN = _register(
    "nutmeg.governance.sharing-request.withdrawn.v1", governance.SharingRequestWithdrawn, "sharing.requests"
)
SHARING_REQUEST_REDACTED = _register(
    "nutmeg.governance.sharing-request.redacted.v1", governance.SharingRequestRedacted, "sharing.requests"
)
HIT_RECORDED = _register("nutmeg.usage.hit.recorded.v1", usage.HitRecorded, "usage.hits")
ROLLUP_UPDATED = _register("nutmeg.usage.rollup.updated.v1", usage.RollupUpdated, "usage.rollups")
USAGE_ALERT_OPENED = _register("nutmeg.usage.alert.opened.v1", alerts.AlertOpened, "usage.alerts")
USAGE_ALERT_CHANGED = _register("nutmeg.usage.alert.changed.v1", alerts.AlertChanged, "usage.alerts")
USAGE_ALERT_RESOLVED = _register("nutmeg.usage.alert.resolved.v1", alerts.AlertResolved, "usage.alerts")
MEASUREMENT_RECORDED = _register(
    "nutmeg.quality.measurement.recorded.v1", quality.MeasurementRecorded, "quality.measurements"
)
QUALITY_ALERT_OPENED = _register("nutmeg.quality.alert.opened.v1", alerts.AlertOpened, "quality.alerts")
QUALITY_ALERT_CHANGED = _register("nutmeg.quality.alert.changed.v1", alerts.AlertChanged, "quality.alerts")
QUALITY_ALERT_RESOLVED = _register("nutmeg.quality.alert.resolved.v1", alerts.AlertResolved, "quality.alerts")
BASELINE_SUMMARISED = _register(
    "nutmeg.quality.baseline.summarised.v1", quality.BaselineSummarised, "quality.notices"
)
DELIVERY_SENT = _register("nutmeg.notify.delivery.sent.v1", notify.DeliverySent, "notify.deliveries")
DELIVERY_DEFERRED = _register(
    "nutmeg.notify.delivery.deferred.v1", notify.DeliveryDeferred, "notify.deliveries"
)
DELIVERY_DEAD = _register("nutmeg.notify.delivery.dead.v1", notify.DeliveryDead, "notify.deliveries")
ALERT_ACKNOWLEDGED = _register(
    "nutmeg.notify.alert.acknowledged.v1", notify.AlertAcknowledged, "notify.acknowledgements"
)

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]

UPCASTERS: dict[str, tuple[str, Upcaster]] = {}
"""Old type name → (new type name, pure function from the old payload to the new one)."""
