"""The delivery's measurements arrive in the scrape under their own names."""

from shared.log.measuring import DeliveryMetrics
from shared.telemetry.delivery_metrics import PrometheusDeliveryMetrics
from shared.telemetry.measuring import Measurements
from shared.telemetry.metrics import Metrics


def test_each_measurement_of_the_bus_becomes_its_series() -> None:
    metrics = Metrics()
    delivery: DeliveryMetrics = PrometheusDeliveryMetrics(metrics)
    delivery.consumed("catalog.datasets", "usage.directory", "applied", 40)
    delivery.processing_seconds("catalog.datasets", "usage.directory", 0.02)
    delivery.end_to_end_seconds("catalog.datasets", "usage.directory", -0.5)
    delivery.lag("catalog.datasets", 3, "usage.directory", 12, 1.5)
    delivery.dead_lettered("catalog.datasets", "usage.directory", "invalid")
    delivery.running("usage.directory", is_running=True)
    delivery.outbox("catalog", 7, 0.25)
    delivery.published("catalog", 500)
    delivery.resent("catalog", 3)
    delivery.work_run("notify", "deliver", is_failed=True)
    delivery.work_run("notify", "deliver", is_failed=False)
    delivery.work_pending("notify", "deliver", 9)

    group = {"topic": "catalog.datasets", "group": "usage.directory"}
    assert metrics.value("nutmeg_events_consumed_total", **group, result="applied") == 40
    assert metrics.value("nutmeg_event_processing_seconds", **group) == 1
    assert metrics.registry.get_sample_value("nutmeg_event_end_to_end_seconds_sum", group) == 0
    assert metrics.value("nutmeg_consumer_lag_records", **group, partition="3") == 12
    assert metrics.value("nutmeg_consumer_lag_seconds", **group, partition="3") == 1.5
    assert metrics.value("nutmeg_dead_letters_total", **group, reason="invalid") == 1
    assert metrics.value("nutmeg_consumer_running", group="usage.directory") == 1
    assert metrics.value("nutmeg_outbox_records", service="catalog") == 7
    assert metrics.value("nutmeg_outbox_oldest_age_seconds", service="catalog") == 0.25
    assert metrics.value("nutmeg_relay_published_total", service="catalog") == 500
    assert metrics.value("nutmeg_relay_resent_total", service="catalog") == 3
    assert metrics.value("nutmeg_work_runs_total", service="notify", work="deliver") == 2
    assert metrics.value("nutmeg_work_failures_total", service="notify", work="deliver") == 1
    assert metrics.value("nutmeg_work_pending", service="notify", work="deliver") == 9


def test_a_partition_that_another_process_took_over_leaves_the_scrape_with_both_figures() -> None:
    metrics = Metrics()
    delivery: DeliveryMetrics = PrometheusDeliveryMetrics(metrics)
    delivery.lag_ended("catalog.datasets", 1, "usage.directory")
    for partition in (0, 1):
        delivery.lag("catalog.datasets", partition, "usage.directory", 2_282, 400.0)
    delivery.lag_ended("catalog.datasets", 1, "usage.directory")
    shown = [
        line for line in metrics.render().decode().splitlines() if line.startswith("nutmeg_consumer_lag")
    ]
    assert len(shown) == 2
    assert all('partition="0"' in line for line in shown)


def test_work_that_cannot_be_counted_has_no_figure() -> None:
    metrics = Metrics()
    delivery: DeliveryMetrics = PrometheusDeliveryMetrics(metrics)
    delivery.work_pending("notify", "deliver", None)
    delivery.work_pending("notify", "deliver", 9)
    delivery.work_pending("notify", "deliver", None)
    assert b"nutmeg_work_pending{" not in metrics.render()


def test_code_that_knows_only_the_port_measures_too() -> None:
    metrics = Metrics()
    port: Measurements = metrics
    port.count("nutmeg_harvest_records_total", 40, outcome="created")
    assert metrics.value("nutmeg_harvest_records_total", outcome="created") == 40
