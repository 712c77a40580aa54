"""What became of a dead letter is told in words, the same everywhere."""

from datetime import UTC, datetime

import pytest

from services.host.operations.reader.dead_letters import outcome_words
from shared.consuming.dead_letter_record import DeadLetter
from shared.consuming.dead_letters import DeadLetterView
from shared.consuming.handling import Outcome
from shared.consuming.replays import ReplayState
from shared.log.port import LogRecord, TopicPartition


@pytest.mark.parametrize(
    ("state", "detail", "words"),
    [
        (ReplayState.OPEN, None, "It waits for a decision: replay it or discard it."),
        (ReplayState.REQUESTED, None, "Its group is asked to handle it again."),
        (ReplayState.REPLAYED, f"outcome: {Outcome.APPLIED}", "Applied."),
        (ReplayState.REPLAYED, f"outcome: {Outcome.IGNORED}", "Handled: there was nothing to do."),
        (ReplayState.REPLAYED, f"outcome: {Outcome.DUPLICATE}", "Skipped: it had been applied already."),
        (
            ReplayState.SUPERSEDED,
            f"outcome: {Outcome.STALE}",
            "Skipped as older: a newer state of the same key had been applied.",
        ),
        (ReplayState.FAILED, "ValueError: bad", "Failed again: ValueError: bad"),
        (ReplayState.DISCARDED, "A test hit.", "Discarded: A test hit."),
    ],
)
def test_every_outcome_has_its_words(
    letter: DeadLetter, state: ReplayState, detail: str | None, words: str
) -> None:
    assert outcome_words(DeadLetterView(letter, state, detail)) == words


def test_no_state_is_without_words(letter: DeadLetter) -> None:
    assert all(outcome_words(DeadLetterView(letter, state, None)).strip() for state in ReplayState)


@pytest.fixture
def letter() -> DeadLetter:
    at = datetime(2026, 3, 2, tzinfo=UTC)
    source = LogRecord("usage.hits", 0, 7, "k", [], b"{}", at)
    place = TopicPartition("usage.hits.dlq", 0)
    return DeadLetter(
        "id", place, 3, source, "usage.counting", "failed", "bad", "ValueError", "", 3, at, at, "1"
    )
