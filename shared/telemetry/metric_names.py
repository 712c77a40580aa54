"""Every metric that Nutmeg has, once: its name, type, help, labels and buckets.

A name is a member of one of three ``Literal`` types, so that a misspelt one fails the type check. Naming
follows Prometheus practice: prefix, base units, unit suffix, ``_total`` on counters, and no label whose
values have no bound (never a dataset, a person or an address).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "COUNTERS",
    "GAUGES",
    "HISTOGRAMS",
    "CounterName",
    "GaugeName",
    "HistogramName",
    "MetricDefinition",
    "MetricName",
]

CounterName = Literal[
    "nutmeg_alerts_total",
    "nutmeg_dead_letters_total",
    "nutmeg_deliveries_total",
    "nutmeg_events_consumed_total",
    "nutmeg_harvest_records_total",
    "nutmeg_http_refusals_total",
    "nutmeg_http_requests_total",
    "nutmeg_index_drift_found_total",
    "nutmeg_index_operations_total",
    "nutmeg_quality_measurements_total",
    "nutmeg_relay_published_total",
    "nutmeg_relay_resent_total",
    "nutmeg_usage_hits_total",
    "nutmeg_work_failures_total",
    "nutmeg_work_runs_total",
]

GaugeName = Literal[
    "nutmeg_build_info",
    "nutmeg_consumer_lag_records",
    "nutmeg_consumer_lag_seconds",
    "nutmeg_consumer_running",
    "nutmeg_dead_letters_waiting",
    "nutmeg_event_loop_delay_seconds",
    "nutmeg_http_connections",
    "nutmeg_http_streams",
    "nutmeg_http_unannounced_proxy",
    "nutmeg_index_documents",
    "nutmeg_index_drift_documents",
    "nutmeg_index_reconcile_age_seconds",
    "nutmeg_jobs_parked",
    "nutmeg_outbox_oldest_age_seconds",
    "nutmeg_outbox_records",
    "nutmeg_waiting_oldest_age_seconds",
    "nutmeg_waiting_records",
    "nutmeg_storage_intact",
    "nutmeg_storage_writable",
    "nutmeg_work_pending",
]

HistogramName = Literal[
    "nutmeg_event_end_to_end_seconds",
    "nutmeg_event_processing_seconds",
    "nutmeg_http_request_seconds",
]

MetricName = Literal[CounterName, GaugeName, HistogramName]


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """What one metric means. ``buckets`` are upper bounds in the metric's unit, for histograms only."""

    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_HANDLER_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_END_TO_END_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10, 30, 60, 300, 3600)
_HTTP_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

COUNTERS: Mapping[CounterName, MetricDefinition] = {
    "nutmeg_alerts_total": MetricDefinition(
        "Changes of alerts, by the service that owns them, kind and change "
        "(opened, severity, evidence, acknowledged, resolved).",
        ("service", "kind", "change"),
    ),
    "nutmeg_dead_letters_total": MetricDefinition(
        "Records put aside because they could not be handled, by reason: invalid (can never be handled) or "
        "failed (raised at every try).",
        ("topic", "group", "reason"),
    ),
    "nutmeg_deliveries_total": MetricDefinition(
        "Attempts to send a message, by channel (email, or maildir without a mail server) and outcome "
        "(sent, deferred to a later try, dead).",
        ("channel", "outcome"),
    ),
    "nutmeg_events_consumed_total": MetricDefinition(
        "Events that a consumer group finished with, by what became of them "
        "(applied, ignored, duplicate, stale, unknown_type, dead_lettered).",
        ("topic", "group", "result"),
    ),
    "nutmeg_harvest_records_total": MetricDefinition(
        "Records read from harvest sources, by outcome (created, changed, unchanged, retired, rejected).",
        ("outcome",),
    ),
    "nutmeg_http_refusals_total": MetricDefinition(
        "Requests and connections turned away before a handler saw them, by reason (rate, size, json, host, "
        "csrf; head: too large; slow: head, body or answer; malformed; connections, streams: too many open).",
        ("reason",),
    ),
    "nutmeg_http_requests_total": MetricDefinition(
        "Requests answered, by method, route template and status (499: the client left before).",
        ("method", "route", "status"),
    ),
    "nutmeg_index_drift_found_total": MetricDefinition(
        "Documents found by reconciles to differ from the catalogue (missing, extra, stale), mended or not.",
        ("kind",),
    ),
    "nutmeg_index_operations_total": MetricDefinition(
        "Documents written to the search index, by operation (put) and outcome "
        "(applied, stale, refused, deferred, failed for a whole batch).",
        ("operation", "outcome"),
    ),
    "nutmeg_quality_measurements_total": MetricDefinition(
        "Measurements of datasets by kind and outcome (told, same); kind file: looks into data files "
        "(profiled, unchanged, unreadable, link-broken, failed).",
        ("kind", "outcome"),
    ),
    "nutmeg_relay_published_total": MetricDefinition("Outbox rows that the log acknowledged.", ("service",)),
    "nutmeg_relay_resent_total": MetricDefinition(
        "Outbox rows sent again because the log had lost what it once acknowledged.", ("service",)
    ),
    "nutmeg_usage_hits_total": MetricDefinition(
        "Hits by kind (view, download, api-call; other where it is none of these) and result "
        "(counted, robot, duplicate, rejected).",
        ("kind", "result"),
    ),
    "nutmeg_work_failures_total": MetricDefinition(
        "Runs of recurring work that raised.", ("service", "work")
    ),
    "nutmeg_work_runs_total": MetricDefinition(
        "Runs of recurring work, failed ones included.", ("service", "work")
    ),
}

