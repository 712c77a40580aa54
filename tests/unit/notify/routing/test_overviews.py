"""Whoever answers for agencies is told of all of them, in one summary."""

from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from services.notify.delivery.domain import NotifiedItem, OutgoingEmail, compose
from services.notify.inbox.domain.items import Change, InboxItem
from services.notify.routing.domain.overviews import item_of_overview, overviews
from services.notify.routing.domain.recipients import KnownPeople, KnownPerson
from shared.events.quality import AgencySummaryLine, BaselineSummarised
from shared.identity.viewer import Grant, Role

NOW = datetime(2026, 3, 15, tzinfo=UTC)
ROADS, HEALTH, PARKS = (UUID(int=number) for number in (11, 12, 13))
NAMES = {ROADS: "Department of Roads", HEALTH: "Department of Health", PARKS: "Department of Parks"}
OFFICER, TWICE, CHIEF, OPERATOR, STEWARD = (UUID(int=number) for number in range(1, 6))


def line(agency_id: UUID | None, stale: int = 0, late: int = 0, **fields: int) -> AgencySummaryLine:
    return AgencySummaryLine(
        agency_id=agency_id,
        datasets=10,
        fresh=10 - stale - late,
        late=late,
        stale=stale,
        not_applicable=0,
        without_steward=fields.get("without_steward", 0),
        mean_completeness=0.8,
    )


def summary(*lines: AgencySummaryLine) -> BaselineSummarised:
    return BaselineSummarised(
        notice_id=UUID(int=99),
        datasets=10 * len(lines),
        fresh=0,
        late=0,
        stale=0,
        not_applicable=0,
        next_act="",
        agencies=list(lines),
    )


def person(person_id: UUID, *grants: Grant) -> KnownPerson:
    return KnownPerson(person_id, frozenset(grants))


EVERYBODY = KnownPeople(
    [
        person(OFFICER, Grant(Role.AGENCY_DATA_OFFICER, ROADS)),
        person(TWICE, Grant(Role.AGENCY_DATA_OFFICER, ROADS), Grant(Role.AGENCY_DATA_OFFICER, HEALTH)),
        person(CHIEF, Grant(Role.CHIEF_DATA_OFFICER), Grant(Role.AGENCY_DATA_OFFICER, HEALTH)),
        person(OPERATOR, Grant(Role.OPERATOR)),
        person(STEWARD, Grant(Role.STEWARD, ROADS)),
    ]
)
WHOLE = summary(line(ROADS, stale=3, late=1), line(HEALTH, late=2), line(PARKS), line(None, stale=1))


def told(directory: KnownPeople = EVERYBODY) -> dict[UUID, InboxItem]:
    return {
        one.recipient.person_id: item_of_overview(WHOLE, one, NAMES, topic="quality.notices", now=NOW)
        for one in overviews(WHOLE, directory)
    }


def test_everybody_who_answers_for_agencies_gets_one_of_all_that_are_theirs() -> None:
    found = {
        one.recipient.person_id: [each.agency_id for each in one.lines] for one in overviews(WHOLE, EVERYBODY)
    }
    assert found == {
        OFFICER: [ROADS],
        TWICE: [ROADS, HEALTH],
        CHIEF: [ROADS, HEALTH, PARKS, None],
    }
    items = told()
    assert len({item.item_id for item in items.values()}) == 3
    assert items[OFFICER].title == "First quality check: Department of Roads"
    assert items[OFFICER].cause.startswith(
        "10 datasets were measured for the first time: 3 out of date, 1 late."
    )
    assert items[CHIEF].title == "First quality check: 4 agencies"


def test_what_nobody_answers_for_comes_to_the_operators() -> None:
    officer = person(OFFICER, Grant(Role.AGENCY_DATA_OFFICER, ROADS))
    operator = person(OPERATOR, Grant(Role.OPERATOR))
    found = {
        one.recipient.person_id: len(one.lines) for one in overviews(WHOLE, KnownPeople([officer, operator]))
    }
    assert found == {OFFICER: 1, OPERATOR: 3}
    assert overviews(WHOLE, KnownPeople([])) == []


def test_links_lead_to_the_lists_of_what_is_wrong_with_the_agencies_of_the_reader() -> None:
    items = told()
    links = {words: parse_qs(urlsplit(path).query) for words, path in items[TWICE].links}
    both = [str(ROADS), str(HEALTH)]
    assert links["Out of date (3)"] == {"agency": both, "freshness": ["stale"]}
    assert links["Late (3)"] == {"agency": both, "freshness": ["late"]}
    assert links["With a problem"] == {"agency": both, "condition": ["attention", "problem"]}
    one = links["Department of Health: out of date or late (2)"]
    assert one == {"agency": [str(HEALTH)], "freshness": ["late", "stale"]}
    assert ("Out of date (4)", "/search?freshness=stale") in items[CHIEF].links
    assert len(items[OFFICER].links) == 3


def test_many_agencies_make_a_bounded_matter() -> None:
    many = summary(*(line(UUID(int=1_000 + number), stale=1) for number in range(300)))
    (one,) = overviews(many, KnownPeople([person(CHIEF, Grant(Role.CHIEF_DATA_OFFICER))]))
    item = item_of_overview(many, one, {}, topic="quality.notices", now=NOW)
    assert len(item.details) == 13
    assert item.details[-1] == ("More agencies", "", "288")
    assert len(item.links) == 14


def test_the_mail_has_the_links_as_whole_addresses() -> None:
    item = told()[OFFICER]
    whole = NotifiedItem(item, Change.NOTICED, "You are the data officer of these agencies.")
    email = OutgoingEmail(UUID(int=7), OFFICER, "o@example.gov", "O", (whole,), 0, NOW)
    message = compose(
        email,
        sender="n@example.gov",
        base_url="https://data.example.gov",
        domain="example.gov",
        installation="N",
    )
    address = f"https://data.example.gov/search?agency={ROADS}&freshness=stale"
    plain, html = (part.get_content() for part in message.iter_parts())
    assert f"Out of date (3): {address}" in plain
    assert f'<a href="{address.replace("&", "&amp;")}">Out of date (3)</a>' in html
