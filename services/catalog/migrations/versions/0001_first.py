"""Create catalog's tables."""

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
        sa.PrimaryKeyConstraint("agency_id"),
    )
    op.create_table(
        "agency_spellings",
        sa.Column("normalised", sa.Text(), nullable=False),
        sa.Column("agency_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("normalised"),
    )
    op.create_index(op.f("ix_agency_spellings_agency_id"), "agency_spellings", ["agency_id"], unique=False)
    op.create_table(
        "alert_deliveries",
        sa.Column("alert_id", sa.Uuid(), nullable=False),
        sa.Column("steward_sent_at", types.UTCDateTime(), nullable=True),
        sa.Column("other_sent_at", types.UTCDateTime(), nullable=True),
        sa.Column("failed_at", types.UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("alert_id"),
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
        "changes",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("event_id", sa.String(length=200), nullable=False),
        sa.Column("event_type", sa.String(length=120), nullable=False),
        sa.Column("event_source", sa.String(length=200), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("subjectversion", sa.BigInteger(), nullable=True),
        sa.Column("correlationid", sa.String(length=200), nullable=True),
        sa.Column("happened_at", types.UTCDateTime(), nullable=False),
        sa.Column("audience", sa.String(length=20), nullable=False),
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("visibility", sa.String(length=20), nullable=False),
        sa.Column("agency_id", sa.Uuid(), nullable=True),
        sa.Column("person_id", sa.Uuid(), nullable=True),
        sa.Column("data", types.JSONDocument(), nullable=False),
        sa.PrimaryKeyConstraint("sequence"),
    )
    op.create_index("ix_changes_dataset", "changes", ["dataset_id", "sequence"], unique=False)
    op.create_index("ix_changes_happened_at", "changes", ["happened_at"], unique=False)
    op.create_table(
        "counters",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "datasets",
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.String(length=200), nullable=False),
        sa.Column("identifier", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("publisher_normalised", sa.Text(), nullable=False),
        sa.Column("agency_id", sa.Uuid(), nullable=True),
        sa.Column("steward_id", sa.Uuid(), nullable=True),
        sa.Column("visibility", sa.String(length=20), nullable=False),
        sa.Column("access_level", sa.String(length=30), nullable=False),
        sa.Column("retired", sa.Boolean(), nullable=False),
        sa.Column("retired_at", types.UTCDateTime(), nullable=True),
        sa.Column("retired_reason", sa.Text(), nullable=True),
        sa.Column("ended", sa.Boolean(), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("document_revision", sa.BigInteger(), nullable=False),
        sa.Column("indexed_revision", sa.BigInteger(), nullable=False),
        sa.Column("quality_score", sa.Float(), nullable=True),
        sa.Column("freshness", sa.String(length=30), nullable=False),
        sa.Column("freshness_reason", sa.Text(), nullable=False),
        sa.Column("uses_30d", sa.Integer(), nullable=True),
        sa.Column("popularity_bucket", sa.Integer(), nullable=False),
        sa.Column("open_alerts", sa.Integer(), nullable=False),
        sa.Column("alert_severity", sa.String(length=20), nullable=True),
        sa.Column("alert_kind", sa.String(length=80), nullable=True),
        sa.Column("alerts_changed_at", types.UTCDateTime(), nullable=True),
        sa.Column("decisions", types.JSONDocument(), nullable=False),
        sa.Column("dictionary_from", sa.String(length=20), nullable=True),
        sa.Column("dictionary", types.JSONDocument(), nullable=False),
        sa.Column("source", types.JSONDocument(), nullable=False),
        sa.Column("state", types.JSONDocument(), nullable=False),
        sa.PrimaryKeyConstraint("dataset_id"),
    )
    op.create_index(op.f("ix_datasets_agency_id"), "datasets", ["agency_id"], unique=False)
    op.create_index(op.f("ix_datasets_identifier"), "datasets", ["identifier"], unique=False)
    op.create_index(
        op.f("ix_datasets_publisher_normalised"), "datasets", ["publisher_normalised"], unique=False
    )
    op.create_index("ix_datasets_source", "datasets", ["source_id", "retired"], unique=False)
    op.create_index(
        "ix_datasets_to_index",
        "datasets",
        ["dataset_id"],
        unique=False,
        sqlite_where=sa.text("indexed_revision < document_revision"),
        postgresql_where=sa.text("indexed_revision < document_revision"),
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
        "dictionary_fetches",
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", types.UTCDateTime(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("etag", sa.Text(), nullable=True),
        sa.Column("last_modified", sa.Text(), nullable=True),
        sa.Column("unended_attempts", sa.Integer(), nullable=False),
        sa.Column("parked_at", types.UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("dataset_id"),
    )
    op.create_index("ix_dictionary_fetches_due", "dictionary_fetches", ["next_attempt_at"], unique=False)
    op.create_table(
        "feed_chunks",
        sa.Column("harvest_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("received_at", types.UTCDateTime(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("harvest_id", "number"),
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
        "index_reconciles",
        sa.Column("index_name", sa.String(length=40), nullable=False),
        sa.Column("compared_at", types.UTCDateTime(), nullable=False),
        sa.Column("missing", sa.Integer(), nullable=False),
        sa.Column("extra", sa.Integer(), nullable=False),
        sa.Column("stale", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("index_name"),
    )
    op.create_table(
        "log_marks",
        sa.Column("topic", sa.String(length=120), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.String(length=40), nullable=False),
        sa.Column("acknowledged_offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition"),
    )
    op.create_table(
        "measurements",
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("measurement", types.JSONDocument(), nullable=False),
        sa.PrimaryKeyConstraint("dataset_id", "kind"),
    )
    op.create_table(
        "open_alerts",
        sa.Column("alert_id", sa.Uuid(), nullable=False),
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=80), nullable=False),
        sa.Column("severity", sa.String(length=20), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("opened_at", types.UTCDateTime(), nullable=False),
        sa.Column("is_taken", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("alert_id"),
    )
    op.create_index(op.f("ix_open_alerts_dataset_id"), "open_alerts", ["dataset_id"], unique=False)
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
        "sources",
        sa.Column("source_id", sa.String(length=200), nullable=False),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("publisher_name", sa.Text(), nullable=False),
        sa.Column("contact_name", sa.Text(), nullable=False),
        sa.Column("contact_email", sa.Text(), nullable=False),
        sa.Column("is_sample", sa.Boolean(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=True),
        sa.Column("last_modified", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("source_id"),
    )
    op.create_table(
        "stewardships",
        sa.Column("identifier", sa.Text(), nullable=False),
        sa.Column("stewardship", types.JSONDocument(), nullable=False),
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
        "told_standings",
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("visibility", sa.String(length=20), nullable=False),
        sa.Column("agency_id", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("dataset_id"),
    )
    op.create_table(
        "usage_daily",
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("views", sa.Integer(), nullable=False),
        sa.Column("downloads", sa.Integer(), nullable=False),
        sa.Column("api_calls", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("dataset_id", "day"),
    )
    op.create_index("ix_usage_daily_day", "usage_daily", ["day"], unique=False)
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
        "dataset_aliases",
        sa.Column("source_id", sa.String(length=200), nullable=False),
        sa.Column("identifier", sa.Text(), nullable=False),
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["datasets.dataset_id"],
        ),
        sa.PrimaryKeyConstraint("source_id", "identifier"),
    )
    op.create_index(op.f("ix_dataset_aliases_dataset_id"), "dataset_aliases", ["dataset_id"], unique=False)
    op.create_table(
        "harvests",
        sa.Column("harvest_id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.String(length=200), nullable=False),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("confirmed", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("first_harvest", sa.Boolean(), nullable=False),
        sa.Column("processed", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=True),
        sa.Column("created", sa.Integer(), nullable=False),
        sa.Column("changed", sa.Integer(), nullable=False),
        sa.Column("unchanged", sa.Integer(), nullable=False),
        sa.Column("retired", sa.Integer(), nullable=False),
        sa.Column("rejected", sa.Integer(), nullable=False),
        sa.Column("known", sa.Integer(), nullable=True),
        sa.Column("missing", sa.Integer(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("etag", sa.Text(), nullable=True),
        sa.Column("last_modified", sa.Text(), nullable=True),
        sa.Column("requested_at", types.UTCDateTime(), nullable=False),
        sa.Column("started_at", types.UTCDateTime(), nullable=True),
        sa.Column("completed_at", types.UTCDateTime(), nullable=True),
        sa.Column("lease_until", types.UTCDateTime(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["source_id"],
            ["sources.source_id"],
        ),
        sa.PrimaryKeyConstraint("harvest_id"),
    )
    op.create_index("ix_harvests_source", "harvests", ["source_id", "requested_at"], unique=False)
    op.create_index("ix_harvests_status", "harvests", ["status", "requested_at"], unique=False)
    op.create_table(
        "harvest_rejections",
        sa.Column("rejection_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("harvest_id", sa.Uuid(), nullable=False),
        sa.Column("record", types.JSONDocument(), nullable=False),
        sa.ForeignKeyConstraint(
            ["harvest_id"],
            ["harvests.harvest_id"],
        ),
        sa.PrimaryKeyConstraint("rejection_id"),
    )
    op.create_index(
        op.f("ix_harvest_rejections_harvest_id"), "harvest_rejections", ["harvest_id"], unique=False
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_harvest_rejections_harvest_id"), table_name="harvest_rejections")
    op.drop_table("harvest_rejections")
    op.drop_index("ix_harvests_status", table_name="harvests")
    op.drop_index("ix_harvests_source", table_name="harvests")
    op.drop_table("harvests")
    op.drop_index(op.f("ix_dataset_aliases_dataset_id"), table_name="dataset_aliases")
    op.drop_table("dataset_aliases")
    op.drop_index("ix_waiting_events_waits_for", table_name="waiting_events")
    op.drop_index("ix_waiting_events_key", table_name="waiting_events")
    op.drop_index("ix_waiting_events_due", table_name="waiting_events")
    op.drop_table("waiting_events")
    op.drop_index("ix_usage_daily_day", table_name="usage_daily")
    op.drop_table("usage_daily")
    op.drop_table("told_standings")
    op.drop_table("store_notes")
    op.drop_table("stewardships")
    op.drop_table("sources")
    op.drop_table("principals")
    op.drop_index(
        "ix_outbox_unpublished",
        table_name="outbox",
        sqlite_where=sa.text("published_at IS NULL"),
        postgresql_where=sa.text("published_at IS NULL"),
    )
    op.drop_index("ix_outbox_published_at", table_name="outbox")
    op.drop_table("outbox")
    op.drop_index(op.f("ix_open_alerts_dataset_id"), table_name="open_alerts")
    op.drop_table("open_alerts")
    op.drop_table("measurements")
    op.drop_table("log_marks")
    op.drop_table("index_reconciles")
    op.drop_index("ix_inbox_handled_at", table_name="inbox")
    op.drop_table("inbox")
    op.drop_table("handled_offsets")
    op.drop_table("feed_chunks")
    op.drop_index("ix_dictionary_fetches_due", table_name="dictionary_fetches")
    op.drop_table("dictionary_fetches")
    op.drop_index("ix_dead_letter_replays_state", table_name="dead_letter_replays")
    op.drop_table("dead_letter_replays")
    op.drop_index(op.f("ix_dead_letter_acts_dead_letter_id"), table_name="dead_letter_acts")
    op.drop_table("dead_letter_acts")
    op.drop_index(
        "ix_datasets_to_index",
        table_name="datasets",
        sqlite_where=sa.text("indexed_revision < document_revision"),
        postgresql_where=sa.text("indexed_revision < document_revision"),
    )
    op.drop_index("ix_datasets_source", table_name="datasets")
    op.drop_index(op.f("ix_datasets_publisher_normalised"), table_name="datasets")
    op.drop_index(op.f("ix_datasets_identifier"), table_name="datasets")
    op.drop_index(op.f("ix_datasets_agency_id"), table_name="datasets")
    op.drop_table("datasets")
    op.drop_table("counters")
    op.drop_index("ix_changes_happened_at", table_name="changes")
    op.drop_index("ix_changes_dataset", table_name="changes")
    op.drop_table("changes")
    op.drop_table("applied_versions")
    op.drop_table("alert_deliveries")
    op.drop_index(op.f("ix_agency_spellings_agency_id"), table_name="agency_spellings")
    op.drop_table("agency_spellings")
    op.drop_table("agencies")
