"""Catalog's tables, created by its first migration. Those of delivery and of people are shared ones."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    Uuid,
)

from shared.identity.principals import principals_table
from shared.store.delivery_tables import delivery_tables
from shared.store.types import Blob, JSONDocument, UTCDateTime

METADATA = MetaData()
DELIVERY = delivery_tables(METADATA)
PRINCIPALS = principals_table(METADATA)

SOURCES = Table(
    "sources",
    METADATA,
    Column("source_id", String(200), primary_key=True),
    Column("url", Text, nullable=True),
    Column("publisher_name", Text, nullable=False),
    Column("contact_name", Text, nullable=False),
    Column("contact_email", Text, nullable=False),
    Column("is_sample", Boolean, nullable=False),
    Column("etag", Text, nullable=True),
    Column("last_modified", Text, nullable=True),
)

HARVESTS = Table(
    "harvests",
    METADATA,
    Column("harvest_id", Uuid, primary_key=True),
    Column("source_id", String(200), ForeignKey("sources.source_id"), nullable=False),
    Column("url", Text, nullable=True),
    Column("confirmed", Boolean, nullable=False),
    Column("status", String(20), nullable=False),
    Column("first_harvest", Boolean, nullable=False),
    Column("processed", Integer, nullable=False),
    Column("total", Integer, nullable=True),
    Column("created", Integer, nullable=False),
    Column("changed", Integer, nullable=False),
    Column("unchanged", Integer, nullable=False),
    Column("retired", Integer, nullable=False),
    Column("rejected", Integer, nullable=False),
    Column("known", Integer, nullable=True),
    Column("missing", Integer, nullable=True),
    Column("message", Text, nullable=True),
    Column("etag", Text, nullable=True),
    Column("last_modified", Text, nullable=True),
    Column("requested_at", UTCDateTime, nullable=False),
    Column("started_at", UTCDateTime, nullable=True),
    Column("completed_at", UTCDateTime, nullable=True),
    Column("lease_until", UTCDateTime, nullable=True),
    Column("attempts", Integer, nullable=False),
)
Index("ix_harvests_status", HARVESTS.c.status, HARVESTS.c.requested_at)
Index("ix_harvests_source", HARVESTS.c.source_id, HARVESTS.c.requested_at)

HARVEST_REJECTIONS = Table(
    "harvest_rejections",
    METADATA,
    Column("rejection_id", Integer, primary_key=True, autoincrement=True),
    Column("harvest_id", Uuid, ForeignKey("harvests.harvest_id"), nullable=False, index=True),
    Column("record", JSONDocument, nullable=False),
)

DATASETS = Table(
    "datasets",
    METADATA,
    Column("dataset_id", Uuid, primary_key=True),
    Column("source_id", String(200), nullable=False),
    Column("identifier", Text, nullable=False, index=True),
    Column("title", Text, nullable=False),
    Column("publisher_normalised", Text, nullable=False, index=True),
    Column("agency_id", Uuid, nullable=True, index=True),
    Column("steward_id", Uuid, nullable=True),
    Column("visibility", String(20), nullable=False),
    Column("access_level", String(30), nullable=False),
    Column("retired", Boolean, nullable=False),
    Column("retired_at", UTCDateTime, nullable=True),
    Column("retired_reason", Text, nullable=True),
    Column("ended", Boolean, nullable=False),
    Column("content_hash", String(64), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("document_revision", BigInteger, nullable=False),
    Column("indexed_revision", BigInteger, nullable=False),
    Column("quality_score", Float, nullable=True),
    Column("freshness", String(30), nullable=False),
    Column("freshness_reason", Text, nullable=False),
    Column("uses_30d", Integer, nullable=True),
    Column("popularity_bucket", Integer, nullable=False),
    Column("open_alerts", Integer, nullable=False),
    Column("alert_severity", String(20), nullable=True),
    Column("alert_kind", String(80), nullable=True),
    Column("alerts_changed_at", UTCDateTime, nullable=True),
    Column("decisions", JSONDocument, nullable=False),
    Column("dictionary_from", String(20), nullable=True),
    Column("dictionary", JSONDocument, nullable=False),
    Column("source", JSONDocument, nullable=False),
    Column("state", JSONDocument, nullable=False),
)
Index("ix_datasets_source", DATASETS.c.source_id, DATASETS.c.retired)
Index(
    "ix_datasets_to_index",
    DATASETS.c.dataset_id,
    sqlite_where=DATASETS.c.indexed_revision < DATASETS.c.document_revision,
    postgresql_where=DATASETS.c.indexed_revision < DATASETS.c.document_revision,
)

DATASET_ALIASES = Table(
    "dataset_aliases",
    METADATA,
    Column("source_id", String(200), primary_key=True),
    Column("identifier", Text, primary_key=True),
    Column("dataset_id", Uuid, ForeignKey("datasets.dataset_id"), nullable=False, index=True),
)

AGENCIES = Table(
    "agencies",
    METADATA,
    Column("agency_id", Uuid, primary_key=True),
    Column("code", String(40), nullable=False),
    Column("name", Text, nullable=False),
)

AGENCY_SPELLINGS = Table(
    "agency_spellings",
    METADATA,
    Column("normalised", Text, primary_key=True),
    Column("agency_id", Uuid, nullable=False, index=True),
)

STEWARDSHIPS = Table(
    "stewardships",
    METADATA,
    Column("identifier", Text, primary_key=True),
    Column("stewardship", JSONDocument, nullable=False),
)

MEASUREMENTS = Table(
    "measurements",
    METADATA,
    Column("dataset_id", Uuid, primary_key=True),
    Column("kind", String(40), primary_key=True),
    Column("measurement", JSONDocument, nullable=False),
)

OPEN_ALERTS = Table(
    "open_alerts",
    METADATA,
    Column("alert_id", Uuid, primary_key=True),
    Column("dataset_id", Uuid, nullable=False, index=True),
    Column("kind", String(80), nullable=False),
    Column("severity", String(20), nullable=False),
    Column("cause", Text, nullable=False),
    Column("opened_at", UTCDateTime, nullable=False),
    Column("is_taken", Boolean, nullable=False),
)
"""Alerts of quality and usage that are not resolved, as far as a dataset's page shows them."""

