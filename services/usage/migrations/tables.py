"""Usage's tables. The first migration creates them; delivery and read-model tables are the shared ones."""

from sqlalchemy import BigInteger, Column, Date, Index, Integer, MetaData, String, Table, Text, Uuid

from services.usage.counts.domain.counter import COUNT_NAMES
from shared.datasets.read_model import known_datasets_table
from shared.http.idempotency import idempotency_table
from shared.identity.principals import principals_table
from shared.store.delivery_tables import delivery_tables
from shared.store.types import Blob, JSONDocument, UTCDateTime

METADATA = MetaData()
DELIVERY = delivery_tables(METADATA)
KNOWN_DATASETS = known_datasets_table(METADATA)
PRINCIPALS = principals_table(METADATA)
IDEMPOTENCY = idempotency_table(METADATA)

# How a hit may name a dataset other than by its id: "id:<identifier>" or "url:<landing page>".
DATASET_NAMES = Table(
    "dataset_names",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("dataset_id", Uuid, primary_key=True),
)
Index("ix_dataset_names_dataset_id", DATASET_NAMES.c.dataset_id)

VISITOR_SALTS = Table(
    "visitor_salts",
    METADATA,
    Column("day", Date, primary_key=True),
    Column("salt", Blob, nullable=False),
    Column("made_on", Date, nullable=False),
)

ACCEPTED_HITS = Table(
    "accepted_hits",
    METADATA,
    Column("hit_id", String(36), primary_key=True),
    Column("accepted_at", UTCDateTime, nullable=False),
)
Index("ix_accepted_hits_accepted_at", ACCEPTED_HITS.c.accepted_at)

# The key is "<visitor hash>/<dataset id>" in one column: SQLite searches an index for a list of values, but
# scans the table for a list of pairs.
CLICK_SESSIONS = Table(
    "click_sessions",
    METADATA,
    Column("session_key", String(101), primary_key=True),
    Column("runs", JSONDocument, nullable=False),
    Column("touched_at", UTCDateTime, nullable=False),
)
Index("ix_click_sessions_touched_at", CLICK_SESSIONS.c.touched_at)

ROLLUPS = Table(
    "rollups",
    METADATA,
    Column("dataset_id", Uuid, primary_key=True),
    Column("granularity", String(10), primary_key=True),
    Column("window_start", UTCDateTime, primary_key=True),
    *(Column(name, Integer, nullable=False) for name in COUNT_NAMES),
    Column("revision", BigInteger, nullable=False),
    Column("changed_at", UTCDateTime, nullable=False),
    Column("unpublished_since", UTCDateTime, nullable=True),
)
Index("ix_rollups_window", ROLLUPS.c.granularity, ROLLUPS.c.window_start)
Index(
    "ix_rollups_unpublished",
    ROLLUPS.c.unpublished_since,
    sqlite_where=ROLLUPS.c.unpublished_since.is_not(None),
    postgresql_where=ROLLUPS.c.unpublished_since.is_not(None),
)

# Days on which the installation was counting; a day without a row is unknown, not zero.
COUNTED_DAYS = Table(
    "counted_days",
    METADATA,
    Column("day", Date, primary_key=True),
    Column("uses", BigInteger, nullable=False),
    Column("counted_until", UTCDateTime, nullable=True),
)

# Since when a dataset's use is known, and when it is to be looked at for spikes and silence.
WATCHED_DATASETS = Table(
    "watched_datasets",
    METADATA,
    Column("dataset_id", Uuid, primary_key=True),
    Column("counted_since", Date, nullable=False),
    Column("due_at", UTCDateTime, nullable=False),
)
Index("ix_watched_datasets_due_at", WATCHED_DATASETS.c.due_at)

ALERTS = Table(
    "alerts",
    METADATA,
    Column("alert_id", Uuid, primary_key=True),
    Column("dataset_id", Uuid, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("state", String(20), nullable=False),
    Column("first_day", Date, nullable=False),
    Column("document", JSONDocument, nullable=False),
    Column("version", Integer, nullable=False),
    Column("resolved_at", UTCDateTime, nullable=True),
)
Index("ix_alerts_dataset_id", ALERTS.c.dataset_id, ALERTS.c.state)
Index("ix_alerts_resolved_at", ALERTS.c.resolved_at)
