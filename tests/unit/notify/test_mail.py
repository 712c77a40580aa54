"""What a message says, and when it is tried again."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from services.notify.domain.mail import ATTEMPTS_MAX, Sending, ToldMatter, compose, message_id, next_attempt
from services.notify.domain.matters import (
    Change,
    Matter,
    MatterState,
    change_between,
    matter_of_answer,
    matter_of_request,
    still_taken,
    telling_id,
)
from shared.events.governance import SharingRequestState

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def matter(**changes: object) -> Matter:
    values: dict[str, object] = {
        "matter_id": uuid4(),
        "kind": "row-count-dropped",
        "topic": "quality",
        "title": "Open Expenditures Ledger",
        "cause": "60 % of the rows are gone.",
        "next_act": "Publish the whole file again.",
        "severity": "warning",
        "state": MatterState.OPEN,
        "opened_at": NOW,
        "changed_at": NOW,
        "version": 1,
        "details": (("Rows", "2,400", "960"),),
    }
    return Matter(**{**values, **changes})  # type: ignore[arg-type]


def sending(*told: ToldMatter) -> Sending:
    return Sending(uuid4(), uuid4(), "osc@example.gov", "OSC steward", told, 0, NOW)


def composed(*told: ToldMatter) -> str:
    message = compose(
        sending(*told),
        sender="nutmeg@example.gov",
        base_url="https://data.example.gov",
        domain="example.gov",
        installation="Nutmeg",
    )
    return f"{message['Subject']}\n{message.get_body(('plain',)).get_content()}"  # type: ignore[union-attr]


def test_a_message_says_what_since_when_what_to_do_where_and_why() -> None:
    one = matter()
    text = composed(ToldMatter(one, Change.OPENED, "You are the steward."))
    for words in (
        "Open Expenditures Ledger needs you: 60 % of the rows are gone.",
        "Rows: 960 (expected: 2,400)",
        "Since: 02 March 2026, 09:00 UTC",
        "What to do: Publish the whole file again.",
        f"https://data.example.gov/inbox/{one.matter_id}",
        "Why you get this: You are the steward.",
    ):
        assert words in text


def test_fifteen_matters_are_one_message_with_a_number() -> None:
    told = [ToldMatter(matter(), Change.OPENED, "You are the steward.") for _ in range(15)]
    assert composed(*told).startswith("Nutmeg: 15 matters for you")


def test_a_title_cannot_smuggle_in_a_header() -> None:
    evil = matter(title="Rows\r\nBcc: everyone@example.gov")
    message = compose(
        sending(ToldMatter(evil, Change.OPENED, "why")),
        sender="nutmeg@example.gov",
        base_url="https://data.example.gov",
        domain="example.gov",
        installation="Nutmeg",
    )
    assert message["Bcc"] is None
    assert "\n" not in message["Subject"]


def test_the_message_id_is_the_same_at_every_attempt() -> None:
    delivery_id = uuid4()
    assert message_id(delivery_id, "example.gov") == message_id(delivery_id, "example.gov")


def test_waits_double_up_to_four_hours_and_end() -> None:
    waits = [next_attempt(count, NOW, jitter=0.0) for count in range(1, ATTEMPTS_MAX)]
    assert waits[0] == NOW + timedelta(seconds=30)
    assert waits[1] == NOW + timedelta(seconds=60)
    assert max(one for one in waits if one) == NOW + timedelta(hours=4)
    assert next_attempt(ATTEMPTS_MAX, NOW, jitter=0.0) is None


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        (None, {}, Change.OPENED),
        ({}, {}, None),
        ({}, {"state": MatterState.ACKNOWLEDGED}, None),
        ({}, {"severity": "error"}, Change.WORSENED),
        ({}, {"severity": "info"}, None),
        ({}, {"state": MatterState.DONE}, Change.RESOLVED),
        (None, {"state": MatterState.DONE}, None),
        ({"state": MatterState.DONE}, {"state": MatterState.DONE}, None),
        ({"state": MatterState.DONE}, {"occurrences": 2}, Change.OPENED),
        ({}, {"occurrences": 2}, Change.OPENED),
    ],
)
def test_only_news_is_told(
    before: dict[str, object] | None, after: dict[str, object], change: Change | None
) -> None:
    known = matter(**before) if before is not None else None
    assert change_between(known, matter(**after)) is change


@pytest.mark.parametrize(
    ("after", "state"),
    [
        ({"version": 2}, MatterState.ACKNOWLEDGED),
        ({"version": 2, "severity": "error"}, MatterState.OPEN),
        ({"version": 2, "occurrences": 2}, MatterState.OPEN),
        ({"version": 2, "state": MatterState.DONE}, MatterState.DONE),
    ],
)
def test_what_somebody_took_stays_theirs_until_there_is_news(
    after: dict[str, object], state: MatterState
) -> None:
    person = uuid4()
    before = matter(state=MatterState.ACKNOWLEDGED, acknowledged_by=person)
    told = matter(**after)
    kept = still_taken(before, told, change_between(before, told))
    assert kept.state is state
    assert (kept.acknowledged_by == person) is (state is MatterState.ACKNOWLEDGED)


@pytest.mark.parametrize(
    ("status", "for_agency", "for_requester"),
    [
        ("submitted", MatterState.OPEN, MatterState.DONE),
        ("returned", MatterState.DONE, MatterState.OPEN),
        ("approved", MatterState.DONE, MatterState.OPEN),
        ("denied", MatterState.DONE, MatterState.OPEN),
        ("withdrawn", MatterState.DONE, MatterState.DONE),
    ],
)
def test_a_request_waits_with_whose_turn_it_is(
    status: str, for_agency: MatterState, for_requester: MatterState
) -> None:
    request = SharingRequestState(
        request_id=uuid4(),
        dataset_id=uuid4(),
        dataset_title="Extract",
        agency_id=uuid4(),
        requester_id=uuid4(),
        status=status,
        purpose="to study",
        data_wanted="rows",
        submitted_at=NOW,
        changed_at=NOW,
    )
    theirs = matter_of_request(request, topic="sharing.requests", version=1)
    answer = matter_of_answer(request, topic="sharing.requests", version=1)
    assert (theirs.state, answer.state) == (for_agency, for_requester)
    assert theirs.matter_id != answer.matter_id


def test_a_mail_that_it_is_over_says_what_was_wrong_and_asks_for_nothing() -> None:
    text = composed(ToldMatter(matter(), Change.RESOLVED, "You are the steward."))
    assert text.startswith("Open Expenditures Ledger is well again\n")
    assert "What was wrong: 60 % of the rows are gone." in text
    assert "What to do" not in text


def test_a_telling_is_the_same_until_the_matter_comes_back() -> None:
    person, one = uuid4(), uuid4()
    first = telling_id(matter(matter_id=one), person, Change.OPENED)
    assert first == telling_id(matter(matter_id=one, version=7), person, Change.OPENED)
    assert first != telling_id(matter(matter_id=one, occurrences=2), person, Change.OPENED)
    assert first != telling_id(matter(matter_id=one), person, Change.RESOLVED)
