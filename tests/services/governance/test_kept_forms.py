"""A form that comes back with an error shows all that was typed, the error beside its field and on top."""

import re
from html import unescape
from uuid import UUID

import httpx
import pytest

from services.governance.commands.sharing import decide_on_request
from services.governance.domain.agencies import PublisherMatch
from services.governance.domain.sharing import Action, NewRequest
from shared.identity.viewer import Grant, Role, Viewer
from tests.services.governance.test_letting_in import WISH, form_of, signed_in
from tests.support.governance_desk import DATASET, Desk

PAGE = {"Accept": "text/html"}
WRITTEN = WISH | {"legal_basis": "Section 4-67 & “others”", "retention": "Two years, then shredded."}


def typed(page: httpx.Response) -> dict[str, str]:
    """The texts in a page's fields that people write in."""
    found = re.findall(r'<textarea[^>]* name="(\w+)"[^>]*>\n(.*?)</textarea>', page.text, re.DOTALL)
    return {name: unescape(text) for name, text in found}


def hidden(page: httpx.Response) -> dict[str, str]:
    """The fields of a page that nobody sees."""
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text))


async def turned_to(desk: Desk, who: str) -> None:
    """Sign the browser in as another person."""
    desk.client.cookies.clear()
    await signed_in(desk, who)


async def asked(desk: Desk) -> str:
    """Have the requester ask for the data; return the request's address."""
    await turned_to(desk, "requester")
    answer = await desk.client.post("/sharing-requests/new", data=await form_of(desk) | WRITTEN)
    return answer.headers["location"]


async def test_a_field_in_error_is_told_beside_it_and_on_top_and_the_others_are_kept(desk: Desk) -> None:
    await turned_to(desk, "requester")
    sent = await form_of(desk) | WRITTEN | {"purpose": "short"}
    page = await desk.client.post("/sharing-requests/new", data=sent, headers=PAGE)
    assert page.status_code == 422
    assert typed(page) == WRITTEN | {"purpose": "short"}
    assert '<a href="#purpose">Tell us what the data is for: at least 10 characters.</a>' in page.text
    assert 'id="purpose-error"' in page.text
    too_long = await desk.client.post(
        "/sharing-requests/new", data=sent | {"retention": "r" * 20_001}, headers=PAGE
    )
    assert too_long.status_code == 422
    assert typed(too_long)["legal_basis"] == WRITTEN["legal_basis"]
    assert 'id="retention-error"' in too_long.text


async def test_a_form_that_is_out_of_date_keeps_its_texts_and_can_be_sent_from_there(desk: Desk) -> None:
    await turned_to(desk, "requester")
    sent = await form_of(desk) | WRITTEN
    page = await desk.client.post("/sharing-requests/new", data=sent | {"csrf_token": "old"}, headers=PAGE)
    assert page.status_code == 403
    assert typed(page) == WRITTEN
    assert "The form was out of date" in page.text
    again = await desk.client.post("/sharing-requests/new", data=hidden(page) | typed(page), headers=PAGE)
    assert again.status_code == 303


async def test_a_session_that_ends_while_somebody_writes_loses_nothing(desk: Desk) -> None:
    await turned_to(desk, "requester")
    sent = await form_of(desk) | WRITTEN
    desk.client.cookies.clear()
    page = await desk.client.post("/sharing-requests/new", data=sent, headers=PAGE)
    assert page.status_code == 401
    assert typed(page) == WRITTEN
    assert 'href="/sign-in" target="_blank"' in page.text
    # Signed in on another tab, the first one is sent again as it stands.
    await turned_to(desk, "requester")
    second = await desk.client.post("/sharing-requests/new", data=hidden(page) | typed(page), headers=PAGE)
    assert second.status_code == 403
    assert typed(second) == WRITTEN
    last = await desk.client.post("/sharing-requests/new", data=hidden(second) | typed(second), headers=PAGE)
    assert last.status_code == 303


async def test_a_form_that_was_sent_before_keeps_the_new_words_for_another_request(desk: Desk) -> None:
    first = await asked(desk)
    form = await form_of(desk)
    await desk.client.post("/sharing-requests/new", data=form | WRITTEN)
    changed = WRITTEN | {"purpose": "Something else entirely."}
    page = await desk.client.post("/sharing-requests/new", data=form | changed, headers=PAGE)
    assert page.status_code == 409
    assert typed(page) == changed
    another = await desk.client.post("/sharing-requests/new", data=hidden(page) | typed(page), headers=PAGE)
    assert another.status_code == 303
    assert another.headers["location"] != first


