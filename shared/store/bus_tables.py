"""The five tables that every service's database has, so that state and events are one transaction."""

from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, Text

from shared.store.types import Blob, JSONDocument, UTCDateTime

__all__ = ["OUTBOX_SHARDS", "BusTables", "bus_tables"]

OUTBOX_SHARDS = 16

_Identity = BigInteger().with_variant(Integer(), "sqlite")


@dataclass(frozen=True, slots=True)
class BusTables:
    """Outbox (events to publish), inbox and applied versions (events handled), log marks (what was acked),
    dead-letter replays (what an operator asked to be handled again, and what became of it)."""

    outbox: Table
    inbox: Table
    applied_versions: Table
    log_marks: Table
    dead_letter_replays: Table


def bus_tables(metadata: MetaData) -> BusTables:
    """Add the tables to a service's metadata; its first migration creates them."""
    outbox = Table(
        "outbox",
        metadata,
        Column("id", _Identity, primary_key=True, autoincrement=True),
        Column("shard", Integer, nullable=False),
        Column("topic", String(120), nullable=False),
        Column("key", Text, nullable=False),
        Column("partition_key", Text, nullable=False),
        Column("headers", JSONDocument, nullable=False),
        Column("value", Blob, nullable=True),
        Column("created_at", UTCDateTime, nullable=False),
        Column("published_at", UTCDateTime, nullable=True),
    )
    Index(
        "ix_outbox_unpublished",
        outbox.c.id,
        outbox.c.shard,
        sqlite_where=outbox.c.published_at.is_(None),
        postgresql_where=outbox.c.published_at.is_(None),
    )
    Index("ix_outbox_published_at", outbox.c.published_at)
    inbox = Table(
        "inbox",
        metadata,
        Column("group_name", String(120), primary_key=True),
        Column("source", String(200), primary_key=True),
        Column("event_id", String(200), primary_key=True),
        Column("topic", String(120), nullable=False),
        Column("handled_at", UTCDateTime, nullable=False),
    )
    Index("ix_inbox_handled_at", inbox.c.topic, inbox.c.handled_at)
    applied_versions = Table(
        "applied_versions",
        metadata,
        Column("group_name", String(120), primary_key=True),
        Column("topic", String(120), primary_key=True),
        Column("key", Text, primary_key=True),
        Column("version", BigInteger, nullable=False),
    )
    log_marks = Table(
        "log_marks",
        metadata,
        Column("topic", String(120), primary_key=True),
        Column("partition", Integer, primary_key=True),
        Column("epoch", String(40), nullable=False),
        Column("acknowledged_offset", BigInteger, nullable=False),
    )
    dead_letter_replays = Table(
        "dead_letter_replays",
        metadata,
        Column("dead_letter_id", String(36), primary_key=True),
        Column("group_name", String(120), nullable=False),
        Column("topic", String(120), nullable=False),
        Column("partition", Integer, nullable=False),
        Column("offset", BigInteger, nullable=False),
        Column("state", String(20), nullable=False),
        Column("detail", Text, nullable=True),
        Column("requested_at", UTCDateTime, nullable=False),
        Column("finished_at", UTCDateTime, nullable=True),
    )
    Index("ix_dead_letter_replays_state", dead_letter_replays.c.group_name, dead_letter_replays.c.state)
    return BusTables(outbox, inbox, applied_versions, log_marks, dead_letter_replays)
