"""Governance's tables, created by its migrations. Those of delivery and the read model are shared ones."""

from sqlalchemy import (
    Boolean,
    Column,
    Date,
    ForeignKey,
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

AGENCIES = Table(
    "agencies",
    METADATA,
    Column("agency_id", Uuid, primary_key=True),
    Column("code", String(40), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("changed_at", UTCDateTime, nullable=False),
)

AGENCY_ALIASES = Table(
    "agency_aliases",
    METADATA,
    Column("normalised", Text, primary_key=True),
    Column("spelling", Text, nullable=False),
    Column("agency_id", Uuid, ForeignKey("agencies.agency_id"), nullable=False, index=True),
    Column("rule", String(60), nullable=False),
    Column("settled_at", UTCDateTime, nullable=False),
)

OPEN_PUBLISHERS = Table(
    "open_publishers",
    METADATA,
    Column("normalised", Text, primary_key=True),
    Column("spelling", Text, nullable=False),
    Column("candidates", JSONDocument, nullable=False),
    Column("first_seen_at", UTCDateTime, nullable=False),
)

PEOPLE = Table(
    "people",
    METADATA,
    Column("person_id", Uuid, primary_key=True),
    Column("email", Text, nullable=True, unique=True),
    Column("display_name", Text, nullable=True),
    Column("tokens_valid_from", UTCDateTime, nullable=True),
    Column("version", Integer, nullable=False),
    Column("changed_at", UTCDateTime, nullable=False),
    Column("erased", Boolean, nullable=False, default=False),
)

GRANTS = Table(
    "grants",
    METADATA,
    Column("grant_id", Integer, primary_key=True, autoincrement=True),
    Column("person_id", Uuid, ForeignKey("people.person_id"), nullable=False, index=True),
    Column("role", String(40), nullable=False),
    Column("agency_id", Uuid, ForeignKey("agencies.agency_id"), nullable=True),
    UniqueConstraint("person_id", "role", "agency_id"),
)

TOKENS = Table(
    "tokens",
    METADATA,
    Column("token_id", String(40), primary_key=True),
    Column("person_id", Uuid, nullable=False, index=True),
    Column("label", String(120), nullable=False),
    Column("issued_at", UTCDateTime, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False),
    Column("revoked_at", UTCDateTime, nullable=True),
    Column("issued_by", Uuid, nullable=True),
    Column("scopes", JSONDocument, nullable=False),
)

SIGN_IN_CODES = Table(
    "sign_in_codes",
    METADATA,
    Column("code_sha256", String(64), primary_key=True),
    Column("person_id", Uuid, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False),
    Column("uses_left", Integer, nullable=False),
    Column("issued_by", Uuid, nullable=True),
)

DIRECTORY_AUDIT = Table(
    "directory_audit",
    METADATA,
    Column("line_id", Integer, primary_key=True, autoincrement=True),
    Column("act", String(30), nullable=False),
    Column("actor_id", Uuid, nullable=True, index=True),
    Column("person_id", Uuid, nullable=True, index=True),
    Column("happened_at", UTCDateTime, nullable=False),
    Column("is_beyond", Boolean, nullable=False),
    Column("details", JSONDocument, nullable=False),
)
"""Who let whom in, who was turned away, what was changed: ids of people only, so that it may stay when a
person is erased."""

STEWARDSHIPS = Table(
    "stewardships",
    METADATA,
    Column("identifier", Text, primary_key=True),
    Column("agency_id", Uuid, nullable=True),
    Column("steward_id", Uuid, nullable=True),
    Column("accrual_periodicity", String(60), nullable=True),
    Column("data_updated_on", Date, nullable=True),
    Column("access_level", String(30), nullable=True),
    Column("visibility", String(20), nullable=True),
    Column("version", Integer, nullable=False),
)

SHARING_REQUESTS = Table(
    "sharing_requests",
    METADATA,
    Column("request_id", Uuid, primary_key=True),
    Column("dataset_id", Uuid, nullable=False, index=True),
    Column("dataset_title", Text, nullable=False),
    Column("agency_id", Uuid, nullable=True, index=True),
    Column("requester_id", Uuid, nullable=False, index=True),
    Column("status", String(20), nullable=False),
    Column("purpose", Text, nullable=False),
    Column("data_wanted", Text, nullable=False),
    Column("legal_basis", Text, nullable=True),
    Column("retention", Text, nullable=True),
    Column("submitted_at", UTCDateTime, nullable=False),
    Column("changed_at", UTCDateTime, nullable=False),
    Column("due_on", Date, nullable=False),
    Column("decided_by", Uuid, nullable=True),
    Column("decision_reason", Text, nullable=True),
    Column("version", Integer, nullable=False),
)

SHARING_STEPS = Table(
    "sharing_steps",
    METADATA,
    Column("step_id", Integer, primary_key=True, autoincrement=True),
    Column("request_id", Uuid, ForeignKey("sharing_requests.request_id"), nullable=False),
    Column("action", String(20), nullable=False),
    Column("person_id", Uuid, nullable=False),
    Column("reason", Text, nullable=True),
    Column("happened_at", UTCDateTime, nullable=False),
    Column("event_id", String(40), nullable=False),
)
Index("ix_sharing_steps_request", SHARING_STEPS.c.request_id, SHARING_STEPS.c.step_id)
