"""The tables that every service's database has, so that state and events are one transaction."""

from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, Text, Uuid

from shared.store.types import Blob, JSONDocument, UTCDateTime

__all__ = ["OUTBOX_SHARDS", "DeliveryTables", "delivery_tables"]

OUTBOX_SHARDS = 16

_Identity = BigInteger().with_variant(Integer(), "sqlite")


@dataclass(frozen=True, slots=True)
class DeliveryTables:
    """Outbox (events to publish), inbox and applied versions (events handled), log marks (what was acked),
    dead-letter replays (what an operator asked to be handled again, and what became of it), dead-letter acts
    (who decided what about a dead letter, and why),
    waiting events (records set aside until data that they need is here), handled offsets (how far each group
    got, written in the transaction that handled) and notes about the store itself."""

    outbox: Table
    inbox: Table
    applied_versions: Table
    log_marks: Table
    dead_letter_replays: Table
    dead_letter_acts: Table
    waiting_events: Table
    handled_offsets: Table
    store_notes: Table


def delivery_tables(metadata: MetaData) -> DeliveryTables:
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
    log_marks = _log_marks(metadata)
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
    dead_letter_acts = _dead_letter_acts(metadata)
    waiting_events = _waiting_events(metadata)
    return DeliveryTables(
        outbox,
        inbox,
        applied_versions,
        log_marks,
        dead_letter_replays,
        dead_letter_acts,
        waiting_events,
        *_marks_of_the_store(metadata),
    )


def _log_marks(metadata: MetaData) -> Table:
    return Table(
        "log_marks",
        metadata,
        Column("topic", String(120), primary_key=True),
        Column("partition", Integer, primary_key=True),
        Column("epoch", String(40), nullable=False),
        Column("acknowledged_offset", BigInteger, nullable=False),
    )


def _dead_letter_acts(metadata: MetaData) -> Table:
    """Lines are added and never changed: who decided what, when and why."""
    return Table(
        "dead_letter_acts",
        metadata,
        Column("act_id", Integer, primary_key=True, autoincrement=True),
        Column("dead_letter_id", String(36), nullable=False, index=True),
        Column("act", String(20), nullable=False),
        Column("person_id", Uuid, nullable=True),
        Column("reason", Text, nullable=True),
        Column("happened_at", UTCDateTime, nullable=False),
    )


def _waiting_events(metadata: MetaData) -> Table:
    """Whole records, so that they can be handled later as if they came just then.

    ``id`` is that of the dead letter which the record would become. ``deadline_at`` is null while the record
    has not been tried: it waits behind another of its key.
    """
    table = Table(
        "waiting_events",
        metadata,
        Column("id", String(36), primary_key=True),
        Column("group_name", String(120), nullable=False),
        Column("topic", String(120), nullable=False),
        Column("partition", Integer, nullable=False),
        Column("offset", BigInteger, nullable=False),
        Column("key", Text, nullable=False),
        Column("version", BigInteger, nullable=True),
        Column("headers", JSONDocument, nullable=False),
        Column("value", Blob, nullable=True),
        Column("published_at", UTCDateTime, nullable=False),
        Column("waits_for", Text, nullable=False),
        Column("first_at", UTCDateTime, nullable=False),
        Column("deadline_at", UTCDateTime, nullable=True),
        Column("next_try_at", UTCDateTime, nullable=False),
        Column("attempts", Integer, nullable=False),
    )
    Index("ix_waiting_events_due", table.c.group_name, table.c.next_try_at)
    Index("ix_waiting_events_key", table.c.group_name, table.c.topic, table.c.key)
    Index("ix_waiting_events_waits_for", table.c.waits_for)
    return table


def _marks_of_the_store(metadata: MetaData) -> tuple[Table, Table]:
    handled_offsets = Table(
        "handled_offsets",
        metadata,
        Column("group_name", String(120), primary_key=True),
        Column("topic", String(120), primary_key=True),
        Column("partition", Integer, primary_key=True),
        Column("epoch", String(40), nullable=False),
        Column("next_offset", BigInteger, nullable=False),
    )
    store_notes = Table(
        "store_notes",
        metadata,
        Column("name", String(60), primary_key=True),
        Column("value", JSONDocument, nullable=False),
        Column("noted_at", UTCDateTime, nullable=False),
    )
    return handled_offsets, store_notes
