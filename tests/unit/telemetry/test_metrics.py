"""The typed list of metrics, and what a scrape shows of it."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from shared.telemetry.metric_names import (
    COUNTERS,
    GAUGES,
    HISTOGRAMS,
    CounterName,
    GaugeName,
    HistogramName,
)
from shared.telemetry.metrics import Metrics

UNBOUNDED_LABELS = {"dataset", "dataset_id", "person", "person_id", "path", "url", "subject", "key"}


@pytest.mark.parametrize(
    ("names", "definitions"), [(CounterName, COUNTERS), (GaugeName, GAUGES), (HistogramName, HISTOGRAMS)]
)
def test_every_typed_name_has_a_definition_and_the_other_way_round(
    names: object, definitions: dict[str, object]
) -> None:
    assert sorted(get_args(names)) == sorted(definitions)
    assert all(name.startswith("nutmeg_") for name in definitions)


def test_names_follow_the_unit_and_total_suffix_rules() -> None:
    assert all(name.endswith("_total") for name in COUNTERS)
    assert not any(name.endswith("_total") for name in GAUGES)
    assert all(name.endswith("_seconds") for name in HISTOGRAMS)


def test_no_label_is_of_a_kind_whose_values_have_no_bound() -> None:
    labels = {
        label
        for definition in (*COUNTERS.values(), *GAUGES.values(), *HISTOGRAMS.values())
        for label in definition.labels
    }
    assert not labels & UNBOUNDED_LABELS


def test_two_processes_worth_of_metrics_do_not_share_counts() -> None:
    first, second = Metrics(), Metrics()
    first.count("nutmeg_relay_published_total", 5, service="catalog")
    assert first.value("nutmeg_relay_published_total", service="catalog") == 5
    assert second.value("nutmeg_relay_published_total", service="catalog") == 0


def test_a_missing_label_is_refused() -> None:
    with pytest.raises(ValueError, match="label"):
        Metrics().count("nutmeg_http_requests_total", method="GET")


def test_a_scrape_is_valid_prometheus_text_with_what_was_recorded() -> None:
    metrics = Metrics()
    metrics.count("nutmeg_http_requests_total", method="GET", route="/api/v1/datasets/{id}", status="200")
    metrics.set("nutmeg_outbox_records", 7, service="catalog")
    metrics.observe("nutmeg_event_end_to_end_seconds", 0.04, topic="catalog.datasets", group="usage.datasets")
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }
    assert (
        samples[
            (
                "nutmeg_http_requests_total",
                (("method", "GET"), ("route", "/api/v1/datasets/{id}"), ("status", "200")),
            )
        ]
        == 1
    )
    assert samples[("nutmeg_outbox_records", (("service", "catalog"),))] == 7
    assert not any(name.endswith("_created") for name, _ in samples)


def test_a_forgotten_series_leaves_the_scrape() -> None:
    metrics = Metrics()
    metrics.set("nutmeg_work_pending", 3, service="notify", work="deliver")
    metrics.forget("nutmeg_work_pending", service="notify", work="deliver")
    assert b'work="deliver"' not in metrics.render()


@given(st.text(max_size=60))
def test_any_label_text_survives_the_scrape(text: str) -> None:
    metrics = Metrics()
    metrics.count("nutmeg_http_refusals_total", reason=text)
    assert metrics.value("nutmeg_http_refusals_total", reason=text) == 1
    assert b"nutmeg_http_refusals_total" in metrics.render()
