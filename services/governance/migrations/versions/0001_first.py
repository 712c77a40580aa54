"""Create governance's tables."""

import sqlalchemy as sa
from alembic import op

from shared.store import types

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "agencies",
        sa.Column("agency_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.String(length=40), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("changed_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("agency_id"),
        sa.UniqueConstraint("code"),
    )
    op.create_table(
        "applied_versions",
        sa.Column("group_name", sa.String(length=120), nullable=False),
        sa.Column("topic", sa.String(length=120), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("group_name", "topic", "key"),
    )
    op.create_table(
        "dead_letter_acts",
        sa.Column("act_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("dead_letter_id", sa.String(length=36), nullable=False),
        sa.Column("act", sa.String(length=20), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("happened_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("act_id"),
    )
    op.create_index(
        op.f("ix_dead_letter_acts_dead_letter_id"), "dead_letter_acts", ["dead_letter_id"], unique=False
    )
    op.create_table(
        "dead_letter_replays",
        sa.Column("dead_letter_id", sa.String(length=36), nullable=False),
        sa.Column("group_name", sa.String(length=120), nullable=False),
        sa.Column("topic", sa.String(length=120), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("requested_at", types.UTCDateTime(), nullable=False),
        sa.Column("finished_at", types.UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("dead_letter_id"),
    )
    op.create_index(
        "ix_dead_letter_replays_state", "dead_letter_replays", ["group_name", "state"], unique=False
    )
    op.create_table(
        "directory_audit",
        sa.Column("line_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("act", sa.String(length=30), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("person_id", sa.Uuid(), nullable=True),
        sa.Column("happened_at", types.UTCDateTime(), nullable=False),
        sa.Column("is_beyond", sa.Boolean(), nullable=False),
        sa.Column("details", types.JSONDocument(), nullable=False),
        sa.PrimaryKeyConstraint("line_id"),
    )
    op.create_index(op.f("ix_directory_audit_actor_id"), "directory_audit", ["actor_id"], unique=False)
    op.create_index(op.f("ix_directory_audit_person_id"), "directory_audit", ["person_id"], unique=False)
    op.create_table(
        "handled_offsets",
        sa.Column("group_name", sa.String(length=120), nullable=False),
        sa.Column("topic", sa.String(length=120), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.String(length=40), nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("group_name", "topic", "partition"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("viewer", sa.String(length=80), nullable=False),
        sa.Column("route", sa.String(length=200), nullable=False),
        sa.Column("request_hash", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", types.JSONDocument(), nullable=False),
        sa.Column("headers", types.JSONDocument(), nullable=False),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("key", "viewer", "route"),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"], unique=False)
    op.create_table(
        "inbox",
        sa.Column("group_name", sa.String(length=120), nullable=False),
        sa.Column("source", sa.String(length=200), nullable=False),
        sa.Column("event_id", sa.String(length=200), nullable=False),
        sa.Column("topic", sa.String(length=120), nullable=False),
        sa.Column("handled_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("group_name", "source", "event_id"),
    )
    op.create_index("ix_inbox_handled_at", "inbox", ["topic", "handled_at"], unique=False)
    op.create_table(
        "known_datasets",
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.String(length=200), nullable=False),
        sa.Column("identifier", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("publisher_name", sa.Text(), nullable=True),
        sa.Column("agency_id", sa.Uuid(), nullable=True),
        sa.Column("agency_name", sa.Text(), nullable=True),
        sa.Column("steward_id", sa.Uuid(), nullable=True),
        sa.Column("visibility", sa.String(length=20), nullable=False),
        sa.Column("access_level", sa.String(length=30), nullable=False),
        sa.Column("landing_page", sa.Text(), nullable=True),
        sa.Column("retired", sa.Boolean(), nullable=False),
        sa.Column("changed_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("dataset_id"),
    )
    op.create_index(op.f("ix_known_datasets_agency_id"), "known_datasets", ["agency_id"], unique=False)
    op.create_index(op.f("ix_known_datasets_steward_id"), "known_datasets", ["steward_id"], unique=False)
    op.create_table(
        "log_marks",
        sa.Column("topic", sa.String(length=120), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.String(length=40), nullable=False),
        sa.Column("acknowledged_offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition"),
    )
    op.create_table(
        "open_publishers",
        sa.Column("normalised", sa.Text(), nullable=False),
        sa.Column("spelling", sa.Text(), nullable=False),
        sa.Column("candidates", types.JSONDocument(), nullable=False),
        sa.Column("first_seen_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("normalised"),
    )
    op.create_table(
        "outbox",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("topic", sa.String(length=120), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("partition_key", sa.Text(), nullable=False),
        sa.Column("headers", types.JSONDocument(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.Column("published_at", types.UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_outbox_published_at", "outbox", ["published_at"], unique=False)
    op.create_index(
        "ix_outbox_unpublished",
        "outbox",
        ["id", "shard"],
        unique=False,
        sqlite_where=sa.text("published_at IS NULL"),
        postgresql_where=sa.text("published_at IS NULL"),
    )
    op.create_table(
        "people",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("display_name", sa.Text(), nullable=True),
        sa.Column("tokens_valid_from", types.UTCDateTime(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("changed_at", types.UTCDateTime(), nullable=False),
        sa.Column("erased", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("person_id"),
        sa.UniqueConstraint("email"),
    )
    op.create_table(
        "principals",
        sa.Column("person_id", sa.String(length=36), nullable=False),
        sa.Column("grants", types.JSONDocument(), nullable=False),
        sa.Column("tokens_valid_from", types.UTCDateTime(), nullable=True),
        sa.Column("revoked_token_ids", types.JSONDocument(), nullable=False),
        sa.PrimaryKeyConstraint("person_id"),
    )
    op.create_table(
        "sharing_requests",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("dataset_title", sa.Text(), nullable=False),
        sa.Column("agency_id", sa.Uuid(), nullable=True),
        sa.Column("requester_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("data_wanted", sa.Text(), nullable=False),
        sa.Column("legal_basis", sa.Text(), nullable=True),
        sa.Column("retention", sa.Text(), nullable=True),
        sa.Column("submitted_at", types.UTCDateTime(), nullable=False),
        sa.Column("changed_at", types.UTCDateTime(), nullable=False),
        sa.Column("due_on", sa.Date(), nullable=False),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        sa.Column("decision_reason", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("request_id"),
    )
    op.create_index(op.f("ix_sharing_requests_agency_id"), "sharing_requests", ["agency_id"], unique=False)
    op.create_index(op.f("ix_sharing_requests_dataset_id"), "sharing_requests", ["dataset_id"], unique=False)
    op.create_index(
        op.f("ix_sharing_requests_requester_id"), "sharing_requests", ["requester_id"], unique=False
    )
    op.create_table(
        "sign_in_codes",
        sa.Column("code_sha256", sa.String(length=64), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("expires_at", types.UTCDateTime(), nullable=False),
        sa.Column("uses_left", sa.Integer(), nullable=False),
        sa.Column("issued_by", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("code_sha256"),
    )
    op.create_table(
        "stewardships",
        sa.Column("identifier", sa.Text(), nullable=False),
        sa.Column("agency_id", sa.Uuid(), nullable=True),
        sa.Column("steward_id", sa.Uuid(), nullable=True),
        sa.Column("accrual_periodicity", sa.String(length=60), nullable=True),
        sa.Column("data_updated_on", sa.Date(), nullable=True),
        sa.Column("access_level", sa.String(length=30), nullable=True),
        sa.Column("visibility", sa.String(length=20), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("identifier"),
    )
    op.create_table(
        "store_notes",
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("value", types.JSONDocument(), nullable=False),
        sa.Column("noted_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "tokens",
        sa.Column("token_id", sa.String(length=40), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("label", sa.String(length=120), nullable=False),
        sa.Column("issued_at", types.UTCDateTime(), nullable=False),
        sa.Column("expires_at", types.UTCDateTime(), nullable=False),
        sa.Column("revoked_at", types.UTCDateTime(), nullable=True),
        sa.Column("issued_by", sa.Uuid(), nullable=True),
        sa.Column("scopes", types.JSONDocument(), nullable=False),
        sa.PrimaryKeyConstraint("token_id"),
    )
    op.create_index(op.f("ix_tokens_person_id"), "tokens", ["person_id"], unique=False)
    op.create_table(
        "waiting_events",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("group_name", sa.String(length=120), nullable=False),
        sa.Column("topic", sa.String(length=120), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=True),
        sa.Column("headers", types.JSONDocument(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=True),
        sa.Column("published_at", types.UTCDateTime(), nullable=False),
        sa.Column("waits_for", sa.Text(), nullable=False),
        sa.Column("first_at", types.UTCDateTime(), nullable=False),
        sa.Column("deadline_at", types.UTCDateTime(), nullable=True),
        sa.Column("next_try_at", types.UTCDateTime(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_waiting_events_due", "waiting_events", ["group_name", "next_try_at"], unique=False)
    op.create_index("ix_waiting_events_key", "waiting_events", ["group_name", "topic", "key"], unique=False)
    op.create_index("ix_waiting_events_waits_for", "waiting_events", ["waits_for"], unique=False)
    op.create_table(
        "agency_aliases",
        sa.Column("normalised", sa.Text(), nullable=False),
        sa.Column("spelling", sa.Text(), nullable=False),
        sa.Column("agency_id", sa.Uuid(), nullable=False),
        sa.Column("rule", sa.String(length=60), nullable=False),
        sa.Column("settled_at", types.UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["agency_id"],
            ["agencies.agency_id"],
        ),
        sa.PrimaryKeyConstraint("normalised"),
    )
    op.create_index(op.f("ix_agency_aliases_agency_id"), "agency_aliases", ["agency_id"], unique=False)
    op.create_table(
        "grants",
        sa.Column("grant_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.String(length=40), nullable=False),
        sa.Column("agency_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["agency_id"],
            ["agencies.agency_id"],
        ),
        sa.ForeignKeyConstraint(
            ["person_id"],
            ["people.person_id"],
        ),
        sa.PrimaryKeyConstraint("grant_id"),
        sa.UniqueConstraint("person_id", "role", "agency_id"),
    )
    op.create_index(op.f("ix_grants_person_id"), "grants", ["person_id"], unique=False)
    op.create_table(
        "sharing_steps",
        sa.Column("step_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("action", sa.String(length=20), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("happened_at", types.UTCDateTime(), nullable=False),
        sa.Column("event_id", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id"],
            ["sharing_requests.request_id"],
        ),
        sa.PrimaryKeyConstraint("step_id"),
    )
    op.create_index("ix_sharing_steps_request", "sharing_steps", ["request_id", "step_id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_sharing_steps_request", table_name="sharing_steps")
    op.drop_table("sharing_steps")
    op.drop_index(op.f("ix_grants_person_id"), table_name="grants")
    op.drop_table("grants")
    op.drop_index(op.f("ix_agency_aliases_agency_id"), table_name="agency_aliases")
    op.drop_table("agency_aliases")
    op.drop_index("ix_waiting_events_waits_for", table_name="waiting_events")
    op.drop_index("ix_waiting_events_key", table_name="waiting_events")
    op.drop_index("ix_waiting_events_due", table_name="waiting_events")
    op.drop_table("waiting_events")
    op.drop_index(op.f("ix_tokens_person_id"), table_name="tokens")
    op.drop_table("tokens")
    op.drop_table("store_notes")
    op.drop_table("stewardships")
    op.drop_table("sign_in_codes")
    op.drop_index(op.f("ix_sharing_requests_requester_id"), table_name="sharing_requests")
    op.drop_index(op.f("ix_sharing_requests_dataset_id"), table_name="sharing_requests")
    op.drop_index(op.f("ix_sharing_requests_agency_id"), table_name="sharing_requests")
    op.drop_table("sharing_requests")
    op.drop_table("principals")
    op.drop_table("people")
    op.drop_index(
        "ix_outbox_unpublished",
        table_name="outbox",
        sqlite_where=sa.text("published_at IS NULL"),
        postgresql_where=sa.text("published_at IS NULL"),
    )
    op.drop_index("ix_outbox_published_at", table_name="outbox")
    op.drop_table("outbox")
    op.drop_table("open_publishers")
    op.drop_table("log_marks")
    op.drop_index(op.f("ix_known_datasets_steward_id"), table_name="known_datasets")
    op.drop_index(op.f("ix_known_datasets_agency_id"), table_name="known_datasets")
    op.drop_table("known_datasets")
    op.drop_index("ix_inbox_handled_at", table_name="inbox")
    op.drop_table("inbox")
    op.drop_index("ix_idempotency_keys_created_at", table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_table("handled_offsets")
    op.drop_index(op.f("ix_directory_audit_person_id"), table_name="directory_audit")
    op.drop_index(op.f("ix_directory_audit_actor_id"), table_name="directory_audit")
    op.drop_table("directory_audit")
    op.drop_index("ix_dead_letter_replays_state", table_name="dead_letter_replays")
    op.drop_table("dead_letter_replays")
    op.drop_index(op.f("ix_dead_letter_acts_dead_letter_id"), table_name="dead_letter_acts")
    op.drop_table("dead_letter_acts")
    op.drop_table("applied_versions")
    op.drop_table("agencies")
