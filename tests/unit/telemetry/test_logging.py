"""Logs: one JSON object per line, with ids, without secrets, and calm."""

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from shared.telemetry.logging import REDACTED, RepeatFilter, configure_logging
from shared.telemetry.tracing import use_traceparent

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class HandClock:
    """Monotonic time moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime(2026, 3, 2, 9, tzinfo=UTC)

    def monotonic_seconds(self) -> float:
        return self.seconds


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What was logged; the logging set-up of the test run is given back afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    target = io.StringIO()
    configure_logging("catalog", stream=target, is_json=True)
    yield target
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def fail_beside_a_secret() -> None:
    local_secret = "local-" + "value"
    raise RuntimeError("broken" + local_secret[:0])


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_carries_service_level_time_and_trace(stream: io.StringIO) -> None:
    with use_traceparent(TRACEPARENT), structlog.contextvars.bound_contextvars(request_id="r-1"):
        structlog.get_logger("nutmeg.test").info("harvest_finished", created=40)
    (line,) = lines(stream)
    assert line["event"] == "harvest_finished"
    assert line["service"] == "catalog"
    assert line["level"] == "info"
    assert line["created"] == 40
    assert line["request_id"] == "r-1"
    assert line["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert datetime.fromisoformat(line["time"]).tzinfo is not None


def test_lines_of_other_libraries_come_the_same_way(stream: io.StringIO) -> None:
    logging.getLogger("some.library").warning("disk %s is %d%% full", "sda", 91)
    (line,) = lines(stream)
    assert line["event"] == "disk sda is 91% full"
    assert line["logger"] == "some.library"
    assert line["service"] == "catalog"


@pytest.mark.parametrize(
    "key",
    ["token", "access_token", "Authorization", "password", "smtp_password", "cookie", "Set-Cookie", "email"],
)
def test_values_under_secret_keys_are_cut_out_at_any_depth(stream: io.StringIO, key: str) -> None:
    structlog.get_logger("nutmeg.test").info("sent", **{key: "s3cr3t"}, nested={"list": [{key: "s3cr3t"}]})
    assert "s3cr3t" not in stream.getvalue()
    assert lines(stream)[0][key] == REDACTED


def test_a_bearer_token_inside_a_text_is_cut_out(stream: io.StringIO) -> None:
    structlog.get_logger("nutmeg.test").info("call", detail="sent Authorization: Bearer abc.def-ghi to it")
    assert "abc.def-ghi" not in stream.getvalue()


def test_ordinary_keys_that_only_contain_such_a_word_stay(stream: io.StringIO) -> None:
    structlog.get_logger("nutmeg.test").info("done", tokens_issued_count=3, cookie_banner_shown=False)
    assert lines(stream)[0]["tokens_issued_count"] == 3
    assert lines(stream)[0]["cookie_banner_shown"] is False


def test_an_exception_is_one_line_with_its_traceback_and_without_local_variables(
    stream: io.StringIO,
) -> None:
    try:
        fail_beside_a_secret()
    except RuntimeError:
        structlog.get_logger("nutmeg.test").exception("failed")
    (line,) = lines(stream)
    assert "RuntimeError: broken" in line["exception"]
    assert "local-value" not in stream.getvalue()


def test_readable_lines_hide_secrets_and_local_variables_too() -> None:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    target = io.StringIO()
    try:
        configure_logging("catalog", stream=target, is_json=False)
        try:
            fail_beside_a_secret()
        except RuntimeError:
            structlog.get_logger("nutmeg.test").exception("failed", password="s3cr3t")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
    assert "RuntimeError: broken" in target.getvalue()
    assert "s3cr3t" not in target.getvalue()
    assert "local-value" not in target.getvalue()


def test_a_noisy_logger_is_heard_once_per_interval_and_says_what_was_held_back() -> None:
    clock = HandClock()
    keeper = RepeatFilter(clock, interval_seconds=10)

    def passes(template: str, argument: int) -> int | None:
        record = logging.LogRecord("noisy", logging.WARNING, "f.py", 1, template, (argument,), None)
        return getattr(record, "repeats_held_back", 0) if keeper.filter(record) else None

    assert [passes("broker %d is away", number) for number in range(4)] == [0, None, None, None]
    assert passes("something else %d", 1) == 0
    clock.seconds = 10.5
    assert passes("broker %d is away", 9) == 3


def test_a_filter_remembers_a_bounded_number_of_messages() -> None:
    keeper = RepeatFilter(HandClock())
    for number in range(5000):
        keeper.filter(logging.LogRecord("noisy", logging.INFO, "f.py", 1, f"message {number}", (), None))
    assert len(keeper._seen) <= 1000