async def test_a_returned_request_is_sent_in_again_from_what_it_said_and_keeps_all_of_it(desk: Desk) -> None:
    where = await asked(desk)
    await turned_to(desk, "chief")
    deciding = hidden(await desk.client.get(where))
    no_reason = await desk.client.post(f"{where}/return", data=deciding, headers=PAGE)
    assert no_reason.status_code == 422
    assert '<a href="#reason">A decision needs a reason' in no_reason.text
    returned = await desk.client.post(f"{where}/return", data=deciding | {"reason": "Which years?"})
    assert returned.status_code == 303
    await turned_to(desk, "requester")
    page = await desk.client.get(where)
    assert typed(page) == WRITTEN
    wrong = typed(page) | {"data_wanted": "x", "retention": "Three years."}
    refused = await desk.client.post(f"{where}/resubmit", data=hidden(page) | wrong, headers=PAGE)
    assert refused.status_code == 422
    assert typed(refused) == wrong
    assert 'id="data_wanted-error"' in refused.text
    right = typed(refused) | {"data_wanted": "Years 2019 to 2023."}
    again = await desk.client.post(f"{where}/resubmit", data=hidden(refused) | right, headers=PAGE)
    assert again.status_code == 303
    shown = (await desk.client.get(f"/api/v1{where}")).json()
    assert {name: shown[name] for name in WRITTEN} == right


async def test_a_decision_on_what_was_changed_meanwhile_keeps_its_reason(desk: Desk) -> None:
    where = await asked(desk)
    await turned_to(desk, "chief")
    read = hidden(await desk.client.get(where))
    requester = Viewer(desk.people["requester"], frozenset({Grant(Role.REQUESTER)}))
    chief = Viewer(desk.people["operator"], frozenset({Grant(Role.CHIEF_DATA_OFFICER)}))
    ports = desk.governance.ports
    request_id = (await desk.client.get(f"/api/v1{where}")).json()["request_id"]
    async with desk.governance.service.store.unit_of_work() as work:
        await decide_on_request(work, ports, UUID(request_id), Action.RETURN, viewer=chief, reason="?")
        await decide_on_request(
            work,
            ports,
            UUID(request_id),
            Action.RESUBMIT,
            viewer=requester,
            content=NewRequest("Something else entirely.", "All years."),
        )
    reason = {"reason": "Two years are enough for this."}
    page = await desk.client.post(f"{where}/approve", data=read | reason, headers=PAGE)
    assert page.status_code == 409
    assert typed(page) == reason
    assert "after you opened it" in page.text
    assert "Something else entirely." in page.text
    again = await desk.client.post(f"{where}/approve", data=hidden(page) | typed(page), headers=PAGE)
    assert again.status_code == 303


async def test_a_reason_for_what_is_decided_already_is_shown_to_whoever_wrote_it(desk: Desk) -> None:
    where = await asked(desk)
    await turned_to(desk, "chief")
    read = hidden(await desk.client.get(where))
    await desk.client.post(f"{where}/approve", data=read | {"reason": "Fits the law."})
    page = await desk.client.post(f"{where}/deny", data=read | {"reason": "Against <the> law."}, headers=PAGE)
    assert page.status_code == 409
    assert "Against &lt;the&gt; law." in page.text


async def test_the_agency_chosen_for_a_spelling_stays_chosen(desk: Desk) -> None:
    async with desk.governance.service.store.unit_of_work() as work:
        put = await desk.governance.ports.directory.put_agency(
            work, code="DOL", name="Department of Labor", aliases={}
        )
        assert put is not None
        await desk.governance.ports.directory.note_open_publisher(
            work, "Labour Dept", PublisherMatch(None, "none", ())
        )
    await turned_to(desk, "operator")
    fields = {"spelling": "Labour Dept", "agency_id": str(put[0].agency_id), "csrf_token": "old"}
    page = await desk.client.post("/directory/publishers", data=fields, headers=PAGE)
    assert page.status_code == 403
    assert f'<option value="{put[0].agency_id}" selected>' in page.text
    blank = await desk.client.post(
        "/directory/publishers", data=hidden(page) | {"agency_id": ""}, headers=PAGE
    )
    assert blank.status_code == 422
    assert 'id="agency_id-error"' in blank.text


async def test_a_token_that_is_not_taken_stays_in_its_field_and_in_no_cache(desk: Desk) -> None:
    page = await desk.client.post("/sign-in", data={"token": "half-a-token", "next": "/inbox"}, headers=PAGE)
    assert page.status_code == 422
    assert 'value="half-a-token"' in page.text
    assert 'id="token-error"' in page.text
    assert hidden(page)["next"] == "/inbox"
    assert page.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_a_form_that_another_site_made_up_is_shown_to_nobody(desk: Desk, site: str) -> None:
    await turned_to(desk, "requester")
    made_up = {"dataset": str(DATASET), "form_key": "k", **WRITTEN}
    headers = PAGE | {"Sec-Fetch-Site": site}
    page = await desk.client.post("/sharing-requests/new", data=made_up, headers=headers)
    assert page.status_code == 403
    assert WRITTEN["purpose"] not in page.text


async def test_who_may_not_see_a_page_is_not_shown_it_for_sending_its_form(desk: Desk) -> None:
    async with desk.governance.service.store.unit_of_work() as work:
        await desk.governance.ports.directory.note_open_publisher(
            work, "A hidden spelling", PublisherMatch(None, "none", ())
        )
    await turned_to(desk, "requester")
    fields = hidden(await desk.client.get("/")) | {"spelling": "mine", "agency_id": ""}
    page = await desk.client.post("/directory/publishers", data=fields, headers=PAGE)
    assert page.status_code == 403
    assert "A hidden spelling" not in page.text
