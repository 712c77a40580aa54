"""Quality's tables. The first migration creates them; delivery and read-model tables are the shared ones."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)

from shared.datasets.read_model import known_datasets_table
from shared.http.idempotency import idempotency_table
from shared.identity.principals import principals_table
from shared.store.delivery_tables import delivery_tables
from shared.store.types import JSONDocument, UTCDateTime

METADATA = MetaData()
DELIVERY = delivery_tables(METADATA)
KNOWN_DATASETS = known_datasets_table(METADATA)
PRINCIPALS = principals_table(METADATA)
IDEMPOTENCY = idempotency_table(METADATA)

_Identity = BigInteger().with_variant(Integer(), "sqlite")

DATASET_QUALITY = Table(
    "dataset_quality",
    METADATA,
    Column("dataset_id", Uuid, primary_key=True),
    Column("dataset", JSONDocument, nullable=False),
    Column("is_retired", Boolean, nullable=False),
    Column("harvest_id", Uuid, nullable=True, index=True),
    Column("known_at_baseline", JSONDocument, nullable=False),
    Column("baselined", JSONDocument, nullable=False),
    Column("metadata_baseline", JSONDocument, nullable=True),
    Column("link_works", Boolean, nullable=True),
    Column("updated_at", JSONDocument, nullable=False),
    Column("next_check_at", UTCDateTime, nullable=True, index=True),
)

FILES = Table(
    "files",
    METADATA,
    Column("dataset_id", Uuid, primary_key=True),
    Column("baseline", JSONDocument, nullable=True),
    Column("latest", JSONDocument, nullable=True),
    Column("row_counts", JSONDocument, nullable=False),
    Column("url", Text, nullable=True),
    Column("etag", Text, nullable=True),
    Column("last_modified", Text, nullable=True),
)

MEASUREMENTS = Table(
    "measurements",
    METADATA,
    Column("dataset_id", Uuid, primary_key=True),
    Column("kind", String(40), primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("score", Float, nullable=True),
    Column("status", String(20), nullable=True),
    Column("document", JSONDocument, nullable=True),
)
Index("ix_measurements_kind", MEASUREMENTS.c.kind, MEASUREMENTS.c.status)

MEASUREMENT_HISTORY = Table(
    "measurement_history",
    METADATA,
    Column("id", _Identity, primary_key=True, autoincrement=True),
    Column("dataset_id", Uuid, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("score", Float, nullable=True),
    Column("status", String(20), nullable=True),
    Column("reason", Text, nullable=False),
    Column("row_count", BigInteger, nullable=True),
    Column("measured_at", UTCDateTime, nullable=False, index=True),
    UniqueConstraint("dataset_id", "kind", "version"),
)

ALERTS = Table(
    "alerts",
    METADATA,
    Column("alert_id", Uuid, primary_key=True),
    Column("dataset_id", Uuid, nullable=False, index=True),
    Column("kind", String(40), nullable=False),
    Column("column_name", Text, nullable=True),
    Column("severity", String(20), nullable=False),
    Column("state", String(20), nullable=False),
    Column("cause", Text, nullable=False),
    Column("next_act", Text, nullable=False),
    Column("evidence", JSONDocument, nullable=False),
    Column("opened_at", UTCDateTime, nullable=False),
    Column("changed_at", UTCDateTime, nullable=False),
    Column("resolved_at", UTCDateTime, nullable=True),
    Column("acknowledged_at", UTCDateTime, nullable=True),
    Column("acknowledged_by", Uuid, nullable=True),
    Column("occurrences", Integer, nullable=False),
    Column("is_flapping", Boolean, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("ended_at", UTCDateTime, nullable=True),
)
Index("ix_alerts_state", ALERTS.c.state, ALERTS.c.changed_at)

PROFILE_JOBS = Table(
    "profile_jobs",
    METADATA,
    Column("dataset_id", Uuid, primary_key=True),
    Column("url", Text, nullable=False),
    Column("media_type", Text, nullable=True),
    Column("revision", BigInteger, nullable=False),
    Column("state", String(20), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("unended_attempts", Integer, nullable=False),
    Column("link_failures", Integer, nullable=False),
    Column("requested_at", UTCDateTime, nullable=False),
    Column("next_attempt_at", UTCDateTime, nullable=True, index=True),
    Column("leased_until", UTCDateTime, nullable=True),
    Column("reason", Text, nullable=True),
    Column("finished_at", UTCDateTime, nullable=True),
)

FIRST_HARVESTS = Table(
    "first_harvests",
    METADATA,
    Column("harvest_id", Uuid, primary_key=True),
    Column("datasets", Integer, nullable=False),
    Column("completed_at", UTCDateTime, nullable=False),
    Column("summarized_at", UTCDateTime, nullable=True),
)
