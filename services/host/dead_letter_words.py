"""What became of a dead letter, in words: the same on the page, in the API and in the command line."""

from shared.consuming.dead_letters import DeadLetterView
from shared.consuming.handling import Outcome
from shared.consuming.replays import ReplayState

__all__ = ["outcome_words"]

_REPLAYED = {
    Outcome.APPLIED: "Applied.",
    Outcome.IGNORED: "Handled: there was nothing to do.",
    Outcome.DUPLICATE: "Skipped: it had been applied already.",
    Outcome.UNKNOWN_TYPE: "Skipped: this version does not know the event's type.",
}


def outcome_words(view: DeadLetterView) -> str:
    """Say what came of a replay, or why the letter was discarded; what is still to be done, if nothing."""
    match view.state:
        case ReplayState.OPEN:
            return "It waits for a decision: replay it or discard it."
        case ReplayState.REQUESTED:
            return "Its group is asked to handle it again."
        case ReplayState.REPLAYED:
            told = (view.detail or "").removeprefix("outcome: ")
            return next((words for outcome, words in _REPLAYED.items() if outcome == told), "Handled.")
        case ReplayState.SUPERSEDED:
            return "Skipped as older: a newer state of the same key had been applied."
        case ReplayState.FAILED:
            return f"Failed again: {view.detail or 'for a reason that is not known'}"
        case ReplayState.DISCARDED:
            return f"Discarded: {view.detail or 'for a reason that is not known'}"
        case ReplayState.WAITING:
            return view.detail or "Taken up, and waits for data that it needs."
