"""Notify's tables. Names and addresses of people stand here and in governance, nowhere else."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, MetaData, String, Table, Text, Uuid

from shared.datasets.read_model import known_datasets_table
from shared.identity.principals import principals_table
from shared.store.delivery_tables import delivery_tables
from shared.store.types import JSONDocument, UTCDateTime

METADATA = MetaData()
DELIVERY = delivery_tables(METADATA)
KNOWN_DATASETS = known_datasets_table(METADATA)
PRINCIPALS = principals_table(METADATA)

PEOPLE = Table(
    "people",
    METADATA,
    Column("person_id", Uuid, primary_key=True),
    Column("email", Text, nullable=True),
    Column("display_name", Text, nullable=False),
    Column("grants", JSONDocument, nullable=False),
)

AGENCIES = Table(
    "agencies",
    METADATA,
    Column("agency_id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
)

INBOX_ITEMS = Table(
    "inbox_items",
    METADATA,
    Column("item_id", Uuid, primary_key=True),
    Column("kind", String(80), nullable=False),
    Column("topic", String(120), nullable=False),
    Column("title", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("next_act", Text, nullable=False),
    Column("severity", String(20), nullable=False),
    Column("state", String(20), nullable=False),
    Column("opened_at", UTCDateTime, nullable=False),
    Column("changed_at", UTCDateTime, nullable=False),
    Column("version", Integer, nullable=False),
    Column("dataset_id", Uuid, nullable=True),
    Column("agency_id", Uuid, nullable=True),
    Column("details", JSONDocument, nullable=False),
    Column("acknowledged_by", Uuid, nullable=True),
    Column("occurrences", Integer, nullable=False),
    Column("href", Text, nullable=False),
    Column("links", JSONDocument, nullable=False),
    Column("requester_id", Uuid, nullable=True),
    Column("escalated_occurrence", Integer, nullable=True),
)
Index("ix_inbox_items_state", INBOX_ITEMS.c.state, INBOX_ITEMS.c.changed_at)
Index("ix_inbox_items_dataset", INBOX_ITEMS.c.dataset_id)

DATASET_FRESHNESS = Table(
    "dataset_freshness",
    METADATA,
    Column("dataset_id", Uuid, primary_key=True),
    Column("status", String(30), nullable=False),
)
"""Datasets that are late or out of date, by what quality measured last."""

INBOX_ENTRIES = Table(
    "inbox_entries",
    METADATA,
    Column("item_id", Uuid, ForeignKey("inbox_items.item_id"), primary_key=True),
    Column("person_id", Uuid, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("put_at", UTCDateTime, nullable=False),
)
Index("ix_inbox_entries_person", INBOX_ENTRIES.c.person_id)

NOTIFICATIONS = Table(
    "notifications",
    METADATA,
    Column("notification_id", Uuid, primary_key=True),
    Column("item_id", Uuid, ForeignKey("inbox_items.item_id"), nullable=False, index=True),
    Column("person_id", Uuid, nullable=False),
    Column("change", String(20), nullable=False),
    Column("reason", Text, nullable=False),
    Column("not_before", UTCDateTime, nullable=False),
    Column("delivery_id", Uuid, nullable=True, index=True),
    Column("snapshot", JSONDocument, nullable=True),
)
Index("ix_notifications_waiting", NOTIFICATIONS.c.person_id, NOTIFICATIONS.c.not_before)

DELIVERIES = Table(
    "deliveries",
    METADATA,
    Column("delivery_id", Uuid, primary_key=True),
    Column("person_id", Uuid, nullable=False, index=True),
    Column("channel", String(20), nullable=False),
    Column("state", String(20), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("result", Text, nullable=True),
    Column("created_at", UTCDateTime, nullable=False),
    Column("next_attempt_at", UTCDateTime, nullable=True),
    Column("leased_until", UTCDateTime, nullable=True),
    Column("deaths", Integer, nullable=False),
    Column("finished_at", UTCDateTime, nullable=True),
)
"""``deaths`` counts tries begun since the last one that ended: so many processes said nothing any more."""
Index("ix_deliveries_due", DELIVERIES.c.state, DELIVERIES.c.next_attempt_at)
Index("ix_deliveries_finished", DELIVERIES.c.finished_at)

KEPT_MAIL_CHANGES = Table(
    "kept_mail_changes",
    METADATA,
    Column("delivery_id", Uuid, primary_key=True),
    Column("is_removed", Boolean, nullable=False),
)
"""Messages whose kept copies an erasure has to change or remove."""
