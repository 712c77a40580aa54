"""What a message says, and when it is tried again."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from services.notify.delivery.domain import (
    ATTEMPTS_MAX,
    NotifiedItem,
    OutgoingEmail,
    compose,
    message_id,
    next_attempt,
)
from services.notify.inbox.domain.items import (
    Change,
    InboxItem,
    ItemState,
    change_between,
    item_of_answer,
    item_of_request,
    notification_id,
    still_taken,
)
from shared.events.governance import SharingRequestState

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def item(**changes: object) -> InboxItem:
    values: dict[str, object] = {
        "item_id": uuid4(),
        "kind": "row-count-dropped",
        "topic": "quality",
        "title": "Open Expenditures Ledger",
        "cause": "60 % of the rows are gone.",
        "next_act": "Publish the whole file again.",
        "severity": "warning",
        "state": ItemState.OPEN,
        "opened_at": NOW,
        "changed_at": NOW,
        "version": 1,
        "details": (("Rows", "2,400", "960"),),
    }
    return InboxItem(**{**values, **changes})  # type: ignore[arg-type]


def email(*told: NotifiedItem) -> OutgoingEmail:
    return OutgoingEmail(uuid4(), uuid4(), "osc@example.gov", "OSC steward", told, 0, NOW)


def composed(*told: NotifiedItem) -> str:
    message = compose(
        email(*told),
        sender="nutmeg@example.gov",
        base_url="https://data.example.gov",
        domain="example.gov",
        installation="Nutmeg",
    )
    return f"{message['Subject']}\n{message.get_body(('plain',)).get_content()}"  # type: ignore[union-attr]


def test_a_message_says_what_since_when_what_to_do_where_and_why() -> None:
    one = item()
    text = composed(NotifiedItem(one, Change.OPENED, "You are the steward."))
    for words in (
        "Open Expenditures Ledger needs you: 60 % of the rows are gone.",
        "Rows: 960 (expected: 2,400)",
        "Since: 02 March 2026, 09:00 UTC",
        "What to do: Publish the whole file again.",
        f"https://data.example.gov/inbox/{one.item_id}",
        "Why you get this: You are the steward.",
    ):
        assert words in text


def test_fifteen_matters_are_one_message_with_a_number() -> None:
    told = [NotifiedItem(item(), Change.OPENED, "You are the steward.") for _ in range(15)]
    assert composed(*told).startswith("Nutmeg: 15 items for you")


def test_a_title_cannot_smuggle_in_a_header() -> None:
    evil = item(title="Rows\r\nBcc: everyone@example.gov")
    message = compose(
        email(NotifiedItem(evil, Change.OPENED, "why")),
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
        ({}, {"state": ItemState.ACKNOWLEDGED}, None),
        ({}, {"severity": "error"}, Change.WORSENED),
        ({}, {"severity": "info"}, None),
        ({}, {"state": ItemState.DONE}, Change.RESOLVED),
        (None, {"state": ItemState.DONE}, None),
        ({"state": ItemState.DONE}, {"state": ItemState.DONE}, None),
        ({"state": ItemState.DONE}, {"occurrences": 2}, Change.OPENED),
        ({}, {"occurrences": 2}, Change.OPENED),
    ],
)
def test_only_news_is_told(
    before: dict[str, object] | None, after: dict[str, object], change: Change | None
) -> None:
    known = item(**before) if before is not None else None
    assert change_between(known, item(**after)) is change


@pytest.mark.parametrize(
    ("after", "state"),
    [
        ({"version": 2}, ItemState.ACKNOWLEDGED),
        ({"version": 2, "severity": "error"}, ItemState.OPEN),
        ({"version": 2, "occurrences": 2}, ItemState.OPEN),
        ({"version": 2, "state": ItemState.DONE}, ItemState.DONE),
    ],
)
def test_what_somebody_took_stays_theirs_until_there_is_news(
    after: dict[str, object], state: ItemState
) -> None:
    person = uuid4()
    before = item(state=ItemState.ACKNOWLEDGED, acknowledged_by=person)
    told = item(**after)
    kept = still_taken(before, told, change_between(before, told))
    assert kept.state is state
    assert (kept.acknowledged_by == person) is (state is ItemState.ACKNOWLEDGED)


@pytest.mark.parametrize(
    ("status", "for_agency", "for_requester"),
    [
        ("submitted", ItemState.OPEN, ItemState.DONE),
        ("returned", ItemState.DONE, ItemState.OPEN),
        ("approved", ItemState.DONE, ItemState.OPEN),
        ("denied", ItemState.DONE, ItemState.OPEN),
        ("withdrawn", ItemState.DONE, ItemState.DONE),
    ],
)
def test_a_request_waits_with_whose_turn_it_is(
    status: str, for_agency: ItemState, for_requester: ItemState
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
    theirs = item_of_request(request, topic="sharing.requests", version=1)
    answer = item_of_answer(request, topic="sharing.requests", version=1)
    assert (theirs.state, answer.state) == (for_agency, for_requester)
    assert theirs.item_id != answer.item_id


def test_a_mail_that_it_is_over_says_what_was_wrong_and_asks_for_nothing() -> None:
    text = composed(NotifiedItem(item(), Change.RESOLVED, "You are the steward."))
    assert text.startswith("Open Expenditures Ledger is well again\n")
    assert "What was wrong: 60 % of the rows are gone." in text
    assert "What to do" not in text


def test_a_telling_is_the_same_until_the_matter_comes_back() -> None:
    person, one = uuid4(), uuid4()
    first = notification_id(item(item_id=one), person, Change.OPENED)
    assert first == notification_id(item(item_id=one, version=7), person, Change.OPENED)
    assert first != notification_id(item(item_id=one, occurrences=2), person, Change.OPENED)
    assert first != notification_id(item(item_id=one), person, Change.RESOLVED)
