"""W3C trace context: what is read, what is made, and that a block does not leak its trace."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.telemetry.tracing import (
    current_trace_id,
    current_traceparent,
    new_traceparent,
    parse_traceparent,
    use_traceparent,
)

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
VALID = f"00-{TRACE}-{PARENT}-01"


def test_a_valid_traceparent_is_read_and_written_back() -> None:
    parsed = parse_traceparent(VALID)
    assert parsed is not None
    assert (parsed.trace_id, parsed.parent_id, parsed.is_sampled) == (TRACE, PARENT, True)
    assert str(parsed) == VALID


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "nonsense",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-extra",
        f"00-{TRACE}-{PARENT}",
    ],
)
def test_an_invalid_traceparent_is_none(text: str | None) -> None:
    assert parse_traceparent(text) is None


def test_a_later_version_with_more_fields_is_read() -> None:
    parsed = parse_traceparent(f"01-{TRACE}-{PARENT}-00-later")
    assert parsed is not None
    assert parsed.trace_id == TRACE
    assert not parsed.is_sampled


@given(st.text())
def test_no_text_makes_the_parser_fail_or_a_new_traceparent_invalid(text: str) -> None:
    parse_traceparent(text)
    assert parse_traceparent(new_traceparent(text)) is not None


def test_a_new_step_stays_in_its_trace_under_another_span() -> None:
    step = parse_traceparent(new_traceparent(VALID))
    assert step is not None
    assert step.trace_id == TRACE
    assert step.parent_id != PARENT


async def test_tasks_do_not_see_one_anothers_trace() -> None:
    async def work(traceparent: str) -> str | None:
        with use_traceparent(traceparent):
            await asyncio.sleep(0)
            return current_traceparent()

    wanted = [new_traceparent() for _ in range(5)]
    assert await asyncio.gather(*(work(traceparent) for traceparent in wanted)) == wanted
    assert current_traceparent() is None


def test_a_block_gives_back_the_trace_that_was_before() -> None:
    with use_traceparent(VALID):
        with use_traceparent(None):
            assert current_trace_id() is None
        assert current_trace_id() == TRACE
    assert current_trace_id() is None
