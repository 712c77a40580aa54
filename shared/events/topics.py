"""The only place where a topic, a consumer group or a partition key is written down.

A record has a **key** (compaction; always the event's ``subject``) and a **partition key** (order; the
key itself, or the field of the payload named here).
"""

from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "CLUSTER_TOPICS",
    "DEAD_LETTER_SUFFIX",
    "GROUPS",
    "STREAM_TABLES",
    "TOPICS",
    "ConsumerGroup",
    "Deduplication",
    "Topic",
    "dead_letter_topic",
    "topic_named",
]

DAY_SECONDS = 86_400
DEAD_LETTER_SUFFIX = ".dlq"
DEAD_LETTER_RETENTION_DAYS = 30
RECORD_BYTES_MAX = 900 * 1024
"""An event's size limit, below Kafka's default of 1 MB (design, section 3, rule 6)."""

DEAD_LETTER_BYTES_EXTRA = 64 * 1024


class Deduplication(StrEnum):
    """How a consumer tells a repeat or a late copy from news."""

    VERSION = "version"
    """Entity state: applied only if ``subjectversion`` is newer than the one applied last for the key."""
    INBOX = "inbox"
    """Facts: applied once per ``(source, id)``."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic's whole truth. Retentions are in days; ``None`` keeps records until compaction removes them."""

    name: str
    owner: str
    carries: str
    deduplication: Deduplication
    compacted: bool
    retention_days: int | None
    partition_key_field: str | None = None
    """Dotted path into the payload; ``None``: the key itself."""
    tombstone_days: int | None = None
    """Days after the end of an entity's life at which its owner sends a tombstone."""
    delete_retention_days: int = 7
    """How long a tombstone itself stays readable."""
    personal_data: bool = False
    max_compaction_lag_days: int | None = None
    partitions: int = 12
    """On Kafka, never changed; the embedded log has one partition per topic unless told otherwise."""

    @property
    def inbox_days(self) -> int:
        """How long a consumer must remember handled ids: the retention and a week."""
        return (self.retention_days or 30) + 7


_ALL = (
    Topic(
        "catalog.datasets",
        "catalog",
        "full state of every dataset and the changed fields; internal to Nutmeg",
        Deduplication.VERSION,
        compacted=True,
        retention_days=None,
        tombstone_days=30,
    ),
    Topic(
        "catalog.public",
        "catalog",
        "the public subset, for outside services; a record that turns hidden gets a tombstone",
        Deduplication.VERSION,
        compacted=True,
        retention_days=None,
    ),
    Topic(
        "catalog.notices",
        "catalog",
        "one-off things to tell: harvest completed, harvest held for confirmation",
        Deduplication.INBOX,
        compacted=False,
        retention_days=30,
        partition_key_field="source_id",
    ),
    Topic(
        "directory.agencies",
        "governance",
        "bodies that own datasets, with every known spelling",
        Deduplication.VERSION,
        compacted=True,
        retention_days=None,
    ),
    Topic(
        "directory.people",
        "governance",
        "name, addresses, grants and revocations: the only topic with personal data",
        Deduplication.VERSION,
        compacted=True,
        retention_days=None,
        personal_data=True,
        max_compaction_lag_days=7,
    ),
    Topic(
        "directory.stewardships",
        "governance",
        "who answers for a dataset and what was promised for it, by source identifier",
        Deduplication.VERSION,
        compacted=True,
        retention_days=None,
    ),
    Topic(
        "usage.hits",
        "usage",
        "single hits of one visitor bucket, so sessions and double clicks stay in one partition",
        Deduplication.INBOX,
        compacted=False,
        retention_days=7,
        partition_key_field="hit.visitor_bucket",
    ),
    Topic(
        "usage.rollups",
        "usage",
        "absolute counts per dataset and window, never increments",
        Deduplication.VERSION,
        compacted=True,
        retention_days=400,
        partition_key_field="rollup.dataset_id",
    ),
    Topic(
        "usage.alerts",
        "usage",
        "spikes and silence of use; full alert state",
        Deduplication.VERSION,
        compacted=True,
        retention_days=None,
        partition_key_field="alert.dataset_id",
        tombstone_days=90,
    ),
    Topic(
        "quality.measurements",
        "quality",
        "the latest result per dataset and kind; history is in quality's tables",
        Deduplication.VERSION,
        compacted=True,
        retention_days=None,
        partition_key_field="measurement.dataset_id",
    ),
    Topic(
        "quality.alerts",
        "quality",
        "degradations and recoveries; full alert state",
        Deduplication.VERSION,
        compacted=True,
        retention_days=None,
        partition_key_field="alert.dataset_id",
        tombstone_days=90,
    ),
    Topic(
        "quality.notices",
        "quality",
        "baseline summaries, one per steward and one for all who answer for agencies",
        Deduplication.INBOX,
        compacted=False,
        retention_days=30,
    ),
    Topic(
        "sharing.requests",
        "governance",
        "full state of every sharing request; the steps are governance's audit table; person ids only",
        Deduplication.VERSION,
        compacted=True,
        retention_days=None,
        max_compaction_lag_days=7,
    ),
    Topic(
        "notify.deliveries",
        "notify",
        "what became of each message: sent, deferred or dead",
        Deduplication.INBOX,
        compacted=False,
        retention_days=30,
        partition_key_field="delivery.about_id",
    ),
    Topic(
        "notify.acknowledgements",
        "notify",
        "who took charge of which alert",
        Deduplication.INBOX,
        compacted=False,
        retention_days=30,
        partition_key_field="dataset_id",
    ),
)