GAUGES: Mapping[GaugeName, MetricDefinition] = {
    "nutmeg_build_info": MetricDefinition(
        "Always 1; the labels say which version runs in which profile.", ("version", "profile")
    ),
    "nutmeg_consumer_lag_records": MetricDefinition(
        "Records that a group has not read yet.", ("topic", "partition", "group")
    ),
    "nutmeg_consumer_lag_seconds": MetricDefinition(
        "Age of the oldest record that a group has not read yet; 0 when it has read all.",
        ("topic", "partition", "group"),
    ),
    "nutmeg_consumer_running": MetricDefinition(
        "1 while a group's consumer works, 0 while it is paused or stopped.", ("group",)
    ),
    "nutmeg_dead_letters_waiting": MetricDefinition(
        "Dead letters that wait for a person: to be replayed, or discarded with a reason.", ("topic", "group")
    ),
    "nutmeg_event_loop_delay_seconds": MetricDefinition(
        "How late the process's event loop woke up, at worst, since the last reading."
    ),
    "nutmeg_http_connections": MetricDefinition("Connections that clients have open."),
    "nutmeg_http_streams": MetricDefinition("Event streams that clients have open."),
    "nutmeg_http_unannounced_proxy": MetricDefinition(
        "1 once a proxy on this machine was noticed that sends no X-Forwarded-For."
    ),
    "nutmeg_index_documents": MetricDefinition("Documents in the search index.", ("engine",)),
    "nutmeg_index_drift_documents": MetricDefinition(
        "Documents in which index and catalogue still differed after the last reconcile "
        "(missing, extra, stale).",
        ("kind",),
    ),
    "nutmeg_index_reconcile_age_seconds": MetricDefinition(
        "How long ago index and catalogue were last compared, by any replica."
    ),
    "nutmeg_jobs_parked": MetricDefinition(
        "Jobs that wait for an operator, because two processes in a row died on them.", ("service", "queue")
    ),
    "nutmeg_outbox_oldest_age_seconds": MetricDefinition(
        "Age of the oldest event that is committed but not published; 0 when none waits.", ("service",)
    ),
    "nutmeg_outbox_records": MetricDefinition("Events committed but not published yet.", ("service",)),
    "nutmeg_waiting_oldest_age_seconds": MetricDefinition(
        "How long the oldest record of a group has waited for data that it needs; 0 when none waits.",
        ("group",),
    ),
    "nutmeg_waiting_records": MetricDefinition(
        "Records that a group has set aside until data that they need is here.", ("group",)
    ),
    "nutmeg_storage_intact": MetricDefinition(
        "Whether the last check of a file found it whole, 1 or 0; 1 for a database that is no file.",
        ("storage",),
    ),
    "nutmeg_storage_writable": MetricDefinition(
        "Whether the log or database takes writes: 0 where its disk is full or read-only.", ("storage",)
    ),
    "nutmeg_work_pending": MetricDefinition("Items of recurring work that are due now.", ("service", "work")),
}

HISTOGRAMS: Mapping[HistogramName, MetricDefinition] = {
    "nutmeg_event_end_to_end_seconds": MetricDefinition(
        "From the time of an event to the commit of what a group made of it.",
        ("topic", "group"),
        _END_TO_END_BUCKETS,
    ),
    "nutmeg_event_processing_seconds": MetricDefinition(
        "Time that one handler call took, its transaction included.", ("topic", "group"), _HANDLER_BUCKETS
    ),
    "nutmeg_http_request_seconds": MetricDefinition(
        "From the first byte of a request to the last byte of its answer, streams excepted.",
        ("method", "route"),
        _HTTP_BUCKETS,
    ),
}
