"""Create usage's tables."""

import sqlalchemy as sa
from alembic import op

from shared.store import types

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "accepted_hits",
        sa.Column("hit_id", sa.String(length=36), nullable=False),
        sa.Column("accepted_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("hit_id"),
    )
    op.create_index("ix_accepted_hits_accepted_at", "accepted_hits", ["accepted_at"], unique=False)
    op.create_table(
        "alerts",
        sa.Column("alert_id", sa.Uuid(), nullable=False),
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("first_day", sa.Date(), nullable=False),
        sa.Column("document", types.JSONDocument(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("resolved_at", types.UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("alert_id"),
    )
    op.create_index("ix_alerts_dataset_id", "alerts", ["dataset_id", "state"], unique=False)
    op.create_index("ix_alerts_resolved_at", "alerts", ["resolved_at"], unique=False)
    op.create_table(
        "applied_versions",
        sa.Column("group_name", sa.String(length=120), nullable=False),
        sa.Column("topic", sa.String(length=120), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("group_name", "topic", "key"),
    )
    op.create_table(
        "click_sessions",
        sa.Column("session_key", sa.String(length=101), nullable=False),
        sa.Column("runs", types.JSONDocument(), nullable=False),
        sa.Column("touched_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("session_key"),
    )
    op.create_index("ix_click_sessions_touched_at", "click_sessions", ["touched_at"], unique=False)
    op.create_table(
        "counted_days",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("uses", sa.BigInteger(), nullable=False),
        sa.Column("counted_until", types.UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("day"),
    )
    op.create_table(
        "dataset_names",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("name", "dataset_id"),
    )
    op.create_index("ix_dataset_names_dataset_id", "dataset_names", ["dataset_id"], unique=False)
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
        "principals",
        sa.Column("person_id", sa.String(length=36), nullable=False),
        sa.Column("grants", types.JSONDocument(), nullable=False),
        sa.Column("tokens_valid_from", types.UTCDateTime(), nullable=True),
        sa.Column("revoked_token_ids", types.JSONDocument(), nullable=False),
        sa.PrimaryKeyConstraint("person_id"),
    )
    op.create_table(
        "rollups",
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("granularity", sa.String(length=10), nullable=False),
        sa.Column("window_start", types.UTCDateTime(), nullable=False),
        sa.Column("views", sa.Integer(), nullable=False),
        sa.Column("downloads", sa.Integer(), nullable=False),
        sa.Column("api_calls", sa.Integer(), nullable=False),
        sa.Column("total_item_investigations", sa.Integer(), nullable=False),
        sa.Column("total_item_requests", sa.Integer(), nullable=False),
        sa.Column("unique_item_investigations", sa.Integer(), nullable=False),
        sa.Column("unique_item_requests", sa.Integer(), nullable=False),
        sa.Column("tdm_item_requests", sa.Integer(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", types.UTCDateTime(), nullable=False),
        sa.Column("unpublished_since", types.UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("dataset_id", "granularity", "window_start"),
    )
    op.create_index(
        "ix_rollups_unpublished",
        "rollups",
        ["unpublished_since"],
        unique=False,
        sqlite_where=sa.text("unpublished_since IS NOT NULL"),
        postgresql_where=sa.text("unpublished_since IS NOT NULL"),
    )
    op.create_index("ix_rollups_window", "rollups", ["granularity", "window_start"], unique=False)
    op.create_table(
        "store_notes",
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("value", types.JSONDocument(), nullable=False),
        sa.Column("noted_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "visitor_salts",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("made_on", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("day"),
    )
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
        "watched_datasets",
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("counted_since", sa.Date(), nullable=False),
        sa.Column("due_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("dataset_id"),
    )
    op.create_index("ix_watched_datasets_due_at", "watched_datasets", ["due_at"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_watched_datasets_due_at", table_name="watched_datasets")
    op.drop_table("watched_datasets")
    op.drop_index("ix_waiting_events_waits_for", table_name="waiting_events")
    op.drop_index("ix_waiting_events_key", table_name="waiting_events")
    op.drop_index("ix_waiting_events_due", table_name="waiting_events")
    op.drop_table("waiting_events")
    op.drop_table("visitor_salts")
    op.drop_table("store_notes")
    op.drop_index("ix_rollups_window", table_name="rollups")
    op.drop_index(
        "ix_rollups_unpublished",
        table_name="rollups",
        sqlite_where=sa.text("unpublished_since IS NOT NULL"),
        postgresql_where=sa.text("unpublished_since IS NOT NULL"),
    )
    op.drop_table("rollups")
    op.drop_table("principals")
    op.drop_index(
        "ix_outbox_unpublished",
        table_name="outbox",
        sqlite_where=sa.text("published_at IS NULL"),
        postgresql_where=sa.text("published_at IS NULL"),
    )
    op.drop_index("ix_outbox_published_at", table_name="outbox")
    op.drop_table("outbox")
    op.drop_table("log_marks")
    op.drop_index(op.f("ix_known_datasets_steward_id"), table_name="known_datasets")
    op.drop_index(op.f("ix_known_datasets_agency_id"), table_name="known_datasets")
    op.drop_table("known_datasets")
    op.drop_index("ix_inbox_handled_at", table_name="inbox")
    op.drop_table("inbox")
    op.drop_index("ix_idempotency_keys_created_at", table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_table("handled_offsets")
    op.drop_index("ix_dead_letter_replays_state", table_name="dead_letter_replays")
    op.drop_table("dead_letter_replays")
    op.drop_index(op.f("ix_dead_letter_acts_dead_letter_id"), table_name="dead_letter_acts")
    op.drop_table("dead_letter_acts")
    op.drop_index("ix_dataset_names_dataset_id", table_name="dataset_names")
    op.drop_table("dataset_names")
    op.drop_table("counted_days")
    op.drop_index("ix_click_sessions_touched_at", table_name="click_sessions")
    op.drop_table("click_sessions")
    op.drop_table("applied_versions")
    op.drop_index("ix_alerts_resolved_at", table_name="alerts")
    op.drop_index("ix_alerts_dataset_id", table_name="alerts")
    op.drop_table("alerts")
    op.drop_index("ix_accepted_hits_accepted_at", table_name="accepted_hits")
    op.drop_table("accepted_hits")