TOPICS: dict[str, Topic] = {topic.name: topic for topic in _ALL}

_TABLES = (
    Topic(
        "usage.signals.windows",
        "usage",
        "changelog of the stream's table of hourly uses; in a cluster only, and for nobody else to read",
        Deduplication.VERSION,
        compacted=True,
        retention_days=None,
    ),
)

STREAM_TABLES: dict[str, Topic] = {topic.name: topic for topic in _TABLES}
"""Changelogs of stream processors' tables. They carry no events, and have no dead letters; each has as many
partitions as the topic that its table is made from."""

CLUSTER_TOPICS = (*TOPICS.values(), *STREAM_TABLES.values())
"""What a cluster is to have, beside the dead letters of each of ``TOPICS``."""


@dataclass(frozen=True, slots=True)
class ConsumerGroup:
    """A group and the topics it reads. One service never shares a group with another."""

    name: str
    service: str
    topics: tuple[str, ...]
    purpose: str
    is_stream: bool = False
    """Whether a stream processor reads: in a cluster only, and from the beginning, to fill its table."""


_GROUPS = (
    ConsumerGroup(
        "catalog.enrichment",
        "catalog",
        (
            "directory.agencies",
            "directory.stewardships",
            "quality.measurements",
            "usage.rollups",
            "notify.deliveries",
        ),
        "write agency, steward, quality, use and who was notified onto the catalogue's own rows",
    ),
    ConsumerGroup("catalog.directory", "catalog", ("directory.people",), "know whose token may see what"),
    ConsumerGroup(
        "catalog.changes",
        "catalog",
        (
            "catalog.datasets",
            "usage.rollups",
            "usage.alerts",
            "quality.measurements",
            "quality.alerts",
            "sharing.requests",
        ),
        "number the changes that outside services may read, and know which alerts are open",
    ),
    ConsumerGroup(
        "usage.directory",
        "usage",
        ("catalog.datasets", "directory.people", "notify.acknowledgements"),
        "know datasets and viewers, and who took charge of an alert",
    ),
    ConsumerGroup("usage.counting", "usage", ("usage.hits",), "count hits into hours and days"),
    ConsumerGroup(
        "usage.signals",
        "usage",
        ("usage.rollups",),
        "keep hourly uses in windows, where a cluster looks for spikes and silence",
        is_stream=True,
    ),
    ConsumerGroup(
        "quality.measuring",
        "quality",
        ("catalog.datasets", "catalog.notices"),
        "measure what changed, once it changed",
    ),
    ConsumerGroup(
        "quality.directory",
        "quality",
        ("directory.people", "notify.acknowledgements"),
        "know viewers, and who took charge of an alert",
    ),
    ConsumerGroup(
        "governance.directory",
        "governance",
        ("catalog.datasets",),
        "know datasets, and spellings of publishers",
    ),
    ConsumerGroup(
        "notify.directory",
        "notify",
        ("catalog.datasets", "directory.people", "directory.agencies", "quality.measurements"),
        "know whom to tell, and where, and what is out of date",
    ),
    ConsumerGroup(
        "notify.routing",
        "notify",
        (
            "quality.alerts",
            "usage.alerts",
            "quality.notices",
            "catalog.notices",
            "sharing.requests",
        ),
        "turn what happened into messages for the right person",
    ),
)

GROUPS: dict[str, ConsumerGroup] = {group.name: group for group in _GROUPS}


def dead_letter_topic(topic: Topic) -> Topic:
    """Return the topic that keeps the records of ``topic`` that could not be handled."""
    return Topic(
        topic.name + DEAD_LETTER_SUFFIX,
        topic.owner,
        f"records of {topic.name} that a group could not handle, untouched, with the reason in headers",
        Deduplication.INBOX,
        compacted=False,
        retention_days=DEAD_LETTER_RETENTION_DAYS,
        personal_data=topic.personal_data,
        partitions=topic.partitions,
    )


def topic_named(name: str) -> Topic:
    """Return the topic called ``name``, dead letters included. Raises ``KeyError`` with the known names."""
    base = name.removesuffix(DEAD_LETTER_SUFFIX)
    if base not in TOPICS:
        raise KeyError(f"no topic is called {name!r}; known: {', '.join(sorted(TOPICS))}")
    topic = TOPICS[base]
    return dead_letter_topic(topic) if name.endswith(DEAD_LETTER_SUFFIX) else topic
