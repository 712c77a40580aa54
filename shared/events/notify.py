"""What notify tells: what became of each message, and who acknowledged what.

Topics: ``notify.deliveries`` and ``notify.acknowledgements``. Person ids only, never addresses.
"""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from shared.events.model import EventModel

__all__ = ["AlertAcknowledged", "Delivery", "DeliveryDead", "DeliveryDeferred", "DeliverySent"]


class Delivery(EventModel):
    """One message to one person over one channel, with its real result."""

    delivery_id: UUID
    about_id: UUID = Field(description="the alert, request or notice that the message is about")
    about_kind: str = Field(description="alert, sharing-request or notice")
    dataset_id: UUID | None = None
    person_id: UUID
    channel: str = Field(description="email, maildir or inbox")
    attempts: int
    result: str = Field(description="the server's own words, bounded, without addresses")
    occurred_at: datetime


class DeliverySent(EventModel):
    """The receiving server accepted the message."""

    delivery: Delivery


class DeliveryDeferred(EventModel):
    """It did not work this time; it will be tried again."""

    delivery: Delivery
    next_attempt_at: datetime


class DeliveryDead(EventModel):
    """It will not be tried again; an operator sees it."""

    delivery: Delivery


class AlertAcknowledged(EventModel):
    """A person took charge of an alert in the inbox."""

    alert_id: UUID
    owner_topic: str = Field(description="the alerts topic it belongs to, e.g. quality.alerts")
    dataset_id: UUID
    acknowledged_by: UUID
    acknowledged_at: datetime
    note: str | None = None