ALERT_DELIVERIES = Table(
    "alert_deliveries",
    METADATA,
    Column("alert_id", Uuid, primary_key=True),
    Column("steward_sent_at", UTCDateTime, nullable=True),
    Column("other_sent_at", UTCDateTime, nullable=True),
    Column("failed_at", UTCDateTime, nullable=True),
)
"""When messages about an alert last arrived, at the steward and at others, and when one last failed for good.

It may be told before its alert and outlives it; no person is named.
"""

USAGE_DAILY = Table(
    "usage_daily",
    METADATA,
    Column("dataset_id", Uuid, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("views", Integer, nullable=False),
    Column("downloads", Integer, nullable=False),
    Column("api_calls", Integer, nullable=False),
)
Index("ix_usage_daily_day", USAGE_DAILY.c.day)

DICTIONARY_FETCHES = Table(
    "dictionary_fetches",
    METADATA,
    Column("dataset_id", Uuid, primary_key=True),
    Column("url", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", UTCDateTime, nullable=True),
    Column("message", Text, nullable=True),
    Column("etag", Text, nullable=True),
    Column("last_modified", Text, nullable=True),
    Column("unended_attempts", Integer, nullable=False),
    Column("parked_at", UTCDateTime, nullable=True),
)
Index("ix_dictionary_fetches_due", DICTIONARY_FETCHES.c.next_attempt_at)

CHANGES = Table(
    "changes",
    METADATA,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("event_id", String(200), nullable=False),
    Column("event_type", String(120), nullable=False),
    Column("event_source", String(200), nullable=False),
    Column("subject", Text, nullable=False),
    Column("subjectversion", BigInteger, nullable=True),
    Column("correlationid", String(200), nullable=True),
    Column("happened_at", UTCDateTime, nullable=False),
    Column("audience", String(20), nullable=False),
    Column("dataset_id", Uuid, nullable=False),
    Column("visibility", String(20), nullable=False),
    Column("agency_id", Uuid, nullable=True),
    Column("person_id", Uuid, nullable=True),
    Column("data", JSONDocument, nullable=False),
)
Index("ix_changes_dataset", CHANGES.c.dataset_id, CHANGES.c.sequence)
Index("ix_changes_happened_at", CHANGES.c.happened_at)

TOLD_STANDINGS = Table(
    "told_standings",
    METADATA,
    Column("dataset_id", Uuid, primary_key=True),
    Column("visibility", String(20), nullable=False),
    Column("agency_id", Uuid, nullable=True),
)
"""Who may see each dataset by its last numbered change: what turns away from that is told as withdrawn."""

FEED_CHUNKS = Table(
    "feed_chunks",
    METADATA,
    Column("harvest_id", Uuid, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("received_at", UTCDateTime, nullable=False),
    Column("content", Blob, nullable=False),
)
"""Feeds on their way from an api to a worker, where these are processes of their own; else empty."""

INDEX_RECONCILES = Table(
    "index_reconciles",
    METADATA,
    Column("index_name", String(40), primary_key=True),
    Column("compared_at", UTCDateTime, nullable=False),
    Column("missing", Integer, nullable=False),
    Column("extra", Integer, nullable=False),
    Column("stale", Integer, nullable=False),
)

CATALOG_REVISION = "catalog"
"""The counter that rises with every write of datasets."""

COUNTERS = Table(
    "counters",
    METADATA,
    Column("name", String(40), primary_key=True),
    Column("value", BigInteger, nullable=False),
)
