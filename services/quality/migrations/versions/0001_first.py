"""Create quality's tables."""

import sqlalchemy as sa
from alembic import op

from shared.store import types

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alerts",
        sa.Column("alert_id", sa.Uuid(), nullable=False),
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("column_name", sa.Text(), nullable=True),
        sa.Column("severity", sa.String(length=20), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("next_act", sa.Text(), nullable=False),
        sa.Column("evidence", types.JSONDocument(), nullable=False),
        sa.Column("opened_at", types.UTCDateTime(), nullable=False),
        sa.Column("changed_at", types.UTCDateTime(), nullable=False),
        sa.Column("resolved_at", types.UTCDateTime(), nullable=True),
        sa.Column("acknowledged_at", types.UTCDateTime(), nullable=True),
        sa.Column("acknowledged_by", sa.Uuid(), nullable=True),
        sa.Column("occurrences", sa.Integer(), nullable=False),
        sa.Column("is_flapping", sa.Boolean(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", types.UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("alert_id"),
    )
    op.create_index(op.f("ix_alerts_dataset_id"), "alerts", ["dataset_id"], unique=False)
    op.create_index("ix_alerts_state", "alerts", ["state", "changed_at"], unique=False)
    op.create_table(
        "applied_versions",
        sa.Column("group_name", sa.String(length=120), nullable=False),
        sa.Column("topic", sa.String(length=120), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("group_name", "topic", "key"),
    )
    op.create_table(
        "dataset_quality",
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("dataset", types.JSONDocument(), nullable=False),
        sa.Column("is_retired", sa.Boolean(), nullable=False),
        sa.Column("harvest_id", sa.Uuid(), nullable=True),
        sa.Column("known_at_baseline", types.JSONDocument(), nullable=False),
        sa.Column("baselined", types.JSONDocument(), nullable=False),
        sa.Column("metadata_baseline", types.JSONDocument(), nullable=True),
        sa.Column("link_works", sa.Boolean(), nullable=True),
        sa.Column("updated_at", types.JSONDocument(), nullable=False),
        sa.Column("next_check_at", types.UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("dataset_id"),
    )
    op.create_index(op.f("ix_dataset_quality_harvest_id"), "dataset_quality", ["harvest_id"], unique=False)
    op.create_index(
        op.f("ix_dataset_quality_next_check_at"), "dataset_quality", ["next_check_at"], unique=False
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
        "files",
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("baseline", types.JSONDocument(), nullable=True),
        sa.Column("latest", types.JSONDocument(), nullable=True),
        sa.Column("row_counts", types.JSONDocument(), nullable=False),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("etag", sa.Text(), nullable=True),
        sa.Column("last_modified", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("dataset_id"),
    )
    op.create_table(
        "first_harvests",
        sa.Column("harvest_id", sa.Uuid(), nullable=False),
        sa.Column("datasets", sa.Integer(), nullable=False),
        sa.Column("completed_at", types.UTCDateTime(), nullable=False),
        sa.Column("summarized_at", types.UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("harvest_id"),
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
        "measurement_history",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("score", sa.Float(), nullable=True),
        sa.Column("status", sa.String(length=20), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("row_count", sa.BigInteger(), nullable=True),
        sa.Column("measured_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("dataset_id", "kind", "version"),
    )
    op.create_index(
        op.f("ix_measurement_history_measured_at"), "measurement_history", ["measured_at"], unique=False
    )
    op.create_table(
        "measurements",
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("score", sa.Float(), nullable=True),
        sa.Column("status", sa.String(length=20), nullable=True),
        sa.Column("document", types.JSONDocument(), nullable=True),
        sa.PrimaryKeyConstraint("dataset_id", "kind"),
    )
    op.create_index("ix_measurements_kind", "measurements", ["kind", "status"], unique=False)
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
        "profile_jobs",
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("unended_attempts", sa.Integer(), nullable=False),
        sa.Column("link_failures", sa.Integer(), nullable=False),
        sa.Column("requested_at", types.UTCDateTime(), nullable=False),
        sa.Column("next_attempt_at", types.UTCDateTime(), nullable=True),
        sa.Column("leased_until", types.UTCDateTime(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("finished_at", types.UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("dataset_id"),
    )
    op.create_index(
        op.f("ix_profile_jobs_next_attempt_at"), "profile_jobs", ["next_attempt_at"], unique=False
    )
    op.create_table(
        "store_notes",
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("value", types.JSONDocument(), nullable=False),
        sa.Column("noted_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
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


def downgrade() -> None:
    op.drop_index("ix_waiting_events_waits_for", table_name="waiting_events")
    op.drop_index("ix_waiting_events_key", table_name="waiting_events")
    op.drop_index("ix_waiting_events_due", table_name="waiting_events")
    op.drop_table("waiting_events")
    op.drop_table("store_notes")
    op.drop_index(op.f("ix_profile_jobs_next_attempt_at"), table_name="profile_jobs")
    op.drop_table("profile_jobs")
    op.drop_table("principals")
    op.drop_index(
        "ix_outbox_unpublished",
        table_name="outbox",
        sqlite_where=sa.text("published_at IS NULL"),
        postgresql_where=sa.text("published_at IS NULL"),
    )
    op.drop_index("ix_outbox_published_at", table_name="outbox")
    op.drop_table("outbox")
    op.drop_index("ix_measurements_kind", table_name="measurements")
    op.drop_table("measurements")
    op.drop_index(op.f("ix_measurement_history_measured_at"), table_name="measurement_history")
    op.drop_table("measurement_history")
    op.drop_table("log_marks")
    op.drop_index(op.f("ix_known_datasets_steward_id"), table_name="known_datasets")
    op.drop_index(op.f("ix_known_datasets_agency_id"), table_name="known_datasets")
    op.drop_table("known_datasets")
    op.drop_index("ix_inbox_handled_at", table_name="inbox")
    op.drop_table("inbox")
    op.drop_index("ix_idempotency_keys_created_at", table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_table("handled_offsets")
    op.drop_table("first_harvests")
    op.drop_table("files")
    op.drop_index("ix_dead_letter_replays_state", table_name="dead_letter_replays")
    op.drop_table("dead_letter_replays")
    op.drop_index(op.f("ix_dead_letter_acts_dead_letter_id"), table_name="dead_letter_acts")
    op.drop_table("dead_letter_acts")
    op.drop_index(op.f("ix_dataset_quality_next_check_at"), table_name="dataset_quality")
    op.drop_index(op.f("ix_dataset_quality_harvest_id"), table_name="dataset_quality")
    op.drop_table("dataset_quality")
    op.drop_table("applied_versions")
    op.drop_index("ix_alerts_state", table_name="alerts")
    op.drop_index(op.f("ix_alerts_dataset_id"), table_name="alerts")
    op.drop_table("alerts")
