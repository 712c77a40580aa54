"""What delivery measures, as Prometheus metrics: implements :class:`shared.log.measuring.DeliveryMetrics`."""

from shared.telemetry.metrics import Metrics

__all__ = ["PrometheusDeliveryMetrics"]


class PrometheusDeliveryMetrics:
    """Writes the measurements of delivery to the process's metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def consumed(self, topic: str, group: str, result: str, count: int) -> None:
        self._metrics.count("nutmeg_events_consumed_total", count, topic=topic, group=group, result=result)

    def processing_seconds(self, topic: str, group: str, seconds: float) -> None:
        self._metrics.observe("nutmeg_event_processing_seconds", seconds, topic=topic, group=group)

    def end_to_end_seconds(self, topic: str, group: str, seconds: float) -> None:
        # The clock of another host, or a simulated one, can be ahead of ours.
        self._metrics.observe("nutmeg_event_end_to_end_seconds", max(0.0, seconds), topic=topic, group=group)

    def lag(self, topic: str, partition: int, group: str, records: int, seconds: float) -> None:
        labels = {"topic": topic, "partition": str(partition), "group": group}
        self._metrics.set("nutmeg_consumer_lag_records", records, **labels)
        self._metrics.set("nutmeg_consumer_lag_seconds", seconds, **labels)

    def lag_ended(self, topic: str, partition: int, group: str) -> None:
        labels = {"topic": topic, "partition": str(partition), "group": group}
        self._metrics.forget("nutmeg_consumer_lag_records", **labels)
        self._metrics.forget("nutmeg_consumer_lag_seconds", **labels)

    def dead_lettered(self, topic: str, group: str, reason: str) -> None:
        self._metrics.count("nutmeg_dead_letters_total", topic=topic, group=group, reason=reason)

    def waiting(self, group: str, records: int, oldest_age_seconds: float) -> None:
        self._metrics.set("nutmeg_waiting_records", records, group=group)
        self._metrics.set("nutmeg_waiting_oldest_age_seconds", oldest_age_seconds, group=group)

    def running(self, group: str, is_running: bool) -> None:
        self._metrics.set("nutmeg_consumer_running", float(is_running), group=group)

    def outbox(self, service: str, records: int, oldest_age_seconds: float) -> None:
        self._metrics.set("nutmeg_outbox_records", records, service=service)
        self._metrics.set("nutmeg_outbox_oldest_age_seconds", oldest_age_seconds, service=service)

    def published(self, service: str, count: int) -> None:
        self._metrics.count("nutmeg_relay_published_total", count, service=service)

    def resent(self, service: str, count: int) -> None:
        self._metrics.count("nutmeg_relay_resent_total", count, service=service)

    def work_run(self, service: str, work: str, is_failed: bool) -> None:
        self._metrics.count("nutmeg_work_runs_total", service=service, work=work)
        if is_failed:
            self._metrics.count("nutmeg_work_failures_total", service=service, work=work)

    def work_pending(self, service: str, work: str, items: int | None) -> None:
        if items is None:
            self._metrics.forget("nutmeg_work_pending", service=service, work=work)
        else:
            self._metrics.set("nutmeg_work_pending", items, service=service, work=work)

    def jobs_parked(self, service: str, queue: str, jobs: int) -> None:
        self._metrics.set("nutmeg_jobs_parked", jobs, service=service, queue=queue)
